-- Failure by level, all of history, as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).

WITH first_offer AS (
    SELECT
        ofertas.solicitud_id,
        min(ofertas.created_at) AS made_at
    FROM public.ofertas
    GROUP BY ofertas.solicitud_id
),

request AS (
    SELECT
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
        solicitudes.nivel_actual AS nivel,
        coalesce(
            solicitudes.cliente_acepto, solicitudes.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA')
        ) AS is_accepted,
        extract(EPOCH FROM first_offer.made_at - solicitudes.created_at) AS first_offer_seconds
    FROM public.solicitudes
    LEFT JOIN first_offer ON first_offer.solicitud_id = solicitudes.id
    WHERE
        solicitudes.created_at >= timestamptz '2000-01-01 00:00:00-05'
        AND solicitudes.created_at < timestamptz '2100-01-01 00:00:00-05'
)

SELECT
    request.mes,
    request.nivel,
    count(*) AS solicitudes,
    count(request.first_offer_seconds) AS solicitudes_con_ofertas,
    count(*) FILTER (WHERE request.is_accepted) AS solicitudes_aceptadas,
    kpi_engine.percentage(
        count(*) - count(request.first_offer_seconds), count(*)
    ) AS tasa_fallo_pct,
    kpi_engine.percentage(
        count(*) FILTER (WHERE request.is_accepted), count(*)
    ) AS tasa_aceptacion_pct,
    round(kpi_engine.median_of_sorted(
        array_agg(request.first_offer_seconds ORDER BY request.first_offer_seconds)
        FILTER (WHERE request.first_offer_seconds IS NOT NULL)
    ), 2) AS ttfo_mediana_seg
FROM request
GROUP BY request.mes, request.nivel
