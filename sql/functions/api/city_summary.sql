-- GET /materialized-views/city-summary: the advisors of each city, added up.
--
-- Invariant: one row per city key, under its most frequent spelling.

CREATE OR REPLACE FUNCTION api.city_summary()
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
AS $city_summary$
DECLARE
    v_cities text[];
BEGIN
    v_cities := kpi_engine.token_cities();
    PERFORM kpi_engine.begin_reading('mv_ranking_asesores');
    RETURN (
        SELECT json_build_object(
            'total_cities', count(*),
            'cities', coalesce(
                json_agg(city ORDER BY city.total_asesores DESC, city.ciudad), '[]'
            ),
            'generated_at', kpi_engine.iso_instant(analytics.now())
        )
        FROM (
            SELECT
                (array_agg(spelling.ciudad ORDER BY spelling.asesores DESC, spelling.ciudad))[1]
                    AS ciudad,
                sum(spelling.asesores) AS total_asesores,
                sum(spelling.ofertas_ganadoras) AS ofertas_ganadoras_total,
                sum(spelling.entregas_exitosas) AS entregas_exitosas_total,
                sum(spelling.volumen) AS volumen_total,
                kpi_engine.rounded_quotient(
                    sum(spelling.tasa_respuesta), sum(spelling.tasas)
                ) AS tasa_respuesta_promedio,
                kpi_engine.rounded_quotient(
                    sum(spelling.confianza), sum(spelling.confianzas)
                ) AS confianza_promedio
            FROM (
                SELECT
                    mv_ranking_asesores.ciudad,
                    count(*) AS asesores,
                    sum(mv_ranking_asesores.ofertas_ganadoras) AS ofertas_ganadoras,
                    sum(mv_ranking_asesores.entregas_exitosas) AS entregas_exitosas,
                    sum(mv_ranking_asesores.volumen_total_ofertas) AS volumen,
                    sum(mv_ranking_asesores.tasa_respuesta_pct) AS tasa_respuesta,
                    count(mv_ranking_asesores.tasa_respuesta_pct) AS tasas,
                    sum(mv_ranking_asesores.confianza_auditada) AS confianza,
                    count(mv_ranking_asesores.confianza_auditada) AS confianzas
                FROM analytics.mv_ranking_asesores
                WHERE
                    v_cities IS NULL
                    OR analytics.city_key(mv_ranking_asesores.ciudad) = ANY (v_cities)
                GROUP BY mv_ranking_asesores.ciudad
            ) AS spelling
            GROUP BY analytics.city_key(spelling.ciudad)
        ) AS city
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('city_summary', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$city_summary$;

COMMENT ON FUNCTION api.city_summary() IS
'The advisors of each city, by total_asesores descending, then ciudad. Their number, the sums of '
'what they won, delivered and sold in the last 30 days, and the averages of their response rate '
'(percent) and audited trust.';

REVOKE ALL ON FUNCTION api.city_summary() FROM public;
GRANT EXECUTE ON FUNCTION api.city_summary() TO analytics_lector, analytics_operador;
