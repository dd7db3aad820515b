-- Views of other services: which outside tables they read, and what is known of each.

CREATE TABLE kpi_engine.outside_sources (
    view_name text NOT NULL,
    source_name text NOT NULL,
    watch text NOT NULL CHECK (watch IN ('triggers', 'version', 'reread')),
    version_query text,
    as_of_query text,
    max_age interval,
    view_relation oid NOT NULL,
    source_relation oid NOT NULL,
    binding jsonb NOT NULL,
    database_identity text NOT NULL,
    is_changed boolean NOT NULL DEFAULT true,
    trigger_signature text,
    version text,
    as_of timestamptz,
    read_at timestamptz,
    PRIMARY KEY (view_name, source_name)
);
COMMENT ON TABLE kpi_engine.outside_sources IS
'Tables of other services that KPI views read, as kpi_engine.declare_outside_source() declared '
'them, and how fresh each is.';
COMMENT ON COLUMN kpi_engine.outside_sources.view_name IS
'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.outside_sources.source_name IS
'The table that it reads: schema and name, quoted where needed.';
COMMENT ON COLUMN kpi_engine.outside_sources.watch IS
'How a change is noticed: triggers (on the table, which is here), version (a version is compared '
'at each refresh) or reread (the rows are read at each refresh).';
COMMENT ON COLUMN kpi_engine.outside_sources.version_query IS
'Query of the version, one row; NULL unless watch is version.';
COMMENT ON COLUMN kpi_engine.outside_sources.as_of_query IS
'Query of the instant until which the table is complete; NULL: it is at the moment of reading.';
COMMENT ON COLUMN kpi_engine.outside_sources.max_age IS
'A health problem begins when as_of is older; NULL: never.';
COMMENT ON COLUMN kpi_engine.outside_sources.view_relation IS
'The view that was declared, in the database of database_identity.';
COMMENT ON COLUMN kpi_engine.outside_sources.source_relation IS
'The table that was declared, in the database of database_identity.';
COMMENT ON COLUMN kpi_engine.outside_sources.binding IS
'What was declared: kind of table, columns with types, and for a foreign table server and options.';
COMMENT ON COLUMN kpi_engine.outside_sources.database_identity IS
'The database where it was declared or confirmed: kpi_engine.database_identity().';
COMMENT ON COLUMN kpi_engine.outside_sources.is_changed IS
'Triggers noted a change, or may have missed one, since the view was last right.';
COMMENT ON COLUMN kpi_engine.outside_sources.trigger_signature IS
'The triggers on the table when the view was last right; NULL where there are none.';
COMMENT ON COLUMN kpi_engine.outside_sources.version IS
'The version when the view was last right; NULL unless watch is version.';
COMMENT ON COLUMN kpi_engine.outside_sources.as_of IS
'Until when the table was complete when the view was last right. NULL before.';
COMMENT ON COLUMN kpi_engine.outside_sources.read_at IS
'The last refresh that asked the table and left the view right; NULL before the first.';

-- As kpi_engine.change_log: nothing that a writer could wait for or fail at.
CREATE TABLE kpi_engine.outside_changes (
    source_relation oid NOT NULL
) WITH (vacuum_truncate = off);
ALTER TABLE kpi_engine.outside_changes REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.outside_changes IS
'Outside tables that changed since the last refresh: one row for each table and transaction. '
'Triggers append, a refresh deletes.';
COMMENT ON COLUMN kpi_engine.outside_changes.source_relation IS 'The table.';
