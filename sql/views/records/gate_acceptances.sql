-- What operators let pass the gate.
--
-- Shows kpi_engine.gate_acceptances. Comments come from there: make migrate copies them.
-- Invariant: of a KPI view only to who may read that view.

CREATE OR REPLACE VIEW analytics.gate_acceptances WITH (security_barrier) AS
SELECT
    gate_acceptances.acceptance_id,
    gate_acceptances.view_name,
    gate_acceptances.rule,
    gate_acceptances.column_name,
    gate_acceptances.period,
    gate_acceptances.before,
    gate_acceptances.after,
    gate_acceptances.how,
    gate_acceptances.reason,
    gate_acceptances.accepted_by,
    gate_acceptances.accepted_at,
    gate_acceptances.used_by_run,
    gate_acceptances.withdrawn_at,
    gate_acceptances.withdrawn_by,
    gate_acceptances.withdrawn_reason,
    gate_acceptances.held_at
FROM kpi_engine.gate_acceptances
WHERE has_table_privilege(
    to_regclass(format('analytics.%I', gate_acceptances.view_name)), 'SELECT'
) IS NOT FALSE;

REVOKE ALL ON analytics.gate_acceptances FROM public;
GRANT SELECT ON analytics.gate_acceptances TO analytics_lector, analytics_operador;
