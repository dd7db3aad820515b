-- Ends a rebuild: what it covered no longer waits, what came later does.
--
-- Invariant: called in the transaction in which the rebuilt sets become the ones that are read.
-- Where only some tables were computed again, pending changes are still to be applied.

CREATE OR REPLACE FUNCTION analytics.finish_rebuild(p_today date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $finish_rebuild$
BEGIN
    IF NOT EXISTS (
        SELECT FROM analytics.derived_tables WHERE derived_tables.rebuilding_by IS NULL
    ) THEN
        UPDATE analytics.engine_state SET
            time_zone = batch.time_zone,
            capture_signature = batch.capture_signature,
            database_identity = analytics.database_identity(),
            today = p_today,
            rebuild_reason = NULL
        FROM analytics.rebuild_batches AS batch
        WHERE batch.batch = 1;
        DELETE FROM analytics.pending_changes
        USING analytics.engine_state
        WHERE pending_changes.epoch < engine_state.epoch;
        UPDATE analytics.pending_changes SET is_applied = false WHERE pending_changes.is_applied;
    ELSE
        -- What the active sets have already was kept for a rebuild that this one took the place of.
        DELETE FROM analytics.pending_changes WHERE pending_changes.is_applied;
    END IF;
    UPDATE analytics.derived_tables SET
        rules_checksum = derived_tables.rebuilding_by,
        rebuilding_by = NULL
    WHERE derived_tables.rebuilding_by IS NOT NULL;
    DELETE FROM analytics.rebuild_batches;
END;
$finish_rebuild$;

COMMENT ON FUNCTION analytics.finish_rebuild(date) IS
'Notes that the derived tables were computed again, for windows that end with p_today. '
'Internal to the rebuild.';

REVOKE ALL ON FUNCTION analytics.finish_rebuild(date) FROM public;
