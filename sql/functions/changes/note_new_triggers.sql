-- Notes that triggers of change capture are new on these tables: changes before them were missed.
--
-- Invariant: the next refresh computes everything again, also if the database is copied or moved
-- before it. It is called in the transaction that creates them, so no write comes in between.
-- Nothing is noted before the first refresh, and nothing for a partition that had no triggers:
-- kpi_engine.settle_capture() notes its rows.
-- SECURITY DEFINER: the owner of the operational tables may have no right on the log.

CREATE OR REPLACE FUNCTION kpi_engine.note_new_triggers(p_relations oid[])
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $note_new_triggers$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kpi_engine.captured_tables() AS captured
        CROSS JOIN kpi_engine.engine_state
        WHERE
            engine_state.time_zone IS NOT NULL
            -- A reason that waits and that no rebuild was planned for covers this, too.
            AND (
                engine_state.rebuild_reason IS NULL
                OR EXISTS (SELECT FROM kpi_engine.rebuild_batches)
            )
            AND captured.relation = ANY (p_relations)
            AND NOT (
                captured.place = 'part'
                AND engine_state.capture_signature -> captured.relation::text ->> 2 IS NULL
            )
    ) THEN
        RETURN;
    END IF;
    BEGIN
        INSERT INTO kpi_engine.change_log (entity, key)
        SELECT 'everything', kpi_engine.new_triggers_key()
        FROM kpi_engine.sound_change_log();
        IF FOUND THEN
            RETURN;
        END IF;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR query_canceled THEN
        -- The caller tries again.
        RAISE;
    WHEN OTHERS THEN
        NULL;
    END;
    -- The log was altered or is gone.
    PERFORM nextval('kpi_engine.unnoted_changes');
END;
$note_new_triggers$;

COMMENT ON FUNCTION kpi_engine.note_new_triggers(oid[]) IS
'Notes in the change log that everything has to be computed again, because triggers of change '
'capture were created anew on these tables. Errors: 55P03 when the log is locked. Internal to '
'kpi_engine.set_capture_triggers().';

REVOKE ALL ON FUNCTION kpi_engine.note_new_triggers(oid[]) FROM public;
