-- A clock that was wrong once, and locks that nobody but our roles can take.

ALTER TABLE kpi_engine.refresh_jobs ADD COLUMN is_void boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.refresh_jobs.is_void IS
'True where a tick found the slot in the future, so that one clock or the other was wrong: the '
'slot is not done by this row.';

ALTER TABLE kpi_engine.scheduler_state ADD COLUMN ticked_for timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.ticked_for IS
'What the last tick took for now (analytics.now()); NULL before the first.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN clock_fault_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.clock_fault_at IS
'When a tick last found stamps in the future, by analytics.now(); NULL: never.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN clock_fault text;
COMMENT ON COLUMN kpi_engine.scheduler_state.clock_fault IS 'Which stamps these were.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN scheduled_instead timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.scheduled_instead IS
'Takes the place of scheduled_since and schedule_changed_at while they are in the future: the '
'first tick that saw them so; NULL while they are not.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN trimmed_as_of timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.trimmed_as_of IS
'What the last trimming of the logs took for now: at most a day later than the one before.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN lock_holder_pid integer;
COMMENT ON COLUMN kpi_engine.scheduler_state.lock_holder_pid IS
'Process that held the refresh lock at the last tick without being a refresh; NULL: none did.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN lock_holder_since timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.lock_holder_since IS
'First tick that saw it so, by the wall clock.';

-- Always empty: they are there to be locked. An advisory lock may be taken by any login; a lock on
-- one of these only by who may write to it, which nobody but the owner may.
CREATE TABLE kpi_engine.refresh_lock (singleton boolean PRIMARY KEY);
COMMENT ON TABLE kpi_engine.refresh_lock IS
'Empty. Each transaction of a refresh, rebuild or audit locks it.';
COMMENT ON COLUMN kpi_engine.refresh_lock.singleton IS 'Never used.';
CREATE TABLE kpi_engine.change_log_lock (singleton boolean PRIMARY KEY);
COMMENT ON TABLE kpi_engine.change_log_lock IS
'Empty. Whoever takes rows from kpi_engine.change_log locks it for the transaction.';
COMMENT ON COLUMN kpi_engine.change_log_lock.singleton IS 'Never used.';
CREATE TABLE kpi_engine.tick_lock (singleton boolean PRIMARY KEY);
COMMENT ON TABLE kpi_engine.tick_lock IS 'Empty. A tick locks it: one at a time.';
COMMENT ON COLUMN kpi_engine.tick_lock.singleton IS 'Never used.';
CREATE TABLE kpi_engine.alerts_lock (singleton boolean PRIMARY KEY);
COMMENT ON TABLE kpi_engine.alerts_lock IS
'Empty. Whoever compares alerts with problems locks it: one at a time.';
COMMENT ON COLUMN kpi_engine.alerts_lock.singleton IS 'Never used.';

CREATE TABLE kpi_engine.uncountable_rows (
    table_name text,
    row_id uuid,
    column_names text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (table_name, row_id)
);
COMMENT ON TABLE kpi_engine.uncountable_rows IS
'Rows of the operational tables with values that can''t be counted: out of range, or texts that '
'are too long. The values count as NULL or cut; what else the row holds counts.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.table_name IS 'Operational table.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.row_id IS 'Id of the row.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.column_names IS 'Which columns, by commas.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.seen_at IS 'When it was first found so.';
