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
'emptied: by TRUNCATE of another than its worker; skipped: a transaction, by ALTER SUBSCRIPTION.';

CREATE TABLE kpi_engine.written_here (
    table_name text PRIMARY KEY
);
COMMENT ON TABLE kpi_engine.written_here IS
'Operational tables that no subscription is meant to bring although it brings others of their '
'schema: analytics.forget_subscription() said so.';
COMMENT ON COLUMN kpi_engine.written_here.table_name IS
'Schema and name of the table, quoted where they need it.';
