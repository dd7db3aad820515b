-- Takes the oldest queued refresh.
--
-- Invariant: the caller, analytics.work(), holds the refresh lock for its session, so
-- no other refresh is alive: a job that is still RUNNING lost its session, and is done
-- again, as often as a failed one. Its end is in the refresh log too.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION analytics.claim_refresh_job()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $claim_refresh_job$
DECLARE
    -- First: a session with a clock that is not allowed spends no job.
    v_now constant timestamptz := analytics.now();
    v_job_id bigint;
    v_orphan record;
    v_line analytics.refresh_log;
BEGIN
    PERFORM analytics.require_refresh_lock();

    FOR v_orphan IN
        UPDATE analytics.refresh_jobs SET
            state = CASE
                WHEN attempts <= analytics.setting('refresh_retries')::integer THEN 'QUEUED'
                ELSE 'ERROR'
            END,
            finished_at = clock_timestamp(),
            error = 'its session ended before it was done'
        WHERE refresh_jobs.state = 'RUNNING'
        RETURNING refresh_jobs.*
    LOOP
        v_line := NULL;
        v_line.run_id := nextval('analytics.refresh_run_id_seq');
        v_line.triggered_by := v_orphan.triggered_by;
        v_line.requested_by := v_orphan.requested_by;
        v_line.mode := 'none';
        v_line.started_at := v_orphan.started_at;
        v_line.finished_at := v_orphan.finished_at;
        v_line.refresh_status := 'ERROR';
        v_line.error_message := 'crashed: ' || v_orphan.error;
        v_line.error_sqlstate := '57P02';
        PERFORM analytics.log_refresh(v_line);
        RAISE WARNING 'teloo-analytics: the session of refresh job % ended before it was done '
            '(attempt %): now %', v_orphan.job_id, v_orphan.attempts, v_orphan.state;
    END LOOP;

    UPDATE analytics.refresh_jobs SET
        state = 'RUNNING',
        attempts = attempts + 1,
        started_at = clock_timestamp(),
        finished_at = NULL,
        run_after = NULL,
        error = NULL
    WHERE refresh_jobs.job_id = (
        SELECT queued.job_id
        FROM analytics.refresh_jobs AS queued
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

COMMENT ON FUNCTION analytics.claim_refresh_job() IS
'Marks the oldest queued refresh as RUNNING and returns its number, or NULL; queues again '
'what a dead session left. Internal to analytics.work(), which holds the refresh lock.';

REVOKE ALL ON FUNCTION analytics.claim_refresh_job() FROM public;
GRANT EXECUTE ON FUNCTION analytics.claim_refresh_job() TO analytics_scheduler;
