-- Requests by month and advisor with an offer, by which distinct ones are counted.
--
-- Invariant: a key counts for a month while at least one of its requests has it, so a distinct
-- count moves by the keys that appear and vanish, whatever the month's size. Each request counts in
-- the month after its own, too, so that a row says by itself whether the advisor stayed.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_asesores AS
SELECT
    counted.mes,
    counted.asesor_id,
    sum(counted.requests)::integer AS requests,
    sum(counted.requests_before)::integer AS requests_before
FROM (
    SELECT
        period.mes,
        asesor.asesor_id,
        period.requests,
        period.requests_before
    FROM kpi_engine.solicitud_facts
    CROSS JOIN LATERAL unnest(solicitud_facts.asesor_ids) AS asesor (asesor_id)
    CROSS JOIN LATERAL (
        VALUES
        (solicitud_facts.mes, 1, 0),
        ((solicitud_facts.mes + interval '1 month')::date, 0, 1)
    ) AS period (mes, requests, requests_before)
) AS counted
GROUP BY counted.mes, counted.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_month_asesores IS
'Requests by month and advisor with an offer, in the month and in the month before.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.mes IS 'The month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.asesor_id IS
'An advisor with an offer for a request of this month or of the month before.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.requests IS
'Requests of the month with an offer by this advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.requests_before IS
'Requests of the month before with an offer by this advisor.';

REVOKE ALL ON kpi_engine.recomputed_month_asesores FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_asesores', 'difference', ARRAY['mes', 'asesor_id']
);
