-- GET /materialized-views/monthly-metrics: the monthly KPIs, newest month first.

CREATE OR REPLACE FUNCTION api.monthly_metrics(
    start_month text DEFAULT NULL,
    end_month text DEFAULT NULL,
    limite text DEFAULT NULL
)
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
AS $monthly_metrics$
DECLARE
    v_first constant date := kpi_engine.month_parameter('start_month', start_month);
    v_last constant date := kpi_engine.month_parameter('end_month', end_month);
    v_limit constant integer := kpi_engine.integer_parameter('limit', limite, 1, 60, 12);
BEGIN
    IF v_first > v_last THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'start_month', start_month, format('not after end_month (%s)', end_month));
    END IF;
    PERFORM kpi_engine.begin_reading('mv_metricas_mensuales');
    RETURN coalesce(
        (
            SELECT json_agg(metrics)
            FROM (
                SELECT mv_metricas_mensuales.*
                FROM analytics.mv_metricas_mensuales
                WHERE
                    (v_first IS NULL OR mv_metricas_mensuales.mes >= v_first)
                    AND (v_last IS NULL OR mv_metricas_mensuales.mes <= v_last)
                ORDER BY mv_metricas_mensuales.mes DESC
                LIMIT v_limit
            ) AS metrics
        ),
        '[]'
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('monthly_metrics', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$monthly_metrics$;

COMMENT ON FUNCTION api.monthly_metrics(text, text, text) IS
'Monthly KPIs, newest month first: all columns of mv_metricas_mensuales. start_month and '
'end_month: YYYY-MM, both included; limit: 1 to 60, default 12.';

REVOKE ALL ON FUNCTION api.monthly_metrics(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.monthly_metrics(text, text, text)
TO analytics_lector, analytics_operador;
