-- Notes by which version of the collation the derived tables are computed. If it is another one
-- than before, everything is computed again: their keys are upper-cased text. Indexes are for the
-- cure of kpi_engine.collation_fault().

CREATE OR REPLACE FUNCTION kpi_engine.note_collation()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_collation$
DECLARE
    v_change constant text := kpi_engine.collation_change();
BEGIN
    IF v_change IS NOT NULL THEN
        PERFORM kpi_engine.note_rebuild_reason(v_change);
    END IF;
    UPDATE kpi_engine.engine_state SET collation_version = kpi_engine.collation_version()
    WHERE engine_state.collation_version IS DISTINCT FROM kpi_engine.collation_version();
END;
$note_collation$;

COMMENT ON FUNCTION kpi_engine.note_collation() IS
'Notes the version of the default collation. If it changed, the next refresh computes everything '
'again. Internal to kpi_engine.settle().';

REVOKE ALL ON FUNCTION kpi_engine.note_collation() FROM public;
