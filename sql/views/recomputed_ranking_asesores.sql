-- The advisor ranking computed from the source tables, for the day that the refresh
-- stored in analytics.view_state: it never reads the clock.
--
-- Invariant: offers, notifications and audits of an advisor are brought to one row
-- each before they meet. Windows are local days, both ends included; their bounds are
-- subqueries, computed once, since a join with the state would run row by row.

CREATE OR REPLACE VIEW analytics.recomputed_ranking_asesores AS
WITH state AS (
    SELECT
        view_state.today,
        view_state.calculated_at,
        analytics.setting('time_zone') AS time_zone
    FROM analytics.view_state
    WHERE view_state.view_name = 'mv_ranking_asesores'
),

past_offer AS (
    SELECT
        src_ofertas_historicas.asesor_id,
        count(*) AS offers,
        count(*) FILTER (WHERE src_ofertas_historicas.adjudicada) AS won,
        count(*) FILTER (WHERE src_ofertas_historicas.aceptada_cliente) AS accepted,
        count(*) FILTER (WHERE src_ofertas_historicas.entrega_exitosa) AS delivered,
        count(*) FILTER (
            WHERE
            src_ofertas_historicas.adjudicada
            AND src_ofertas_historicas.aceptada_cliente
            AND src_ofertas_historicas.entrega_exitosa
        ) AS complete,
        -- 0 seconds means unknown here, unlike in the notifications.
        sum(nullif(src_ofertas_historicas.tiempo_respuesta_seg, 0)) AS response_seconds_sum,
        count(nullif(src_ofertas_historicas.tiempo_respuesta_seg, 0)) AS response_seconds_count,
        sum(src_ofertas_historicas.monto_total) AS amount_sum,
        count(src_ofertas_historicas.monto_total) AS amount_count
    FROM analytics.src_ofertas_historicas
    WHERE
        src_ofertas_historicas.fecha
        BETWEEN (SELECT state.today - 29 FROM state) AND (SELECT state.today FROM state)
    GROUP BY src_ofertas_historicas.asesor_id
),

notification AS (
    SELECT
        src_historial_respuestas_ofertas.asesor_id,
        count(*) AS received,
        count(*) FILTER (WHERE src_historial_respuestas_ofertas.respondio) AS answered,
        sum(src_historial_respuestas_ofertas.tiempo_respuesta_seg) FILTER (
            WHERE src_historial_respuestas_ofertas.respondio
        ) AS response_seconds_sum,
        count(src_historial_respuestas_ofertas.tiempo_respuesta_seg) FILTER (
            WHERE src_historial_respuestas_ofertas.respondio
        ) AS response_seconds_count
    FROM analytics.src_historial_respuestas_ofertas
    WHERE
        analytics.local_date(
            src_historial_respuestas_ofertas.fecha_envio, (SELECT state.time_zone FROM state)
        ) BETWEEN (SELECT state.today - 29 FROM state) AND (SELECT state.today FROM state)
    GROUP BY src_historial_respuestas_ofertas.asesor_id
),

audit AS (
    SELECT
        dated.asesor_id,
        count(*) FILTER (WHERE dated.local_day >= dated.today - 89) AS audits,
        sum(dated.puntaje_confianza) FILTER (
            WHERE dated.local_day >= dated.today - 89
        ) AS score_sum,
        count(dated.puntaje_confianza) FILTER (
            WHERE dated.local_day >= dated.today - 89
        ) AS score_count,
        max(dated.fecha_revision) AS latest
    FROM (
        SELECT
            src_auditorias_tiendas.asesor_id,
            src_auditorias_tiendas.puntaje_confianza,
            src_auditorias_tiendas.fecha_revision,
            analytics.local_date(
                src_auditorias_tiendas.fecha_revision, state.time_zone
            ) AS local_day,
            state.today
        FROM analytics.src_auditorias_tiendas
        CROSS JOIN state
    ) AS dated
    WHERE dated.local_day <= dated.today
    GROUP BY dated.asesor_id
),

advisor AS (
    SELECT
        src_asesores.id AS asesor_id,
        concat_ws(
            ' ', nullif(src_usuarios.nombre, ''), nullif(src_usuarios.apellido, '')
        ) AS asesor_nombre,
        src_usuarios.email AS asesor_email,
        src_asesores.ciudad,
        analytics.city_key(src_asesores.ciudad) AS city_key,
        src_asesores.departamento,
        src_asesores.punto_venta,
        src_asesores.confianza,
        src_asesores.nivel_actual::integer AS nivel_actual,
        src_asesores.estado AS estado_asesor,
        src_asesores.actividad_reciente_pct,
        src_asesores.desempeno_historico_pct,
        coalesce(past_offer.offers, 0) AS ofertas_historicas_total,
        coalesce(past_offer.won, 0) AS ofertas_ganadoras,
        coalesce(past_offer.accepted, 0) AS ofertas_aceptadas_cliente,
        coalesce(past_offer.delivered, 0) AS entregas_exitosas,
        analytics.rounded_quotient(
            past_offer.response_seconds_sum, past_offer.response_seconds_count
        ) AS tiempo_promedio_respuesta_seg,
        analytics.rounded_quotient(
            past_offer.amount_sum, past_offer.amount_count
        ) AS monto_promedio_ofertas,
        coalesce(past_offer.amount_sum, 0) AS volumen_total_ofertas,
        coalesce(
            analytics.rounded_quotient(audit.score_sum, audit.score_count),
            src_asesores.confianza
        ) AS confianza_auditada,
        coalesce(audit.audits, 0) AS auditorias_realizadas,
        audit.latest AS ultima_auditoria,
        coalesce(notification.received, 0) AS notificaciones_recibidas,
        coalesce(notification.answered, 0) AS notificaciones_respondidas,
        analytics.rounded_quotient(
            notification.response_seconds_sum, notification.response_seconds_count
        ) AS tiempo_promedio_respuesta_notif_seg,
        analytics.percentage(notification.answered, notification.received) AS tasa_respuesta_pct,
        analytics.percentage(past_offer.won, past_offer.offers) AS tasa_conversion_ofertas_pct,
        analytics.percentage(past_offer.complete, past_offer.offers) AS tasa_exito_completo_pct,
        state.calculated_at AS calculado_at
    FROM analytics.src_asesores
    INNER JOIN analytics.src_usuarios ON src_usuarios.id = src_asesores.usuario_id
    CROSS JOIN state
    LEFT JOIN past_offer ON past_offer.asesor_id = src_asesores.id
    LEFT JOIN notification ON notification.asesor_id = src_asesores.id
    LEFT JOIN audit ON audit.asesor_id = src_asesores.id
    WHERE src_asesores.estado = 'ACTIVO'
)

SELECT
    advisor.asesor_id,
    advisor.asesor_nombre,
    advisor.asesor_email,
    advisor.ciudad,
    advisor.departamento,
    advisor.punto_venta,
    advisor.confianza,
    advisor.nivel_actual,
    advisor.estado_asesor,
    advisor.actividad_reciente_pct,
    advisor.desempeno_historico_pct,
    advisor.ofertas_historicas_total,
    advisor.ofertas_ganadoras,
    advisor.ofertas_aceptadas_cliente,
    advisor.entregas_exitosas,
    advisor.tiempo_promedio_respuesta_seg,
    advisor.monto_promedio_ofertas,
    advisor.volumen_total_ofertas,
    advisor.confianza_auditada,
    advisor.auditorias_realizadas,
    advisor.ultima_auditoria,
    advisor.notificaciones_recibidas,
    advisor.notificaciones_respondidas,
    advisor.tiempo_promedio_respuesta_notif_seg,
    advisor.tasa_respuesta_pct,
    advisor.tasa_conversion_ofertas_pct,
    advisor.tasa_exito_completo_pct,
    rank() OVER (
        PARTITION BY advisor.city_key
        ORDER BY
            advisor.ofertas_ganadoras DESC,
            advisor.tiempo_promedio_respuesta_seg ASC NULLS LAST,
            advisor.confianza DESC NULLS LAST
    ) AS ranking_ciudad,
    rank() OVER (
        ORDER BY
            advisor.ofertas_ganadoras DESC,
            advisor.tiempo_promedio_respuesta_seg ASC NULLS LAST,
            advisor.confianza DESC NULLS LAST
    ) AS ranking_nacional,
    -- percent_rank() is a double: the same quotient, (rank - 1) / (rows - 1), is exact.
    analytics.percentage(
        rank() OVER (PARTITION BY advisor.city_key ORDER BY advisor.ofertas_ganadoras) - 1,
        count(*) OVER (PARTITION BY advisor.city_key) - 1
    ) AS percentil_ofertas_ganadoras_ciudad,
    analytics.percentage(
        rank() OVER (ORDER BY advisor.ofertas_ganadoras) - 1,
        count(*) OVER () - 1
    ) AS percentil_ofertas_ganadoras_nacional,
    advisor.calculado_at
FROM advisor;

COMMENT ON VIEW analytics.recomputed_ranking_asesores IS
'mv_ranking_asesores computed from the source tables at this moment, for the today and the '
'calculado_at of its row in analytics.view_state: for the refresh and for checking it.';

REVOKE ALL ON analytics.recomputed_ranking_asesores FROM public;
