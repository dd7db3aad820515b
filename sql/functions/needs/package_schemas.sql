-- Lists the schemas of the package.
--
-- Invariant: everything that migrate creates is in one of them, except the triggers of change
-- capture and the roles.

CREATE OR REPLACE FUNCTION kpi_engine.package_schemas()
RETURNS TABLE (place integer, schema_name text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $package_schemas$
    SELECT
        schema.place,
        schema.schema_name
    FROM (
        VALUES
        (1, 'analytics'),
        (2, 'kpi_engine'),
        (3, 'api')
    ) AS schema (place, schema_name);
$package_schemas$;

COMMENT ON FUNCTION kpi_engine.package_schemas() IS
'The schemas of the package. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.package_schemas() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.package_schemas() TO analytics_operador;
