-- The base: who may use which schema, the ledger of migrate, the installation, the settings.
--
-- Runs as analytics_owner in three empty schemas: analytics, for what users read and call;
-- kpi_engine, for the engine's own objects; api, for what HTTP serves. All tables are the engine's:
-- people read them through views of schema analytics. Nothing is granted to PUBLIC, not even what
-- PostgreSQL grants by default.

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM public;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM public;

COMMENT ON SCHEMA analytics IS
'TeLOO historical KPIs: materialized views, their refresh, its schedule and its log. '
'Installed by make migrate, removed by make uninstall.';
GRANT USAGE ON SCHEMA analytics
TO analytics_lector, analytics_operador, analytics_scheduler;
-- Only for analytics.check_request(), which PostgREST runs before each request.
GRANT USAGE ON SCHEMA analytics TO analytics_anon;

COMMENT ON SCHEMA kpi_engine IS
'The engine of teloo-analytics: its tables, derived tables and internal functions. On nobody''s '
'search_path; users read and call what is in schema analytics.';
-- For the steps of procedures that commit, and so run with the rights of their caller: rebuild(),
-- tick(), work(); and for the notifier.
GRANT USAGE ON SCHEMA kpi_engine TO analytics_operador, analytics_scheduler;

COMMENT ON SCHEMA api IS
'The HTTP API of teloo-analytics: what PostgREST serves. One function per endpoint and '
'read-only views, nothing else.';
GRANT USAGE ON SCHEMA api TO analytics_anon, analytics_lector, analytics_operador;
-- It has nothing to call there, but shows that this database uses the role.
GRANT USAGE ON SCHEMA api TO analytics_authenticator;

-- PostgREST answers a function that returns a domain of this name with this media type.
CREATE DOMAIN api."text/plain" AS text; -- noqa: RF05
COMMENT ON DOMAIN api."text/plain" IS -- noqa: RF05
'Plain text, such as the metrics that Prometheus reads.';
GRANT USAGE ON TYPE api."text/plain" TO analytics_lector, analytics_operador; -- noqa: RF05

-- The same for an aggregate, here api.csv.
CREATE DOMAIN api."text/vnd.teloo.csv" AS text; -- noqa: RF05
COMMENT ON DOMAIN api."text/vnd.teloo.csv" IS -- noqa: RF05
'What the gateway asks PostgREST for where a client wants an array of rows as CSV.';
GRANT USAGE ON TYPE api."text/vnd.teloo.csv" -- noqa: RF05
TO analytics_lector, analytics_operador;


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
    installed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    facts_version text,
    version text
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
COMMENT ON COLUMN kpi_engine.installation.facts_version IS
'Checksum of the rules by which the facts are computed, without the binding of the source: a hub '
'takes rows only from sites with its own.';
COMMENT ON COLUMN kpi_engine.installation.version IS
'Version of teloo-analytics that was installed last, such as 0.1.0.';


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

INSERT INTO kpi_engine.installation DEFAULT VALUES;
