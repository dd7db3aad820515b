-- Supply and demand of each local week.
--
-- Invariant: kept by group. Each request comes once for each of its advisors, and is counted at the
-- first. The rate of each advisor is rounded before these are averaged: the one place that rounds
-- twice.

CREATE OR REPLACE VIEW kpi_engine.recomputed_week_totals AS
SELECT
    advisor.semana,
    sum(advisor.requests)::bigint AS requests,
    sum(advisor.requests_with_offers)::bigint AS requests_with_offers,
    sum(advisor.offers)::bigint AS offers,
    sum(advisor.offers_won)::bigint AS offers_won,
    sum(advisor.offers_accepted)::bigint AS offers_accepted,
    count(advisor.asesor_id) AS asesores,
    sum(advisor.win_rate) AS win_rate_sum,
    kpi_engine.median_of_sorted(
        array_agg(advisor.win_rate ORDER BY advisor.win_rate) FILTER (
            WHERE advisor.asesor_id IS NOT NULL
        )
    ) AS win_rate_median
FROM (
    SELECT
        date_trunc('week', request.local_day::timestamp)::date AS semana,
        request.asesor_id,
        count(*) FILTER (WHERE request.is_first) AS requests,
        count(*) FILTER (WHERE request.is_first AND request.offers > 0) AS requests_with_offers,
        coalesce(sum(request.offers) FILTER (WHERE request.is_first), 0) AS offers,
        coalesce(sum(request.offers_won) FILTER (WHERE request.is_first), 0) AS offers_won,
        coalesce(
            sum(request.offers_accepted) FILTER (WHERE request.is_first), 0
        ) AS offers_accepted,
        CASE WHEN request.asesor_id IS NOT NULL THEN kpi_engine.percentage(
            sum(request.asesor_offers_won), sum(request.asesor_offers)
        ) END AS win_rate
    FROM (
        SELECT
            solicitud_facts.local_day,
            solicitud_facts.offers,
            solicitud_facts.offers_won,
            solicitud_facts.offers_accepted,
            asesor.asesor_id,
            coalesce(asesor.offers, 1) AS asesor_offers,
            coalesce(asesor.offers_won, 0) AS asesor_offers_won,
            coalesce(asesor.place, 1) = 1 AS is_first
        FROM kpi_engine.solicitud_facts
        LEFT JOIN
            LATERAL unnest(
                solicitud_facts.asesor_ids,
                solicitud_facts.asesor_offers,
                solicitud_facts.asesor_offers_won
            ) WITH ORDINALITY AS asesor (asesor_id, offers, offers_won, place)
            ON true
        WHERE isfinite(solicitud_facts.local_day)
    ) AS request
    GROUP BY date_trunc('week', request.local_day::timestamp)::date, request.asesor_id
) AS advisor
GROUP BY advisor.semana;

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
