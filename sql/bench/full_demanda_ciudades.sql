-- Demand by city, all of history, as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).

WITH award AS (
    SELECT
        adjudicaciones_repuesto.oferta_id,
        array_agg(adjudicaciones_repuesto.repuesto_solicitado_id) AS parts
    FROM public.adjudicaciones_repuesto
    GROUP BY adjudicaciones_repuesto.oferta_id
),

-- Few spellings in many requests.
city AS MATERIALIZED (
    SELECT
        spelling.ciudad_origen,
        analytics.city_key(spelling.ciudad_origen) AS ciudad_key
    FROM (SELECT DISTINCT solicitudes.ciudad_origen FROM public.solicitudes) AS spelling
),

first_offer AS (
    SELECT
        ofertas.solicitud_id,
        min(ofertas.created_at) AS made_at
    FROM public.ofertas
    GROUP BY ofertas.solicitud_id
),

request AS (
    SELECT
        solicitudes.id,
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
        city.ciudad_key,
        solicitudes.ciudad_origen,
        coalesce(
            solicitudes.cliente_acepto, solicitudes.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA')
        ) AS is_accepted,
        extract(EPOCH FROM first_offer.made_at - solicitudes.created_at) AS first_offer_seconds
    FROM public.solicitudes
    INNER JOIN city ON city.ciudad_origen = solicitudes.ciudad_origen
    LEFT JOIN first_offer ON first_offer.solicitud_id = solicitudes.id
    WHERE
        solicitudes.created_at >= timestamptz '2000-01-01 00:00:00-05'
        AND solicitudes.created_at < timestamptz '2100-01-01 00:00:00-05'
        AND city.ciudad_key <> ''
),

request_city AS (
    SELECT
        request.mes,
        request.ciudad_key,
        mode() WITHIN GROUP (
            ORDER BY request.ciudad_origen COLLATE pg_catalog."C" -- noqa: RF01
        ) COLLATE pg_catalog."default" AS ciudad, -- noqa: RF01
        count(*) AS requests,
        count(request.first_offer_seconds) AS with_offers,
        count(*) FILTER (WHERE request.is_accepted) AS accepted,
        kpi_engine.median_of_sorted(
            array_agg(request.first_offer_seconds ORDER BY request.first_offer_seconds)
            FILTER (WHERE request.first_offer_seconds IS NOT NULL)
        ) AS first_median
    FROM request
    GROUP BY request.mes, request.ciudad_key
),

advisor_city AS (
    SELECT
        offer.mes,
        offer.ciudad_key,
        sum(offer.offers)::bigint AS offers,
        count(*) AS advisors
    FROM (
        SELECT
            request.mes,
            request.ciudad_key,
            ofertas.asesor_id,
            count(*) AS offers
        FROM request
        INNER JOIN public.ofertas ON ofertas.solicitud_id = request.id
        GROUP BY request.mes, request.ciudad_key, ofertas.asesor_id
    ) AS offer
    GROUP BY offer.mes, offer.ciudad_key
),

amount_city AS (
    SELECT
        request.mes,
        request.ciudad_key,
        sum(ofertas_detalle.precio_unitario * ofertas_detalle.cantidad) AS amount
    FROM request
    INNER JOIN public.ofertas
        ON ofertas.solicitud_id = request.id AND ofertas.estado = 'ACEPTADA'
    LEFT JOIN award ON award.oferta_id = ofertas.id
    INNER JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = ofertas.id
    WHERE
        award.oferta_id IS NULL
        OR award.parts @> ARRAY[ofertas_detalle.repuesto_solicitado_id]
    GROUP BY request.mes, request.ciudad_key
)

SELECT
    request_city.mes,
    request_city.ciudad_key,
    request_city.ciudad,
    request_city.requests AS solicitudes,
    request_city.with_offers AS solicitudes_con_ofertas,
    request_city.accepted AS solicitudes_aceptadas,
    coalesce(advisor_city.offers, 0) AS ofertas,
    coalesce(advisor_city.advisors, 0) AS asesores_activos,
    kpi_engine.percentage(
        request_city.with_offers, request_city.requests
    ) AS conversion_oferta_pct,
    kpi_engine.percentage(request_city.accepted, request_city.requests) AS tasa_aceptacion_pct,
    coalesce(
        kpi_engine.rounded_quotient(advisor_city.offers, request_city.requests), 0.00
    ) AS ofertas_por_solicitud,
    coalesce(amount_city.amount, 0) AS valor_bruto_aceptado,
    round(request_city.first_median, 2) AS ttfo_mediana_seg
FROM request_city
LEFT JOIN advisor_city
    ON
        advisor_city.mes = request_city.mes
        AND advisor_city.ciudad_key = request_city.ciudad_key
LEFT JOIN amount_city
    ON
        amount_city.mes = request_city.mes
        AND amount_city.ciudad_key = request_city.ciudad_key
ORDER BY request_city.mes, request_city.ciudad_key COLLATE "C" -- noqa: RF02, RF03
