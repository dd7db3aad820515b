-- Which tables of a subscription lack rows although it brings them, and which are written here.

ALTER TABLE kpi_engine.followed_tables ADD COLUMN copied_lsn pg_lsn;
COMMENT ON COLUMN kpi_engine.followed_tables.copied_lsn IS
'srsublsn of pg_subscription_rel when the table was whole: where its copy ended. 0/0: it was made '
'without a copy, and was missed since. NULL: it was made without a copy, or is copied still.';

-- As kpi_engine.change_log: nothing that a writer could wait for or fail at.
CREATE TABLE kpi_engine.incomplete_tables (
    subscription_id oid NOT NULL,
    relation oid NOT NULL,
    copied_lsn pg_lsn,
    reason text NOT NULL
) WITH (vacuum_truncate = off);
ALTER TABLE kpi_engine.incomplete_tables REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.incomplete_tables IS
'Tables that a subscription copied and that lost rows since. A row counts until the table is '
'copied again (another srsublsn), or analytics.forget_subscription().';
COMMENT ON COLUMN kpi_engine.incomplete_tables.subscription_id IS 'The subscription.';
COMMENT ON COLUMN kpi_engine.incomplete_tables.relation IS 'The table.';
COMMENT ON COLUMN kpi_engine.incomplete_tables.copied_lsn IS
'srsublsn of pg_subscription_rel then.';
COMMENT ON COLUMN kpi_engine.incomplete_tables.reason IS
'emptied: by TRUNCATE of another than its worker; skipped: a transaction, by ALTER SUBSCRIPTION; '
'missed: an update found no row, in a table of this subscription.';

ALTER TABLE kpi_engine.subscription_marks ADD COLUMN updates_missed bigint;
COMMENT ON COLUMN kpi_engine.subscription_marks.updates_missed IS
'confl_update_missing of pg_stat_subscription_stats as a tick or a refresh saw it last; NULL '
'before PostgreSQL 18.';

CREATE TABLE kpi_engine.written_here (
    table_name text PRIMARY KEY
);
COMMENT ON TABLE kpi_engine.written_here IS
'Operational tables that no subscription is meant to bring although it brings others of their '
'schema: analytics.forget_subscription() said so.';
COMMENT ON COLUMN kpi_engine.written_here.table_name IS
'Schema and name of the table, quoted where they need it.';

CREATE TABLE kpi_engine.feeding_marks (
    subscription_id oid PRIMARY KEY,
    as_of timestamptz,
    worker_pid integer,
    first_word_at timestamptz
);
COMMENT ON TABLE kpi_engine.feeding_marks IS
'As kpi_engine.subscription_marks, for subscriptions that bring tables of other services.';
COMMENT ON COLUMN kpi_engine.feeding_marks.subscription_id IS 'The subscription.';
COMMENT ON COLUMN kpi_engine.feeding_marks.as_of IS
'What the publisher had committed until then was here; NULL: its worker was never seen so.';
COMMENT ON COLUMN kpi_engine.feeding_marks.worker_pid IS
'Process of the worker that was seen last; NULL: there was none.';
COMMENT ON COLUMN kpi_engine.feeding_marks.first_word_at IS
'latest_end_time of this worker when it was seen first. NULL: there was none yet.';

-- A number or a date that comes twice hides a row that was put in the place of another one.
UPDATE kpi_engine.outside_sources SET watch = 'reread', version_query = NULL, version = NULL
FROM (
    SELECT
        pg_attribute.attrelid,
        quote_ident(pg_attribute.attname) AS name
    FROM pg_attribute
    WHERE
        pg_attribute.atttypid IN (
            'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype,
            'date'::regtype
        )
        AND NOT EXISTS (
            SELECT FROM pg_index
            WHERE
                pg_index.indrelid = pg_attribute.attrelid
                AND pg_index.indisunique
                AND pg_index.indisvalid
                AND pg_index.indpred IS NULL
                AND pg_index.indnkeyatts = 1
                AND pg_index.indkey[0] = pg_attribute.attnum
        )
) AS doubtful
WHERE
    doubtful.attrelid = outside_sources.source_relation
    AND outside_sources.version_query LIKE 'SELECT count(*) AS "rows", count(%) AS known, %'
    AND doubtful.name = substring(outside_sources.version_query FROM 'count\(([^*].*?)\) AS known');
