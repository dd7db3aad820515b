-- Removes what is too old of our jobs from pg_cron's history, which pg_cron never does.
--
-- Invariant: touches no other job's runs. SECURITY INVOKER: pg_cron lets each role see and
-- remove its own.

CREATE OR REPLACE FUNCTION analytics.trim_cron_history(p_days integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $trim_cron_history$
DECLARE
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
        AND has_table_privilege(pg_class.oid, 'SELECT, DELETE');
    IF FOUND THEN
        EXECUTE format(
            'DELETE FROM %s AS run
            USING cron.job
            WHERE
                job.jobid = run.jobid
                AND job.jobname LIKE ''teloo-analytics %%''
                AND run.end_time < clock_timestamp() - make_interval(days => $1)',
            v_history::regclass
        ) USING p_days;
        GET DIAGNOSTICS v_removed = ROW_COUNT;
    END IF;
    RETURN v_removed;
END;
$trim_cron_history$;

COMMENT ON FUNCTION analytics.trim_cron_history(integer) IS
'Removes the runs of our pg_cron jobs that ended more than so many days ago; returns how many. '
'Internal to analytics.tick().';

REVOKE ALL ON FUNCTION analytics.trim_cron_history(integer) FROM public;
GRANT EXECUTE ON FUNCTION analytics.trim_cron_history(integer) TO analytics_scheduler;
