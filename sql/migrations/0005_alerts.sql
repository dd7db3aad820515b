-- Alerts: the state of each problem, and an outbox of notices about them.


CREATE TABLE kpi_engine.alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    problem text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('unhealthy', 'degraded')),
    message text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    raised_at timestamptz,
    cleared_at timestamptz,
    CONSTRAINT alerts_cleared_after_raised CHECK (cleared_at IS NULL OR raised_at IS NOT NULL)
);
CREATE UNIQUE INDEX alerts_open ON kpi_engine.alerts (problem) WHERE cleared_at IS NULL;
COMMENT ON TABLE kpi_engine.alerts IS
'Each streak of a problem of analytics.health_problems(), from when it was first seen until '
'it was gone.';
COMMENT ON COLUMN kpi_engine.alerts.alert_id IS 'Number of the streak.';
COMMENT ON COLUMN kpi_engine.alerts.problem IS 'Name of the problem, as in the HTTP API''s health.';
COMMENT ON COLUMN kpi_engine.alerts.severity IS 'unhealthy or degraded, as last seen.';
COMMENT ON COLUMN kpi_engine.alerts.message IS 'What is wrong and what to do, as last seen.';
COMMENT ON COLUMN kpi_engine.alerts.first_seen_at IS 'When it was first seen.';
COMMENT ON COLUMN kpi_engine.alerts.last_seen_at IS 'When it was last seen.';
COMMENT ON COLUMN kpi_engine.alerts.raised_at IS
'When it had lasted long enough for a notice; NULL before.';
COMMENT ON COLUMN kpi_engine.alerts.cleared_at IS 'When it was found to be gone; NULL: it is open.';

CREATE TABLE kpi_engine.alert_outbox (
    notice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES kpi_engine.alerts ON DELETE CASCADE,
    event text NOT NULL CHECK (event IN ('raised', 'cleared')),
    severity text NOT NULL,
    message text NOT NULL,
    created_at timestamptz NOT NULL,
    delivered_to text[] NOT NULL DEFAULT '{}',
    delivered_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error text,
    CONSTRAINT alert_outbox_once UNIQUE (alert_id, event)
);
CREATE INDEX alert_outbox_waiting ON kpi_engine.alert_outbox (notice_id) WHERE delivered_at IS NULL;
COMMENT ON TABLE kpi_engine.alert_outbox IS
'Notices about alerts: one when an alert is raised, one when it is gone. scripts/notifier.py '
'delivers them.';
COMMENT ON COLUMN kpi_engine.alert_outbox.notice_id IS 'Number of the notice.';
COMMENT ON COLUMN kpi_engine.alert_outbox.alert_id IS 'The alert it is about.';
COMMENT ON COLUMN kpi_engine.alert_outbox.event IS 'raised or cleared.';
COMMENT ON COLUMN kpi_engine.alert_outbox.severity IS 'As it was then.';
COMMENT ON COLUMN kpi_engine.alert_outbox.message IS 'As it was then.';
COMMENT ON COLUMN kpi_engine.alert_outbox.created_at IS 'When it was put here.';
COMMENT ON COLUMN kpi_engine.alert_outbox.attempts IS 'How often its delivery was begun.';
COMMENT ON COLUMN kpi_engine.alert_outbox.delivered_to IS
'Where it has arrived (webhook, email), so that another attempt spares these.';
COMMENT ON COLUMN kpi_engine.alert_outbox.delivered_at IS
'When it had arrived everywhere; NULL: not yet.';
COMMENT ON COLUMN kpi_engine.alert_outbox.next_attempt_at IS
'Nobody else takes it before: it is being delivered, or waits after a failure.';
COMMENT ON COLUMN kpi_engine.alert_outbox.last_error IS 'Why the last attempt failed.';
