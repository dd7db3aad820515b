-- Writes one line of the refresh log, and notifies listeners when a refresh has ended.
--
-- Invariant: the returned line is the stored one, with its number and duration. The notification
-- goes out when the line is visible, and never if it is rolled back.

CREATE OR REPLACE FUNCTION kpi_engine.log_refresh(p_line kpi_engine.refresh_log)
RETURNS kpi_engine.refresh_log
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $log_refresh$
DECLARE
    v_line kpi_engine.refresh_log;
BEGIN
    INSERT INTO kpi_engine.refresh_log (
        run_id, view_name, triggered_by, requested_by, mode, started_at, finished_at,
        refresh_status, refresh_time_ms, rows_affected, error_message, error_sqlstate, reason,
        requests_recomputed, data_version
    )
    VALUES (
        p_line.run_id, p_line.view_name, p_line.triggered_by, p_line.requested_by, p_line.mode,
        p_line.started_at, p_line.finished_at, p_line.refresh_status,
        round(1000 * extract(EPOCH FROM p_line.finished_at - p_line.started_at), 3),
        p_line.rows_affected, p_line.error_message, p_line.error_sqlstate, p_line.reason,
        p_line.requests_recomputed, p_line.data_version
    )
    RETURNING * INTO v_line;
    IF v_line.view_name IS NULL THEN
        PERFORM pg_notify('teloo_analytics_refresh', json_build_object(
            'run_id', v_line.run_id,
            'status', v_line.refresh_status,
            'mode', v_line.mode,
            'data_version', v_line.data_version,
            'finished_at', v_line.finished_at
        )::text);
    END IF;
    RETURN v_line;
END;
$log_refresh$;

COMMENT ON FUNCTION kpi_engine.log_refresh(kpi_engine.refresh_log) IS
'Stores one line of analytics.refresh_log, numbered and with its duration in milliseconds. '
'The line of a run is also sent on channel teloo_analytics_refresh when it is committed, as '
'JSON {run_id, status, mode, data_version, finished_at}. Internal to kpi_engine.run_refresh() '
'and log_broken_job().';

REVOKE ALL ON FUNCTION kpi_engine.log_refresh(kpi_engine.refresh_log) FROM public;
