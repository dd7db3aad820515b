-- analytics.mv_ranking_asesores for free querying over HTTP: filters, ordering, paging, CSV.
--
-- Invariant: the columns of the materialized view first, as they are; what is for querying only
-- comes after them. In CSV no text begins as a formula does. One of the two parts is
-- switched off before it begins, so filters find their indexes.

CREATE OR REPLACE VIEW api.mv_ranking_asesores AS
SELECT
    mv_ranking_asesores.asesor_id,
    mv_ranking_asesores.asesor_nombre,
    mv_ranking_asesores.asesor_email,
    mv_ranking_asesores.ciudad,
    mv_ranking_asesores.departamento,
    mv_ranking_asesores.punto_venta,
    mv_ranking_asesores.confianza,
    mv_ranking_asesores.nivel_actual,
    mv_ranking_asesores.estado_asesor,
    mv_ranking_asesores.actividad_reciente_pct,
    mv_ranking_asesores.desempeno_historico_pct,
    mv_ranking_asesores.ofertas_historicas_total,
    mv_ranking_asesores.ofertas_ganadoras,
    mv_ranking_asesores.ofertas_aceptadas_cliente,
    mv_ranking_asesores.entregas_exitosas,
    mv_ranking_asesores.tiempo_promedio_respuesta_seg,
    mv_ranking_asesores.monto_promedio_ofertas,
    mv_ranking_asesores.volumen_total_ofertas,
    mv_ranking_asesores.confianza_auditada,
    mv_ranking_asesores.auditorias_realizadas,
    mv_ranking_asesores.ultima_auditoria,
    mv_ranking_asesores.notificaciones_recibidas,
    mv_ranking_asesores.notificaciones_respondidas,
    mv_ranking_asesores.tiempo_promedio_respuesta_notif_seg,
    mv_ranking_asesores.tasa_respuesta_pct,
    mv_ranking_asesores.tasa_conversion_ofertas_pct,
    mv_ranking_asesores.tasa_exito_completo_pct,
    mv_ranking_asesores.ranking_ciudad,
    mv_ranking_asesores.ranking_nacional,
    mv_ranking_asesores.percentil_ofertas_ganadoras_ciudad,
    mv_ranking_asesores.percentil_ofertas_ganadoras_nacional,
    mv_ranking_asesores.calculado_at,
    analytics.city_key(mv_ranking_asesores.ciudad) AS ciudad_key
FROM analytics.mv_ranking_asesores
WHERE NOT kpi_engine.csv_is_wanted()
UNION ALL
SELECT
    mv_ranking_asesores.asesor_id,
    kpi_engine.csv_text(mv_ranking_asesores.asesor_nombre) AS asesor_nombre,
    kpi_engine.csv_text(mv_ranking_asesores.asesor_email) AS asesor_email,
    kpi_engine.csv_text(mv_ranking_asesores.ciudad) AS ciudad,
    kpi_engine.csv_text(mv_ranking_asesores.departamento) AS departamento,
    kpi_engine.csv_text(mv_ranking_asesores.punto_venta) AS punto_venta,
    mv_ranking_asesores.confianza,
    mv_ranking_asesores.nivel_actual,
    kpi_engine.csv_text(mv_ranking_asesores.estado_asesor) AS estado_asesor,
    mv_ranking_asesores.actividad_reciente_pct,
    mv_ranking_asesores.desempeno_historico_pct,
    mv_ranking_asesores.ofertas_historicas_total,
    mv_ranking_asesores.ofertas_ganadoras,
    mv_ranking_asesores.ofertas_aceptadas_cliente,
    mv_ranking_asesores.entregas_exitosas,
    mv_ranking_asesores.tiempo_promedio_respuesta_seg,
    mv_ranking_asesores.monto_promedio_ofertas,
    mv_ranking_asesores.volumen_total_ofertas,
    mv_ranking_asesores.confianza_auditada,
    mv_ranking_asesores.auditorias_realizadas,
    mv_ranking_asesores.ultima_auditoria,
    mv_ranking_asesores.notificaciones_recibidas,
    mv_ranking_asesores.notificaciones_respondidas,
    mv_ranking_asesores.tiempo_promedio_respuesta_notif_seg,
    mv_ranking_asesores.tasa_respuesta_pct,
    mv_ranking_asesores.tasa_conversion_ofertas_pct,
    mv_ranking_asesores.tasa_exito_completo_pct,
    mv_ranking_asesores.ranking_ciudad,
    mv_ranking_asesores.ranking_nacional,
    mv_ranking_asesores.percentil_ofertas_ganadoras_ciudad,
    mv_ranking_asesores.percentil_ofertas_ganadoras_nacional,
    mv_ranking_asesores.calculado_at,
    kpi_engine.csv_text(analytics.city_key(mv_ranking_asesores.ciudad)) AS ciudad_key
FROM analytics.mv_ranking_asesores
WHERE kpi_engine.csv_is_wanted();

COMMENT ON VIEW api.mv_ranking_asesores IS
'Advisor ranking: read-only, with all columns of analytics.mv_ranking_asesores, then ciudad_key. '
'Personal data.';
COMMENT ON COLUMN api.mv_ranking_asesores.ciudad_key IS
'One text for all spellings of a city, upper-case and without accents: BOGOTA for Bogotá, BOGOTA '
'and " bogota ". Filter and group by it; ciudad is stored as it was written.';

REVOKE ALL ON api.mv_ranking_asesores FROM public;
GRANT SELECT ON api.mv_ranking_asesores TO analytics_lector, analytics_operador;
