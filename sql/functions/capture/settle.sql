-- Brings source binding and change capture in order, or raises.
--
-- Invariant: when this returns, the src_ views read what the contract names, and what partitions
-- that came or went have changed waits in the change log. Whether a trigger may have missed
-- something is for analytics.rebuild_reason() to say. Looks closely only where the catalog shows a
-- change.

CREATE OR REPLACE FUNCTION analytics.settle()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $settle$
DECLARE
    v_relations oid[];
    v_fingerprint text;
BEGIN
    IF NOT EXISTS (SELECT FROM analytics.engine_state) THEN
        PERFORM analytics.raise_incomplete_restore();
    END IF;
    IF NOT analytics.is_settled() THEN
        PERFORM analytics.settle_source();
        PERFORM analytics.recognize_database();
        -- Before it is looked at: what is done meanwhile shows the next time.
        v_relations := ARRAY(
            SELECT captured_tables.relation FROM analytics.captured_tables()
            UNION
            SELECT pg_class.oid
            FROM analytics.source_contract()
            INNER JOIN pg_class
                ON
                    pg_class.relnamespace = 'analytics'::regnamespace
                    AND pg_class.relname = source_contract.view_name
            UNION
            SELECT pg_class.oid
            FROM pg_class
            WHERE
                pg_class.relnamespace = 'analytics'::regnamespace
                AND pg_class.relname IN ('change_log', 'lost_changes')
        );
        v_fingerprint := analytics.catalog_fingerprint(v_relations);
        IF analytics.settle_capture()
            AND NOT EXISTS (SELECT FROM analytics.source_problems())
            AND NOT EXISTS (
                SELECT FROM analytics.capture_by_table() AS captured WHERE NOT captured.is_working
            ) THEN
            UPDATE analytics.engine_state SET
                watched_relations = v_relations,
                catalog_fingerprint = v_fingerprint;
        ELSE
            UPDATE analytics.engine_state SET catalog_fingerprint = NULL
            WHERE engine_state.catalog_fingerprint IS NOT NULL;
        END IF;
    ELSE
        PERFORM analytics.recognize_database();
    END IF;
END;
$settle$;

COMMENT ON FUNCTION analytics.settle() IS
'Checks the source binding and notes what partitions that came or went have changed; costs next to '
'nothing where nothing was done to the operational tables. Errors: 55000 where the operational '
'tables moved or can''t be read. Internal to the refresh and the tick.';

REVOKE ALL ON FUNCTION analytics.settle() FROM public;
