-- Removes old runs of our jobs from pg_cron's history. pg_cron never does that.
--
-- Invariant: it touches no run of another job or another database. The job need not exist any more.
-- A run that a crash closed has no end. A run that never began has no time, only its place among
-- the others.
-- SECURITY INVOKER: pg_cron lets each role see and remove its own.

CREATE OR REPLACE FUNCTION analytics.trim_cron_history(p_days integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $trim_cron_history$
DECLARE
    c_oldest constant timestamptz := clock_timestamp() - make_interval(days => p_days);
    v_history oid;
    v_removed bigint := 0;
BEGIN
    SELECT pg_class.oid INTO v_history
    FROM pg_class
    INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
    WHERE
        pg_namespace.nspname = 'cron'
        AND pg_class.relname = 'job_run_details'
        AND has_schema_privilege(pg_namespace.oid, 'USAGE')
        AND has_table_privilege(pg_class.oid, 'SELECT')
        AND has_table_privilege(pg_class.oid, 'DELETE');
    IF FOUND THEN
        EXECUTE format(
            'DELETE FROM %1$s AS run
            WHERE
                run.database = current_database()
                AND run.command IN (''CALL analytics.tick()'', ''CALL analytics.work()'')
                AND (
                    coalesce(run.end_time, run.start_time) < $1
                    OR coalesce(run.end_time, run.start_time) IS NULL
                    AND run.runid < (
                        SELECT max(old.runid) FROM %1$s AS old
                        WHERE coalesce(old.end_time, old.start_time) < $1
                    )
                )',
            v_history::regclass
        ) USING c_oldest;
        GET DIAGNOSTICS v_removed = ROW_COUNT;
    END IF;
    RETURN v_removed;
END;
$trim_cron_history$;

COMMENT ON FUNCTION analytics.trim_cron_history(integer) IS
'Removes the runs of the package''s pg_cron jobs that ended more than p_days days ago. Returns '
'how many. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION analytics.trim_cron_history(integer) FROM public;
GRANT EXECUTE ON FUNCTION analytics.trim_cron_history(integer) TO analytics_scheduler;
