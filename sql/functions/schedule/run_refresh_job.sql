-- Runs one claimed refresh and notes how it ended.
--
-- Invariant: the job ends as SUCCESS only when every view was refreshed.
-- SECURITY DEFINER: refreshing needs the owner of the views.

CREATE OR REPLACE FUNCTION kpi_engine.run_refresh_job(p_job_id bigint, p_is_rebuilt boolean)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
AS $run_refresh_job$
    UPDATE kpi_engine.refresh_jobs SET
        state = run.refresh_status,
        run_id = run.run_id,
        error = run.error_message,
        finished_at = clock_timestamp()
    FROM kpi_engine.refresh_jobs AS job
    CROSS JOIN LATERAL kpi_engine.run_refresh(
        job.triggered_by, job.requested_by, job.force AND NOT p_is_rebuilt
    ) AS run
    WHERE
        job.job_id = p_job_id
        AND job.state = 'RUNNING'
        AND refresh_jobs.job_id = job.job_id
        AND run.view_name IS NULL;
$run_refresh_job$;

COMMENT ON FUNCTION kpi_engine.run_refresh_job(bigint, boolean) IS
'Runs the refresh of a job in state RUNNING and stores its outcome; p_is_rebuilt: '
'everything was just computed again, so that a forced one need not. Internal to '
'analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.run_refresh_job(bigint, boolean) FROM public;
