-- The size of everything that the package keeps.
--
-- Invariant: tables and materialized views of our schemas, with their indexes.

CREATE OR REPLACE FUNCTION kpi_engine.package_bytes()
RETURNS bigint
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $package_bytes$
    SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
    FROM pg_class
    INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
    WHERE
        pg_namespace.nspname IN (SELECT schema.schema_name FROM kpi_engine.package_schemas() AS schema)
        AND pg_class.relkind IN ('r', 'm');
$package_bytes$;

COMMENT ON FUNCTION kpi_engine.package_bytes() IS
'Bytes of all tables and materialized views of the package, with their indexes. Internal to the '
'doctor.';

REVOKE ALL ON FUNCTION kpi_engine.package_bytes() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.package_bytes() TO analytics_operador;
