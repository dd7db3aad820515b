-- What became of the targets.
--
-- Shows kpi_engine.target_results. Comments come from there: make migrate copies them.
-- Invariant: of a KPI view only to who may read that view.

CREATE OR REPLACE VIEW analytics.target_results WITH (security_barrier) AS
SELECT
    target_results.view_name,
    target_results.column_name,
    target_results.period,
    target_results.target,
    target_results.better,
    target_results.figure,
    target_results.is_missed,
    target_results.is_alert,
    target_results.run_id,
    target_results.noted_at
FROM kpi_engine.target_results
WHERE has_table_privilege(
    to_regclass(format('analytics.%I', target_results.view_name)), 'SELECT'
) IS NOT FALSE;

REVOKE ALL ON analytics.target_results FROM public;
GRANT SELECT ON analytics.target_results TO analytics_lector, analytics_operador;
