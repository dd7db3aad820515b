-- Lists the triggers of change capture: the needed ones and the existing ones.
--
-- Invariant: one row for each needed trigger and, with p_with_strays, for each other existing one.
-- is_working is true if and only if the trigger exists as it is needed and fires for its writers. A
-- trigger that is not needed, or that would fail writers, has no definition.
-- PostgreSQL can't collect the rows of a foreign table for a trigger, and fails the statement. So a
-- table with a foreign table below it gets no trigger that collects rows.
-- A subscription fires triggers for rows alone. So a table that one writes has both kinds: those
-- for rows fire for writers with session_replication_role = replica, those for statements for all
-- others. No write fires both.
-- PL/pgSQL keeps the plan: each refresh and each tick asks.

CREATE OR REPLACE FUNCTION kpi_engine.capture_triggers(p_with_strays boolean DEFAULT true)
RETURNS TABLE (
    relation oid,
    relation_kind char,
    view_name text,
    place text,
    trigger_name text,
    definition text,
    firing text,
    is_present boolean,
    is_working boolean,
    row_version text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
ROWS 80
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $capture_triggers$
#variable_conflict use_column
DECLARE
    -- Usually there is no subscription.
    v_subscribed constant oid[] := kpi_engine.subscribed_tables();
    v_above_foreign oid[] := '{}';
BEGIN
    IF EXISTS (SELECT FROM pg_foreign_table) THEN
        v_above_foreign := ARRAY(
            WITH RECURSIVE above AS (
                SELECT pg_foreign_table.ftrelid AS relation FROM pg_foreign_table
                UNION
                SELECT pg_inherits.inhparent
                FROM above
                INNER JOIN pg_inherits ON pg_inherits.inhrelid = above.relation
            )

            SELECT above.relation FROM above
        );
    END IF;
    RETURN QUERY
        WITH needed AS MATERIALIZED (
            SELECT
                captured.relation,
                captured.relation_kind,
                captured.view_name,
                captured.place,
                event.trigger_name,
                CASE event.kind
                    WHEN 'truncate' THEN 'note_truncate'
                    WHEN 'row' THEN replace(captured.function_name, 'note_changed_', 'note_row_')
                    ELSE captured.function_name
                END AS function_name,
                captured.entity,
                event.kind,
                event.words,
                event.event_bits,
                CASE
                    WHEN event.kind = 'row' THEN 'REPLICA'
                    WHEN event.kind = 'statement' AND captured.is_subscribed THEN 'ORIGIN'
                    ELSE 'ALWAYS'
                END AS firing,
                event.kind <> 'statement' OR captured.relation <> ALL (v_above_foreign) AS is_possible
            FROM (
                SELECT
                    captured_tables.*,
                    captured_tables.relation = ANY (v_subscribed) AS is_subscribed
                FROM kpi_engine.captured_tables()
            ) AS captured
            CROSS JOIN (VALUES
                (
                    'teloo_analytics_insert', 'statement', 4,
                    'AFTER INSERT ON %s REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT'
                ),
                (
                    'teloo_analytics_update', 'statement', 16,
                    'AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row '
                    'FOR EACH STATEMENT'
                ),
                (
                    'teloo_analytics_delete', 'statement', 8,
                    'AFTER DELETE ON %s REFERENCING OLD TABLE AS old_row FOR EACH STATEMENT'
                ),
                ('teloo_analytics_truncate', 'truncate', 32, 'AFTER TRUNCATE ON %s FOR EACH STATEMENT'),
                (
                    'teloo_analytics_row', 'row', 29,
                    'AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW'
                )
            ) AS event (trigger_name, kind, event_bits, words)
            -- Rows are in tables and leaf partitions.
            WHERE event.kind <> 'row' OR (captured.is_subscribed AND captured.relation_kind = 'r')
        )

        SELECT
            needed.relation,
            needed.relation_kind,
            needed.view_name,
            needed.place,
            needed.trigger_name,
            CASE WHEN needed.is_possible THEN format(
                'CREATE OR REPLACE TRIGGER %I %s EXECUTE FUNCTION kpi_engine.%I(%s)',
                needed.trigger_name,
                format(needed.words, needed.relation::regclass),
                needed.function_name,
                CASE
                    WHEN needed.function_name <> 'note_truncate' THEN quote_literal(needed.entity)
                END
            ) END,
            needed.firing,
            pg_proc.oid IS NOT NULL,
            coalesce(
                needed.is_possible
                AND pg_trigger.tgenabled = left(needed.firing, 1)::"char"
                AND pg_trigger.tgtype = needed.event_bits
                -- For each write: no WHEN, no list of columns.
                AND pg_trigger.tgqual IS NULL
                AND pg_trigger.tgattr::text = ''
                AND pg_proc.proname = needed.function_name
                AND pg_trigger.tgargs = CASE needed.function_name
                    WHEN 'note_truncate' THEN ''::bytea
                    ELSE convert_to(needed.entity, 'UTF8') || '\x00'::bytea
                END,
                false
            ),
            pg_trigger.xmin::text || pg_trigger.ctid::text
        FROM needed
        LEFT JOIN pg_trigger
            ON pg_trigger.tgrelid = needed.relation AND pg_trigger.tgname = needed.trigger_name
        LEFT JOIN pg_proc
            ON
                pg_proc.oid = pg_trigger.tgfoid
                AND pg_proc.pronamespace = 'kpi_engine'::regnamespace
        UNION ALL
        SELECT
            pg_trigger.tgrelid, NULL, NULL, NULL, pg_trigger.tgname::text, NULL, NULL, true, false,
            pg_trigger.xmin::text || pg_trigger.ctid::text
        FROM pg_trigger
        INNER JOIN pg_proc
            ON
                pg_proc.oid = pg_trigger.tgfoid
                AND pg_proc.pronamespace = 'kpi_engine'::regnamespace
        WHERE
            p_with_strays
            AND pg_trigger.tgname LIKE 'teloo\_analytics\_%'
            AND NOT EXISTS (
                SELECT FROM needed
                WHERE
                    needed.relation = pg_trigger.tgrelid
                    AND needed.trigger_name = pg_trigger.tgname
            );
END;
$capture_triggers$;

COMMENT ON FUNCTION kpi_engine.capture_triggers(boolean) IS
'Triggers of change capture that are needed or, with p_with_strays, there: the statement that '
'creates it (NULL where it is not needed, or would fail writers), when it fires (ALWAYS, ORIGIN, '
'REPLICA), whether it is there, and whether it works.';

REVOKE ALL ON FUNCTION kpi_engine.capture_triggers(boolean) FROM public;
