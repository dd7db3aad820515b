-- Refreshes all materialized views now, by what changed since the last time.
--
-- SECURITY DEFINER: only the owner of a materialized view may refresh it, and operators do not own
-- them.

CREATE OR REPLACE FUNCTION analytics.refresh_all_mv(force boolean DEFAULT false)
RETURNS TABLE (
    view_name text,
    refresh_status text,
    refresh_time_ms numeric,
    error_message text,
    rows_affected bigint,
    error_sqlstate text
)
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
AS $refresh_all_mv$
    SELECT
        result.view_name,
        result.refresh_status,
        result.refresh_time_ms,
        result.error_message,
        result.rows_affected,
        result.error_sqlstate
    FROM kpi_engine.run_refresh('manual', kpi_engine.requester(), force) AS result
    WHERE result.view_name IS NOT NULL;
$refresh_all_mv$;

COMMENT ON FUNCTION analytics.refresh_all_mv(boolean) IS
'Refreshes all materialized views of schema analytics in dependency order. Returns one row for '
'each: view_name, refresh_status (SUCCESS or ERROR), refresh_time_ms, error_message, '
'rows_affected (its row count afterwards), error_sqlstate. A view that fails keeps its old '
'contents and does not stop the others. force computes everything again from the source in this '
'transaction, and publishes it (CALL analytics.rebuild() commits in between). Errors: 55P03 while '
'another refresh is running, 55000 in a serializable transaction, or over five minutes after the '
'statement began (at REPEATABLE READ: its transaction).';

REVOKE ALL ON FUNCTION analytics.refresh_all_mv(boolean) FROM public;
GRANT EXECUTE ON FUNCTION analytics.refresh_all_mv(boolean) TO analytics_operador;
