-- Says until when no refresh is queued for the setting target_lag.
--
-- Invariant: a failed refresh is not tried again each minute, but after refresh_retry_minutes, then
-- after twice that time, as for the daily refresh. It is tried without end, at the last distance.
-- Nor does the engine compute everything again and again: after such a refresh it rests for nine
-- times as long as that took. An end in the future does not count: a clock was wrong. That the gate
-- holds a view back is no failure (kpi_engine.refresh_failed).

CREATE OR REPLACE FUNCTION kpi_engine.lag_pause_end()
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $lag_pause_end$
DECLARE
    v_retries constant integer := analytics.setting('refresh_retries')::integer;
    v_run record;
    v_failures bigint;
BEGIN
    SELECT
        refresh_log.log_id,
        refresh_log.finished_at,
        refresh_log.mode,
        refresh_log.refresh_time_ms
    INTO v_run
    FROM kpi_engine.refresh_log
    WHERE refresh_log.view_name IS NULL
    ORDER BY refresh_log.log_id DESC
    LIMIT 1;
    IF (v_run.finished_at <= analytics.now() + kpi_engine.clock_tolerance()) IS NOT TRUE THEN
        RETURN NULL;
    ELSIF kpi_engine.refresh_failed(v_run.log_id) THEN
        SELECT count(*) INTO v_failures
        FROM (
            SELECT bool_and(kpi_engine.refresh_failed(run.log_id)) OVER (
                ORDER BY run.log_id DESC
            ) AS is_failed
            FROM (
                SELECT refresh_log.log_id
                FROM kpi_engine.refresh_log
                WHERE refresh_log.view_name IS NULL
                ORDER BY refresh_log.log_id DESC
                LIMIT greatest(v_retries, 1)
            ) AS run
        ) AS last_ones
        WHERE last_ones.is_failed;
        RETURN v_run.finished_at + kpi_engine.refresh_retry_wait(v_failures);
    ELSIF v_run.mode = 'full' THEN
        RETURN v_run.finished_at + 9 * v_run.refresh_time_ms * interval '1 millisecond';
    END IF;
    RETURN NULL;
END;
$lag_pause_end$;

COMMENT ON FUNCTION kpi_engine.lag_pause_end() IS
'Until when no refresh is queued for the setting target_lag, after a refresh that failed or that '
'computed everything; NULL or past: now. Internal to kpi_engine.queue_lag_refresh() and '
'lag_problem().';

REVOKE ALL ON FUNCTION kpi_engine.lag_pause_end() FROM public;
