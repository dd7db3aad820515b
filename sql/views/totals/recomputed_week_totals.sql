-- Supply and demand of each local week.
--
-- Invariant: kept by group. The rate of each advisor is rounded before these are averaged: the one
-- place that rounds twice.

CREATE OR REPLACE VIEW kpi_engine.recomputed_week_totals AS
WITH demand AS (
    SELECT
        date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,
        count(*) AS requests,
        count(*) FILTER (WHERE solicitud_facts.offers > 0) AS requests_with_offers,
        sum(solicitud_facts.offers) AS offers,
        sum(solicitud_facts.offers_won) AS offers_won,
        sum(solicitud_facts.offers_accepted) AS offers_accepted
    FROM kpi_engine.solicitud_facts
    WHERE isfinite(solicitud_facts.local_day)
    GROUP BY 1
),

advisor AS (
    SELECT
        date_trunc('week', solicitud_facts.local_day::timestamp)::date AS semana,
        asesor.asesor_id,
        kpi_engine.percentage(
            sum(coalesce(asesor.offers_won, 0)), sum(coalesce(asesor.offers, 1))
        ) AS win_rate
    FROM kpi_engine.solicitud_facts
    CROSS JOIN
        LATERAL
        unnest(
            solicitud_facts.asesor_ids,
            solicitud_facts.asesor_offers,
            solicitud_facts.asesor_offers_won
        ) AS asesor (asesor_id, offers, offers_won)
    WHERE isfinite(solicitud_facts.local_day)
    GROUP BY 1, 2
),

supply AS (
    SELECT
        advisor.semana,
        count(*) AS asesores,
        sum(advisor.win_rate) AS win_rate_sum,
        kpi_engine.median_of_sorted(
            array_agg(advisor.win_rate ORDER BY advisor.win_rate)
        ) AS win_rate_median
    FROM advisor
    GROUP BY 1
)

SELECT
    demand.semana,
    demand.requests,
    demand.requests_with_offers,
    demand.offers,
    demand.offers_won,
    demand.offers_accepted,
    coalesce(supply.asesores, 0) AS asesores,
    supply.win_rate_sum,
    supply.win_rate_median
FROM demand
LEFT JOIN supply ON supply.semana = demand.semana;

COMMENT ON VIEW kpi_engine.recomputed_week_totals IS
'Requests, offers and advisors by local week of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.semana IS 'Monday of the week.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.requests IS 'Requests created in the week.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.requests_with_offers IS
'Of those, with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.offers IS 'Offers for its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.offers_won IS 'Of those, ever selected.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.offers_accepted IS 'Of those, ACEPTADA.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.asesores IS
'Distinct advisors with an offer for its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.win_rate_sum IS
'Sum over these advisors of 100 × won / offers, each with 2 decimals; NULL over none.';
COMMENT ON COLUMN kpi_engine.recomputed_week_totals.win_rate_median IS
'Exact median of these rates; NULL over none.';

REVOKE ALL ON kpi_engine.recomputed_week_totals FROM public;

SELECT kpi_engine.declare_derived_table(
    'week_totals', 'group', ARRAY['semana']
);
