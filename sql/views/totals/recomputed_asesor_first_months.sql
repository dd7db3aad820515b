-- Since when there are offers of each advisor.

CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_first_months AS
SELECT
    month_asesores.asesor_id,
    count(*) AS months,
    min(month_asesores.mes) AS first_mes
FROM kpi_engine.month_asesores
WHERE isfinite(month_asesores.mes)
GROUP BY month_asesores.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_first_months IS
'The first month of each advisor with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_first_months.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_first_months.months IS
'Months with a request that has an offer by this advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_first_months.first_mes IS 'The first of them.';

REVOKE ALL ON kpi_engine.recomputed_asesor_first_months FROM public;

SELECT kpi_engine.declare_derived_table(
    'asesor_first_months', 'difference', ARRAY['asesor_id'],
    p_extremes => '{"first_mes": "min"}'
);
