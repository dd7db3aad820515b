-- Ends a rebuild: what it covered no longer waits, what came later does.
--
-- Invariant: called in the transaction in which the rebuilt set becomes the one that is read.

CREATE OR REPLACE FUNCTION kpi_engine.finish_rebuild(p_today date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $finish_rebuild$
BEGIN
    UPDATE kpi_engine.engine_state SET
        time_zone = batch.time_zone,
        rules_checksum = batch.rules_checksum,
        capture_signature = batch.capture_signature,
        database_identity = kpi_engine.database_identity(),
        today = p_today,
        rebuild_reason = NULL
    FROM kpi_engine.rebuild_batches AS batch
    WHERE batch.batch = 1;
    DELETE FROM kpi_engine.pending_changes
    USING kpi_engine.engine_state
    WHERE pending_changes.epoch < engine_state.epoch;
    UPDATE kpi_engine.pending_changes SET is_applied = false WHERE pending_changes.is_applied;
    DELETE FROM kpi_engine.rebuild_batches;
END;
$finish_rebuild$;

COMMENT ON FUNCTION kpi_engine.finish_rebuild(date) IS
'Notes that the derived tables were computed again, for windows that end with p_today. '
'Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.finish_rebuild(date) FROM public;
