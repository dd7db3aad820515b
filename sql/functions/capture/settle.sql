-- Brings source binding and change capture in order, or raises.
--
-- Invariant: when this returns, the src_ views read what the contract names. Changes by new or
-- removed partitions wait in the change log. kpi_engine.rebuild_reason() says whether a trigger may
-- have missed something. This looks closely only if the catalog shows a change.

CREATE OR REPLACE FUNCTION kpi_engine.settle()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $settle$
DECLARE
    v_relations oid[];
    v_fingerprint text;
    v_is_clean boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM kpi_engine.engine_state) THEN
        PERFORM kpi_engine.raise_incomplete_restore();
    END IF;
    PERFORM kpi_engine.note_unnoted_changes();
    IF NOT kpi_engine.is_settled() THEN
        PERFORM kpi_engine.recognize_database();
        PERFORM kpi_engine.settle_source();
        PERFORM kpi_engine.note_collation();
        v_is_clean := kpi_engine.empty_refilled_views();
        -- This comes before the check: a change during the check shows the next time.
        v_relations := ARRAY(
            SELECT captured_tables.relation FROM kpi_engine.captured_tables()
            UNION
            SELECT pg_class.oid
            FROM kpi_engine.source_names()
            INNER JOIN pg_class
                ON
                    pg_class.relnamespace = 'kpi_engine'::regnamespace
                    AND pg_class.relname IN (source_names.view_name, source_names.union_name)
            UNION
            SELECT pg_class.oid
            FROM pg_class
            WHERE
                pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND pg_class.relname IN ('change_log', 'lost_changes')
        );
        v_fingerprint := kpi_engine.catalog_fingerprint(v_relations);
        IF kpi_engine.settle_capture()
            AND v_is_clean
            AND NOT EXISTS (SELECT FROM analytics.source_problems())
            AND NOT EXISTS (
                SELECT FROM kpi_engine.capture_by_table() AS captured WHERE NOT captured.is_working
            ) THEN
            UPDATE kpi_engine.engine_state SET
                watched_relations = v_relations,
                catalog_fingerprint = v_fingerprint;
        ELSE
            UPDATE kpi_engine.engine_state SET catalog_fingerprint = NULL
            WHERE engine_state.catalog_fingerprint IS NOT NULL;
        END IF;
        RETURN false;
    END IF;
    PERFORM kpi_engine.recognize_database();
    RETURN true;
END;
$settle$;

COMMENT ON FUNCTION kpi_engine.settle() IS
'Checks the source binding and notes what partitions that came or went have changed; costs next to '
'nothing where nothing was done to the operational tables: then it returns true. Errors: 55000 '
'where the operational tables moved or can''t be read. Internal to the refresh and the tick.';

REVOKE ALL ON FUNCTION kpi_engine.settle() FROM public;
