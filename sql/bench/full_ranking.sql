-- The advisor ranking, computed from the tables, as a good hand-written query: the baseline of
-- scripts/bench.py.
--
-- The day it is computed for is the session's setting bench.today. Windows are ranges that
-- an index could answer; their bounds are subqueries, computed once.

WITH past_offer AS (
    SELECT
        ofertas_historicas.asesor_id,
        count(*) AS offers,
        count(*) FILTER (WHERE ofertas_historicas.adjudicada) AS won,
        count(*) FILTER (WHERE ofertas_historicas.aceptada_cliente) AS accepted,
        count(*) FILTER (WHERE ofertas_historicas.entrega_exitosa) AS delivered,
        count(*) FILTER (
            WHERE
            ofertas_historicas.adjudicada
            AND ofertas_historicas.aceptada_cliente
            AND ofertas_historicas.entrega_exitosa
        ) AS complete,
        sum(nullif(ofertas_historicas.tiempo_respuesta_seg, 0)) AS response_seconds_sum,
        count(nullif(ofertas_historicas.tiempo_respuesta_seg, 0)) AS response_seconds_count,
        sum(ofertas_historicas.monto_total) AS amount_sum,
        count(ofertas_historicas.monto_total) AS amount_count
    FROM public.ofertas_historicas
    WHERE
        ofertas_historicas.fecha BETWEEN
        (SELECT current_setting('bench.today')::date - 29)
        AND (SELECT current_setting('bench.today')::date)
    GROUP BY ofertas_historicas.asesor_id
),

notification AS (
    SELECT
        historial_respuestas_ofertas.asesor_id,
        count(*) AS received,
        count(*) FILTER (WHERE historial_respuestas_ofertas.respondio) AS answered,
        sum(historial_respuestas_ofertas.tiempo_respuesta_seg) FILTER (
            WHERE historial_respuestas_ofertas.respondio
        ) AS response_seconds_sum,
        count(historial_respuestas_ofertas.tiempo_respuesta_seg) FILTER (
            WHERE historial_respuestas_ofertas.respondio
        ) AS response_seconds_count
    FROM public.historial_respuestas_ofertas
    WHERE
        historial_respuestas_ofertas.fecha_envio >= (
            SELECT
                (current_setting('bench.today')::date - 29)::timestamp
                AT TIME ZONE 'America/Bogota'
        )
        AND historial_respuestas_ofertas.fecha_envio < (
            SELECT
                (current_setting('bench.today')::date + 1)::timestamp
                AT TIME ZONE 'America/Bogota'
        )
    GROUP BY historial_respuestas_ofertas.asesor_id
),

windows AS (
    SELECT
        (current_setting('bench.today')::date - 89)::timestamp
        AT TIME ZONE 'America/Bogota' AS first,
        (current_setting('bench.today')::date + 1)::timestamp
        AT TIME ZONE 'America/Bogota' AS after_last
),

audit AS (
    SELECT
        auditorias_tiendas.asesor_id,
        count(*) FILTER (WHERE auditorias_tiendas.fecha_revision >= windows.first) AS audits,
        sum(auditorias_tiendas.puntaje_confianza) FILTER (
            WHERE auditorias_tiendas.fecha_revision >= windows.first
        ) AS score_sum,
        count(auditorias_tiendas.puntaje_confianza) FILTER (
            WHERE auditorias_tiendas.fecha_revision >= windows.first
        ) AS score_count,
        max(auditorias_tiendas.fecha_revision) AS latest
    FROM public.auditorias_tiendas
    CROSS JOIN windows
    WHERE auditorias_tiendas.fecha_revision < windows.after_last
    GROUP BY auditorias_tiendas.asesor_id
),

advisor AS (
    SELECT
        asesores.id AS asesor_id,
        concat_ws(
            ' ', nullif(usuarios.nombre, ''), nullif(usuarios.apellido, '')
        ) AS asesor_nombre,
        usuarios.email AS asesor_email,
        asesores.ciudad,
        analytics.city_key(asesores.ciudad) AS city_key,
        asesores.departamento,
        asesores.punto_venta,
        asesores.confianza,
        asesores.estado AS estado_asesor,
        asesores.actividad_reciente_pct,
        asesores.desempeno_historico_pct,
        coalesce(past_offer.offers, 0) AS ofertas_historicas_total,
        coalesce(past_offer.won, 0) AS ofertas_ganadoras,
        coalesce(past_offer.accepted, 0) AS ofertas_aceptadas_cliente,
        coalesce(past_offer.delivered, 0) AS entregas_exitosas,
        kpi_engine.rounded_quotient(
            past_offer.response_seconds_sum, past_offer.response_seconds_count
        ) AS tiempo_promedio_respuesta_seg,
        kpi_engine.rounded_quotient(
            past_offer.amount_sum, past_offer.amount_count
        ) AS monto_promedio_ofertas,
        coalesce(past_offer.amount_sum, 0) AS volumen_total_ofertas,
        coalesce(
            kpi_engine.rounded_quotient(audit.score_sum, audit.score_count), asesores.confianza
        ) AS confianza_auditada,
        coalesce(audit.audits, 0) AS auditorias_realizadas,
        audit.latest AS ultima_auditoria,
        coalesce(notification.received, 0) AS notificaciones_recibidas,
        coalesce(notification.answered, 0) AS notificaciones_respondidas,
        kpi_engine.rounded_quotient(
            notification.response_seconds_sum, notification.response_seconds_count
        ) AS tiempo_promedio_respuesta_notif_seg,
        kpi_engine.percentage(notification.answered, notification.received) AS tasa_respuesta_pct,
        kpi_engine.percentage(past_offer.won, past_offer.offers) AS tasa_conversion_ofertas_pct,
        kpi_engine.percentage(past_offer.complete, past_offer.offers) AS tasa_exito_completo_pct
    FROM public.asesores
    INNER JOIN public.usuarios ON usuarios.id = asesores.usuario_id
    LEFT JOIN past_offer ON past_offer.asesor_id = asesores.id
    LEFT JOIN notification ON notification.asesor_id = asesores.id
    LEFT JOIN audit ON audit.asesor_id = asesores.id
    WHERE asesores.estado = 'ACTIVO'
)

SELECT
    advisor.asesor_id,
    advisor.asesor_nombre,
    advisor.asesor_email,
    advisor.ciudad,
    advisor.departamento,
    advisor.punto_venta,
    advisor.confianza,
    NULL::integer AS nivel_actual,
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
    kpi_engine.percentage(
        count(*) OVER (PARTITION BY advisor.city_key)
        - count(*) OVER (
            PARTITION BY advisor.city_key ORDER BY advisor.ofertas_ganadoras DESC
        ),
        count(*) OVER (PARTITION BY advisor.city_key) - 1
    ) AS percentil_ofertas_ganadoras_ciudad,
    kpi_engine.percentage(
        count(*) OVER () - count(*) OVER (ORDER BY advisor.ofertas_ganadoras DESC),
        count(*) OVER () - 1
    ) AS percentil_ofertas_ganadoras_nacional,
    now() AS calculado_at
FROM advisor
