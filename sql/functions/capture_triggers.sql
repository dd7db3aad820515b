-- The triggers of change capture: which there have to be and which there are.
--
-- Invariant: one row per trigger that is needed or there. is_working is true exactly where
-- the trigger is there as it is needed and fires for every writer; what is there and not
-- needed has no definition.

CREATE OR REPLACE FUNCTION analytics.capture_triggers()
RETURNS TABLE (
    relation oid,
    relation_kind char,
    trigger_name text,
    definition text,
    is_present boolean,
    is_working boolean,
    row_version text
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_triggers$
    WITH needed AS (
        SELECT
            captured_tables.relation,
            captured_tables.relation_kind,
            event.trigger_name,
            CASE event.operation
                WHEN 'TRUNCATE' THEN 'note_truncate'
                ELSE captured_tables.function_name
            END AS function_name,
            captured_tables.entity,
            event.operation,
            event.referencing,
            event.event_bit
        FROM analytics.captured_tables()
        CROSS JOIN (VALUES
            ('teloo_analytics_insert', 'INSERT', 'REFERENCING NEW TABLE AS new_row ', 4),
            (
                'teloo_analytics_update', 'UPDATE',
                'REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row ', 16
            ),
            ('teloo_analytics_delete', 'DELETE', 'REFERENCING OLD TABLE AS old_row ', 8),
            ('teloo_analytics_truncate', 'TRUNCATE', '', 32)
        ) AS event (trigger_name, operation, referencing, event_bit)
    ),

    present AS (
        SELECT
            pg_trigger.tgrelid,
            pg_trigger.tgname,
            pg_trigger.tgenabled,
            pg_trigger.tgtype,
            pg_trigger.tgargs,
            pg_trigger.xmin::text AS row_version,
            pg_proc.proname
        FROM pg_trigger
        INNER JOIN pg_proc ON pg_proc.oid = pg_trigger.tgfoid
        WHERE
            pg_proc.pronamespace = 'analytics'::regnamespace
            AND pg_trigger.tgname IN (
                'teloo_analytics_insert', 'teloo_analytics_update', 'teloo_analytics_delete',
                'teloo_analytics_truncate'
            )
    )

    SELECT
        coalesce(needed.relation, present.tgrelid),
        needed.relation_kind,
        coalesce(needed.trigger_name, present.tgname::text),
        CASE WHEN needed.relation IS NOT NULL THEN format(
            'CREATE OR REPLACE TRIGGER %I AFTER %s ON %s %sFOR EACH STATEMENT '
            'EXECUTE FUNCTION analytics.%I(%s)',
            needed.trigger_name, needed.operation, needed.relation::regclass, needed.referencing,
            needed.function_name,
            CASE WHEN needed.operation <> 'TRUNCATE' THEN quote_literal(needed.entity) END
        ) END,
        present.tgrelid IS NOT NULL,
        coalesce(
            present.tgenabled = 'A'
            AND present.tgtype = needed.event_bit
            AND present.proname = needed.function_name
            AND present.tgargs = CASE needed.operation
                WHEN 'TRUNCATE' THEN ''::bytea
                ELSE convert_to(needed.entity, 'UTF8') || '\x00'::bytea
            END,
            false
        ),
        present.row_version
    FROM needed
    FULL JOIN present
        ON present.tgrelid = needed.relation AND present.tgname = needed.trigger_name;
$capture_triggers$;

COMMENT ON FUNCTION analytics.capture_triggers() IS
'Triggers of change capture that are needed or there: the statement that creates it (NULL where '
'it is not needed), whether it is there, and whether it works.';

REVOKE ALL ON FUNCTION analytics.capture_triggers() FROM public;
