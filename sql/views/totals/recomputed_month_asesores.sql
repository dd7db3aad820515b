-- Requests by month and advisor with an offer, by which distinct ones are counted.
--
-- Invariant: a key counts for a month while at least one of its requests has it, so a distinct
-- count moves by the keys that appear and vanish, whatever the month's size.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_asesores AS
SELECT
    solicitud_facts.mes,
    asesor.asesor_id,
    count(*)::integer AS requests
FROM kpi_engine.solicitud_facts
CROSS JOIN LATERAL unnest(solicitud_facts.asesor_ids) AS asesor (asesor_id)
GROUP BY solicitud_facts.mes, asesor.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_month_asesores IS
'Requests by month and advisor with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.mes IS 'The month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.asesor_id IS
'An advisor with an offer for one of its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_asesores.requests IS
'Requests of the month with an offer by this advisor.';

REVOKE ALL ON kpi_engine.recomputed_month_asesores FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_asesores', 'difference', ARRAY['mes', 'asesor_id'],
    -- For month_retention, which reads each month for the month after it.
    p_indexes => ARRAY['next_month: ((mes + interval ''1 month'')::date)']
);
