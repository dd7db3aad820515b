-- Notes that a change of a source table could not be noted by its keys.
--
-- Invariant: the next refresh computes everything again. Each transaction notes this once. A
-- rollback to a savepoint removes the mark of the transaction. A refresh in the transaction takes
-- the note, and removes the mark. On a full disk, or if no lock is free, no row can be written:
-- then a sequence moves (kpi_engine.note_unnoted_changes). The key of the note is
-- kpi_engine.lost_key(), as a literal: a note calls as little as it can.

CREATE OR REPLACE FUNCTION kpi_engine.note_lost_change(
    p_relation oid, p_message text, p_sqlstate text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_lost_change$
DECLARE
    v_transaction constant text := pg_current_xact_id()::text;
BEGIN
    IF current_setting('analytics.lost_change', true) = v_transaction THEN
        RETURN;
    END IF;
    BEGIN
        INSERT INTO kpi_engine.lost_changes (relation, message, sqlstate)
        VALUES (p_relation::regclass::text, p_message, p_sqlstate);
    EXCEPTION WHEN OTHERS THEN
        BEGIN
            INSERT INTO kpi_engine.change_log (entity, key)
            VALUES ('everything', 'ffffffff-ffff-ffff-ffff-ffffffffffff');
        EXCEPTION WHEN OTHERS THEN
            -- The disk is full, or no lock is free.
            PERFORM nextval('kpi_engine.unnoted_changes');
        END;
    END;
    PERFORM set_config('analytics.lost_change', v_transaction, true);
    RAISE WARNING 'teloo-analytics: a change of % could not be noted by key: %',
        p_relation::regclass, p_message || coalesce(' (SQLSTATE ' || p_sqlstate || ')', '')
        USING DETAIL = 'The write is not affected; the next refresh computes everything again.',
              HINT = 'SELECT analytics.capture_gap(); says what is wrong.';
END;
$note_lost_change$;

COMMENT ON FUNCTION kpi_engine.note_lost_change(oid, text, text) IS
'Notes in kpi_engine.lost_changes why a change of a source table could not be noted by key. If '
'there is no room or lock for a row, it moves the sequence kpi_engine.unnoted_changes. The next '
'refresh computes everything again. Internal to the triggers of change capture.';

REVOKE ALL ON FUNCTION kpi_engine.note_lost_change(oid, text, text) FROM public;
