-- Notes that everything has to be computed again, the views of other services' tables too, if a
-- writer could note its change in no table.
--
-- Invariant: the writer moved a sequence, and may not have committed yet. So each refresh computes
-- everything until all transactions have ended that ran when the move was seen. The snapshot of the
-- caller's transaction may be older than the writer. Then the move stays unseen.
-- A snapshot lists only transactions older than the last one that ended. So a subtransaction ends
-- first: it is newer than each writer that may have moved the sequence.

CREATE OR REPLACE FUNCTION kpi_engine.note_unnoted_changes()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_unnoted_changes$
DECLARE
    v_moved_to bigint;
BEGIN
    IF NOT kpi_engine.has_unnoted_changes() THEN
        RETURN;
    END IF;
    -- A tick that comes meanwhile passes by (kpi_engine.watch_change_capture).
    PERFORM FROM kpi_engine.engine_state FOR UPDATE;
    INSERT INTO kpi_engine.pending_changes AS pending (entity, key, epoch)
    SELECT 'everything', kpi_engine.lost_key(), engine_state.epoch
    FROM kpi_engine.engine_state
    ON CONFLICT (entity, key) DO UPDATE SET epoch = excluded.epoch, is_applied = false;
    -- It may have been a table of another service. A rebuild does not read these.
    UPDATE kpi_engine.outside_sources SET is_changed = true WHERE NOT outside_sources.is_changed;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN;
    END IF;
    -- First the value, then a snapshot that lists each transaction of now.
    SELECT unnoted_changes.last_value INTO STRICT v_moved_to FROM kpi_engine.unnoted_changes;
    BEGIN
        UPDATE kpi_engine.engine_state SET unnoted_seen = v_moved_to;
        RAISE EXCEPTION 'ended' USING ERRCODE = 'TL001';
    EXCEPTION WHEN SQLSTATE 'TL001' THEN
        NULL;
    END;
    UPDATE kpi_engine.engine_state SET
        unnoted_seen = v_moved_to,
        unnoted_until = pg_snapshot_xmax(pg_current_snapshot())
    WHERE engine_state.unnoted_seen <> v_moved_to;
    UPDATE kpi_engine.engine_state SET unnoted_until = NULL
    WHERE NOT EXISTS (
        SELECT FROM pg_snapshot_xip(pg_current_snapshot()) AS running (xid)
        WHERE running.xid < engine_state.unnoted_until AND running.xid <> pg_current_xact_id()
    );
END;
$note_unnoted_changes$;

COMMENT ON FUNCTION kpi_engine.note_unnoted_changes() IS
'Notes in kpi_engine.pending_changes that everything has to be computed again, and marks the '
'tables of other services as changed, if the sequence kpi_engine.unnoted_changes moved. Internal '
'to kpi_engine.settle().';

REVOKE ALL ON FUNCTION kpi_engine.note_unnoted_changes() FROM public;
