-- The package's own tables: ledger, installation, settings, state, log, queue.
--
-- Runs as analytics_owner in the empty schemas analytics, for what users read and call, and
-- kpi_engine, for the engine's own objects. All tables are the engine's: people read them through
-- views of schema analytics. Nothing is granted to PUBLIC, not even what PostgreSQL grants by
-- default.

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM public;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM public;

GRANT USAGE ON SCHEMA analytics
TO analytics_lector, analytics_operador, analytics_scheduler;
-- For the steps of procedures that commit, and so run with the rights of their caller: rebuild(),
-- tick(), work(); and for the notifier.
GRANT USAGE ON SCHEMA kpi_engine TO analytics_operador, analytics_scheduler;
-- For analytics.doctor(), which looks with the eyes of its caller. No table there is readable.
GRANT USAGE ON SCHEMA kpi_engine TO analytics_lector;

COMMENT ON SCHEMA kpi_engine IS
'The engine of teloo-analytics: its tables, derived tables and internal functions. On nobody''s '
'search_path; users read and call what is in schema analytics.';
COMMENT ON SCHEMA analytics IS
'TeLOO historical KPIs: materialized views, their refresh, its schedule and its log. '
'Installed by make migrate, removed by make uninstall.';


CREATE TABLE kpi_engine.migration_ledger (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (
        kind IN (
            'migration', 'function', 'view', 'materialized view', 'source view', 'api view'
        )
    ),
    version integer UNIQUE,
    file text NOT NULL,
    checksum text NOT NULL,
    text_checksum text NOT NULL,
    duration_ms numeric,
    applied_by text NOT NULL DEFAULT session_user,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((kind = 'migration') = (version IS NOT NULL))
);
COMMENT ON TABLE kpi_engine.migration_ledger IS
'What make migrate applied: one row per migration and per object file, as it is installed now.';
COMMENT ON COLUMN kpi_engine.migration_ledger.name IS
'Name of the object, with its schema outside of analytics, or file of the migration.';
COMMENT ON COLUMN kpi_engine.migration_ledger.kind IS 'What the file holds.';
COMMENT ON COLUMN kpi_engine.migration_ledger.version IS
'Number of a migration; NULL for objects that are applied again when they change.';
COMMENT ON COLUMN kpi_engine.migration_ledger.file IS
'Path of the file below sql/, which may move; empty for a view that migrate writes: src_ and api.';
COMMENT ON COLUMN kpi_engine.migration_ledger.checksum IS
'SHA-256 of the code, in hexadecimal: without comments, COMMENT statements and white space.';
COMMENT ON COLUMN kpi_engine.migration_ledger.text_checksum IS
'SHA-256 of the whole file, in hexadecimal.';
COMMENT ON COLUMN kpi_engine.migration_ledger.duration_ms IS 'Milliseconds it took to apply.';
COMMENT ON COLUMN kpi_engine.migration_ledger.applied_by IS 'Database user who applied it.';
COMMENT ON COLUMN kpi_engine.migration_ledger.applied_at IS 'When it was applied.';


CREATE TABLE kpi_engine.installation (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    source_schema text,
    source_generation text CHECK (source_generation IN ('A', 'B')),
    search_path_before text,
    search_path_after text,
    pg_cron_created boolean NOT NULL DEFAULT false,
    cron_role text,
    installed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE kpi_engine.installation IS
'One row: what this installation is bound to, and what uninstall has to put back.';
COMMENT ON COLUMN kpi_engine.installation.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN kpi_engine.installation.source_schema IS
'Schema of the operational tables; NULL until they were bound.';
COMMENT ON COLUMN kpi_engine.installation.source_generation IS
'Generation of the source schema, A or B (docs/source.md).';
COMMENT ON COLUMN kpi_engine.installation.search_path_before IS
'search_path that the database had set before; NULL where it had none.';
COMMENT ON COLUMN kpi_engine.installation.search_path_after IS
'search_path that make migrate gave the database; NULL where it did not have to.';
COMMENT ON COLUMN kpi_engine.installation.pg_cron_created IS
'True where make migrate created extension pg_cron, so that uninstall may drop it.';
COMMENT ON COLUMN kpi_engine.installation.cron_role IS
'Role that the pg_cron jobs run as; NULL where nothing is scheduled by pg_cron.';
COMMENT ON COLUMN kpi_engine.installation.installed_at IS 'When the first migrate ran.';


CREATE TABLE kpi_engine.settings (
    name text PRIMARY KEY,
    value text NOT NULL,
    description text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE kpi_engine.settings IS
'Settings of the package. Change one with analytics.set_setting(name, value): it validates.';
COMMENT ON COLUMN kpi_engine.settings.name IS 'Name of the setting.';
COMMENT ON COLUMN kpi_engine.settings.value IS 'Its value, as text.';
COMMENT ON COLUMN kpi_engine.settings.description IS 'What it does and which values are right.';
COMMENT ON COLUMN kpi_engine.settings.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN kpi_engine.settings.updated_by IS 'Database user who last changed it.';


CREATE TABLE kpi_engine.view_state (
    view_name text PRIMARY KEY,
    today date NOT NULL,
    calculated_at timestamptz NOT NULL,
    last_success_at timestamptz
);
COMMENT ON TABLE kpi_engine.view_state IS
'One row per materialized view: the day and the instant its contents were computed for. '
'The views read these instead of the clock, so a bare REFRESH changes nothing.';
COMMENT ON COLUMN kpi_engine.view_state.view_name IS 'Materialized view in schema analytics.';
COMMENT ON COLUMN kpi_engine.view_state.today IS
'Local date (setting time_zone) that the contents take as today.';
COMMENT ON COLUMN kpi_engine.view_state.calculated_at IS
'The refresh that computed the contents; stays when a later refresh finds nothing to change.';
COMMENT ON COLUMN kpi_engine.view_state.last_success_at IS
'Last successful refresh; NULL before the first.';


CREATE TABLE kpi_engine.refresh_log (
    log_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL,
    view_name text,
    triggered_by text NOT NULL CHECK (triggered_by IN ('manual', 'schedule', 'request')),
    requested_by text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('full', 'unchanged', 'none')),
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    refresh_status text NOT NULL CHECK (refresh_status IN ('SUCCESS', 'ERROR')),
    refresh_time_ms numeric NOT NULL,
    rows_affected bigint,
    error_message text,
    error_sqlstate text,
    UNIQUE NULLS NOT DISTINCT (run_id, view_name),
    CHECK ((refresh_status = 'ERROR') = (error_message IS NOT NULL))
);
CREATE INDEX refresh_log_by_view ON kpi_engine.refresh_log (view_name, log_id DESC);
COMMENT ON TABLE kpi_engine.refresh_log IS
'Every committed refresh: one row for the run (view_name is NULL) and one for each view.';
COMMENT ON COLUMN kpi_engine.refresh_log.log_id IS 'Order of writing.';
COMMENT ON COLUMN kpi_engine.refresh_log.run_id IS 'The run; its rows share the number.';
COMMENT ON COLUMN kpi_engine.refresh_log.view_name IS 'The view, or NULL for the run as a whole.';
COMMENT ON COLUMN kpi_engine.refresh_log.triggered_by IS
'manual: refresh_all_mv(); schedule: the daily slot; request: queued for the background.';
COMMENT ON COLUMN kpi_engine.refresh_log.requested_by IS 'Database user who asked for it.';
COMMENT ON COLUMN kpi_engine.refresh_log.mode IS
'full: computed again and published; unchanged: computed again, found equal, not published; '
'none: it failed.';
COMMENT ON COLUMN kpi_engine.refresh_log.started_at IS 'Start, by the wall clock.';
COMMENT ON COLUMN kpi_engine.refresh_log.finished_at IS 'End, by the wall clock.';
COMMENT ON COLUMN kpi_engine.refresh_log.refresh_status IS
'SUCCESS or ERROR; a run in which any view failed is an ERROR.';
COMMENT ON COLUMN kpi_engine.refresh_log.refresh_time_ms IS 'Duration in milliseconds.';
COMMENT ON COLUMN kpi_engine.refresh_log.rows_affected IS
'Rows of the view after the refresh; for a run, of all refreshed views.';
COMMENT ON COLUMN kpi_engine.refresh_log.error_message IS 'Message of the failure, or NULL.';
COMMENT ON COLUMN kpi_engine.refresh_log.error_sqlstate IS 'SQLSTATE of the failure, or NULL.';

CREATE SEQUENCE kpi_engine.refresh_run_id_seq AS bigint OWNED BY kpi_engine.refresh_log.run_id;
COMMENT ON SEQUENCE kpi_engine.refresh_run_id_seq IS 'Numbers of refresh runs.';


CREATE TABLE kpi_engine.refresh_jobs (
    job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    triggered_by text NOT NULL CHECK (triggered_by IN ('schedule', 'request')),
    slot_date date UNIQUE,
    slot_at timestamptz,
    state text NOT NULL DEFAULT 'QUEUED' CHECK (
        state IN ('QUEUED', 'RUNNING', 'SUCCESS', 'ERROR')
    ),
    requested_by text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    finished_at timestamptz,
    run_id bigint,
    error text,
    CHECK ((triggered_by = 'schedule') = (slot_date IS NOT NULL)),
    CHECK ((slot_date IS NULL) = (slot_at IS NULL))
);
CREATE INDEX refresh_jobs_open ON kpi_engine.refresh_jobs (job_id)
WHERE state IN ('QUEUED', 'RUNNING');
COMMENT ON TABLE kpi_engine.refresh_jobs IS
'Refreshes for the background: queued by analytics.tick(), run by analytics.work(). '
'One row per local day at the most is a scheduled one (slot_date is unique).';
COMMENT ON COLUMN kpi_engine.refresh_jobs.job_id IS 'Number of the job.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.triggered_by IS
'schedule: the daily slot; request: asked for.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.slot_date IS
'Local day (setting schedule_time_zone) of the slot; NULL when it was asked for.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.slot_at IS 'The instant the slot stood for.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.state IS 'QUEUED, RUNNING, SUCCESS or ERROR.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.requested_by IS 'Database user who queued it.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.requested_at IS 'When it was queued.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.attempts IS
'How often it was started: more than once only when a session died under it.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.started_at IS 'Start of the last attempt.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.finished_at IS 'End of the last attempt.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.run_id IS 'Its run in analytics.refresh_log.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.error IS 'What failed, or NULL.';


CREATE TABLE kpi_engine.scheduler_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    scheduled_since timestamptz NOT NULL,
    last_tick_at timestamptz
);
COMMENT ON TABLE kpi_engine.scheduler_state IS
'One row: since when the daily slot counts, and the last tick.';
COMMENT ON COLUMN kpi_engine.scheduler_state.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN kpi_engine.scheduler_state.scheduled_since IS
'Slots before this instant are not due: an installation at noon does not make up for 01:00.';
COMMENT ON COLUMN kpi_engine.scheduler_state.last_tick_at IS
'Last analytics.tick(), by the wall clock; NULL before the first.';

INSERT INTO kpi_engine.installation DEFAULT VALUES;
INSERT INTO kpi_engine.scheduler_state (scheduled_since) VALUES (clock_timestamp());
