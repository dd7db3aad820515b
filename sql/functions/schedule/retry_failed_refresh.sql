-- Queues a failed scheduled refresh again, later each time.
--
-- Invariant: only the last scheduled refresh, only as often as the setting refresh_retries says,
-- and not if another refresh has succeeded since, or if it would fail the same again (TA003).
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.retry_failed_refresh()
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
AS $retry_failed_refresh$
DECLARE
    v_job_id bigint;
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    UPDATE kpi_engine.refresh_jobs SET
        state = 'QUEUED',
        run_after = refresh_jobs.finished_at + kpi_engine.refresh_retry_wait(refresh_jobs.attempts)
    WHERE
        refresh_jobs.slot_at = (
            SELECT max(latest.slot_at)
            FROM kpi_engine.refresh_jobs AS latest
            WHERE NOT latest.is_void
        )
        AND refresh_jobs.state = 'ERROR'
        AND refresh_jobs.attempts <= analytics.setting('refresh_retries')::integer
        AND NOT EXISTS (
            SELECT FROM kpi_engine.refresh_log
            WHERE
                refresh_log.run_id = refresh_jobs.run_id
                AND refresh_log.view_name IS NULL
                AND refresh_log.error_sqlstate = 'TA003'
        )
        AND (kpi_engine.last_success_at() > refresh_jobs.finished_at) IS NOT TRUE
    RETURNING refresh_jobs.job_id INTO v_job_id;
    RETURN v_job_id;
END;
$retry_failed_refresh$;

COMMENT ON FUNCTION kpi_engine.retry_failed_refresh() IS
'Queues the last scheduled refresh again when it failed, after a wait that doubles each time '
'(settings refresh_retries, refresh_retry_minutes); returns its job, or NULL. Internal to '
'analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.retry_failed_refresh() FROM public;
