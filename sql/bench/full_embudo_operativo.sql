-- The operational funnel, all of history, as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).

WITH awarded_offer AS (
    SELECT DISTINCT adjudicaciones_repuesto.oferta_id
    FROM public.adjudicaciones_repuesto
),

offers AS (
    SELECT
        ofertas.solicitud_id,
        min(ofertas.created_at) AS made_at,
        bool_or(
            ofertas.estado IN ('GANADORA', 'ACEPTADA') OR awarded_offer.oferta_id IS NOT NULL
        ) AS is_awarded
    FROM public.ofertas
    LEFT JOIN awarded_offer ON awarded_offer.oferta_id = ofertas.id
    GROUP BY ofertas.solicitud_id
),

request AS (
    SELECT
        (solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS dia,
        solicitudes.estado,
        solicitudes.nivel_actual,
        coalesce(
            solicitudes.cliente_acepto, solicitudes.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA')
        ) AS is_accepted,
        coalesce(
            NOT solicitudes.cliente_acepto,
            solicitudes.estado IN ('OFERTAS_RECHAZADAS', 'RECHAZADA')
        ) AS is_rejected,
        offers.solicitud_id IS NOT NULL AS has_offers,
        coalesce(offers.is_awarded, false) AS is_awarded,
        extract(EPOCH FROM offers.made_at - solicitudes.created_at) AS first_offer_seconds,
        extract(
            EPOCH FROM solicitudes.fecha_evaluacion - solicitudes.created_at
        ) AS evaluation_seconds,
        extract(
            EPOCH FROM solicitudes.fecha_respuesta_cliente - solicitudes.fecha_evaluacion
        ) AS answer_seconds
    FROM public.solicitudes
    LEFT JOIN offers ON offers.solicitud_id = solicitudes.id
    WHERE
        solicitudes.created_at >= timestamptz '2000-01-01 00:00:00-05'
        AND solicitudes.created_at < timestamptz '2100-01-01 00:00:00-05'
),

day AS (
    SELECT
        request.dia,
        count(*) AS requests,
        count(*) FILTER (WHERE request.has_offers) AS with_offers,
        count(*) FILTER (WHERE request.is_awarded) AS awarded,
        count(*) FILTER (WHERE request.is_awarded AND request.is_accepted) AS awarded_accepted,
        count(*) FILTER (WHERE request.is_accepted) AS accepted,
        count(*) FILTER (WHERE request.is_rejected) AS rejected,
        count(*) FILTER (WHERE request.estado = 'CERRADA_SIN_OFERTAS') AS without_offers,
        count(*) FILTER (WHERE request.estado = 'ABIERTA') AS open,
        count(*) FILTER (WHERE request.nivel_actual > 1) AS escalated,
        sum(request.first_offer_seconds) AS first_sum,
        count(request.first_offer_seconds) AS first_count,
        kpi_engine.median_of_sorted(
            array_agg(request.first_offer_seconds ORDER BY request.first_offer_seconds)
            FILTER (WHERE request.first_offer_seconds IS NOT NULL)
        ) AS first_median,
        kpi_engine.median_of_sorted(
            array_agg(request.evaluation_seconds ORDER BY request.evaluation_seconds)
            FILTER (WHERE request.evaluation_seconds IS NOT NULL)
        ) AS evaluation_median,
        kpi_engine.median_of_sorted(
            array_agg(request.answer_seconds ORDER BY request.answer_seconds)
            FILTER (WHERE request.answer_seconds IS NOT NULL)
        ) AS answer_median
    FROM request
    GROUP BY request.dia
)

SELECT
    day.dia,
    day.requests AS solicitudes_creadas,
    day.with_offers AS solicitudes_con_ofertas,
    day.awarded AS solicitudes_adjudicadas,
    day.accepted AS solicitudes_aceptadas,
    day.rejected AS solicitudes_rechazadas,
    day.without_offers AS solicitudes_sin_ofertas,
    day.open AS solicitudes_abiertas,
    day.escalated AS solicitudes_escaladas,
    kpi_engine.percentage(day.with_offers, day.requests) AS conversion_oferta_pct,
    kpi_engine.percentage(day.awarded, day.with_offers) AS conversion_adjudicacion_pct,
    kpi_engine.percentage(day.awarded_accepted, day.awarded) AS conversion_aceptacion_pct,
    kpi_engine.percentage(day.accepted, day.requests) AS conversion_general_pct,
    kpi_engine.percentage(day.requests - day.without_offers, day.requests) AS tasa_llenado_pct,
    kpi_engine.percentage(day.escalated, day.requests) AS tasa_escalamiento_pct,
    kpi_engine.rounded_quotient(day.first_sum, day.first_count) AS ttfo_promedio_seg,
    round(day.first_median, 2) AS ttfo_mediana_seg,
    round(day.evaluation_median, 2) AS tta_mediana_seg,
    round(day.answer_median, 2) AS ttcd_mediana_seg
FROM day
ORDER BY day.dia
