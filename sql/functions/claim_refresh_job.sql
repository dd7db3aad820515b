-- Takes the oldest queued refresh.
--
-- Invariant: the caller, analytics.work(), holds the refresh lock for its session, so
-- no other refresh is alive: a job that is still RUNNING lost its session, and is done
-- again, three times at the most.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION analytics.claim_refresh_job()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $claim_refresh_job$
DECLARE
    v_job_id bigint;
    v_orphan record;
BEGIN
    PERFORM analytics.require_refresh_lock();

    FOR v_orphan IN
        UPDATE analytics.refresh_jobs SET
            state = CASE WHEN attempts < 3 THEN 'QUEUED' ELSE 'ERROR' END,
            finished_at = clock_timestamp(),
            error = 'its session ended before it was done'
        WHERE refresh_jobs.state = 'RUNNING'
        RETURNING refresh_jobs.job_id, refresh_jobs.attempts, refresh_jobs.state
    LOOP
        RAISE WARNING 'teloo-analytics: the session of refresh job % ended before it was done '
            '(attempt %): now %', v_orphan.job_id, v_orphan.attempts, v_orphan.state;
    END LOOP;

    UPDATE analytics.refresh_jobs SET
        state = 'RUNNING',
        attempts = attempts + 1,
        started_at = clock_timestamp(),
        finished_at = NULL,
        error = NULL
    WHERE refresh_jobs.job_id = (
        SELECT queued.job_id
        FROM analytics.refresh_jobs AS queued
        WHERE queued.state = 'QUEUED'
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
