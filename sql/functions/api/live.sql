-- GET /materialized-views/live: the KPIs at this moment, without a refresh.
--
-- Invariant: the ETag changes with the answer. Only the gateway keeps the answer, for at most 1 s.

CREATE OR REPLACE FUNCTION api.live(view text DEFAULT NULL)
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
AS $live$
DECLARE
    v_answer json;
BEGIN
    IF kpi_engine.choice_parameter('view', view, 'monthly') = 'monthly' THEN
        PERFORM kpi_engine.set_answer_columns('analytics.v_metricas_mensuales_tiempo_real');
        SELECT json_agg(month ORDER BY month.mes DESC) INTO v_answer
        FROM analytics.v_metricas_mensuales_tiempo_real AS month;
    ELSIF kpi_engine.is_hub() THEN
        PERFORM kpi_engine.raise_http_error(
            404, 'a hub has no live KPIs', 'The sites have the offers of this moment.',
            'Ask the sites, or /materialized-views/live?view=monthly.'
        );
    ELSE
        SELECT json_agg(live) INTO v_answer FROM analytics.v_kpis_en_vivo AS live;
    END IF;
    v_answer := coalesce(v_answer, '[]');
    PERFORM kpi_engine.set_reading_headers(
        md5(v_answer::text), NULL, analytics.now(), analytics.now(), false, NULL, true);
    RETURN v_answer;
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('live', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$live$;

COMMENT ON FUNCTION api.live(text) IS
'The KPIs at this moment: the row of v_kpis_en_vivo. With view=monthly, the months of '
'v_metricas_mensuales_tiempo_real, newest first.';

REVOKE ALL ON FUNCTION api.live(text) FROM public;
GRANT EXECUTE ON FUNCTION api.live(text) TO analytics_lector, analytics_operador;
