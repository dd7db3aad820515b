-- Tells which triggers note the changes of an outside table, and whether none can be missed.
--
-- Invariant: signature changes whenever such a trigger is dropped, disabled, enabled or made again.
-- It changes when the server starts, if the table is unlogged: a crash empties it.
-- A row trigger is for the mode replica: the worker of a subscription fires no other kind.
-- A statement on a parent fires no trigger of a child, so a table that inherits has a gap.

CREATE OR REPLACE FUNCTION kpi_engine.outside_triggers(p_source oid)
RETURNS TABLE (are_working boolean, signature text)
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $outside_triggers$
    SELECT
        -- INSERT 4, DELETE 8, UPDATE 16, TRUNCATE 32; for each row 1.
        count(*) FILTER (
            WHERE pg_trigger.tgtype = 60 AND pg_trigger.tgenabled = 'A'
            OR pg_trigger.tgtype = 29 AND pg_trigger.tgenabled IN ('R', 'A')
        ) = 2
        AND NOT EXISTS (
            SELECT FROM pg_inherits
            WHERE pg_inherits.inhrelid = p_source OR pg_inherits.inhparent = p_source
        ),
        nullif(concat_ws(
            ' ',
            string_agg(
                format('%s/%s%s', pg_trigger.oid, pg_trigger.xmin, pg_trigger.ctid),
                ' ' ORDER BY pg_trigger.oid
            ),
            (
                SELECT 'unlogged ' || kpi_engine.unlogged_since()
                FROM pg_class
                WHERE pg_class.oid = p_source AND pg_class.relpersistence = 'u'
            )
        ), '')
    FROM pg_trigger
    WHERE
        pg_trigger.tgrelid = p_source
        AND pg_trigger.tgname IN ('teloo_outside_statement', 'teloo_outside_row')
        AND pg_trigger.tgqual IS NULL
        AND pg_trigger.tgfoid = to_regprocedure('kpi_engine.note_outside_change()');
$outside_triggers$;

COMMENT ON FUNCTION kpi_engine.outside_triggers(oid) IS
'Whether the triggers teloo_outside_… on a table note each change of it, and a text that changes '
'when they do, or when the server starts and the table is unlogged. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.outside_triggers(oid) FROM public;
