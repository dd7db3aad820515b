-- How the requests of each local month and level of escalation did.
--
-- Invariant: kept by group: a changed request costs a reading of its month.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_niveles AS
SELECT
    solicitud_facts.mes,
    solicitud_facts.nivel_actual AS nivel,
    count(*) AS requests,
    count(*) FILTER (WHERE solicitud_facts.offers > 0) AS requests_with_offers,
    count(*) FILTER (WHERE solicitud_facts.is_accepted) AS requests_accepted,
    kpi_engine.median_of_sorted(
        array_agg(
            solicitud_facts.first_offer_seconds ORDER BY solicitud_facts.first_offer_seconds
        ) FILTER (
            WHERE solicitud_facts.first_offer_seconds IS NOT NULL
        )
    ) AS first_offer_seconds_median
FROM kpi_engine.solicitud_facts
WHERE isfinite(solicitud_facts.mes) AND solicitud_facts.nivel_actual IS NOT NULL
GROUP BY solicitud_facts.mes, solicitud_facts.nivel_actual;

COMMENT ON VIEW kpi_engine.recomputed_month_niveles IS
'Requests by local month and level of escalation.';
COMMENT ON COLUMN kpi_engine.recomputed_month_niveles.mes IS 'The month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_niveles.nivel IS 'solicitudes.nivel_actual.';
COMMENT ON COLUMN kpi_engine.recomputed_month_niveles.requests IS
'Requests of the month at this level.';
COMMENT ON COLUMN kpi_engine.recomputed_month_niveles.requests_with_offers IS
'Of those, with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_month_niveles.requests_accepted IS 'Of those, accepted.';
COMMENT ON COLUMN kpi_engine.recomputed_month_niveles.first_offer_seconds_median IS
'Exact median of first_offer_seconds; NULL over none.';

REVOKE ALL ON kpi_engine.recomputed_month_niveles FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_niveles', 'group', ARRAY['mes', 'nivel']
);
