-- Notices about alerts, delivered or not.
--
-- Shows kpi_engine.alert_outbox. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.alert_outbox AS
SELECT
    alert_outbox.notice_id,
    alert_outbox.alert_id,
    alert_outbox.event,
    alert_outbox.severity,
    alert_outbox.message,
    alert_outbox.created_at,
    alert_outbox.delivered_to,
    alert_outbox.delivered_at,
    alert_outbox.attempts,
    alert_outbox.next_attempt_at,
    alert_outbox.last_error,
    alert_outbox.first_attempt_at
FROM kpi_engine.alert_outbox;

REVOKE ALL ON analytics.alert_outbox FROM public;
GRANT SELECT ON analytics.alert_outbox TO analytics_operador;
