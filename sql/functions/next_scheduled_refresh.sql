-- When the next daily refresh is due.
--
-- Invariant: the slot that analytics.queue_due_refresh() will queue next: the first
-- local day, today or later, whose slot counts and was not queued yet.
-- SECURITY DEFINER: readers may know the schedule without reading its tables.

CREATE OR REPLACE FUNCTION analytics.next_scheduled_refresh()
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $next_scheduled_refresh$
    SELECT min(analytics.scheduled_slot(candidate.day))
    FROM (
        SELECT analytics.local_date(
            analytics.now(), analytics.setting('schedule_time_zone')
        ) + offset_days AS day
        FROM generate_series(0, 2) AS offset_days
    ) AS candidate
    CROSS JOIN analytics.scheduler_state
    WHERE
        analytics.scheduled_slot(candidate.day) >= scheduler_state.scheduled_since
        AND NOT EXISTS (
            SELECT FROM analytics.refresh_jobs
            WHERE refresh_jobs.slot_date = candidate.day
        );
$next_scheduled_refresh$;

COMMENT ON FUNCTION analytics.next_scheduled_refresh() IS
'Instant of the next daily refresh; in the past while it is due and not queued yet.';

REVOKE ALL ON FUNCTION analytics.next_scheduled_refresh() FROM public;
GRANT EXECUTE ON FUNCTION analytics.next_scheduled_refresh()
TO analytics_lector, analytics_operador;
