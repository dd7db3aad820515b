-- GET /materialized-views/kpis/{view}: the rows of any KPI view.
--
-- The gateway passes the parameters unchanged, each as name=value. The view decides which of them
-- are right.

CREATE OR REPLACE FUNCTION api.kpi(view text, VARIADIC consulta text[])
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
AS $kpi$
BEGIN
    RETURN kpi_engine.kpi_rows(view, consulta);
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('kpi', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$kpi$;

COMMENT ON FUNCTION api.kpi(text, text[]) IS
'The rows of a KPI view, all columns, newest first or by key. consulta has one name=value for '
'each parameter: from and to (YYYY-MM for months, else YYYY-MM-DD; both included), the dimensions '
'of the view (ciudad in any spelling), order (a column, or -column; ties by key), limit (1 to '
'1000; default 12 months, 26 weeks, 90 days, else 50; of a view with several rows in a period, '
'whole periods, up to 1000 rows), offset (0 to 100000), fill (true: periods '
'without a row as zeros and NULLs), compare (previous or year: adds to each number its value one '
'period or one year before, and the difference in percent), as_of (a day or an instant: the view '
'as it was published then), reported (true: closed periods as reported at closing), origen (one of '
'several origins alone). Some views hold personal data.';

REVOKE ALL ON FUNCTION api.kpi(text, text[]) FROM public;
GRANT EXECUTE ON FUNCTION api.kpi(text, text[]) TO analytics_lector, analytics_operador;
