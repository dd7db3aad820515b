-- Who stays, comes and goes, one row per local month, continuous. Unique key: mes.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_retencion_asesores AS
WITH calendar AS (
    SELECT
        generate_series(
            min(month_totals.mes)::timestamp, max(month_totals.mes)::timestamp, interval '1 month'
        )::date AS mes
    FROM kpi_engine.month_totals
    WHERE isfinite(month_totals.mes)
),

first_months AS (
    SELECT
        asesor_first_months.first_mes AS mes,
        count(*) AS asesores
    FROM kpi_engine.asesor_first_months
    GROUP BY asesor_first_months.first_mes
),

months AS (
    SELECT
        calendar.mes,
        coalesce(month_retention.asesores, 0) AS active,
        coalesce(month_retention.asesores_retained, 0) AS retained,
        coalesce(first_months.asesores, 0) AS new,
        coalesce(month_retention.asesores_lost, 0) AS lost
    FROM calendar
    LEFT JOIN kpi_engine.month_retention ON month_retention.periodo = calendar.mes
    LEFT JOIN first_months ON first_months.mes = calendar.mes
)

SELECT
    months.mes,
    months.active AS asesores_activos,
    months.retained AS asesores_retenidos,
    months.new AS asesores_nuevos,
    months.active - months.retained - months.new AS asesores_reactivados,
    months.lost AS asesores_perdidos,
    -- Everybody active in the month before stayed or was lost.
    kpi_engine.percentage(
        months.retained, months.retained + months.lost
    ) AS tasa_retencion_pct
FROM months
WITH NO DATA;

CREATE UNIQUE INDEX mv_retencion_asesores_mes ON mv_retencion_asesores (mes);

COMMENT ON MATERIALIZED VIEW mv_retencion_asesores IS
'Retención de asesores / Advisor retention
es: Cuántos asesores siguen, llegan, vuelven y se van cada mes. Un asesor está activo si ofertó a
una solicitud del mes.
en: How many advisors stay, come, return and leave in each local month. Active: with an offer for
a request of the month. One row for each month from the first to the last with a request.';
COMMENT ON COLUMN mv_retencion_asesores.mes IS
'Mes / Month [fecha, none]
es: Primer día del mes, en hora local.
en: First day of the local month (zone of the setting time_zone) of solicitudes.created_at.';
COMMENT ON COLUMN mv_retencion_asesores.asesores_activos IS
'Asesores activos (con al menos una oferta) / Active advisors (with an offer or more) [conteo, up]
es: Asesores distintos que ofertaron a las solicitudes del mes.
en: Distinct advisors with an offer for a request of the month, as in mv_metricas_mensuales.';
COMMENT ON COLUMN mv_retencion_asesores.asesores_retenidos IS
'Asesores retenidos / Advisors who stayed [conteo, up, whole]
es: Asesores activos que también lo estaban el mes anterior.
en: Of those, also active in the month before.';
COMMENT ON COLUMN mv_retencion_asesores.asesores_nuevos IS
'Asesores nuevos / New advisors [conteo, up, whole]
es: Asesores activos por primera vez.
en: Active in no earlier month.';
COMMENT ON COLUMN mv_retencion_asesores.asesores_reactivados IS
'Asesores reactivados / Advisors who came back [conteo, up, whole]
es: Asesores que vuelven después de al menos un mes sin ofertas.
en: Active in an earlier month, but not in the month before.';
COMMENT ON COLUMN mv_retencion_asesores.asesores_perdidos IS
'Asesores perdidos / Lost advisors [conteo, down, whole, null]
es: Asesores activos el mes anterior y no en este.
en: Active in the month before and not in this one.';
COMMENT ON COLUMN mv_retencion_asesores.tasa_retencion_pct IS
'Tasa de retención / Retention rate [pct, up, whole, bands 60 over 85]
es: De cada 100 asesores activos el mes anterior, cuántos siguen activos.
en: 100 × asesores_retenidos / active in the month before; 0 over none.';

REVOKE ALL ON mv_retencion_asesores FROM public;
GRANT SELECT ON mv_retencion_asesores TO analytics_lector, analytics_operador;
