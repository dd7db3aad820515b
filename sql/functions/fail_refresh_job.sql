-- Notes that a claimed refresh could not be run at all.
--
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION analytics.fail_refresh_job(p_job_id bigint, p_error text)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $fail_refresh_job$
    UPDATE analytics.refresh_jobs SET
        state = 'ERROR',
        error = p_error,
        finished_at = clock_timestamp()
    WHERE refresh_jobs.job_id = p_job_id AND refresh_jobs.state = 'RUNNING';
$fail_refresh_job$;

COMMENT ON FUNCTION analytics.fail_refresh_job(bigint, text) IS
'Ends a job in state RUNNING as ERROR, with what failed. Internal to analytics.work().';

REVOKE ALL ON FUNCTION analytics.fail_refresh_job(bigint, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.fail_refresh_job(bigint, text) TO analytics_scheduler;
