-- Usage of the views, for advice; counters that go on when logs are trimmed; jobs that know
-- their session; indexes for what a tick asks of the logs.


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
COMMENT ON TABLE kpi_engine.own_scans IS
'Scans that refreshes did themselves, until kpi_engine.watch_usage() takes them off what the '
'statistics show.';
COMMENT ON COLUMN kpi_engine.own_scans.relation IS 'Materialized view or source table.';
COMMENT ON COLUMN kpi_engine.own_scans.scans IS 'How many.';

ALTER TABLE kpi_engine.scheduler_state ADD COLUMN usage_watched_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.usage_watched_at IS
'When usage was last looked at; NULL before the first time.';

ALTER TABLE kpi_engine.scheduler_state ADD COLUMN refresh_seen_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.refresh_seen_at IS
'Last tick that saw a refresh at work; NULL before the first.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN refresh_cancelled_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.refresh_cancelled_at IS
'When a tick last cancelled a refresh that took too long, by the wall clock; NULL: never.';


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


ALTER TABLE kpi_engine.refresh_jobs ADD COLUMN pid integer;
COMMENT ON COLUMN kpi_engine.refresh_jobs.pid IS
'Process of the server that runs, or last ran, the job.';
ALTER TABLE kpi_engine.refresh_jobs ADD COLUMN first_started_at timestamptz;
COMMENT ON COLUMN kpi_engine.refresh_jobs.first_started_at IS 'Start of the first attempt.';
UPDATE kpi_engine.refresh_jobs SET first_started_at = started_at;
COMMENT ON TABLE kpi_engine.refresh_jobs IS
'Refreshes for the background: queued by analytics.tick() or on request, run by '
'analytics.work(). A slot of the daily refresh has one row (slot_at is unique).';
COMMENT ON COLUMN kpi_engine.refresh_jobs.attempts IS
'How often it was started: again after a failure, and when its session died.';

CREATE INDEX refresh_log_successes ON kpi_engine.refresh_log (mode, log_id DESC)
WHERE view_name IS NULL AND refresh_status = 'SUCCESS';

COMMENT ON COLUMN kpi_engine.alert_outbox.delivered_to IS
'Where it has arrived (webhook, email:ana@example.com), so that another attempt spares these.';
COMMENT ON COLUMN kpi_engine.alert_outbox.next_attempt_at IS
'Nobody else takes it before: it is being delivered, or waits after a failure; infinity: given up.';
