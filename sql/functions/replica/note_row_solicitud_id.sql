-- Trigger function of change capture for rows that a subscription writes: notes their requests.
--
-- Invariant: it never fails or stops the worker that applies changes, in any state of the table, of
-- schema kpi_engine or of our rights. The worker fires triggers for rows alone, not for statements.
-- From the third row of a table on, a worker's transaction notes without a net: its locks keep the
-- table and the log as the first rows found them, and no time-out of ours ends a wait for the file.
-- What still fails (a right that is taken away meanwhile) makes the worker begin the transaction
-- again, with a net.
-- Other writers with session_replication_role = replica have a net, but for a disk that becomes
-- full: see kpi_engine.note_changed_id(). A subtransaction writes only for the first two rows: more
-- than 64 at a time would slow other sessions down. From PostgreSQL 16 on, a worker that takes the
-- role of the table's owner forgets the marks after each row (run_as_owner = false). Then it writes
-- so for 300 microseconds, in which fewer than 64 rows come. (The counters of a transaction also
-- have what the last second wrote before it.)
-- SECURITY DEFINER: writers have no right on schema kpi_engine.

CREATE OR REPLACE FUNCTION kpi_engine.note_row_solicitud_id()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $note_row_solicitud_id$
DECLARE
    v_mark text;
    v_pace text;
    v_rehearses boolean;
    v_keys uuid[];
    v_limit text;
    v_patience text;
    v_message text;
    v_sqlstate text;
BEGIN
    -- This is on the way of each row: one condition and one INSERT for most of them.
    IF current_setting('analytics.noting_' || tg_relid, true) = 'apply' THEN
        IF tg_op = 'UPDATE' AND old.solicitud_id = new.solicitud_id THEN
            INSERT INTO kpi_engine.change_log (entity, key) VALUES (tg_argv[0], new.solicitud_id);
            RETURN NULL;
        END IF;
        IF tg_op <> 'DELETE' AND new.solicitud_id IS NOT NULL THEN
            INSERT INTO kpi_engine.change_log (entity, key) VALUES (tg_argv[0], new.solicitud_id);
        END IF;
        IF tg_op = 'DELETE' AND old.solicitud_id IS NOT NULL
            OR tg_op = 'UPDATE' AND old.solicitud_id IS DISTINCT FROM new.solicitud_id THEN
            INSERT INTO kpi_engine.change_log (entity, key)
            SELECT tg_argv[0], old.solicitud_id WHERE old.solicitud_id IS NOT NULL;
        END IF;
        RETURN NULL;
    END IF;
    v_mark := 'analytics.noting_' || tg_relid;
    v_pace := coalesce(current_setting(v_mark, true), '');
    v_limit := current_setting('lock_timeout');
    BEGIN
        -- For the lock of the log. Without a net nothing but its file is waited for.
        v_patience := set_config('lock_timeout', '100ms', true);
        v_rehearses := v_pace = 'rehearse'
            OR v_pace = '' AND clock_timestamp() > now() + interval '300 microseconds';
        IF NOT v_rehearses AND tg_op = 'UPDATE' AND old.solicitud_id = new.solicitud_id THEN
            INSERT INTO kpi_engine.change_log (entity, key) VALUES (tg_argv[0], new.solicitud_id);
        ELSE
            v_keys := ARRAY(
                SELECT new.solicitud_id WHERE tg_op <> 'DELETE' AND new.solicitud_id IS NOT NULL
                UNION
                SELECT old.solicitud_id WHERE tg_op <> 'INSERT' AND old.solicitud_id IS NOT NULL
            );
            -- A rehearsal fails where the real thing would, and writes nothing.
            INSERT INTO kpi_engine.change_log (entity, key)
            SELECT tg_argv[0], changed.key
            FROM unnest(v_keys) AS changed (key)
            WHERE NOT v_rehearses;
        END IF;
        v_patience := set_config('lock_timeout', v_limit, true);
        IF v_pace <> 'rehearse' THEN
            PERFORM set_config(v_mark, CASE
                WHEN v_pace = '' THEN 'first'
                WHEN kpi_engine.is_apply_worker() THEN 'apply'
                ELSE 'rehearse'
            END, true);
        END IF;
        IF NOT v_rehearses THEN
            RETURN NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
    END;
    IF v_sqlstate IS NULL THEN
        INSERT INTO kpi_engine.change_log (entity, key)
        SELECT tg_argv[0], changed.key
        FROM unnest(v_keys) AS changed (key)
        WHERE (SELECT log.is_sound FROM kpi_engine.sound_change_log() AS log);
        -- No row: it has no key, or the log was altered.
        IF FOUND OR EXISTS (SELECT FROM kpi_engine.sound_change_log()) THEN
            RETURN NULL;
        END IF;
        v_message := 'kpi_engine.change_log was altered';
    END IF;
    BEGIN
        v_patience := set_config('lock_timeout', '100ms', true);
        PERFORM kpi_engine.note_lost_change(tg_relid, v_message, v_sqlstate);
        v_patience := set_config('lock_timeout', v_limit, true);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'teloo-analytics: a change of % could not be noted: % (SQLSTATE %)',
            tg_relid::regclass, SQLERRM, SQLSTATE
            USING HINT = 'The write is not affected. analytics.capture_gap() says what is wrong.';
    END;
    RETURN NULL;
END;
$note_row_solicitud_id$;

COMMENT ON FUNCTION kpi_engine.note_row_solicitud_id() IS
'Row-level trigger of change capture on operational tables that a subscription writes: appends '
'the request that the row came to, left or changed in to kpi_engine.change_log.';

REVOKE ALL ON FUNCTION kpi_engine.note_row_solicitud_id() FROM public;
