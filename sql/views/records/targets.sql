-- Targets of KPI columns.
--
-- Shows kpi_engine.targets. Comments come from there: make migrate copies them.
-- Invariant: of a KPI view only to who may read that view.

CREATE OR REPLACE VIEW analytics.targets WITH (security_barrier) AS
SELECT
    targets.target_id,
    targets.view_name,
    targets.column_name,
    targets.first_period,
    targets.value,
    targets.better,
    targets.set_by,
    targets.set_at,
    targets.first_set_at
FROM kpi_engine.targets
WHERE has_table_privilege(
    to_regclass(format('analytics.%I', targets.view_name)), 'SELECT'
) IS NOT FALSE;

REVOKE ALL ON analytics.targets FROM public;
GRANT SELECT ON analytics.targets TO analytics_lector, analytics_operador;
