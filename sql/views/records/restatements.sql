-- What changed in closed periods.
--
-- Shows kpi_engine.restatements. Comments come from there: make migrate copies them.
-- Invariant: of a KPI view only to who may read that view.

CREATE OR REPLACE VIEW analytics.restatements WITH (security_barrier) AS
SELECT
    restatements.restatement_id,
    restatements.view_name,
    restatements.period,
    restatements.column_name,
    restatements.row_key,
    restatements.reported,
    restatements.previous,
    restatements.current,
    restatements.difference,
    restatements.difference_pct,
    restatements.reported_at,
    restatements.since,
    restatements.run_id,
    restatements.requests_changed
FROM kpi_engine.restatements
WHERE has_table_privilege(
    to_regclass(format('analytics.%I', restatements.view_name)), 'SELECT'
) IS NOT FALSE;

REVOKE ALL ON analytics.restatements FROM public;
GRANT SELECT ON analytics.restatements TO analytics_lector, analytics_operador;
