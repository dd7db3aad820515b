-- Queues the daily refresh when its slot has come, and stamps the tick.
--
-- Invariant: a local day is queued at most once, whoever ticks and however often: the row of
-- analytics.scheduler_state lets one at a time decide. After downtime one refresh makes up for
-- all slots; those before the last are noted as MISSED.
-- A slot is late when its refresh has not started in time: queued late, or queued and not begun
-- though no other refresh is at work.
-- SECURITY DEFINER: the scheduler's role may tick, and write nothing by itself.

CREATE OR REPLACE FUNCTION analytics.queue_due_refresh()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $queue_due_refresh$
DECLARE
    v_grace constant interval := make_interval(
        mins => analytics.setting('schedule_grace_minutes')::integer);
    v_job_id bigint;
BEGIN
    UPDATE analytics.scheduler_state SET last_tick_at = clock_timestamp();
    UPDATE analytics.refresh_jobs SET is_missed = true
    FROM analytics.scheduler_state
    WHERE
        refresh_jobs.triggered_by = 'schedule'
        AND refresh_jobs.state = 'QUEUED'
        AND refresh_jobs.attempts = 0
        AND NOT refresh_jobs.is_missed
        AND analytics.now()
        - greatest(refresh_jobs.slot_at, scheduler_state.schedule_changed_at) > v_grace
        AND (SELECT running_refresh.pid IS NULL FROM analytics.running_refresh());
    WITH due AS (
        SELECT
            open_slots.slot_date,
            open_slots.slot_at,
            open_slots.slot_at = max(open_slots.slot_at) OVER () AS is_last,
            -- A slot is not late for what was set only after it.
            analytics.now() - greatest(open_slots.slot_at, scheduler_state.schedule_changed_at)
            > v_grace AS is_missed
        FROM analytics.open_slots()
        CROSS JOIN analytics.scheduler_state
        WHERE open_slots.slot_at <= analytics.now()
    ),

    queued AS (
        INSERT INTO analytics.refresh_jobs (
            triggered_by, slot_date, slot_at, state, finished_at, error, is_missed
        )
        SELECT
            'schedule',
            due.slot_date,
            due.slot_at,
            CASE WHEN due.is_last THEN 'QUEUED' ELSE 'MISSED' END,
            CASE WHEN NOT due.is_last THEN clock_timestamp() END,
            CASE WHEN NOT due.is_last THEN 'no tick came in time; a later slot makes up for it' END,
            due.is_missed
        FROM due
        ORDER BY due.slot_at
        ON CONFLICT (slot_at) DO NOTHING
        RETURNING refresh_jobs.job_id, refresh_jobs.state
    )

    SELECT queued.job_id INTO v_job_id FROM queued WHERE queued.state = 'QUEUED';
    RETURN v_job_id;
END;
$queue_due_refresh$;

COMMENT ON FUNCTION analytics.queue_due_refresh() IS
'Queues the daily refresh if its slot has come and was not queued; returns the job, or NULL. '
'Slots that came and went without a tick are noted as MISSED; is_missed says of each whether its '
'refresh started too late. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION analytics.queue_due_refresh() FROM public;
GRANT EXECUTE ON FUNCTION analytics.queue_due_refresh() TO analytics_scheduler;
