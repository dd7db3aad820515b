-- What changed in closed periods.
--
-- Shows kpi_engine.restatements. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.restatements AS
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
FROM kpi_engine.restatements;

REVOKE ALL ON analytics.restatements FROM public;
GRANT SELECT ON analytics.restatements TO analytics_lector, analytics_operador;
