-- Scheduling: slots in any zone, retries, time limits, logs that stay small.

-- The validation that an earlier version left does not know these settings yet.
DO $validation_off$
BEGIN
    IF to_regproc('kpi_engine.validate_setting') IS NOT NULL THEN
        ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting;
    END IF;
END;
$validation_off$;

-- PostgREST's configuration says the audience, to itself and to analytics.check_request.
DELETE FROM kpi_engine.settings
WHERE name = 'api_audience';

INSERT INTO kpi_engine.settings (name, value, description) VALUES
(
    'schedule_grace_minutes', '60',
    'A daily slot that starts later than this after its time is noted as missed. Minutes, a '
    'whole number from 0 to 100000.'
),
(
    'refresh_retries', '2',
    'How often a scheduled refresh that failed is tried again. A whole number from 0 to 100000.'
),
(
    'refresh_retry_minutes', '5',
    'Wait before the first retry of a scheduled refresh; it doubles with each one. Minutes, a '
    'whole number from 0 to 100000.'
),
(
    'refresh_max_minutes', '360',
    'A refresh that runs longer is cancelled, whoever started it. Minutes, a whole number from '
    '0 to 100000; 0: never.'
),
(
    'log_retention_days', '400',
    'How long refreshes, jobs and audits stay in their logs. Days, a whole number from 0 to '
    '100000.'
),
(
    'cron_retention_days', '7',
    'How long the runs of our jobs stay in cron.job_run_details. Days, a whole number from 0 to '
    '100000.'
);

DO $validation_on$
BEGIN
    IF to_regproc('kpi_engine.validate_setting') IS NOT NULL THEN
        ALTER TABLE kpi_engine.settings ENABLE TRIGGER validate_setting;
    END IF;
END;
$validation_on$;

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
