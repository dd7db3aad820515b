-- POST /materialized-views/scheduler/trigger-refresh: a refresh in the background.
--
-- Invariant: it answers 202 at once. While one refresh waits, another call finds the same job.

CREATE OR REPLACE FUNCTION api.scheduler_trigger_refresh()
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
AS $scheduler_trigger_refresh$
BEGIN
    RETURN kpi_engine.accepted(kpi_engine.queue_refresh(false, kpi_engine.requester()));
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('scheduler_trigger_refresh', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$scheduler_trigger_refresh$;

COMMENT ON FUNCTION api.scheduler_trigger_refresh() IS
'Queues a refresh. It answers at once with status 202 and a job_id, which scheduler_status() '
'shows. While one waits, another call gives the same job.';

REVOKE ALL ON FUNCTION api.scheduler_trigger_refresh() FROM public;
GRANT EXECUTE ON FUNCTION api.scheduler_trigger_refresh() TO analytics_operador;
