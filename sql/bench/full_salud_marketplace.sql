-- Marketplace health, all of history, as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).

WITH awarded_offer AS (
    SELECT DISTINCT adjudicaciones_repuesto.oferta_id
    FROM public.adjudicaciones_repuesto
),

offer AS (
    SELECT
        date_trunc('week', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS semana,
        ofertas.asesor_id,
        count(*) AS offers,
        count(*) FILTER (
            WHERE
            ofertas.estado IN ('GANADORA', 'ACEPTADA') OR awarded_offer.oferta_id IS NOT NULL
        ) AS won,
        count(*) FILTER (WHERE ofertas.estado = 'ACEPTADA') AS accepted
    FROM public.solicitudes
    INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
    LEFT JOIN awarded_offer ON awarded_offer.oferta_id = ofertas.id
    GROUP BY 1, 2
),

supply AS (
    SELECT
        offer.semana,
        sum(offer.offers)::bigint AS offers,
        sum(offer.won) AS won,
        sum(offer.accepted) AS accepted,
        count(*) AS advisors,
        sum(kpi_engine.percentage(offer.won, offer.offers)) AS rate_sum,
        kpi_engine.median_of_sorted(
            array_agg(
                kpi_engine.percentage(offer.won, offer.offers)
                ORDER BY kpi_engine.percentage(offer.won, offer.offers)
            )
        ) AS rate_median
    FROM offer
    GROUP BY 1
),

offered AS (
    SELECT DISTINCT ofertas.solicitud_id
    FROM public.ofertas
),

demand AS (
    SELECT
        date_trunc('week', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS semana,
        count(*) AS requests,
        count(offered.solicitud_id) AS with_offers
    FROM public.solicitudes
    LEFT JOIN offered ON offered.solicitud_id = solicitudes.id
    WHERE
        solicitudes.created_at >= timestamptz '2000-01-01 00:00:00-05'
        AND solicitudes.created_at < timestamptz '2100-01-01 00:00:00-05'
    GROUP BY 1
),

registered AS (
    SELECT
        demand.semana,
        count(asesores.id) AS advisors
    FROM demand
    LEFT JOIN public.asesores
        ON
            (asesores.created_at AT TIME ZONE 'America/Bogota')::date <= demand.semana + 6
    GROUP BY 1
)

SELECT
    demand.semana,
    demand.requests AS solicitudes_creadas,
    demand.with_offers AS solicitudes_con_ofertas,
    coalesce(supply.offers, 0) AS ofertas_totales,
    coalesce(supply.advisors, 0) AS asesores_activos,
    registered.advisors AS asesores_registrados,
    kpi_engine.rounded_quotient(demand.requests, 7) AS solicitudes_diarias,
    kpi_engine.rounded_quotient(
        7 * coalesce(supply.advisors, 0), demand.requests
    ) AS ratio_oferta_demanda,
    coalesce(
        kpi_engine.rounded_quotient(supply.offers, demand.with_offers), 0.00
    ) AS densidad_ofertas,
    kpi_engine.percentage(supply.advisors, registered.advisors) AS tasa_participacion_pct,
    kpi_engine.rounded_quotient(
        supply.rate_sum, supply.advisors
    ) AS tasa_adjudicacion_promedio_pct,
    round(supply.rate_median, 2) AS tasa_adjudicacion_mediana_pct,
    kpi_engine.percentage(supply.accepted, supply.won) AS tasa_aceptacion_cliente_pct
FROM demand
LEFT JOIN supply ON supply.semana = demand.semana
LEFT JOIN registered ON registered.semana = demand.semana
