-- GET /materialized-views/scheduler/status: the daily slot, pending triggers, the last 20 jobs.
--
-- Invariant: it writes nothing, so that PostgREST answers it on a standby, by POST too.

CREATE OR REPLACE FUNCTION api.scheduler_status()
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $scheduler_status$
DECLARE
    v_time_zone text;
    v_schedule text;
    v_next_run text;
    v_target_lag text;
    v_is_running boolean;
BEGIN
    -- EXCEPTION does not catch errors of queries in DECLARE.
    v_time_zone := analytics.setting('schedule_time_zone');
    v_schedule := analytics.setting('schedule_time');
    v_next_run := kpi_engine.iso_instant(analytics.next_scheduled_refresh());
    v_target_lag := analytics.setting('target_lag');
    v_is_running := kpi_engine.scheduler_is_running();
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN json_build_object(
        'is_running', v_is_running,
        'scheduler_state', CASE WHEN v_is_running THEN 'running' ELSE 'stopped' END,
        'backend', (
            SELECT CASE WHEN installation.cron_role IS NULL THEN 'external' ELSE 'pg_cron' END
            FROM kpi_engine.installation
        ),
        'schedule', v_schedule,
        'timezone', v_time_zone,
        'next_run_time', v_next_run,
        'jobs', json_build_array(json_build_object(
            'id', 'daily_refresh',
            'name', 'Daily refresh of the materialized views',
            'trigger', format('every day at %s %s', v_schedule, v_time_zone),
            'next_run_time', v_next_run
        )),
        'last_refresh_result', (
            SELECT json_build_object(
                'run_id', last_run.run_id,
                'triggered_by', last_run.triggered_by,
                'requested_by', last_run.requested_by,
                'mode', last_run.mode,
                'refresh_status', last_run.refresh_status,
                'started_at', kpi_engine.iso_instant(last_run.started_at),
                'finished_at', kpi_engine.iso_instant(last_run.finished_at),
                'refresh_time_ms', last_run.refresh_time_ms,
                'error_message', kpi_engine.public_error(
                    last_run.error_message, last_run.error_sqlstate)
            )
            FROM (
                SELECT refresh_log.*
                FROM kpi_engine.refresh_log
                WHERE refresh_log.view_name IS NULL
                ORDER BY refresh_log.log_id DESC
                LIMIT 1
            ) AS last_run
        ),
        'pending_triggers', (
            SELECT count(*) FROM kpi_engine.refresh_jobs WHERE refresh_jobs.state = 'QUEUED'
        ),
        'recent_jobs', (
            SELECT coalesce(
                json_agg(
                    json_build_object(
                        'job_id', job.job_id,
                        'state', job.state,
                        'requested_by', job.requested_by,
                        'requested_at', kpi_engine.iso_instant(job.requested_at),
                        'started_at', kpi_engine.iso_instant(job.started_at),
                        'finished_at', kpi_engine.iso_instant(job.finished_at),
                        'error', kpi_engine.public_error(job.error, job.error_sqlstate)
                    )
                    ORDER BY job.job_id DESC
                ),
                '[]'
            )
            FROM (
                SELECT refresh_jobs.*, run.error_sqlstate
                FROM kpi_engine.refresh_jobs
                LEFT JOIN kpi_engine.refresh_log AS run
                    ON run.run_id = refresh_jobs.run_id AND run.view_name IS NULL
                ORDER BY refresh_jobs.job_id DESC
                LIMIT 20
            ) AS job
        ),
        'checked_at', kpi_engine.iso_instant(analytics.now()),
        'target_lag', v_target_lag
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('scheduler_status', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$scheduler_status$;

COMMENT ON FUNCTION api.scheduler_status() IS
'The daily slot and its zone, whether ticks come, the result of the last refresh, pending '
'triggers, the last 20 background jobs, and the setting target_lag.';

REVOKE ALL ON FUNCTION api.scheduler_status() FROM public;
GRANT EXECUTE ON FUNCTION api.scheduler_status() TO analytics_lector, analytics_operador;
