-- Each minute: stamps the tick, and queues the daily refresh when its slot has come.
--
-- A waiting slot is late if its refresh has not begun in time, although no other refresh ran.
-- SECURITY DEFINER: the scheduler's role may tick, and write nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.queue_due_refresh()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $queue_due_refresh$
DECLARE
    v_grace constant interval := make_interval(
        mins => analytics.setting('schedule_grace_minutes')::integer);
    v_is_running boolean;
BEGIN
    PERFORM kpi_engine.heal_clock();
    v_is_running := kpi_engine.watch_lock_holder();
    IF v_is_running THEN
        UPDATE kpi_engine.scheduler_state SET refresh_seen_at = analytics.now();
    END IF;
    UPDATE kpi_engine.refresh_jobs SET is_missed = true
    FROM kpi_engine.scheduler_state
    WHERE
        refresh_jobs.triggered_by = 'schedule'
        AND refresh_jobs.state = 'QUEUED'
        AND refresh_jobs.attempts = 0
        AND NOT refresh_jobs.is_missed
        AND NOT refresh_jobs.is_void
        AND NOT v_is_running
        AND analytics.now() - greatest(
            refresh_jobs.slot_at,
            CASE
                WHEN scheduler_state.schedule_changed_at <= analytics.now()
                    THEN scheduler_state.schedule_changed_at
            END,
            scheduler_state.refresh_seen_at
        ) > v_grace;
    RETURN kpi_engine.queue_due_slots();
END;
$queue_due_refresh$;

COMMENT ON FUNCTION kpi_engine.queue_due_refresh() IS
'Queues the daily refresh if its slot has come and was not queued; returns the job, or NULL. Marks '
'as missed what was queued in time and did not begin. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.queue_due_refresh() FROM public;
