-- The funnel of the requests of each local day, as it is shown.
--
-- Invariant: kept by group: a changed request costs a reading of its day. Rates and medians are
-- rounded here, once for each day that changed: mv_embudo_operativo only shows them.

CREATE OR REPLACE VIEW kpi_engine.recomputed_day_totals AS
SELECT
    day.dia,
    day.requests,
    day.requests_with_offers,
    day.requests_awarded,
    day.requests_accepted,
    day.requests_rejected,
    day.requests_without_offers,
    day.requests_open,
    day.requests_escalated,
    kpi_engine.percentage(day.requests_with_offers, day.requests) AS offered_pct,
    kpi_engine.percentage(day.requests_awarded, day.requests_with_offers) AS awarded_pct,
    kpi_engine.percentage(
        day.requests_awarded_accepted, day.requests_awarded
    ) AS awarded_accepted_pct,
    kpi_engine.percentage(day.requests_accepted, day.requests) AS accepted_pct,
    kpi_engine.percentage(day.requests - day.requests_without_offers, day.requests) AS filled_pct,
    kpi_engine.percentage(day.requests_escalated, day.requests) AS escalated_pct,
    kpi_engine.rounded_quotient(
        day.first_offer_seconds_sum, day.first_offer_seconds_count
    ) AS first_offer_seconds_average,
    round(day.first_offer_seconds_median, 2) AS first_offer_seconds_median,
    round(day.evaluation_seconds_median, 2) AS evaluation_seconds_median,
    round(day.answer_seconds_median, 2) AS answer_seconds_median
FROM (
    SELECT
        solicitud_facts.local_day AS dia,
        count(*) AS requests,
        count(*) FILTER (WHERE solicitud_facts.offers > 0) AS requests_with_offers,
        count(*) FILTER (WHERE solicitud_facts.offers_won > 0) AS requests_awarded,
        count(*) FILTER (
            WHERE solicitud_facts.offers_won > 0 AND solicitud_facts.is_accepted
        ) AS requests_awarded_accepted,
        count(*) FILTER (WHERE solicitud_facts.is_accepted) AS requests_accepted,
        count(*) FILTER (WHERE solicitud_facts.is_rejected) AS requests_rejected,
        count(*) FILTER (
            WHERE solicitud_facts.estado = 'CERRADA_SIN_OFERTAS'
        ) AS requests_without_offers,
        count(*) FILTER (WHERE solicitud_facts.estado = 'ABIERTA') AS requests_open,
        count(*) FILTER (WHERE solicitud_facts.nivel_actual > 1) AS requests_escalated,
        sum(solicitud_facts.first_offer_seconds) AS first_offer_seconds_sum,
        count(solicitud_facts.first_offer_seconds) AS first_offer_seconds_count,
        kpi_engine.median_of_sorted(
            array_agg(
                solicitud_facts.first_offer_seconds ORDER BY solicitud_facts.first_offer_seconds
            ) FILTER (
                WHERE solicitud_facts.first_offer_seconds IS NOT NULL
            )
        ) AS first_offer_seconds_median,
        kpi_engine.median_of_sorted(
            array_agg(
                solicitud_facts.evaluation_seconds ORDER BY solicitud_facts.evaluation_seconds
            ) FILTER (
                WHERE solicitud_facts.evaluation_seconds IS NOT NULL
            )
        ) AS evaluation_seconds_median,
        kpi_engine.median_of_sorted(
            array_agg(
                solicitud_facts.answer_seconds ORDER BY solicitud_facts.answer_seconds
            ) FILTER (
                WHERE solicitud_facts.answer_seconds IS NOT NULL
            )
        ) AS answer_seconds_median
    FROM kpi_engine.solicitud_facts
    WHERE isfinite(solicitud_facts.local_day)
    GROUP BY solicitud_facts.local_day
) AS day;

COMMENT ON VIEW kpi_engine.recomputed_day_totals IS
'Requests by local day, by how far they came, and how long that took.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.dia IS 'The day.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests IS 'Requests created on the day.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_with_offers IS
'Of those, with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_awarded IS
'Of those, with an offer that was ever selected.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_accepted IS 'Accepted, awarded or not.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_rejected IS 'Rejected.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_without_offers IS
'With estado CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_open IS 'With estado ABIERTA.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.requests_escalated IS
'With a nivel_actual over 1.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.offered_pct IS
'100 × requests_with_offers / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.awarded_pct IS
'100 × requests_awarded / requests_with_offers; 0 over none.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.awarded_accepted_pct IS
'100 × awarded and accepted requests / requests_awarded; 0 over none.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.accepted_pct IS
'100 × requests_accepted / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.filled_pct IS
'100 × requests that were not closed without offers / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.escalated_pct IS
'100 × requests_escalated / requests.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.first_offer_seconds_average IS
'Average of first_offer_seconds; NULL over none.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.first_offer_seconds_median IS
'Median of first_offer_seconds; NULL over none.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.evaluation_seconds_median IS
'Median of evaluation_seconds; NULL over none.';
COMMENT ON COLUMN kpi_engine.recomputed_day_totals.answer_seconds_median IS
'Median of answer_seconds; NULL over none.';

REVOKE ALL ON kpi_engine.recomputed_day_totals FROM public;

SELECT kpi_engine.declare_derived_table(
    'day_totals', 'group', ARRAY['dia']
);
