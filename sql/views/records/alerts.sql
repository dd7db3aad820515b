-- Problems that lasted, and those that still do.
--
-- Shows kpi_engine.alerts. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.alerts AS
SELECT
    alerts.alert_id,
    alerts.problem,
    alerts.severity,
    alerts.message,
    alerts.first_seen_at,
    alerts.last_seen_at,
    alerts.raised_at,
    alerts.cleared_at,
    alerts.subject,
    alerts.worse_at
FROM kpi_engine.alerts;

REVOKE ALL ON analytics.alerts FROM public;
GRANT SELECT ON analytics.alerts TO analytics_lector, analytics_operador;
