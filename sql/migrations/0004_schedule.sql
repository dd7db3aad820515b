-- Scheduling: slots in any zone, retries, time limits, logs that stay small.

-- A local day of one zone may have the date of a day that ran in the zone before.
ALTER TABLE kpi_engine.refresh_jobs DROP CONSTRAINT refresh_jobs_slot_date_key;
ALTER TABLE kpi_engine.refresh_jobs ADD CONSTRAINT refresh_jobs_slot_at_key UNIQUE (slot_at);
ALTER TABLE kpi_engine.refresh_jobs DROP CONSTRAINT refresh_jobs_state_check;
ALTER TABLE kpi_engine.refresh_jobs ADD CONSTRAINT refresh_jobs_state_check
CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCESS', 'ERROR', 'MISSED'));
ALTER TABLE kpi_engine.refresh_jobs ADD COLUMN run_after timestamptz;
ALTER TABLE kpi_engine.refresh_jobs ADD COLUMN is_missed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.refresh_jobs.state IS
'QUEUED, RUNNING, SUCCESS, ERROR, or MISSED: a slot that a later one makes up for.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.run_after IS
'A retry waits until then; NULL: as soon as can be.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.is_missed IS
'True where the slot came to be seen later than the setting schedule_grace_minutes allows.';

ALTER TABLE kpi_engine.scheduler_state ADD COLUMN schedule_changed_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.schedule_changed_at IS
'When the time or the zone of the daily refresh was last changed; NULL: never.';
ALTER TABLE kpi_engine.scheduler_state ADD COLUMN last_trimmed_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.last_trimmed_at IS
'When the logs were last trimmed, by the wall clock; NULL before the first time.';
