-- Money by local month, continuous like mv_metricas_mensuales. Unique key: mes.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_finanzas_mensuales AS
WITH calendar AS (
    SELECT
        generate_series(
            min(month_totals.mes)::timestamp, max(month_totals.mes)::timestamp, interval '1 month'
        )::date AS mes
    FROM kpi_engine.month_totals
    WHERE isfinite(month_totals.mes)
),

month_amounts AS (
    SELECT
        calendar.mes,
        coalesce(month_totals.offered_amount, 0) AS offered,
        coalesce(month_totals.awarded_amount, 0) AS awarded,
        coalesce(month_totals.awarded_accepted_amount, 0) AS accepted,
        coalesce(month_totals.requests_accepted, 0) AS requests_accepted
    FROM calendar
    LEFT JOIN kpi_engine.month_totals ON month_totals.mes = calendar.mes
),

beside_the_month_before AS (
    SELECT
        month_amounts.*,
        lag(month_amounts.accepted) OVER (ORDER BY month_amounts.mes) AS accepted_before,
        sum(month_amounts.accepted) OVER (
            PARTITION BY date_trunc('year', month_amounts.mes::timestamp) ORDER BY month_amounts.mes
        ) AS accepted_in_year
    FROM month_amounts
)

SELECT
    months.mes,
    months.offered AS valor_bruto_ofertado,
    months.awarded AS valor_bruto_adjudicado,
    months.accepted AS valor_bruto_aceptado,
    months.requests_accepted AS solicitudes_aceptadas,
    kpi_engine.rounded_quotient(months.accepted, months.requests_accepted) AS ticket_promedio,
    kpi_engine.percentage(months.awarded, months.offered) AS tasa_adjudicacion_valor_pct,
    kpi_engine.percentage(
        months.awarded - months.accepted, months.awarded
    ) AS tasa_fuga_valor_pct,
    kpi_engine.rounded_quotient(
        100 * (months.accepted - months.accepted_before), months.accepted_before
    ) AS crecimiento_mensual_pct,
    months.accepted_in_year AS acumulado_anual
FROM beside_the_month_before AS months
WITH NO DATA;

CREATE UNIQUE INDEX mv_finanzas_mensuales_mes ON mv_finanzas_mensuales (mes);

COMMENT ON MATERIALIZED VIEW mv_finanzas_mensuales IS
'Finanzas / Finance
es: El dinero de cada mes: lo ofertado, lo adjudicado y lo aceptado. Las ofertas cuentan en el mes
de su solicitud.
en: Money of each local month: offered, awarded, accepted. Offers belong to the month of their
request. One row for each month from the first to the last with a request.';
COMMENT ON COLUMN mv_finanzas_mensuales.mes IS
'Mes / Month [fecha, none]
es: Primer día del mes, en hora local.
en: First day of the local month (zone of the setting time_zone) of solicitudes.created_at.';
COMMENT ON COLUMN mv_finanzas_mensuales.valor_bruto_ofertado IS
'Valor bruto ofertado (GOV) / Offered value [COP, up]
es: Valor de todos los repuestos ofertados.
en: Sum of precio_unitario × cantidad over all offer lines, in pesos, exact.';
COMMENT ON COLUMN mv_finanzas_mensuales.valor_bruto_adjudicado IS
'Valor bruto adjudicado / Awarded value [COP, up]
es: Valor de los repuestos que se adjudicaron.
en: Over the awarded lines: those whose part was awarded to their offer; of an offer without any
row in adjudicaciones_repuesto, all where its estado is GANADORA or ACEPTADA.';
COMMENT ON COLUMN mv_finanzas_mensuales.valor_bruto_aceptado IS
'Valor bruto aceptado / Accepted value [COP, up]
es: Valor de los repuestos adjudicados que el cliente aceptó.
en: Sum over the awarded lines of offers in estado ACEPTADA.';
COMMENT ON COLUMN mv_finanzas_mensuales.solicitudes_aceptadas IS
'Solicitudes aceptadas
/ Accepted requests [conteo, up, sum mv_embudo_operativo.solicitudes_aceptadas]
es: Solicitudes en las que el cliente aceptó al menos una oferta.
en: Requests with cliente_acepto true; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN mv_finanzas_mensuales.ticket_promedio IS
'Ticket promedio por solicitud aceptada / Average value of an accepted request [COP, up, null]
es: Valor aceptado por cada solicitud aceptada, en promedio.
en: valor_bruto_aceptado / solicitudes_aceptadas; NULL over none.';
COMMENT ON COLUMN mv_finanzas_mensuales.tasa_adjudicacion_valor_pct IS
'Valor adjudicado sobre ofertado / Awarded value of the offered [pct, up]
es: De cada 100 pesos ofertados, cuántos se adjudicaron.
en: 100 × valor_bruto_adjudicado / valor_bruto_ofertado; 0 over none.';
COMMENT ON COLUMN mv_finanzas_mensuales.tasa_fuga_valor_pct IS
'Fuga de valor (adjudicado que el cliente no aceptó)
/ Lost value (awarded, but not accepted) [pct, down]
es: De cada 100 pesos adjudicados, cuántos no aceptó el cliente.
en: 100 × (valor_bruto_adjudicado − valor_bruto_aceptado) / valor_bruto_adjudicado; 0 over none.';
COMMENT ON COLUMN mv_finanzas_mensuales.crecimiento_mensual_pct IS
'Crecimiento frente al mes anterior / Growth over the month before [pct, up, null, whole]
es: Cuánto creció el valor aceptado frente al mes anterior.
en: 100 × (valor_bruto_aceptado − that of the month before) / that of the month before; NULL in
the first month and where that is 0.';
COMMENT ON COLUMN mv_finanzas_mensuales.acumulado_anual IS
'Acumulado del año / Total of the year so far [COP, up, null, whole]
es: Valor aceptado desde enero de ese año hasta este mes.
en: Sum of valor_bruto_aceptado from January of that year to this month.';

REVOKE ALL ON mv_finanzas_mensuales FROM public;
GRANT SELECT ON mv_finanzas_mensuales TO analytics_lector, analytics_operador;
