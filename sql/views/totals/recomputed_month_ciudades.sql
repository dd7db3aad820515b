-- Demand and supply of each local month and city of the request, as it is shown.
--
-- Invariant: kept by group. A request without a city key belongs to no city. Each request comes
-- once for each of its advisors, and is counted at the first. Rates and medians are rounded here,
-- once for each group that changed: mv_demanda_ciudades only shows them.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_ciudades AS
SELECT
    demand.mes,
    demand.ciudad_key,
    demand.ciudad,
    demand.requests,
    demand.requests_with_offers,
    demand.requests_accepted,
    demand.offers,
    demand.asesores,
    kpi_engine.percentage(demand.requests_with_offers, demand.requests) AS offered_pct,
    kpi_engine.percentage(demand.requests_accepted, demand.requests) AS accepted_pct,
    coalesce(
        kpi_engine.rounded_quotient(demand.offers, demand.requests), 0.00
    ) AS offers_per_request,
    demand.awarded_accepted_amount,
    round(demand.first_offer_seconds_median, 2) AS first_offer_seconds_median
FROM (
    SELECT
        request.mes,
        request.ciudad_key,
        -- Of equally frequent spellings the first in its order: that of the bytes.
        mode() WITHIN GROUP (
            ORDER BY request.ciudad COLLATE pg_catalog."C" -- noqa: RF01
        ) FILTER (WHERE request.is_first) COLLATE pg_catalog."default" AS ciudad, -- noqa: RF01
        count(*) FILTER (WHERE request.is_first) AS requests,
        count(*) FILTER (WHERE request.is_first AND request.offers > 0) AS requests_with_offers,
        count(*) FILTER (WHERE request.is_first AND request.is_accepted) AS requests_accepted,
        coalesce(sum(request.offers) FILTER (WHERE request.is_first), 0) AS offers,
        count(DISTINCT request.asesor_id) AS asesores,
        coalesce(
            sum(request.awarded_accepted_amount) FILTER (WHERE request.is_first), 0
        ) AS awarded_accepted_amount,
        kpi_engine.median_of_sorted(
            array_agg(request.first_offer_seconds ORDER BY request.first_offer_seconds) FILTER (
                WHERE request.is_first AND request.first_offer_seconds IS NOT NULL
            )
        ) AS first_offer_seconds_median
    FROM (
        SELECT
            solicitud_facts.mes,
            solicitud_facts.ciudad_key,
            solicitud_facts.ciudad,
            solicitud_facts.offers,
            solicitud_facts.is_accepted,
            solicitud_facts.awarded_accepted_amount,
            solicitud_facts.first_offer_seconds,
            asesor.asesor_id,
            coalesce(asesor.place, 1) = 1 AS is_first
        FROM kpi_engine.solicitud_facts
        LEFT JOIN
            LATERAL unnest(solicitud_facts.asesor_ids) WITH ORDINALITY
                AS asesor (asesor_id, place)
            ON true
        WHERE isfinite(solicitud_facts.mes) AND solicitud_facts.ciudad_key <> ''
    ) AS request
    GROUP BY request.mes, request.ciudad_key
) AS demand;

COMMENT ON VIEW kpi_engine.recomputed_month_ciudades IS
'Requests, offers and advisors by local month and city of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.mes IS 'The month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.ciudad_key IS
'City key of solicitudes.ciudad_origen.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.ciudad IS
'The most frequent spelling of ciudad_origen; of equally frequent ones the first by bytes.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.requests IS
'Requests of the month in the city.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.requests_with_offers IS
'Of those, with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.requests_accepted IS 'Of those, accepted.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.offers IS 'Offers for them.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.asesores IS
'Distinct advisors with an offer for them.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.offered_pct IS
'100 × requests_with_offers / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.accepted_pct IS
'100 × requests_accepted / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.offers_per_request IS 'offers / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.awarded_accepted_amount IS
'Sum over them, in pesos.';
COMMENT ON COLUMN kpi_engine.recomputed_month_ciudades.first_offer_seconds_median IS
'Median of first_offer_seconds; NULL over none.';

REVOKE ALL ON kpi_engine.recomputed_month_ciudades FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_ciudades', 'group', ARRAY['mes', 'ciudad_key']
);
