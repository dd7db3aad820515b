-- The monthly KPIs at this moment: always equal to a recomputation, without a refresh.

CREATE OR REPLACE VIEW analytics.v_metricas_mensuales_tiempo_real AS
SELECT metrics.* -- noqa: AM04
FROM analytics.metricas_mensuales_now() AS metrics
ORDER BY metrics.mes;

COMMENT ON VIEW analytics.v_metricas_mensuales_tiempo_real IS
'The columns of mv_metricas_mensuales as of this moment, changes since the last refresh '
'included. The cost follows what changed since then.';

REVOKE ALL ON analytics.v_metricas_mensuales_tiempo_real FROM public;
GRANT SELECT ON analytics.v_metricas_mensuales_tiempo_real TO analytics_lector, analytics_operador;
