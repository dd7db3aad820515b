-- The schedule: refreshes in the background, the state of ticks, alerts, usage.


CREATE TABLE kpi_engine.refresh_jobs (
    job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    triggered_by text NOT NULL CHECK (triggered_by IN ('schedule', 'request', 'lag')),
    slot_date date,
    slot_at timestamptz UNIQUE,
    state text NOT NULL DEFAULT 'QUEUED' CHECK (
        state IN ('QUEUED', 'RUNNING', 'SUCCESS', 'ERROR', 'MISSED')
    ),
    requested_by text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    finished_at timestamptz,
    run_id bigint,
    error text,
    force boolean NOT NULL DEFAULT false,
    run_after timestamptz,
    is_missed boolean NOT NULL DEFAULT false,
    pid integer,
    first_started_at timestamptz,
    is_void boolean NOT NULL DEFAULT false,
    CHECK ((triggered_by = 'schedule') = (slot_date IS NOT NULL)),
    CHECK ((slot_date IS NULL) = (slot_at IS NULL))
);
CREATE INDEX refresh_jobs_open ON kpi_engine.refresh_jobs (job_id)
WHERE state IN ('QUEUED', 'RUNNING');
-- Asking again while one waits finds the same job.
CREATE UNIQUE INDEX refresh_jobs_one_request ON kpi_engine.refresh_jobs (force)
WHERE state = 'QUEUED' AND triggered_by = 'request' AND attempts = 0;
COMMENT ON TABLE kpi_engine.refresh_jobs IS
'Refreshes for the background: queued by analytics.tick() or on request, run by '
'analytics.work(). A slot of the daily refresh has one row (slot_at is unique).';
COMMENT ON COLUMN kpi_engine.refresh_jobs.job_id IS 'Number of the job.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.triggered_by IS
'schedule: the daily slot; request: asked for; lag: changes waited for as long as the setting '
'target_lag allows.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.slot_date IS
'Local day (setting schedule_time_zone) of the slot; NULL if it is no daily refresh.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.slot_at IS 'The instant the slot stood for.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.state IS
'QUEUED, RUNNING, SUCCESS, ERROR, or MISSED: a slot that a later one makes up for.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.requested_by IS 'Database user who queued it.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.requested_at IS 'When it was queued.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.attempts IS
'How often it was started: again after a failure, and when its session died.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.started_at IS 'Start of the last attempt.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.finished_at IS 'End of the last attempt.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.run_id IS 'Its run in analytics.refresh_log.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.error IS 'What failed, or NULL.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.force IS
'True where everything is to be computed again from the source.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.run_after IS
'A retry waits until then; NULL: as soon as can be.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.is_missed IS
'True where the slot came to be seen later than the setting schedule_grace_minutes allows.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.pid IS
'Process of the server that runs, or last ran, the job.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.first_started_at IS 'Start of the first attempt.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.is_void IS
'True where a tick found the slot in the future, so that one clock or the other was wrong: the '
'slot is not done by this row.';


CREATE TABLE kpi_engine.scheduler_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    scheduled_since timestamptz NOT NULL,
    last_tick_at timestamptz,
    schedule_changed_at timestamptz,
    last_trimmed_at timestamptz,
    usage_watched_at timestamptz,
    refresh_seen_at timestamptz,
    refresh_cancelled_at timestamptz,
    ticked_for timestamptz,
    clock_fault_at timestamptz,
    clock_fault text,
    scheduled_instead timestamptz,
    trimmed_as_of timestamptz,
    lock_holder_pid integer,
    lock_holder_since timestamptz,
    no_changes_at timestamptz
);
COMMENT ON TABLE kpi_engine.scheduler_state IS
'One row: since when the daily slot counts, and the last tick.';
COMMENT ON COLUMN kpi_engine.scheduler_state.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN kpi_engine.scheduler_state.scheduled_since IS
'Slots before this instant are not due: an installation at noon does not make up for 01:00.';
COMMENT ON COLUMN kpi_engine.scheduler_state.last_tick_at IS
'Last analytics.tick(), by the wall clock; NULL before the first.';
COMMENT ON COLUMN kpi_engine.scheduler_state.schedule_changed_at IS
'When the time or the zone of the daily refresh was last changed; NULL: never.';
COMMENT ON COLUMN kpi_engine.scheduler_state.last_trimmed_at IS
'When the logs were last trimmed, by the wall clock; NULL before the first time.';
COMMENT ON COLUMN kpi_engine.scheduler_state.usage_watched_at IS
'When usage was last looked at; NULL before the first time.';
COMMENT ON COLUMN kpi_engine.scheduler_state.refresh_seen_at IS
'Last tick that saw a refresh at work; NULL before the first.';
COMMENT ON COLUMN kpi_engine.scheduler_state.refresh_cancelled_at IS
'When a tick last cancelled a refresh that took too long, by the wall clock; NULL: never.';
COMMENT ON COLUMN kpi_engine.scheduler_state.ticked_for IS
'What the last tick took for now (analytics.now()); NULL before the first.';
COMMENT ON COLUMN kpi_engine.scheduler_state.clock_fault_at IS
'When a tick last found stamps in the future, by analytics.now(); NULL: never.';
COMMENT ON COLUMN kpi_engine.scheduler_state.clock_fault IS 'Which stamps these were.';
COMMENT ON COLUMN kpi_engine.scheduler_state.scheduled_instead IS
'Takes the place of scheduled_since and schedule_changed_at while they are in the future: the '
'first tick that saw them so; NULL while they are not.';
COMMENT ON COLUMN kpi_engine.scheduler_state.trimmed_as_of IS
'What the last trimming of the logs took for now: at most a day later than the one before.';
COMMENT ON COLUMN kpi_engine.scheduler_state.lock_holder_pid IS
'Process that held the refresh lock at the last tick without being a refresh; NULL: none did.';
COMMENT ON COLUMN kpi_engine.scheduler_state.lock_holder_since IS
'First tick that saw it so, by the wall clock.';
COMMENT ON COLUMN kpi_engine.scheduler_state.no_changes_at IS
'Last tick that saw no pending change; NULL before the first. A change that is pending now was '
'committed later.';

INSERT INTO kpi_engine.scheduler_state (scheduled_since) VALUES (clock_timestamp());


CREATE TABLE kpi_engine.alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    problem text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('unhealthy', 'degraded')),
    message text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    raised_at timestamptz,
    cleared_at timestamptz,
    subject text NOT NULL DEFAULT '',
    CONSTRAINT alerts_cleared_after_raised CHECK (cleared_at IS NULL OR raised_at IS NOT NULL)
);
CREATE UNIQUE INDEX alerts_open ON kpi_engine.alerts (problem, subject) WHERE cleared_at IS NULL;
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
COMMENT ON COLUMN kpi_engine.alerts.subject IS
'What the alert is about, where a problem has one alert for each: of target_missed, view, column '
'and period. Empty: the problem has one alert at a time.';


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
COMMENT ON COLUMN kpi_engine.alert_outbox.delivered_to IS
'Where it has arrived (webhook, email:ana@example.com), so that another attempt spares these.';
COMMENT ON COLUMN kpi_engine.alert_outbox.delivered_at IS
'When it had arrived everywhere; NULL: not yet.';
COMMENT ON COLUMN kpi_engine.alert_outbox.attempts IS 'How often its delivery was begun.';
COMMENT ON COLUMN kpi_engine.alert_outbox.next_attempt_at IS
'Nobody else takes it before: it is being delivered, or waits after a failure; infinity: given up.';
COMMENT ON COLUMN kpi_engine.alert_outbox.last_error IS 'Why the last attempt failed.';


CREATE TABLE kpi_engine.usage_watched (
    kind text NOT NULL CHECK (kind IN ('view', 'index', 'endpoint')),
    name text NOT NULL,
    object_id oid NOT NULL,
    watched_since timestamptz NOT NULL,
    counter bigint NOT NULL,
    own_scans bigint NOT NULL,
    PRIMARY KEY (kind, name)
);
COMMENT ON TABLE kpi_engine.usage_watched IS
'Whose use is watched: materialized views, their indexes that are not unique, functions of the '
'HTTP API; and how far PostgreSQL''s statistics were read.';
COMMENT ON COLUMN kpi_engine.usage_watched.kind IS 'view, index or endpoint.';
COMMENT ON COLUMN kpi_engine.usage_watched.name IS
'Name of the view or index in schema analytics, or of the function in schema api.';
COMMENT ON COLUMN kpi_engine.usage_watched.object_id IS
'Its oid when it was last looked at: one that was built again counts from 0.';
COMMENT ON COLUMN kpi_engine.usage_watched.watched_since IS 'When it was first looked at.';
COMMENT ON COLUMN kpi_engine.usage_watched.counter IS
'Scans or calls in the statistics when it was last looked at.';
COMMENT ON COLUMN kpi_engine.usage_watched.own_scans IS
'Scans by refreshes that the statistics had not shown yet then.';


CREATE TABLE kpi_engine.usage_by_hour (
    kind text NOT NULL CHECK (kind IN ('view', 'index', 'endpoint', 'source table')),
    name text NOT NULL,
    hour timestamptz NOT NULL,
    uses bigint NOT NULL CHECK (uses > 0),
    PRIMARY KEY (kind, name, hour)
);
COMMENT ON TABLE kpi_engine.usage_by_hour IS
'How often something was used, by the hour in which that was noted; no row: not at all. What '
'refreshes do themselves is left out, but for source tables, where it is all that counts.';
COMMENT ON COLUMN kpi_engine.usage_by_hour.kind IS
'view, index or endpoint, as in kpi_engine.usage_watched; source table: an operational table.';
COMMENT ON COLUMN kpi_engine.usage_by_hour.name IS 'Its name; of a source table with its schema.';
COMMENT ON COLUMN kpi_engine.usage_by_hour.hour IS 'Start of the hour.';
COMMENT ON COLUMN kpi_engine.usage_by_hour.uses IS
'Scans by readers of a view or through an index, calls of an endpoint, scans of a whole source '
'table by incremental refreshes.';


-- Append-only, as the change log: a refresh must not wait for a tick, nor a tick for a refresh.
CREATE TABLE kpi_engine.own_scans (
    relation oid NOT NULL,
    scans bigint NOT NULL
);
ALTER TABLE kpi_engine.own_scans REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.own_scans IS
'Scans that refreshes did themselves, until kpi_engine.watch_usage() takes them off what the '
'statistics show.';
COMMENT ON COLUMN kpi_engine.own_scans.relation IS 'Materialized view or source table.';
COMMENT ON COLUMN kpi_engine.own_scans.scans IS 'How many.';


CREATE TABLE kpi_engine.trimmed_counts (
    metric text NOT NULL,
    labels jsonb NOT NULL,
    number numeric NOT NULL,
    PRIMARY KEY (metric, labels)
);
COMMENT ON TABLE kpi_engine.trimmed_counts IS
'What the counters of GET /metrics had counted in lines that are trimmed now: a counter never '
'falls.';
COMMENT ON COLUMN kpi_engine.trimmed_counts.metric IS 'Name of the counter, without prefix.';
COMMENT ON COLUMN kpi_engine.trimmed_counts.labels IS 'Its labels.';
COMMENT ON COLUMN kpi_engine.trimmed_counts.number IS 'Its value in the trimmed lines.';
