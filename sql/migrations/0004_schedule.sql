-- Scheduling: slots in any zone, retries, time limits, logs that stay small.

-- A local day of one zone may have the date of a day that ran in the zone before.
ALTER TABLE analytics.refresh_jobs DROP CONSTRAINT refresh_jobs_slot_date_key;
ALTER TABLE analytics.refresh_jobs ADD CONSTRAINT refresh_jobs_slot_at_key UNIQUE (slot_at);
ALTER TABLE analytics.refresh_jobs DROP CONSTRAINT refresh_jobs_state_check;
ALTER TABLE analytics.refresh_jobs ADD CONSTRAINT refresh_jobs_state_check
CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCESS', 'ERROR', 'MISSED'));
ALTER TABLE analytics.refresh_jobs ADD COLUMN run_after timestamptz;
ALTER TABLE analytics.refresh_jobs ADD COLUMN is_missed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN analytics.refresh_jobs.state IS
'QUEUED, RUNNING, SUCCESS, ERROR, or MISSED: a slot that a later one makes up for.';
COMMENT ON COLUMN analytics.refresh_jobs.run_after IS
'A retry waits until then; NULL: as soon as can be.';
COMMENT ON COLUMN analytics.refresh_jobs.is_missed IS
'True where the slot came to be seen later than the setting schedule_grace_minutes allows.';

ALTER TABLE analytics.scheduler_state ADD COLUMN schedule_changed_at timestamptz;
COMMENT ON COLUMN analytics.scheduler_state.schedule_changed_at IS
'When the time or the zone of the daily refresh was last changed; NULL: never.';
ALTER TABLE analytics.scheduler_state ADD COLUMN last_trimmed_at timestamptz;
COMMENT ON COLUMN analytics.scheduler_state.last_trimmed_at IS
'When the logs were last trimmed, by the wall clock; NULL before the first time.';
