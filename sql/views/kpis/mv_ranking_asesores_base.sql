-- The advisor ranking before the ranks: one row per active advisor with a user.
--
-- Invariant: two states with the same rows here have the same ranks and percentiles, so
-- mv_ranking_asesores is published again only when these rows changed. A refresh looks for a
-- view named after the materialized view with _base and compares that.

CREATE OR REPLACE VIEW kpi_engine.mv_ranking_asesores_base AS
SELECT
    asesor_facts.asesor_id,
    asesor_facts.nombre AS asesor_nombre,
    asesor_facts.email AS asesor_email,
    asesor_facts.ciudad,
    asesor_facts.ciudad_key,
    asesor_facts.departamento,
    asesor_facts.punto_venta,
    asesor_facts.confianza,
    asesor_facts.nivel_actual,
    asesor_facts.estado AS estado_asesor,
    asesor_facts.actividad_reciente_pct,
    asesor_facts.desempeno_historico_pct,
    coalesce(asesor_totals.offers, 0) AS ofertas_historicas_total,
    coalesce(asesor_totals.offers_won, 0) AS ofertas_ganadoras,
    coalesce(asesor_totals.offers_accepted, 0) AS ofertas_aceptadas_cliente,
    coalesce(asesor_totals.offers_delivered, 0) AS entregas_exitosas,
    kpi_engine.rounded_quotient(
        asesor_totals.response_seconds_sum, asesor_totals.response_seconds_count
    ) AS tiempo_promedio_respuesta_seg,
    kpi_engine.rounded_quotient(
        asesor_totals.amount_sum, asesor_totals.amount_count
    ) AS monto_promedio_ofertas,
    coalesce(asesor_totals.amount_sum, 0) AS volumen_total_ofertas,
    coalesce(
        kpi_engine.rounded_quotient(asesor_audits.score_sum, asesor_audits.score_count),
        asesor_facts.confianza
    ) AS confianza_auditada,
    coalesce(asesor_audits.audits, 0) AS auditorias_realizadas,
    asesor_audits.latest_audit AS ultima_auditoria,
    coalesce(asesor_totals.notifications, 0) AS notificaciones_recibidas,
    coalesce(asesor_totals.notifications_answered, 0) AS notificaciones_respondidas,
    kpi_engine.rounded_quotient(
        asesor_totals.answer_seconds_sum, asesor_totals.answer_seconds_count
    ) AS tiempo_promedio_respuesta_notif_seg,
    kpi_engine.percentage(
        asesor_totals.notifications_answered, asesor_totals.notifications
    ) AS tasa_respuesta_pct,
    kpi_engine.percentage(
        asesor_totals.offers_won, asesor_totals.offers
    ) AS tasa_conversion_ofertas_pct,
    kpi_engine.percentage(
        asesor_totals.offers_complete, asesor_totals.offers
    ) AS tasa_exito_completo_pct
FROM kpi_engine.asesor_facts
LEFT JOIN kpi_engine.asesor_totals ON asesor_totals.asesor_id = asesor_facts.asesor_id
LEFT JOIN kpi_engine.asesor_audits ON asesor_audits.asesor_id = asesor_facts.asesor_id
WHERE asesor_facts.estado = 'ACTIVO' AND asesor_facts.has_usuario;

COMMENT ON VIEW kpi_engine.mv_ranking_asesores_base IS
'mv_ranking_asesores without ranks, percentiles and calculado_at, and with the city key: what a '
'refresh compares to know whether there is something new to publish.';

REVOKE ALL ON kpi_engine.mv_ranking_asesores_base FROM public;
