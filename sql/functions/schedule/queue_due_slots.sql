-- Queues the daily refresh when its slot has come.
--
-- Invariant: a local day is queued at most once, however many sessions ask: the row of
-- analytics.scheduler_state lets one at a time decide. After downtime one refresh makes up for all
-- slots. The slots before the last one are noted as MISSED.

CREATE OR REPLACE FUNCTION kpi_engine.queue_due_slots()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $queue_due_slots$
DECLARE
    v_grace constant interval := make_interval(
        mins => analytics.setting('schedule_grace_minutes')::integer);
    v_job_id bigint;
BEGIN
    PERFORM FROM kpi_engine.scheduler_state FOR UPDATE;
    WITH due AS (
        SELECT
            open_slots.slot_date,
            open_slots.slot_at,
            open_slots.slot_at = max(open_slots.slot_at) OVER () AS is_last,
            -- A slot is not late because of a change after it.
            analytics.now() - greatest(
                open_slots.slot_at,
                CASE
                    WHEN scheduler_state.schedule_changed_at <= analytics.now()
                        THEN scheduler_state.schedule_changed_at
                END
            )
            > v_grace AS is_missed
        FROM kpi_engine.open_slots()
        CROSS JOIN kpi_engine.scheduler_state
        WHERE open_slots.slot_at <= analytics.now()
    ),

    queued AS (
        INSERT INTO kpi_engine.refresh_jobs (
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
$queue_due_slots$;

COMMENT ON FUNCTION kpi_engine.queue_due_slots() IS
'Queues the last slot that has come and was not queued; returns its job, or NULL. Slots before it '
'are noted as MISSED; is_missed says of each whether it was seen too late. Internal to '
'kpi_engine.queue_due_refresh() and to what changes the schedule.';

REVOKE ALL ON FUNCTION kpi_engine.queue_due_slots() FROM public;
