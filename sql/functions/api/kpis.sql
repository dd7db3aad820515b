-- GET /materialized-views/kpis: the catalogue of the KPI views.
--
-- Invariant: the ETag changes with everything in the answer except checked_at.

CREATE OR REPLACE FUNCTION api.kpis()
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
AS $kpis$
DECLARE
    v_kpis json;
    v_problems json;
    v_time_zone text;
BEGIN
    v_time_zone := coalesce(
        (
            SELECT view_state.time_zone FROM kpi_engine.view_state
            ORDER BY view_state.last_success_at DESC NULLS LAST
            LIMIT 1
        ),
        analytics.setting('time_zone'));
    v_kpis := kpi_engine.kpi_catalogue();
    SELECT
        json_agg(
            json_build_object(
                'name', known.problem,
                'label_es', known.in_spanish,
                'label_en', known.in_short,
                'cure_es', known.cure_in_spanish
            )
        )
    INTO v_problems
    FROM kpi_engine.known_problems() AS known;
    PERFORM kpi_engine.begin_reading_all(md5(concat(v_kpis, v_problems, v_time_zone)));
    RETURN json_build_object(
        'kpis', v_kpis,
        'problems', v_problems,
        'timezone', v_time_zone,
        'checked_at', kpi_engine.iso_instant(analytics.now())
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('kpis', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$kpis$;

COMMENT ON FUNCTION api.kpis() IS
'The catalogue of the KPI views. For each view: the key, the dimensions, the operational tables '
'behind it, and how fresh it is. For each column: a Spanish and, if its COMMENT has one, an '
'English label; descriptions in both languages with the rule; the unit, and whether more is '
'better. problems: words for the problems of health. timezone: the zone of all days, weeks and '
'months.';

REVOKE ALL ON FUNCTION api.kpis() FROM public;
GRANT EXECUTE ON FUNCTION api.kpis() TO analytics_lector, analytics_operador;
