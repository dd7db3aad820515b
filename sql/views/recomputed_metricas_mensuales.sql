-- The monthly KPIs computed from the source tables alone, all of history each time.
--
-- Invariant: every request, offer, line and part is counted once. Each one-to-many
-- relation is brought to one row per month by itself; they meet only there.
-- A cohort: offers, lines and parts belong to the local month of their request.

CREATE OR REPLACE VIEW analytics.recomputed_metricas_mensuales AS
WITH request AS (
    SELECT
        dated.id,
        date_trunc('month', dated.local_day)::date AS mes,
        dated.cliente_id,
        dated.estado,
        coalesce(
            dated.cliente_acepto, dated.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA')
        ) AS is_accepted,
        coalesce(
            NOT dated.cliente_acepto, dated.estado IN ('OFERTAS_RECHAZADAS', 'RECHAZADA')
        ) AS is_rejected,
        CASE
            WHEN dated.estado IN (
                'OFERTAS_ACEPTADAS', 'OFERTAS_RECHAZADAS', 'ACEPTADA', 'RECHAZADA',
                'EXPIRADA', 'CERRADA_SIN_OFERTAS'
            ) THEN extract(
                EPOCH FROM
                coalesce(dated.fecha_respuesta_cliente, dated.updated_at) - dated.created_at
            )
        END AS closing_seconds
    FROM (
        SELECT
            src_solicitudes.*,
            analytics.local_date(
                src_solicitudes.created_at, (SELECT analytics.setting('time_zone'))
            ) AS local_day
        FROM analytics.src_solicitudes
    ) AS dated
    WHERE dated.local_day BETWEEN date '2000-01-01' AND date '2099-12-31'
),

request_month AS (
    SELECT
        request.mes,
        count(*) AS solicitudes_creadas,
        count(*) FILTER (WHERE request.is_accepted) AS solicitudes_aceptadas,
        count(*) FILTER (WHERE request.is_rejected) AS solicitudes_rechazadas,
        count(*) FILTER (
            WHERE request.estado IN ('EXPIRADA', 'CERRADA_SIN_OFERTAS')
        ) AS solicitudes_expiradas,
        count(*) FILTER (
            WHERE request.estado = 'CERRADA_SIN_OFERTAS'
        ) AS solicitudes_sin_ofertas,
        sum(request.closing_seconds) AS closing_seconds_sum,
        count(request.closing_seconds) AS closing_seconds_count,
        count(DISTINCT request.cliente_id) AS clientes_activos
    FROM request
    GROUP BY request.mes
),

awarded_offer AS (
    SELECT DISTINCT src_adjudicaciones_repuesto.oferta_id AS id
    FROM analytics.src_adjudicaciones_repuesto
    WHERE src_adjudicaciones_repuesto.oferta_id IS NOT NULL
),

offer AS (
    SELECT
        src_ofertas.id,
        request.mes,
        src_ofertas.asesor_id,
        src_ofertas.tiempo_entrega_dias,
        coalesce(src_ofertas.estado = 'ACEPTADA', false) AS is_accepted,
        coalesce(src_ofertas.estado IN ('GANADORA', 'ACEPTADA'), false)
        OR awarded_offer.id IS NOT NULL AS is_winner
    FROM request
    INNER JOIN analytics.src_ofertas ON src_ofertas.solicitud_id = request.id
    LEFT JOIN awarded_offer ON awarded_offer.id = src_ofertas.id
),

offer_month AS (
    SELECT
        offer.mes,
        count(*) AS ofertas_totales,
        count(*) FILTER (WHERE offer.is_winner) AS ofertas_ganadoras,
        count(*) FILTER (WHERE offer.is_accepted) AS ofertas_aceptadas,
        sum(offer.tiempo_entrega_dias) AS delivery_days_sum,
        count(offer.tiempo_entrega_dias) AS delivery_days_count,
        count(DISTINCT offer.asesor_id) AS asesores_activos
    FROM offer
    GROUP BY offer.mes
),

line_month AS (
    SELECT
        offer.mes,
        sum(src_ofertas_detalle.precio_unitario) AS price_sum,
        count(src_ofertas_detalle.precio_unitario) AS price_count,
        min(src_ofertas_detalle.precio_unitario) AS price_minimum,
        max(src_ofertas_detalle.precio_unitario) AS price_maximum,
        sum(src_ofertas_detalle.garantia_meses) AS warranty_months_sum,
        count(src_ofertas_detalle.garantia_meses) AS warranty_months_count,
        sum(src_ofertas_detalle.precio_unitario * src_ofertas_detalle.cantidad) FILTER (
            WHERE offer.is_accepted
        ) AS accepted_amount
    FROM offer
    INNER JOIN analytics.src_ofertas_detalle ON src_ofertas_detalle.oferta_id = offer.id
    GROUP BY offer.mes
),

brand_month AS (
    SELECT
        branded.mes,
        count(DISTINCT branded.brand) AS marcas_vehiculos_solicitadas
    FROM (
        SELECT
            request.mes,
            nullif(
                upper(analytics.trim_white_space(src_repuestos_solicitados.marca_vehiculo)), ''
            ) AS brand
        FROM request
        INNER JOIN analytics.src_repuestos_solicitados
            ON src_repuestos_solicitados.solicitud_id = request.id
    ) AS branded
    GROUP BY branded.mes
),

calendar AS (
    SELECT
        generate_series(
            min(request_month.mes)::timestamp, max(request_month.mes)::timestamp, interval '1 month'
        )::date AS mes
    FROM request_month
)

SELECT
    calendar.mes,
    coalesce(request_month.solicitudes_creadas, 0) AS solicitudes_creadas,
    coalesce(request_month.solicitudes_aceptadas, 0) AS solicitudes_aceptadas,
    coalesce(request_month.solicitudes_rechazadas, 0) AS solicitudes_rechazadas,
    coalesce(request_month.solicitudes_expiradas, 0) AS solicitudes_expiradas,
    coalesce(request_month.solicitudes_sin_ofertas, 0) AS solicitudes_sin_ofertas,
    analytics.rounded_quotient(
        request_month.closing_seconds_sum, request_month.closing_seconds_count
    ) AS tiempo_promedio_cierre_seg,
    coalesce(offer_month.ofertas_totales, 0) AS ofertas_totales,
    coalesce(offer_month.ofertas_ganadoras, 0) AS ofertas_ganadoras,
    coalesce(offer_month.ofertas_aceptadas, 0) AS ofertas_aceptadas,
    analytics.rounded_quotient(
        line_month.price_sum, line_month.price_count
    ) AS precio_promedio_ofertas,
    line_month.price_minimum AS precio_minimo_ofertas,
    line_month.price_maximum AS precio_maximo_ofertas,
    analytics.rounded_quotient(
        offer_month.delivery_days_sum, offer_month.delivery_days_count
    ) AS tiempo_entrega_promedio,
    analytics.rounded_quotient(
        line_month.warranty_months_sum, line_month.warranty_months_count
    ) AS garantia_promedio_meses,
    coalesce(request_month.clientes_activos, 0) AS clientes_activos,
    coalesce(offer_month.asesores_activos, 0) AS asesores_activos,
    coalesce(brand_month.marcas_vehiculos_solicitadas, 0) AS marcas_vehiculos_solicitadas,
    coalesce(line_month.accepted_amount, 0) AS volumen_transaccional_total,
    analytics.percentage(
        request_month.solicitudes_aceptadas, request_month.solicitudes_creadas
    ) AS tasa_aceptacion_pct,
    analytics.percentage(
        offer_month.ofertas_ganadoras, offer_month.ofertas_totales
    ) AS tasa_conversion_ofertas_pct,
    coalesce(
        analytics.rounded_quotient(
            offer_month.ofertas_totales, request_month.solicitudes_creadas
        ), 0.00
    ) AS ofertas_promedio_por_solicitud
FROM calendar
LEFT JOIN request_month ON request_month.mes = calendar.mes
LEFT JOIN offer_month ON offer_month.mes = calendar.mes
LEFT JOIN line_month ON line_month.mes = calendar.mes
LEFT JOIN brand_month ON brand_month.mes = calendar.mes;

COMMENT ON VIEW analytics.recomputed_metricas_mensuales IS
'mv_metricas_mensuales computed from the source tables at this moment: slow, for the refresh '
'and for checking it.';

REVOKE ALL ON analytics.recomputed_metricas_mensuales FROM public;
