-- Takes the oldest queued refresh.
--
-- Invariant: the caller, analytics.work(), holds the refresh lock for its session. So no other
-- refresh is alive, and a job in state RUNNING lost its session.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.claim_refresh_job()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $claim_refresh_job$
DECLARE
    -- This comes first: a session with a forbidden clock must not use a job up.
    v_now constant timestamptz := analytics.now();
    v_job_id bigint;
BEGIN
    PERFORM kpi_engine.require_refresh_lock();
    PERFORM kpi_engine.close_orphaned_jobs(false);
    -- A job is not retried if another refresh has succeeded since.
    UPDATE kpi_engine.refresh_jobs SET state = 'ERROR', run_after = NULL
    WHERE
        refresh_jobs.state = 'QUEUED'
        AND refresh_jobs.triggered_by = 'schedule'
        AND refresh_jobs.finished_at < kpi_engine.last_success_at();

    UPDATE kpi_engine.refresh_jobs SET
        state = 'RUNNING',
        attempts = attempts + 1,
        pid = pg_backend_pid(),
        first_started_at = coalesce(first_started_at, clock_timestamp()),
        started_at = clock_timestamp(),
        finished_at = NULL,
        run_after = NULL,
        run_id = NULL,
        error = NULL
    WHERE refresh_jobs.job_id = (
        SELECT queued.job_id
        FROM kpi_engine.refresh_jobs AS queued
        WHERE
            queued.state = 'QUEUED'
            AND (queued.run_after IS NULL OR queued.run_after <= v_now)
        ORDER BY queued.job_id
        LIMIT 1
    )
    RETURNING refresh_jobs.job_id INTO v_job_id;
    RETURN v_job_id;
END;
$claim_refresh_job$;

COMMENT ON FUNCTION kpi_engine.claim_refresh_job() IS
'Marks the oldest queued refresh as RUNNING and returns its number, or NULL; queues again '
'what a dead session left. Internal to analytics.work(), which holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.claim_refresh_job() FROM public;
