-- Closes jobs whose session is gone, and queues them again.
--
-- Invariant: a job is alive if and only if its session holds the refresh lock. analytics.work()
-- takes the lock before it claims a job, and releases it after the end of the job is committed. A
-- closed job is queued again as often as a failed one, but at least once. Its end is in the log.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.close_orphaned_jobs(p_holder_lives boolean DEFAULT true)
RETURNS integer
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
AS $close_orphaned_jobs$
DECLARE
    v_orphan kpi_engine.refresh_jobs;
    v_closed integer := 0;
BEGIN
    -- This is nearly always so, and saves a look at all locks.
    IF NOT EXISTS (SELECT FROM kpi_engine.refresh_jobs WHERE refresh_jobs.state = 'RUNNING') THEN
        RETURN 0;
    END IF;
    FOR v_orphan IN
        UPDATE kpi_engine.refresh_jobs SET
            state = CASE
                -- At least once: a server that dies is not the fault of the refresh.
                WHEN attempts <= greatest(1, analytics.setting('refresh_retries')::integer)
                    THEN 'QUEUED'
                ELSE 'ERROR'
            END,
            finished_at = clock_timestamp(),
            run_id = nextval('kpi_engine.refresh_run_id_seq'),
            error = 'its session ended before it was done'
        WHERE
            refresh_jobs.state = 'RUNNING'
            -- The lock is looked at after the job was seen. After a restart of the server another
            -- session may have the number.
            AND (
                p_holder_lives
                AND refresh_jobs.pid = (SELECT running.pid FROM analytics.running_refresh() AS running)
                AND (
                    refresh_jobs.started_at >= pg_postmaster_start_time()
                    -- The server started while its clock was ahead.
                    OR pg_postmaster_start_time() > clock_timestamp()
                )
            ) IS NOT TRUE
        RETURNING refresh_jobs.*
    LOOP
        v_closed := v_closed + 1;
        PERFORM kpi_engine.log_broken_job(v_orphan, 'crashed: ' || v_orphan.error, '57P02');
        RAISE WARNING 'teloo-analytics: the session of refresh job % ended before it was done '
            '(attempt %): now %', v_orphan.job_id, v_orphan.attempts, v_orphan.state;
    END LOOP;
    RETURN v_closed;
END;
$close_orphaned_jobs$;

COMMENT ON FUNCTION kpi_engine.close_orphaned_jobs(boolean) IS
'Closes the jobs in state RUNNING whose session does not hold the refresh lock, or, not '
'p_holder_lives, all of them, because the caller holds it: queued again, or ERROR after the last '
'attempt. Returns how many. Internal to analytics.tick() and analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.close_orphaned_jobs(boolean) FROM public;
