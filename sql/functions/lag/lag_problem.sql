-- Says why changes wait for longer than the setting target_lag promises.
--
-- Invariant: NULL if the setting is off, or if no change has waited for over twice its time. One
-- cause is named: the first of the list that holds.

CREATE OR REPLACE FUNCTION kpi_engine.lag_problem()
RETURNS text
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $lag_problem$
DECLARE
    v_target constant interval := kpi_engine.target_lag();
    v_setting constant text := analytics.setting('target_lag');
    v_wait record;
    v_run record;
    v_job record;
    v_pause_end timestamptz;
    v_cure text;
BEGIN
    IF v_target IS NULL THEN
        RETURN NULL;
    ELSIF analytics.setting('change_capture') = 'off' THEN
        RETURN format('the setting target_lag is %s, and change_capture is off: without it no tick '
            'knows that something changed. SELECT analytics.set_setting(''target_lag'', ''off''); '
            'or switch change_capture on', v_setting);
    END IF;
    SELECT * INTO v_wait FROM kpi_engine.change_wait();
    IF NOT v_wait.is_waiting OR (v_wait.waited > 2 * v_target) IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    v_pause_end := kpi_engine.lag_pause_end();
    SELECT
        refresh_log.log_id,
        refresh_log.mode,
        refresh_log.error_sqlstate,
        refresh_log.refresh_time_ms,
        refresh_log.reason
    INTO v_run
    FROM kpi_engine.refresh_log
    WHERE refresh_log.view_name IS NULL
    ORDER BY refresh_log.log_id DESC
    LIMIT 1;
    SELECT refresh_jobs.job_id, refresh_jobs.requested_at INTO v_job
    FROM kpi_engine.refresh_jobs
    WHERE
        refresh_jobs.state = 'QUEUED'
        AND (refresh_jobs.run_after IS NULL OR refresh_jobs.run_after <= analytics.now())
    ORDER BY refresh_jobs.job_id
    LIMIT 1;
    v_cure := format(
        'if refreshes take longer than the target, raise it: SELECT '
        'analytics.set_setting(''target_lag'', ''%s minutes'');',
        least(1440, 2 * extract(EPOCH FROM v_target)::integer / 60));
    RETURN format(
        'changes have waited for up to %s minute(s), and the setting target_lag is %s: %s',
        ceil(extract(EPOCH FROM v_wait.waited) / 60), v_setting, CASE
            WHEN NOT kpi_engine.scheduler_is_running()
                THEN 'no tick comes that would queue a refresh; see the problem scheduler_down'
            WHEN EXISTS (SELECT FROM analytics.lock_holders())
                THEN 'a session holds the refresh lock: if it is no refresh, see the problem '
                    'lock_blocked; ' || v_cure
            WHEN v_run.error_sqlstate = 'TA001'
                THEN format('the breaker holds all changes back until somebody accepts them (problem '
                    'gate); the next refresh begins after %s',
                    kpi_engine.iso_instant(greatest(v_pause_end, analytics.now())))
            WHEN kpi_engine.refresh_failed(v_run.log_id)
                THEN format('the last refresh failed (problem refresh_failed); the next one begins '
                    'after %s', kpi_engine.iso_instant(greatest(v_pause_end, analytics.now())))
            WHEN v_job.job_id IS NOT NULL
                THEN format('refresh job %s waits since %s, and nothing takes it: does '
                    'analytics.work() run each minute? ', v_job.job_id,
                    kpi_engine.iso_instant(v_job.requested_at)) || v_cure
            WHEN v_run.mode = 'full' AND v_pause_end > analytics.now()
                THEN format('the last refresh computed everything again (%s) and took %s s; the next '
                    'one begins after %s', v_run.reason, round(v_run.refresh_time_ms / 1000, 1),
                    kpi_engine.iso_instant(v_pause_end))
            ELSE format('the last refresh took %s s; ', round(v_run.refresh_time_ms / 1000, 1))
                || v_cure
        END);
END;
$lag_problem$;

COMMENT ON FUNCTION kpi_engine.lag_problem() IS
'Text of the problem lagging: for how long changes have waited, why, and what to do; NULL: there '
'is none. Internal to analytics.health_problems().';

REVOKE ALL ON FUNCTION kpi_engine.lag_problem() FROM public;
