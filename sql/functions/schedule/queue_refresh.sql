-- Queues a refresh on request.
--
-- Invariant: while one waits, another request finds it. There is at most one of each kind (index
-- refresh_jobs_one_request), however many sessions ask at the same time.

CREATE OR REPLACE FUNCTION kpi_engine.queue_refresh(p_force boolean, p_requested_by text)
RETURNS kpi_engine.refresh_jobs
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $queue_refresh$
DECLARE
    v_job kpi_engine.refresh_jobs;
BEGIN
    -- work() may have taken the waiting one between the two statements.
    FOR v_try IN 1..10 LOOP
        INSERT INTO kpi_engine.refresh_jobs (triggered_by, requested_by, force)
        VALUES ('request', p_requested_by, p_force)
        ON CONFLICT (force) WHERE state = 'QUEUED' AND triggered_by = 'request' AND attempts = 0
        DO NOTHING
        RETURNING refresh_jobs.* INTO v_job;
        EXIT WHEN FOUND;
        SELECT refresh_jobs.* INTO v_job
        FROM kpi_engine.refresh_jobs
        WHERE
            refresh_jobs.state = 'QUEUED'
            AND refresh_jobs.triggered_by = 'request'
            AND refresh_jobs.attempts = 0
            AND refresh_jobs.force = p_force;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN v_job;
END;
$queue_refresh$;

COMMENT ON FUNCTION kpi_engine.queue_refresh(boolean, text) IS
'Queues a refresh for analytics.work(), or finds the one of its kind that waits already; '
'returns the job. Internal to the HTTP API.';

REVOKE ALL ON FUNCTION kpi_engine.queue_refresh(boolean, text) FROM public;
