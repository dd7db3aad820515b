-- Queues the daily refresh when its slot has come, and stamps the tick.
--
-- Invariant: a local day is queued at most once, whoever ticks and however often:
-- slot_date is unique.
-- SECURITY DEFINER: the scheduler's role may tick, and write nothing by itself.

CREATE OR REPLACE FUNCTION analytics.queue_due_refresh()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $queue_due_refresh$
DECLARE
    v_slot_at constant timestamptz := analytics.next_scheduled_refresh();
    v_job_id bigint;
BEGIN
    UPDATE analytics.scheduler_state SET last_tick_at = clock_timestamp();
    IF v_slot_at <= analytics.now() THEN
        INSERT INTO analytics.refresh_jobs (triggered_by, slot_date, slot_at)
        VALUES (
            'schedule',
            analytics.local_date(v_slot_at, analytics.setting('schedule_time_zone')),
            v_slot_at
        )
        ON CONFLICT (slot_date) DO NOTHING
        RETURNING refresh_jobs.job_id INTO v_job_id;
    END IF;
    RETURN v_job_id;
END;
$queue_due_refresh$;

COMMENT ON FUNCTION analytics.queue_due_refresh() IS
'Queues the daily refresh if its slot has come and was not queued; returns the job, or NULL. '
'Internal to analytics.tick().';

REVOKE ALL ON FUNCTION analytics.queue_due_refresh() FROM public;
GRANT EXECUTE ON FUNCTION analytics.queue_due_refresh() TO analytics_scheduler;
