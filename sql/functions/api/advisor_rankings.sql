-- GET /materialized-views/advisor-rankings: advisors by rank, nationwide or in one city.

CREATE OR REPLACE FUNCTION api.advisor_rankings(ciudad text DEFAULT NULL, limite text DEFAULT NULL)
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
AS $advisor_rankings$
DECLARE
    v_limit constant integer := kpi_engine.integer_parameter('limit', limite, 1, 500, 50);
    v_city_key constant text := analytics.city_key(ciudad);
    v_cities text[];
BEGIN
    v_cities := kpi_engine.visible_cities(v_city_key);
    PERFORM kpi_engine.begin_reading('mv_ranking_asesores');
    IF v_city_key IS NULL THEN
        RETURN coalesce(
            (
                SELECT json_agg(advisor)
                FROM (
                    SELECT mv_ranking_asesores.*
                    FROM analytics.mv_ranking_asesores
                    WHERE
                        v_cities IS NULL
                        OR analytics.city_key(mv_ranking_asesores.ciudad) = ANY (v_cities)
                    ORDER BY mv_ranking_asesores.ranking_nacional, mv_ranking_asesores.asesor_id
                    LIMIT v_limit
                ) AS advisor
            ),
            '[]'
        );
    END IF;
    RETURN coalesce(
        (
            SELECT json_agg(advisor)
            FROM (
                SELECT mv_ranking_asesores.*
                FROM analytics.mv_ranking_asesores
                WHERE analytics.city_key(mv_ranking_asesores.ciudad) = v_city_key
                ORDER BY mv_ranking_asesores.ranking_ciudad, mv_ranking_asesores.asesor_id
                LIMIT v_limit
            ) AS advisor
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
        PERFORM kpi_engine.raise_fault('advisor_rankings', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$advisor_rankings$;

COMMENT ON FUNCTION api.advisor_rankings(text, text) IS
'Advisors by ranking_nacional, or of one city by ranking_ciudad; ties by asesor_id. All columns '
'of mv_ranking_asesores. ciudad: any spelling of a city. limit: 1 to 500, default 50. Personal '
'data.';

REVOKE ALL ON FUNCTION api.advisor_rankings(text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.advisor_rankings(text, text) TO analytics_lector, analytics_operador;
