-- What the scheduler did last.
--
-- Shows kpi_engine.scheduler_state. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.scheduler_state AS
SELECT
    scheduler_state.singleton,
    scheduler_state.scheduled_since,
    scheduler_state.last_tick_at,
    scheduler_state.schedule_changed_at,
    scheduler_state.last_trimmed_at,
    scheduler_state.usage_watched_at,
    scheduler_state.refresh_seen_at,
    scheduler_state.refresh_cancelled_at,
    scheduler_state.ticked_for,
    scheduler_state.clock_fault_at,
    scheduler_state.clock_fault,
    scheduler_state.scheduled_instead,
    scheduler_state.trimmed_as_of,
    scheduler_state.lock_holder_pid,
    scheduler_state.lock_holder_since,
    scheduler_state.no_changes_at
FROM kpi_engine.scheduler_state;

REVOKE ALL ON analytics.scheduler_state FROM public;
GRANT SELECT ON analytics.scheduler_state TO analytics_lector, analytics_operador;
