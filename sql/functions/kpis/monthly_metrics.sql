-- The monthly KPIs of one month, from its totals.
--
-- Invariant: the one place with the formulas: the materialized view and the real-time view
-- both ask here. Rounded once, at the end. A month without totals is zeros and NULLs.

CREATE OR REPLACE FUNCTION kpi_engine.monthly_metrics(
    p_mes date, p_totals kpi_engine.month_totals
)
RETURNS TABLE (
    mes date,
    solicitudes_creadas bigint,
    solicitudes_aceptadas bigint,
    solicitudes_rechazadas bigint,
    solicitudes_expiradas bigint,
    solicitudes_sin_ofertas bigint,
    tiempo_promedio_cierre_seg numeric,
    ofertas_totales bigint,
    ofertas_ganadoras bigint,
    ofertas_aceptadas bigint,
    precio_promedio_ofertas numeric,
    precio_minimo_ofertas numeric,
    precio_maximo_ofertas numeric,
    tiempo_entrega_promedio numeric,
    garantia_promedio_meses numeric,
    clientes_activos bigint,
    asesores_activos bigint,
    marcas_vehiculos_solicitadas bigint,
    volumen_transaccional_total numeric,
    tasa_aceptacion_pct numeric,
    tasa_conversion_ofertas_pct numeric,
    ofertas_promedio_por_solicitud numeric
)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        p_mes AS mes,
        coalesce((p_totals).requests, 0) AS solicitudes_creadas,
        coalesce((p_totals).requests_accepted, 0) AS solicitudes_aceptadas,
        coalesce((p_totals).requests_rejected, 0) AS solicitudes_rechazadas,
        coalesce((p_totals).requests_expired, 0) AS solicitudes_expiradas,
        coalesce((p_totals).requests_without_offers, 0) AS solicitudes_sin_ofertas,
        kpi_engine.rounded_quotient(
            (p_totals).closing_seconds_sum, (p_totals).closing_seconds_count
        ) AS tiempo_promedio_cierre_seg,
        coalesce((p_totals).offers, 0) AS ofertas_totales,
        coalesce((p_totals).offers_won, 0) AS ofertas_ganadoras,
        coalesce((p_totals).offers_accepted, 0) AS ofertas_aceptadas,
        kpi_engine.rounded_quotient((p_totals).price_sum, (p_totals).price_count)
            AS precio_promedio_ofertas,
        (p_totals).price_minimum AS precio_minimo_ofertas,
        (p_totals).price_maximum AS precio_maximo_ofertas,
        kpi_engine.rounded_quotient(
            (p_totals).delivery_days_sum, (p_totals).delivery_days_count
        ) AS tiempo_entrega_promedio,
        kpi_engine.rounded_quotient(
            (p_totals).warranty_months_sum, (p_totals).warranty_months_count
        ) AS garantia_promedio_meses,
        coalesce((p_totals).clientes, 0) AS clientes_activos,
        coalesce((p_totals).asesores, 0) AS asesores_activos,
        coalesce((p_totals).marcas, 0) AS marcas_vehiculos_solicitadas,
        coalesce((p_totals).accepted_amount, 0) AS volumen_transaccional_total,
        kpi_engine.percentage((p_totals).requests_accepted, (p_totals).requests)
            AS tasa_aceptacion_pct,
        kpi_engine.percentage((p_totals).offers_won, (p_totals).offers)
            AS tasa_conversion_ofertas_pct,
        coalesce(
            kpi_engine.rounded_quotient((p_totals).offers, (p_totals).requests), 0.00
        ) AS ofertas_promedio_por_solicitud;
END;

COMMENT ON FUNCTION kpi_engine.monthly_metrics(date, kpi_engine.month_totals) IS
'The columns of mv_metricas_mensuales for the month p_mes with these totals; NULL totals are a '
'month without requests.';

REVOKE ALL ON FUNCTION kpi_engine.monthly_metrics(date, kpi_engine.month_totals) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.monthly_metrics(date, kpi_engine.month_totals)
TO analytics_lector, analytics_operador;
