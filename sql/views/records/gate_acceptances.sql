-- What operators let pass the gate.
--
-- Shows kpi_engine.gate_acceptances. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.gate_acceptances AS
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
    gate_acceptances.withdrawn_reason
FROM kpi_engine.gate_acceptances;

REVOKE ALL ON analytics.gate_acceptances FROM public;
GRANT SELECT ON analytics.gate_acceptances TO analytics_lector, analytics_operador;
