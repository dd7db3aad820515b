-- analytics.mv_ranking_asesores for free querying over HTTP: filters, ordering, paging, CSV.

CREATE OR REPLACE VIEW api.mv_ranking_asesores AS
SELECT mv_ranking_asesores.* -- noqa: AM04
FROM analytics.mv_ranking_asesores;

COMMENT ON VIEW api.mv_ranking_asesores IS
'Advisor ranking: read-only, with all columns of analytics.mv_ranking_asesores. Personal data.';

REVOKE ALL ON api.mv_ranking_asesores FROM public;
GRANT SELECT ON api.mv_ranking_asesores TO analytics_lector, analytics_operador;
