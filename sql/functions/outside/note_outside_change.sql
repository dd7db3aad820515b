-- Trigger function on tables of other services: notes that the table changed.
--
-- Invariant: it never fails the writer, and waits at most 100 ms for a lock on the log. It notes a
-- table once in a transaction; a rollback to a savepoint removes the mark with the note. A refresh
-- in the transaction takes the note, and removes the mark. If it can't note, a lost change is
-- noted, and the next refresh reads everything anew. The worker of a subscription fires it for each
-- row. From PostgreSQL 16 on, a worker that takes the role of the table's owner forgets its
-- settings after each row (run_as_owner = false), and the mark with them. So its mark is an open
-- cursor, which ends with the transaction, or with a rollback to before the note. Else each row
-- would write a note, in a subtransaction of its own.
-- SECURITY DEFINER: writers have no right on schema kpi_engine.

CREATE OR REPLACE FUNCTION kpi_engine.note_outside_change()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $note_outside_change$
DECLARE
    v_transaction constant text := pg_current_xact_id()::text;
    v_noted text := coalesce(current_setting('analytics.outside_noted', true), '');
    v_cursor refcursor := 'teloo-analytics outside ' || tg_relid;
    v_message text;
    v_sqlstate text;
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        PERFORM kpi_engine.note_emptied(tg_relid);
    END IF;
    IF split_part(v_noted, ':', 1) <> v_transaction THEN
        v_noted := v_transaction || ':';
    ELSIF strpos(v_noted, format(':%s:', tg_relid)) > 0 THEN
        RETURN NULL;
    END IF;
    IF tg_level = 'ROW' AND EXISTS (
        SELECT FROM pg_cursors WHERE pg_cursors.name = v_cursor::text
    ) THEN
        RETURN NULL;
    END IF;
    BEGIN
        INSERT INTO kpi_engine.outside_changes (source_relation) VALUES (tg_relid);
        IF NOT FOUND THEN
            v_message := 'kpi_engine.outside_changes was altered';
        ELSIF tg_level = 'ROW' AND kpi_engine.is_apply_worker() THEN
            OPEN v_cursor FOR SELECT;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
    END;
    IF v_message IS NULL THEN
        PERFORM set_config('analytics.outside_noted', v_noted || format('%s:', tg_relid), true);
        RETURN NULL;
    END IF;
    BEGIN
        PERFORM kpi_engine.note_lost_change(tg_relid, v_message, v_sqlstate);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'teloo-analytics: a change of % could not be noted: % (SQLSTATE %)',
            tg_relid::regclass, SQLERRM, SQLSTATE
            USING HINT = 'The write is not affected. After it: SELECT * FROM '
                         'refresh_all_mv(force => true);';
    END;
    RETURN NULL;
END;
$note_outside_change$;

COMMENT ON FUNCTION kpi_engine.note_outside_change() IS
'Trigger on outside tables that are watched by triggers: appends the table to '
'kpi_engine.outside_changes, once in a transaction.';

REVOKE ALL ON FUNCTION kpi_engine.note_outside_change() FROM public;
