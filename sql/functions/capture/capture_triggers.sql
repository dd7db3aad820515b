-- Lists the triggers of change capture: the needed ones and the existing ones.
--
-- Invariant: one row for each needed trigger and, with p_with_strays, for each other existing one.
-- is_working is true if and only if the trigger exists as it is needed and fires for each writer. A
-- trigger that is not needed has no definition.
-- PL/pgSQL keeps the plan: each refresh and each tick asks.

CREATE OR REPLACE FUNCTION kpi_engine.capture_triggers(p_with_strays boolean DEFAULT true)
RETURNS TABLE (
    relation oid,
    relation_kind char,
    view_name text,
    place text,
    trigger_name text,
    definition text,
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
BEGIN
    RETURN QUERY
        WITH needed AS MATERIALIZED (
            SELECT
                captured_tables.relation,
                captured_tables.relation_kind,
                captured_tables.view_name,
                captured_tables.place,
                event.trigger_name,
                CASE event.operation
                    WHEN 'TRUNCATE' THEN 'note_truncate'
                    ELSE captured_tables.function_name
                END AS function_name,
                captured_tables.entity,
                event.operation,
                event.referencing,
                event.event_bit
            FROM kpi_engine.captured_tables()
            CROSS JOIN (VALUES
                ('teloo_analytics_insert', 'INSERT', 'REFERENCING NEW TABLE AS new_row ', 4),
                (
                    'teloo_analytics_update', 'UPDATE',
                    'REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row ', 16
                ),
                ('teloo_analytics_delete', 'DELETE', 'REFERENCING OLD TABLE AS old_row ', 8),
                ('teloo_analytics_truncate', 'TRUNCATE', '', 32)
            ) AS event (trigger_name, operation, referencing, event_bit)
        )

        SELECT
            needed.relation,
            needed.relation_kind,
            needed.view_name,
            needed.place,
            needed.trigger_name,
            format(
                'CREATE OR REPLACE TRIGGER %I AFTER %s ON %s %sFOR EACH STATEMENT '
                'EXECUTE FUNCTION kpi_engine.%I(%s)',
                needed.trigger_name, needed.operation, needed.relation::regclass,
                needed.referencing, needed.function_name,
                CASE WHEN needed.operation <> 'TRUNCATE' THEN quote_literal(needed.entity) END
            ),
            pg_proc.oid IS NOT NULL,
            coalesce(
                pg_trigger.tgenabled = 'A'
                AND pg_trigger.tgtype = needed.event_bit
                AND pg_proc.proname = needed.function_name
                AND pg_trigger.tgargs = CASE needed.operation
                    WHEN 'TRUNCATE' THEN ''::bytea
                    ELSE convert_to(needed.entity, 'UTF8') || '\x00'::bytea
                END,
                false
            ),
            pg_trigger.xmin::text
        FROM needed
        LEFT JOIN pg_trigger
            ON pg_trigger.tgrelid = needed.relation AND pg_trigger.tgname = needed.trigger_name
        LEFT JOIN pg_proc
            ON
                pg_proc.oid = pg_trigger.tgfoid
                AND pg_proc.pronamespace = 'kpi_engine'::regnamespace
        UNION ALL
        SELECT
            pg_trigger.tgrelid, NULL, NULL, NULL, pg_trigger.tgname::text, NULL, true, false,
            pg_trigger.xmin::text
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
'creates it (NULL where it is not needed), whether it is there, and whether it works.';

REVOKE ALL ON FUNCTION kpi_engine.capture_triggers(boolean) FROM public;
