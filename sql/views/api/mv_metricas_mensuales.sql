-- analytics.mv_metricas_mensuales for free querying over HTTP: filters, ordering, paging, CSV.

CREATE OR REPLACE VIEW api.mv_metricas_mensuales AS
SELECT mv_metricas_mensuales.* -- noqa: AM04
FROM analytics.mv_metricas_mensuales;

COMMENT ON VIEW api.mv_metricas_mensuales IS
'Monthly KPIs: read-only, with all columns of analytics.mv_metricas_mensuales.';

REVOKE ALL ON api.mv_metricas_mensuales FROM public;
GRANT SELECT ON api.mv_metricas_mensuales TO analytics_lector, analytics_operador;
