-- Background refreshes: those that wait, run or are done.
--
-- Shows kpi_engine.refresh_jobs. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.refresh_jobs AS
SELECT
    refresh_jobs.job_id,
    refresh_jobs.triggered_by,
    refresh_jobs.slot_date,
    refresh_jobs.slot_at,
    refresh_jobs.state,
    refresh_jobs.requested_by,
    refresh_jobs.requested_at,
    refresh_jobs.attempts,
    refresh_jobs.started_at,
    refresh_jobs.finished_at,
    refresh_jobs.run_id,
    refresh_jobs.error,
    refresh_jobs.force,
    refresh_jobs.run_after,
    refresh_jobs.is_missed,
    refresh_jobs.pid,
    refresh_jobs.first_started_at,
    refresh_jobs.is_void
FROM kpi_engine.refresh_jobs;

REVOKE ALL ON analytics.refresh_jobs FROM public;
GRANT SELECT ON analytics.refresh_jobs TO analytics_lector, analytics_operador;
