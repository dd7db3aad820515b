-- Ends a rebuild: the changes that it covered no longer wait. Later changes still do.
--
-- Invariant: it is called in the transaction that makes the rebuilt sets the active ones. If only
-- some tables were computed again, pending changes are still to be applied. A reason for a rebuild
-- that was noted after the plan stays: batches before it may be void.

CREATE OR REPLACE FUNCTION kpi_engine.finish_rebuild(p_today date)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $finish_rebuild$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kpi_engine.derived_tables WHERE derived_tables.rebuilding_by IS NULL
    ) THEN
        UPDATE kpi_engine.engine_state SET
            time_zone = batch.time_zone,
            capture_signature = batch.capture_signature,
            -- Look closely the next time: what went meanwhile may be in the sets of now.
            catalog_fingerprint = CASE
                WHEN batch.capture_signature = engine_state.capture_signature
                    THEN engine_state.catalog_fingerprint
            END,
            database_identity = kpi_engine.database_identity(),
            today = p_today,
            -- A later reason stays.
            rebuild_reason = CASE
                WHEN batch.reasons_noted = engine_state.reasons_noted THEN NULL
                ELSE engine_state.rebuild_reason
            END
        FROM kpi_engine.rebuild_batches AS batch
        WHERE batch.batch = 1;
        -- Here, not in a later session: that one may have other rules.
        PERFORM kpi_engine.note_zone_rules();
        DELETE FROM kpi_engine.pending_changes
        USING kpi_engine.engine_state
        WHERE pending_changes.epoch < engine_state.epoch;
        UPDATE kpi_engine.pending_changes SET is_applied = false WHERE pending_changes.is_applied;
    ELSE
        -- These are in the active sets. They were kept for a rebuild that this one replaced.
        DELETE FROM kpi_engine.pending_changes WHERE pending_changes.is_applied;
    END IF;
    -- Rows that came meanwhile were read, too.
    UPDATE kpi_engine.engine_state SET parts_with_rows = NULL
    WHERE engine_state.parts_with_rows IS NOT NULL;
    UPDATE kpi_engine.derived_tables SET
        rules_checksum = derived_tables.rebuilding_by,
        rebuilding_by = NULL
    WHERE derived_tables.rebuilding_by IS NOT NULL;
    DELETE FROM kpi_engine.rebuild_batches;
END;
$finish_rebuild$;

COMMENT ON FUNCTION kpi_engine.finish_rebuild(date) IS
'Notes that the derived tables were computed again, for windows that end with p_today. '
'Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.finish_rebuild(date) FROM public;
