-- The monthly KPIs, all of history, as a good hand-written query: the requests are read
-- once and kept, which fits in memory at small and medium size but runs on one core.
--
-- The baseline of scripts/bench.py, which takes the fastest of these forms: straight from
-- the tables, numbers of the demo (no NaN, no NULL parent), distinct values by hashing.

WITH request AS MATERIALIZED (
    SELECT
        solicitudes.id,
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota') AS mes,
        solicitudes.cliente_id,
        solicitudes.estado,
        solicitudes.cliente_acepto,
        solicitudes.fecha_respuesta_cliente,
        solicitudes.created_at,
        solicitudes.updated_at
    FROM public.solicitudes
    WHERE
        solicitudes.created_at >= timestamptz '2000-01-01 00:00:00-05'
        AND solicitudes.created_at < timestamptz '2100-01-01 00:00:00-05'
),

request_month AS (
    SELECT
        request.mes,
        count(*) AS requests,
        count(*) FILTER (
            WHERE coalesce(
                request.cliente_acepto, request.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA')
            )
        ) AS accepted,
        count(*) FILTER (
            WHERE coalesce(
                NOT request.cliente_acepto, request.estado IN ('OFERTAS_RECHAZADAS', 'RECHAZADA')
            )
        ) AS rejected,
        count(*) FILTER (
            WHERE request.estado IN ('EXPIRADA', 'CERRADA_SIN_OFERTAS')
        ) AS expired,
        count(*) FILTER (WHERE request.estado = 'CERRADA_SIN_OFERTAS') AS without_offers,
        sum(
            extract(
                EPOCH FROM
                coalesce(request.fecha_respuesta_cliente, request.updated_at) - request.created_at
            )
        ) FILTER (
            WHERE request.estado IN (
                'OFERTAS_ACEPTADAS', 'OFERTAS_RECHAZADAS', 'ACEPTADA', 'RECHAZADA',
                'EXPIRADA', 'CERRADA_SIN_OFERTAS'
            )
        ) AS closing_seconds_sum,
        count(coalesce(request.fecha_respuesta_cliente, request.updated_at)) FILTER (
            WHERE request.estado IN (
                'OFERTAS_ACEPTADAS', 'OFERTAS_RECHAZADAS', 'ACEPTADA', 'RECHAZADA',
                'EXPIRADA', 'CERRADA_SIN_OFERTAS'
            )
        ) AS closing_seconds_count
    FROM request
    GROUP BY request.mes
),

client AS (
    SELECT DISTINCT
        request.mes,
        request.cliente_id
    FROM request
),

client_month AS (
    SELECT
        client.mes,
        count(client.cliente_id) AS clients
    FROM client
    GROUP BY client.mes
),

offer AS NOT MATERIALIZED (
    SELECT
        ofertas.id,
        request.mes,
        ofertas.asesor_id,
        ofertas.tiempo_entrega_dias,
        ofertas.estado
    FROM request
    INNER JOIN public.ofertas ON ofertas.solicitud_id = request.id
),

awarded_offer AS (
    SELECT DISTINCT adjudicaciones_repuesto.oferta_id
    FROM public.adjudicaciones_repuesto
),

offer_advisor AS (
    SELECT
        offer.mes,
        offer.asesor_id,
        count(*) AS offers,
        count(*) FILTER (
            WHERE
            offer.estado IN ('GANADORA', 'ACEPTADA')
            OR awarded_offer.oferta_id IS NOT NULL
        ) AS won,
        count(*) FILTER (WHERE offer.estado = 'ACEPTADA') AS accepted,
        sum(offer.tiempo_entrega_dias) AS delivery_days_sum,
        count(offer.tiempo_entrega_dias) AS delivery_days_count
    FROM offer
    LEFT JOIN awarded_offer ON awarded_offer.oferta_id = offer.id
    GROUP BY offer.mes, offer.asesor_id
),

offer_month AS (
    SELECT
        offer_advisor.mes,
        sum(offer_advisor.offers)::bigint AS offers,
        sum(offer_advisor.won)::bigint AS won,
        sum(offer_advisor.accepted)::bigint AS accepted,
        sum(offer_advisor.delivery_days_sum) AS delivery_days_sum,
        sum(offer_advisor.delivery_days_count) AS delivery_days_count,
        count(offer_advisor.asesor_id) AS advisors
    FROM offer_advisor
    GROUP BY offer_advisor.mes
),

line_month AS (
    SELECT
        offer.mes,
        sum(ofertas_detalle.precio_unitario) AS price_sum,
        count(ofertas_detalle.precio_unitario) AS price_count,
        min(ofertas_detalle.precio_unitario) AS price_minimum,
        max(ofertas_detalle.precio_unitario) AS price_maximum,
        sum(ofertas_detalle.garantia_meses) AS warranty_months_sum,
        count(ofertas_detalle.garantia_meses) AS warranty_months_count,
        sum(ofertas_detalle.precio_unitario * ofertas_detalle.cantidad) FILTER (
            WHERE offer.estado = 'ACEPTADA'
        ) AS accepted_amount
    FROM offer
    INNER JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = offer.id
    GROUP BY offer.mes
),

-- Spellings first: there are few, and only they are trimmed and upper-cased.
spelling AS (
    SELECT DISTINCT
        request.mes,
        repuestos_solicitados.marca_vehiculo
    FROM request
    INNER JOIN public.repuestos_solicitados ON repuestos_solicitados.solicitud_id = request.id
),

brand_month AS (
    SELECT
        spelling.mes,
        count(
            DISTINCT nullif(upper(kpi_engine.trim_white_space(spelling.marca_vehiculo)), '')
        ) AS brands
    FROM spelling
    GROUP BY spelling.mes
),

calendar AS (
    SELECT
        generate_series(
            min(request_month.mes), max(request_month.mes), interval '1 month'
        ) AS mes
    FROM request_month
)

SELECT
    calendar.mes::date AS mes,
    coalesce(request_month.requests, 0) AS solicitudes_creadas,
    coalesce(request_month.accepted, 0) AS solicitudes_aceptadas,
    coalesce(request_month.rejected, 0) AS solicitudes_rechazadas,
    coalesce(request_month.expired, 0) AS solicitudes_expiradas,
    coalesce(request_month.without_offers, 0) AS solicitudes_sin_ofertas,
    kpi_engine.rounded_quotient(
        request_month.closing_seconds_sum, request_month.closing_seconds_count
    ) AS tiempo_promedio_cierre_seg,
    coalesce(offer_month.offers, 0) AS ofertas_totales,
    coalesce(offer_month.won, 0) AS ofertas_ganadoras,
    coalesce(offer_month.accepted, 0) AS ofertas_aceptadas,
    kpi_engine.rounded_quotient(
        line_month.price_sum, line_month.price_count
    ) AS precio_promedio_ofertas,
    line_month.price_minimum AS precio_minimo_ofertas,
    line_month.price_maximum AS precio_maximo_ofertas,
    kpi_engine.rounded_quotient(
        offer_month.delivery_days_sum, offer_month.delivery_days_count
    ) AS tiempo_entrega_promedio,
    kpi_engine.rounded_quotient(
        line_month.warranty_months_sum, line_month.warranty_months_count
    ) AS garantia_promedio_meses,
    coalesce(client_month.clients, 0) AS clientes_activos,
    coalesce(offer_month.advisors, 0) AS asesores_activos,
    coalesce(brand_month.brands, 0) AS marcas_vehiculos_solicitadas,
    coalesce(line_month.accepted_amount, 0) AS volumen_transaccional_total,
    kpi_engine.percentage(
        request_month.accepted, request_month.requests
    ) AS tasa_aceptacion_pct,
    kpi_engine.percentage(
        offer_month.won, offer_month.offers
    ) AS tasa_conversion_ofertas_pct,
    coalesce(
        kpi_engine.rounded_quotient(offer_month.offers, request_month.requests), 0.00
    ) AS ofertas_promedio_por_solicitud
FROM calendar
LEFT JOIN request_month ON request_month.mes = calendar.mes
LEFT JOIN client_month ON client_month.mes = calendar.mes
LEFT JOIN offer_month ON offer_month.mes = calendar.mes
LEFT JOIN line_month ON line_month.mes = calendar.mes
LEFT JOIN brand_month ON brand_month.mes = calendar.mes
