-- Does one step of analytics.work(), with the rights of the owner.
--
-- Invariant: except for the steps of a rebuild, the scheduler's role may call only this function of
-- work(). It touches only the job that this session has claimed, and nothing at all without the
-- refresh lock.
-- SECURITY DEFINER: the scheduler's role reads and writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.work_step(
    p_step text,
    p_job_id bigint DEFAULT NULL,
    p_is_rebuilt boolean DEFAULT false,
    p_message text DEFAULT NULL,
    p_sqlstate text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $work_step$
BEGIN
    CASE p_step
        WHEN 'wait' THEN RETURN kpi_engine.wait_for_tick()::integer;
        WHEN 'refuse' THEN
            PERFORM kpi_engine.raise_refresh_running(true);
            RETURN NULL;
        WHEN 'claim' THEN RETURN kpi_engine.claim_refresh_job();
        ELSE NULL;
    END CASE;
    IF p_step IS NULL OR p_step NOT IN ('plan', 'run', 'fail') THEN
        RAISE EXCEPTION 'work has no step %', quote_nullable(p_step)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'CALL analytics.work();';
    END IF;
    PERFORM kpi_engine.require_refresh_lock();
    IF NOT EXISTS (
        SELECT FROM kpi_engine.refresh_jobs
        WHERE
            refresh_jobs.job_id = p_job_id
            AND refresh_jobs.state = 'RUNNING'
            AND refresh_jobs.pid = pg_backend_pid()
    ) THEN
        RETURN NULL;
    END IF;
    CASE p_step
        WHEN 'plan' THEN RETURN kpi_engine.needs_rebuild_steps(p_job_id)::integer;
        WHEN 'run' THEN PERFORM kpi_engine.run_refresh_job(p_job_id, p_is_rebuilt);
        WHEN 'fail' THEN PERFORM kpi_engine.fail_refresh_job(p_job_id, p_message, p_sqlstate);
    END CASE;
    RETURN NULL;
END;
$work_step$;

COMMENT ON FUNCTION kpi_engine.work_step(text, bigint, boolean, text, text) IS
'Does one step of analytics.work(): wait, refuse, claim (returns the job), plan (1: in steps), '
'run, fail; the last three for a job that this session has claimed, else they do nothing. Errors: '
'22023 for no such step, 55000 without the refresh lock. Internal to analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.work_step(text, bigint, boolean, text, text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.work_step(text, bigint, boolean, text, text)
TO analytics_scheduler;
