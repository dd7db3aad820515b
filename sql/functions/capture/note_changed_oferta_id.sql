-- Trigger function of change capture: notes the offers of changed rows.
--
-- Invariant: it never fails the writer, in any state of the table, of schema kpi_engine or of our
-- rights. The writer waits at most 100 ms for a lock on the log. If a change can't be noted by key,
-- a lost change is noted, and everything is computed again.
-- It writes in the writer's own transaction, with no lock that two writers could wait for. It uses
-- a subtransaction for the first statements of a transaction: more than 64 at a time would slow
-- other sessions down.
-- A row that moves notes its old offer and its new one.
-- SECURITY DEFINER: writers have no right on schema kpi_engine.

CREATE OR REPLACE FUNCTION kpi_engine.note_changed_oferta_id()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $note_changed_oferta_id$
DECLARE
    v_noted text;
    v_message text;
    v_sqlstate text;
BEGIN
    -- A mark costs time. In the first 300 microseconds of a transaction, fewer than 48 statements
    -- note something. The first 16 after them leave a mark.
    IF clock_timestamp() > now() + interval '300 microseconds' THEN
        v_noted := coalesce(current_setting('analytics.noted', true), '');
    END IF;
    IF v_noted IS NULL OR length(v_noted) < 16 THEN
        BEGIN
            IF tg_op = 'INSERT' THEN
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], new_row.oferta_id
                FROM new_row
                WHERE new_row.oferta_id IS NOT NULL;
            ELSIF tg_op = 'DELETE' THEN
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], old_row.oferta_id
                FROM old_row
                WHERE old_row.oferta_id IS NOT NULL;
            ELSE
                -- UNION would sort or hash, which costs more than keys that are noted twice. A join
                -- would be quadratic by a plan kept from an update of one row.
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], new_row.oferta_id
                FROM new_row
                WHERE new_row.oferta_id IS NOT NULL
                UNION ALL
                SELECT tg_argv[0], old_row.oferta_id
                FROM old_row
                WHERE
                    old_row.oferta_id IS NOT NULL
                    AND old_row.oferta_id IS DISTINCT FROM (
                        SELECT new_row.oferta_id FROM new_row LIMIT 1
                    );
            END IF;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
        END;
        IF v_noted IS NOT NULL THEN
            -- A mark for each statement of the transaction. PERFORM would be a query.
            v_noted := set_config('analytics.noted', v_noted || '.', true);
        END IF;
        IF v_sqlstate IS NULL THEN
            RETURN NULL;
        END IF;
    ELSIF current_setting('analytics.lost_change', true) = pg_current_xact_id()::text THEN
        -- Everything is computed again. On a full disk, what follows would fail the writer.
        RETURN NULL;
    ELSE
        -- A rehearsal: it fails where the real thing would. So it reads a key, too: a VIRTUAL
        -- column can't be read. It writes nothing, so that its subtransaction gets no number, of
        -- which a backend shows the others only 64.
        BEGIN
            IF tg_op = 'DELETE' THEN
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], one.key
                FROM (
                    SELECT old_row.oferta_id FROM old_row WHERE old_row.oferta_id IS NOT NULL LIMIT 1
                ) AS one (key)
                WHERE one.key <> one.key;
            ELSE
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], one.key
                FROM (
                    SELECT new_row.oferta_id FROM new_row WHERE new_row.oferta_id IS NOT NULL LIMIT 1
                ) AS one (key)
                WHERE one.key <> one.key;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
        END;
        IF v_sqlstate IS NULL THEN
            -- The table is locked by now. To make its file longer, it may have to wait once more.
            v_noted := set_config('lock_timeout', '0', true);
            IF tg_op = 'INSERT' THEN
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], new_row.oferta_id
                FROM new_row
                WHERE
                    new_row.oferta_id IS NOT NULL
                    AND (SELECT log.is_sound FROM kpi_engine.sound_change_log() AS log);
            ELSIF tg_op = 'DELETE' THEN
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], old_row.oferta_id
                FROM old_row
                WHERE
                    old_row.oferta_id IS NOT NULL
                    AND (SELECT log.is_sound FROM kpi_engine.sound_change_log() AS log);
            ELSE
                INSERT INTO kpi_engine.change_log (entity, key)
                SELECT tg_argv[0], changed.key
                FROM (
                    SELECT new_row.oferta_id FROM new_row
                    UNION
                    SELECT old_row.oferta_id FROM old_row
                ) AS changed (key)
                WHERE
                    changed.key IS NOT NULL
                    AND (SELECT log.is_sound FROM kpi_engine.sound_change_log() AS log);
            END IF;
            -- No row: none changed, or the log was altered.
            IF FOUND OR EXISTS (SELECT FROM kpi_engine.sound_change_log()) THEN
                RETURN NULL;
            END IF;
            v_message := 'kpi_engine.change_log was altered';
        END IF;
    END IF;
    BEGIN
        PERFORM kpi_engine.note_lost_change(tg_relid, v_message, v_sqlstate);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'teloo-analytics: a change of % could not be noted: % (SQLSTATE %)',
            tg_relid::regclass, SQLERRM, SQLSTATE
            USING HINT = 'The write is not affected. analytics.capture_gap() says what is wrong.';
    END;
    RETURN NULL;
END;
$note_changed_oferta_id$;

COMMENT ON FUNCTION kpi_engine.note_changed_oferta_id() IS
'Statement-level trigger of change capture on operational tables: appends the offers that '
'rows came to, left or changed in to kpi_engine.change_log.';

REVOKE ALL ON FUNCTION kpi_engine.note_changed_oferta_id() FROM public;
