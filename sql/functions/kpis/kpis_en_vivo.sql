-- The live KPIs of the local day and month, computed at this moment.
--
-- Invariant: offers count by their own created_at, amounts by the month of their request. An offer
-- without solicitud_id counts nowhere. One whose request is not there counts in ofertas_hoy and
-- ofertas_mes_actual alone: to look each of the month up would cost more than all the rest.
-- SECURITY DEFINER: readers get sums, never a source table.

CREATE OR REPLACE FUNCTION kpi_engine.kpis_en_vivo()
RETURNS TABLE (
    solicitudes_abiertas bigint,
    ofertas_pendientes_evaluacion bigint,
    solicitudes_hoy bigint,
    ofertas_hoy bigint,
    ofertas_mes_actual bigint,
    monto_aceptado_mes numeric,
    tasa_conversion_hoy_pct numeric,
    calculado_at timestamptz
)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $kpis_en_vivo$
DECLARE
    v_zone constant text := analytics.setting('time_zone');
    v_today constant date := analytics.today();
    v_month constant date := date_trunc('month', v_today::timestamp)::date;
    -- Bounds as instants, with one more day at both ends. Then the local day decides.
    v_month_begin constant timestamptz :=
        (v_month::timestamp AT TIME ZONE 'UTC') - interval '1 day';
    v_month_end constant timestamptz :=
        ((v_month + interval '1 month') AT TIME ZONE 'UTC') + interval '1 day';
    v_day_begin constant timestamptz :=
        (v_today::timestamp AT TIME ZONE 'UTC') - interval '1 day';
    v_ids uuid[];
    v_accepted bigint;
BEGIN
    IF kpi_engine.is_hub() THEN
        RAISE EXCEPTION 'a hub has no live KPIs: the sites have the offers of this moment'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Ask the sites; mv_embudo_operativo has the days as of their last refreshes.';
    END IF;
    SELECT
        sum(totals.requests_open),
        sum(totals.offers_pending),
        sum(totals.accepted_amount) FILTER (WHERE totals.mes = v_month)
    INTO solicitudes_abiertas, ofertas_pendientes_evaluacion, monto_aceptado_mes
    FROM kpi_engine.rows_of_relation_now('kpi_engine.month_totals') AS month (object)
    CROSS JOIN LATERAL jsonb_populate_record(
        NULL::kpi_engine.month_totals, month.object
    ) AS totals;
    solicitudes_abiertas := coalesce(solicitudes_abiertas, 0);
    ofertas_pendientes_evaluacion := coalesce(ofertas_pendientes_evaluacion, 0);
    monto_aceptado_mes := coalesce(monto_aceptado_mes, 0);

    SELECT
        count(*) FILTER (WHERE dated.local_day = v_today),
        count(*)
    INTO ofertas_hoy, ofertas_mes_actual
    FROM (
        SELECT kpi_engine.local_date(src_ofertas.created_at, v_zone) AS local_day
        FROM kpi_engine.src_ofertas
        WHERE
            src_ofertas.created_at_as_stored >= v_month_begin
            AND src_ofertas.created_at_as_stored < v_month_end
            AND src_ofertas.solicitud_id IS NOT NULL
    ) AS dated
    WHERE date_trunc('month', dated.local_day::timestamp) = v_month;

    v_ids := ARRAY(
        SELECT src_solicitudes.id
        FROM kpi_engine.src_solicitudes
        WHERE
            src_solicitudes.created_at_as_stored >= v_day_begin
            AND src_solicitudes.created_at_as_stored < v_day_begin + interval '3 days'
            AND kpi_engine.local_date(src_solicitudes.created_at, v_zone) = v_today
    );
    solicitudes_hoy := cardinality(v_ids);
    EXECUTE format(
        'SELECT count(*) FILTER (WHERE is_accepted) FROM (%s) AS fact',
        kpi_engine.query_of_keys('solicitud_facts')
    ) INTO v_accepted USING v_ids;
    tasa_conversion_hoy_pct := kpi_engine.percentage(v_accepted, solicitudes_hoy);
    PERFORM kpi_engine.refuse_rewritten_source();
    calculado_at := analytics.now();
    RETURN NEXT;
END;
$kpis_en_vivo$;

COMMENT ON FUNCTION kpi_engine.kpis_en_vivo() IS
'The row of analytics.v_kpis_en_vivo, at this moment; local day and month in the zone of the '
'setting time_zone.';

REVOKE ALL ON FUNCTION kpi_engine.kpis_en_vivo() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.kpis_en_vivo() TO analytics_lector, analytics_operador;
