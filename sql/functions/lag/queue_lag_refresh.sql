-- Each minute: notes when no change is pending, and queues a refresh if changes would otherwise
-- wait for longer than the setting target_lag.
--
-- Invariant: it queues nothing while a job is queued or running, or a session holds the refresh
-- lock. So there is never more than one of these jobs, and the daily refresh never waits behind
-- several. The next tick comes a minute later, and a refresh takes as long as the last one: what
-- would be too late then is queued now.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.queue_lag_refresh()
RETURNS void
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
AS $queue_lag_refresh$
DECLARE
    v_now constant timestamptz := analytics.now();
    v_target constant interval := kpi_engine.target_lag();
    v_wait record;
    v_duration interval;
    v_job_id bigint;
BEGIN
    SELECT * INTO v_wait FROM kpi_engine.change_wait();
    IF NOT v_wait.is_waiting THEN
        UPDATE kpi_engine.scheduler_state SET no_changes_at = v_now;
        RETURN;
    ELSIF v_target IS NULL THEN
        RETURN;
    END IF;
    SELECT refresh_log.refresh_time_ms * interval '1 millisecond' INTO v_duration
    FROM kpi_engine.refresh_log
    WHERE
        refresh_log.view_name IS NULL
        AND (
            refresh_log.refresh_status = 'SUCCESS'
            OR NOT kpi_engine.refresh_failed(refresh_log.log_id)
        )
    ORDER BY refresh_log.log_id DESC
    LIMIT 1;
    IF (
        v_wait.waited + interval '1 minute' + coalesce(v_duration, interval '0') >= v_target
    ) IS NOT TRUE THEN
        RETURN;
    END IF;
    -- One session at a time decides, as for the daily slot.
    PERFORM FROM kpi_engine.scheduler_state FOR UPDATE;
    IF EXISTS (
        SELECT FROM kpi_engine.refresh_jobs WHERE refresh_jobs.state IN ('QUEUED', 'RUNNING')
    )
        OR EXISTS (SELECT FROM analytics.lock_holders())
        OR v_now < kpi_engine.lag_pause_end() THEN
        RETURN;
    END IF;
    INSERT INTO kpi_engine.refresh_jobs (triggered_by) VALUES ('lag')
    RETURNING refresh_jobs.job_id INTO v_job_id;
    RAISE LOG 'teloo-analytics: refresh job % is queued: changes have waited for up to % s (setting '
        'target_lag: %)',
        v_job_id, round(extract(EPOCH FROM v_wait.waited)), analytics.setting('target_lag');
END;
$queue_lag_refresh$;

COMMENT ON FUNCTION kpi_engine.queue_lag_refresh() IS
'Queues a refresh when changes have waited for as long as the setting target_lag allows. Notes in '
'analytics.scheduler_state when no change is pending. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.queue_lag_refresh() FROM public;
