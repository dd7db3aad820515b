-- What the gate holds back.
--
-- Shows kpi_engine.gate_holds. Comments come from there: make migrate copies them.
-- Invariant: of a KPI view only to who may read that view.

CREATE OR REPLACE VIEW analytics.gate_holds WITH (security_barrier) AS
SELECT
    gate_holds.hold_id,
    gate_holds.view_name,
    gate_holds.rule,
    gate_holds.column_name,
    gate_holds.period,
    gate_holds.before,
    gate_holds.after,
    gate_holds.allowed,
    gate_holds.run_id,
    gate_holds.held_at
FROM kpi_engine.gate_holds
WHERE has_table_privilege(
    to_regclass(format('analytics.%I', gate_holds.view_name)), 'SELECT'
) IS NOT FALSE;

REVOKE ALL ON analytics.gate_holds FROM public;
GRANT SELECT ON analytics.gate_holds TO analytics_lector, analytics_operador;
