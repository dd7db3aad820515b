-- Changes of source tables that the triggers could not note by key.

-- As kpi_engine.change_log: nothing that a writer could wait for or fail at.
CREATE TABLE kpi_engine.lost_changes (
    relation text NOT NULL,
    message text,
    sqlstate text,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (vacuum_truncate = off);
ALTER TABLE kpi_engine.lost_changes REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.lost_changes IS
'Transactions of writers whose changes could not be noted by key in kpi_engine.change_log, since '
'a source table, the log or a right was changed. The next refresh computes everything again and '
'takes these rows.';
COMMENT ON COLUMN kpi_engine.lost_changes.relation IS 'Source table that was written to first.';
COMMENT ON COLUMN kpi_engine.lost_changes.message IS 'What failed in the trigger.';
COMMENT ON COLUMN kpi_engine.lost_changes.sqlstate IS 'Its SQLSTATE; NULL where nothing failed.';
COMMENT ON COLUMN kpi_engine.lost_changes.noted_at IS 'When, by the wall clock.';
