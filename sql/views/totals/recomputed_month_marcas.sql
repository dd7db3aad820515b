-- Requests by month and vehicle brand, by which distinct ones are counted.
--
-- Invariant: a key counts for a month while at least one of its requests has it, so a distinct
-- count moves by the keys that appear and vanish, whatever the month's size.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_marcas AS
SELECT
    solicitud_facts.mes,
    part.marca,
    count(*)::integer AS requests
FROM kpi_engine.solicitud_facts
CROSS JOIN LATERAL unnest(solicitud_facts.marcas) AS part (marca)
GROUP BY solicitud_facts.mes, part.marca;

COMMENT ON VIEW kpi_engine.recomputed_month_marcas IS
'Requests by month and vehicle brand.';
COMMENT ON COLUMN kpi_engine.recomputed_month_marcas.mes IS 'The month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_marcas.marca IS
'A vehicle brand of a part of one of its requests, trimmed and upper-cased.';
COMMENT ON COLUMN kpi_engine.recomputed_month_marcas.requests IS
'Requests of the month with a part of this brand.';

REVOKE ALL ON kpi_engine.recomputed_month_marcas FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_marcas', 'difference', ARRAY['mes', 'marca']
);
