-- What was accepted of each advisor, of all time.
--
-- Invariant: of requests with a month only, so that all advisors have what all months have.

CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_accepted AS
SELECT
    asesor.asesor_id,
    count(*) AS requests,
    coalesce(sum(asesor.amount), 0) AS accepted_amount
FROM kpi_engine.solicitud_facts
CROSS JOIN
    LATERAL unnest(
        solicitud_facts.asesor_ids, solicitud_facts.asesor_accepted_amounts
    ) AS asesor (asesor_id, amount)
WHERE isfinite(solicitud_facts.local_day) AND asesor.amount IS NOT NULL
GROUP BY asesor.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_accepted IS
'Value of the accepted offers by advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_accepted.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_accepted.requests IS
'Requests in which the advisor has an accepted offer.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_accepted.accepted_amount IS
'Sum of precio_unitario × cantidad over the lines of the accepted offers, in pesos.';

REVOKE ALL ON kpi_engine.recomputed_asesor_accepted FROM public;

SELECT kpi_engine.declare_derived_table(
    'asesor_accepted', 'difference', ARRAY['asesor_id'], p_fillfactor => 50
);
