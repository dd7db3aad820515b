-- Notes what the src_ views read now; what was bound anew is computed again.
--
-- Invariant: it raises an error if the source can't be read as it has to be (55000).

CREATE OR REPLACE FUNCTION kpi_engine.confirm_binding()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $confirm_binding$
DECLARE
    v_is_other boolean;
BEGIN
    PERFORM kpi_engine.recognize_database();
    -- Before views are built anew: what a restore filled is no new definition.
    PERFORM kpi_engine.empty_refilled_views();
    v_is_other := kpi_engine.note_source_binding();
    PERFORM kpi_engine.require_source();
    RETURN v_is_other;
END;
$confirm_binding$;

COMMENT ON FUNCTION kpi_engine.confirm_binding() IS
'Notes what the src_ views read; true where that is another source than before. Errors: 55000 if '
'the source does not fit. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.confirm_binding() FROM public;
