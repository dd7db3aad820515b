-- An alert that becomes unhealthy is told, and a notice is not given up before it was tried.

ALTER TABLE kpi_engine.alerts ADD COLUMN worse_at timestamptz;
COMMENT ON COLUMN kpi_engine.alerts.worse_at IS
'When it became unhealthy after its first notice said degraded; NULL: it did not.';

-- The table is small, and who reads the event knows the new one.
-- squawk-ignore ban-drop-constraint
ALTER TABLE kpi_engine.alert_outbox DROP CONSTRAINT alert_outbox_event_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE kpi_engine.alert_outbox ADD CONSTRAINT alert_outbox_event_check
CHECK (event IN ('raised', 'worse', 'cleared'));
ALTER TABLE kpi_engine.alert_outbox ADD COLUMN first_attempt_at timestamptz;
COMMENT ON TABLE kpi_engine.alert_outbox IS
'Notices about alerts: one when an alert is raised, one when it became unhealthy after that, one '
'when it is gone. scripts/notifier.py delivers them.';
COMMENT ON COLUMN kpi_engine.alert_outbox.event IS 'raised, worse or cleared.';
COMMENT ON COLUMN kpi_engine.alert_outbox.first_attempt_at IS
'When its delivery was first begun; NULL: not yet, or before this column.';
