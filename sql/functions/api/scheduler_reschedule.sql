-- PUT /materialized-views/scheduler/reschedule: moves the daily refresh.

CREATE OR REPLACE FUNCTION api.scheduler_reschedule(
    hour text DEFAULT NULL, minute text DEFAULT NULL
)
RETURNS json
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
AS $scheduler_reschedule$
DECLARE
    v_schedule constant text := format(
        '%s:%s',
        lpad(kpi_engine.integer_parameter('hour', hour, 0, 23, NULL)::text, 2, '0'),
        lpad(kpi_engine.integer_parameter('minute', minute, 0, 59, 0)::text, 2, '0')
    );
    v_next_run timestamptz;
BEGIN
    v_next_run := analytics.set_schedule(v_schedule);
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN json_build_object(
        'success', true,
        'message', format('the daily refresh is at %s from now on', v_schedule),
        'new_schedule', v_schedule,
        'timezone', analytics.setting('schedule_time_zone'),
        'next_run_time', kpi_engine.iso_instant(v_next_run),
        'rescheduled_at', kpi_engine.iso_instant(analytics.now())
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('scheduler_reschedule', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$scheduler_reschedule$;

COMMENT ON FUNCTION api.scheduler_reschedule(text, text) IS
'Moves the daily refresh to another local time: hour 0 to 23 (required), minute 0 to 59 (default '
'0). It takes effect at once.';

REVOKE ALL ON FUNCTION api.scheduler_reschedule(text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.scheduler_reschedule(text, text) TO analytics_operador;
