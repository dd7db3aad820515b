-- GET /materialized-views/top-advisors: the best advisors by one metric.
--
-- Invariant: sorted over all advisors of the selection, not over the first page of a ranking.

CREATE OR REPLACE FUNCTION api.top_advisors(
    ciudad text DEFAULT NULL,
    metric text DEFAULT NULL,
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
AS $top_advisors$
DECLARE
    c_metrics constant text[] := ARRAY[
        'ofertas_ganadoras', 'entregas_exitosas', 'tasa_respuesta_pct',
        'tasa_conversion_ofertas_pct', 'monto_promedio_ofertas', 'confianza_auditada'
    ];
    v_metric constant text := coalesce(metric, 'ofertas_ganadoras');
    v_limit constant integer := kpi_engine.integer_parameter('limit', limite, 1, 50, 10);
    v_city_key constant text := analytics.city_key(ciudad);
    v_cities text[];
    v_answer json;
BEGIN
    IF v_metric <> ALL (c_metrics) THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'metric', metric, 'one of ' || array_to_string(c_metrics, ', '));
    END IF;
    v_cities := kpi_engine.visible_cities(v_city_key);
    PERFORM kpi_engine.begin_reading('mv_ranking_asesores');
    EXECUTE format(
        'WITH selected AS MATERIALIZED (
             SELECT mv_ranking_asesores.*
             FROM analytics.mv_ranking_asesores
             WHERE $1 IS NULL OR analytics.city_key(mv_ranking_asesores.ciudad) = ANY ($1)
         )
         SELECT json_build_object(
             ''metric'', %1$L,
             ''ciudad'', $2,
             ''total_found'', (SELECT count(*) FROM selected),
             ''top_advisors'', coalesce(
                 (
                     SELECT json_agg(advisor)
                     FROM (
                         SELECT selected.* FROM selected
                         ORDER BY selected.%1$I DESC NULLS LAST, selected.asesor_id
                         LIMIT $3
                     ) AS advisor
                 ),
                 ''[]''
             )
         )',
        v_metric
    ) INTO v_answer USING v_cities, ciudad, v_limit;
    RETURN v_answer;
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('top_advisors', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$top_advisors$;

COMMENT ON FUNCTION api.top_advisors(text, text, text) IS
'The best advisors by one metric, descending, NULL last, ties by asesor_id, sorted over all '
'advisors of the selection (total_found of them). ciudad: any spelling of a city; metric: '
'ofertas_ganadoras (default), entregas_exitosas, tasa_respuesta_pct, '
'tasa_conversion_ofertas_pct, monto_promedio_ofertas or confianza_auditada; limit: 1 to 50, '
'default 10. Personal data.';

REVOKE ALL ON FUNCTION api.top_advisors(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.top_advisors(text, text, text)
TO analytics_lector, analytics_operador;
