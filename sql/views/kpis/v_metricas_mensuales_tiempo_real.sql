-- The monthly KPIs at this moment: always equal to a recomputation, without a refresh.

CREATE OR REPLACE VIEW analytics.v_metricas_mensuales_tiempo_real AS
WITH month_now AS MATERIALIZED (
    SELECT
        totals.mes,
        totals
    FROM kpi_engine.month_totals_now() AS totals
    WHERE isfinite(totals.mes)
),

calendar AS (
    SELECT
        generate_series(
            min(month_now.mes)::timestamp, max(month_now.mes)::timestamp, interval '1 month'
        )::date AS mes
    FROM month_now
)

SELECT metrics.* -- noqa: AM04
FROM calendar
LEFT JOIN month_now ON month_now.mes = calendar.mes
CROSS JOIN LATERAL kpi_engine.monthly_metrics(calendar.mes, month_now.totals) AS metrics
ORDER BY metrics.mes;

COMMENT ON VIEW analytics.v_metricas_mensuales_tiempo_real IS
'The columns of mv_metricas_mensuales as of this moment, changes since the last refresh '
'included. The cost follows what changed since then.';

REVOKE ALL ON analytics.v_metricas_mensuales_tiempo_real FROM public;
GRANT SELECT ON analytics.v_metricas_mensuales_tiempo_real TO analytics_lector, analytics_operador;
