-- Sums over the requests of each local month.
--
-- Invariant: kept by difference: every column but the lowest and the highest price is a sum or a
-- count. Requests without a month are summed under -infinity, and have no extremes.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_totals AS
SELECT
    solicitud_facts.mes,
    count(*) AS requests,
    count(*) FILTER (WHERE solicitud_facts.is_accepted) AS requests_accepted,
    count(*) FILTER (WHERE solicitud_facts.is_rejected) AS requests_rejected,
    count(*) FILTER (
        WHERE solicitud_facts.estado IN ('EXPIRADA', 'CERRADA_SIN_OFERTAS')
    ) AS requests_expired,
    count(*) FILTER (
        WHERE solicitud_facts.estado = 'CERRADA_SIN_OFERTAS'
    ) AS requests_without_offers,
    count(*) FILTER (WHERE solicitud_facts.estado = 'ABIERTA') AS requests_open,
    coalesce(sum(solicitud_facts.closing_seconds), 0) AS closing_seconds_sum,
    count(solicitud_facts.closing_seconds) AS closing_seconds_count,
    coalesce(sum(solicitud_facts.offers), 0) AS offers,
    coalesce(sum(solicitud_facts.offers_won), 0) AS offers_won,
    coalesce(sum(solicitud_facts.offers_accepted), 0) AS offers_accepted,
    coalesce(sum(solicitud_facts.offers_pending), 0) AS offers_pending,
    coalesce(sum(solicitud_facts.delivery_days_sum), 0) AS delivery_days_sum,
    coalesce(sum(solicitud_facts.delivery_days_count), 0) AS delivery_days_count,
    coalesce(sum(solicitud_facts.price_sum), 0) AS price_sum,
    coalesce(sum(solicitud_facts.price_count), 0) AS price_count,
    coalesce(sum(solicitud_facts.warranty_months_sum), 0) AS warranty_months_sum,
    coalesce(sum(solicitud_facts.warranty_months_count), 0) AS warranty_months_count,
    coalesce(sum(solicitud_facts.offered_amount), 0) AS offered_amount,
    coalesce(sum(solicitud_facts.awarded_amount), 0) AS awarded_amount,
    coalesce(sum(solicitud_facts.accepted_amount), 0) AS accepted_amount,
    coalesce(sum(solicitud_facts.awarded_accepted_amount), 0) AS awarded_accepted_amount,
    min(solicitud_facts.price_minimum) FILTER (
        WHERE isfinite(solicitud_facts.mes)
    ) AS price_minimum,
    max(solicitud_facts.price_maximum) FILTER (
        WHERE isfinite(solicitud_facts.mes)
    ) AS price_maximum
FROM kpi_engine.solicitud_facts
GROUP BY solicitud_facts.mes;

COMMENT ON VIEW kpi_engine.recomputed_month_totals IS
'Sums of the facts by local month of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.mes IS
'First day of the local month; -infinity for the requests that belong to no month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests IS 'Requests created in the month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests_accepted IS 'Of those, accepted.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests_rejected IS 'Of those, rejected.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests_expired IS
'Of those, with estado EXPIRADA or CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests_without_offers IS
'Of those, with estado CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests_open IS
'Of those, with estado ABIERTA.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.closing_seconds_sum IS
'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.closing_seconds_count IS 'Closed requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.offers IS 'Offers for its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.offers_won IS 'Of those, ever selected.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.offers_accepted IS 'Of those, ACEPTADA.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.offers_pending IS 'Of those, ENVIADA.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.delivery_days_sum IS 'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.delivery_days_count IS
'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.price_sum IS 'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.price_count IS 'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.warranty_months_sum IS
'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.warranty_months_count IS
'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.offered_amount IS 'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.awarded_amount IS 'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.accepted_amount IS 'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.awarded_accepted_amount IS
'Sum over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.price_minimum IS 'Lowest over its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_totals.price_maximum IS 'Highest over its requests.';

REVOKE ALL ON kpi_engine.recomputed_month_totals FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_totals', 'difference', ARRAY['mes'],
    p_extremes => '{"price_minimum": "min", "price_maximum": "max"}',
    p_fillfactor => 50
);
