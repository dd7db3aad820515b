-- Target lag: refreshes that follow the changes, beside the daily slot.


ALTER TABLE kpi_engine.scheduler_state ADD COLUMN no_changes_at timestamptz;
COMMENT ON COLUMN kpi_engine.scheduler_state.no_changes_at IS
'Last tick that saw no pending change; NULL before the first. A change that is pending now was '
'committed later.';


ALTER TABLE kpi_engine.refresh_jobs DROP CONSTRAINT refresh_jobs_triggered_by_check;
ALTER TABLE kpi_engine.refresh_jobs ADD CONSTRAINT refresh_jobs_triggered_by_check
CHECK (triggered_by IN ('schedule', 'request', 'lag'));
COMMENT ON COLUMN kpi_engine.refresh_jobs.triggered_by IS
'schedule: the daily slot; request: asked for; lag: changes waited for as long as the setting '
'target_lag allows.';
COMMENT ON COLUMN kpi_engine.refresh_jobs.slot_date IS
'Local day (setting schedule_time_zone) of the slot; NULL if it is no daily refresh.';


ALTER TABLE kpi_engine.refresh_log DROP CONSTRAINT refresh_log_triggered_by_check;
ALTER TABLE kpi_engine.refresh_log ADD CONSTRAINT refresh_log_triggered_by_check
CHECK (triggered_by IN ('manual', 'schedule', 'request', 'lag'));
COMMENT ON COLUMN kpi_engine.refresh_log.triggered_by IS
'manual: refresh_all_mv(); schedule: the daily slot; request: queued for the background; lag: '
'changes waited for as long as the setting target_lag allows.';
