-- Creates the triggers on outside tables that are watched by triggers, and drops those on tables
-- that no declaration watches any more, or all.
--
-- Invariant: it touches only tables that need it. It waits for a lock for 100 ms at most, so that
-- no writer waits behind it for longer.
-- SECURITY INVOKER: the owner of the tables calls it.

CREATE OR REPLACE FUNCTION analytics.watch_outside_sources(p_wanted boolean DEFAULT true)
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $watch_outside_sources$
DECLARE
    v_table record;
    v_changed integer := 0;
BEGIN
    FOR v_table IN
        SELECT DISTINCT
            kpi_engine.outside_relation(outside_sources.source_name)::regclass AS source,
            true AS is_wanted
        FROM kpi_engine.outside_sources
        WHERE p_wanted AND outside_sources.watch = 'triggers'
        UNION
        SELECT pg_class.oid::regclass, false
        FROM pg_trigger
        INNER JOIN pg_class ON pg_class.oid = pg_trigger.tgrelid
        WHERE
            pg_trigger.tgfoid = to_regprocedure('kpi_engine.note_outside_change()')
            AND (
                NOT p_wanted
                -- A table that was renamed gets its name back.
                OR NOT EXISTS (
                    SELECT FROM kpi_engine.outside_sources
                    WHERE
                        outside_sources.watch = 'triggers'
                        AND pg_class.oid IN (
                            outside_sources.source_relation,
                            kpi_engine.outside_relation(outside_sources.source_name)
                        )
                )
                -- Those of others are left: a failure would leave tables unwatched.
                AND pg_has_role(pg_class.relowner, 'USAGE')
            )
        ORDER BY source, is_wanted
    LOOP
        IF NOT v_table.is_wanted THEN
            EXECUTE format('DROP TRIGGER IF EXISTS teloo_outside_statement ON %s', v_table.source);
            EXECUTE format('DROP TRIGGER IF EXISTS teloo_outside_row ON %s', v_table.source);
        ELSIF v_table.source IS NULL OR (
            SELECT triggers.are_working FROM kpi_engine.outside_triggers(v_table.source) AS triggers
        ) THEN
            CONTINUE;
        ELSE
            EXECUTE format(
                'CREATE OR REPLACE TRIGGER teloo_outside_statement '
                'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION kpi_engine.note_outside_change()',
                v_table.source);
            EXECUTE format(
                'CREATE OR REPLACE TRIGGER teloo_outside_row AFTER INSERT OR UPDATE OR DELETE ON %s '
                'FOR EACH ROW EXECUTE FUNCTION kpi_engine.note_outside_change()', v_table.source);
            EXECUTE format(
                'ALTER TABLE %s ENABLE ALWAYS TRIGGER teloo_outside_statement, '
                'ENABLE REPLICA TRIGGER teloo_outside_row', v_table.source);
            EXECUTE format(
                'COMMENT ON TRIGGER teloo_outside_statement ON %s IS '
                '''Notes changes for teloo-analytics: see schema kpi_engine.''', v_table.source);
            EXECUTE format(
                'COMMENT ON TRIGGER teloo_outside_row ON %s IS '
                '''Notes changes for teloo-analytics: see schema kpi_engine.''', v_table.source);
        END IF;
        v_changed := v_changed + 1;
    END LOOP;
    RETURN v_changed;
END;
$watch_outside_sources$;

COMMENT ON FUNCTION analytics.watch_outside_sources(boolean) IS
'Creates the triggers on the outside tables that are watched by triggers, and drops those on the '
'caller''s tables that no view watches any more; with false drops all. Returns on how many tables. '
'Call it as the owner of the tables and member of analytics_owner, or as a superuser. Without them '
'a refresh reads the table anew each time. Errors: 55P03 when a table is busy (try again), 42501 '
'for a role that does not own it.';

REVOKE ALL ON FUNCTION analytics.watch_outside_sources(boolean) FROM public;
