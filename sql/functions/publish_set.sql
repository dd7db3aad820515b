-- Lets everybody read the set that a rebuild filled: by the views, or else row by row.
--
-- Invariant: ends well however long somebody reads the derived tables: a dump holds its locks
-- on the views to its end, and so does a session that is idle in its transaction. Readers wait
-- 50 ms at a time, for p_patience at the most; after that the rows that differ are written into
-- the set that the views show.

CREATE OR REPLACE FUNCTION analytics.publish_set(
    p_suffix text, p_patience interval DEFAULT '5 seconds'
)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $publish_set$
DECLARE
    v_deadline constant timestamptz := clock_timestamp() + p_patience;
    v_message text;
BEGIN
    LOOP
        BEGIN
            PERFORM analytics.activate_set(p_suffix);
            RETURN ARRAY(SELECT derived_tables.table_name FROM analytics.derived_tables);
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            v_message := SQLERRM;
        END;
        EXIT WHEN clock_timestamp() > v_deadline;
        PERFORM pg_sleep(0.2);
    END LOOP;
    RAISE LOG 'teloo-analytics: the derived tables are being read all the time (%): the rebuilt '
        'rows that differ are written into the set that is read', v_message;
    PERFORM set_config('lock_timeout', '1min', true);
    RETURN analytics.merge_set(p_suffix);
END;
$publish_set$;

COMMENT ON FUNCTION analytics.publish_set(text, interval) IS
'Makes a complete set (suffix _a or _b) the one that everybody reads, or, where somebody reads the '
'views for longer than p_patience, writes its rows into the one that is read; returns the names of '
'the derived tables that may have changed. Internal to the rebuild.';

REVOKE ALL ON FUNCTION analytics.publish_set(text, interval) FROM public;
