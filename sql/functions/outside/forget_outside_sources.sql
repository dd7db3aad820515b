-- Removes the declarations of views that are gone, or that were built anew without them, and the
-- notes of tables that nobody declares any more.

CREATE OR REPLACE FUNCTION kpi_engine.forget_outside_sources()
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $forget_outside_sources$
DECLARE
    v_forgotten integer;
BEGIN
    DELETE FROM kpi_engine.outside_sources
    WHERE
        to_regclass(format('analytics.%I', outside_sources.view_name)) IS NULL
        -- In a restored database the views have other numbers.
        OR outside_sources.database_identity = kpi_engine.database_identity()
        AND outside_sources.view_relation
        <> to_regclass(format('analytics.%I', outside_sources.view_name));
    GET DIAGNOSTICS v_forgotten := ROW_COUNT;
    PERFORM kpi_engine.forget_outside_changes();
    RETURN v_forgotten;
END;
$forget_outside_sources$;

COMMENT ON FUNCTION kpi_engine.forget_outside_sources() IS
'Removes declarations of outside tables that no view has any more; returns how many. Internal to '
'make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.forget_outside_sources() FROM public;
