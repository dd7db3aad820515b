-- Lists the daily slots that were not queued yet, up to the day after tomorrow.
--
-- Invariant: each local day of the present zone has one slot. It is open until a slot of that day
-- was queued, at any time and in any zone. A slot before the last queued one is over, because that
-- refresh showed its data too. A slot before the day of the last change of the schedule is over
-- too: a new time makes no slot that nobody could expect. Stamps in the future do not count: a
-- clock was wrong (kpi_engine.heal_clock).

CREATE OR REPLACE FUNCTION kpi_engine.open_slots()
RETURNS TABLE (slot_date date, slot_at timestamptz)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
ROWS 5
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $open_slots$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN QUERY
        WITH schedule AS MATERIALIZED (
            SELECT
                analytics.setting('schedule_time')::time AS local_time,
                analytics.setting('schedule_time_zone') AS time_zone,
                CASE
                    WHEN scheduler_state.scheduled_since <= latest.instant
                        THEN scheduler_state.scheduled_since
                    ELSE coalesce(scheduler_state.scheduled_instead, analytics.now())
                END AS scheduled_since,
                CASE
                    WHEN scheduler_state.schedule_changed_at <= latest.instant
                        THEN scheduler_state.schedule_changed_at
                    WHEN scheduler_state.schedule_changed_at IS NOT NULL
                        THEN coalesce(scheduler_state.scheduled_instead, analytics.now())
                END AS schedule_changed_at,
                (
                    SELECT max(refresh_jobs.slot_at)
                    FROM kpi_engine.refresh_jobs
                    WHERE refresh_jobs.slot_at <= latest.instant AND NOT refresh_jobs.is_void
                ) AS last_slot_at
            FROM kpi_engine.scheduler_state
            CROSS JOIN (
                SELECT analytics.now() + kpi_engine.clock_tolerance() AS instant
            ) AS latest
        ),

        days AS (
            SELECT
                schedule.*,
                kpi_engine.local_date(analytics.now(), schedule.time_zone) AS today,
                kpi_engine.local_date(schedule.last_slot_at, schedule.time_zone) AS last_day,
                kpi_engine.local_date(
                    greatest(schedule.scheduled_since, schedule.schedule_changed_at),
                    schedule.time_zone
                ) AS first_day
            FROM schedule
        ),

        slots AS (
            SELECT
                day_number.day,
                kpi_engine.slot_instant(day_number.day, days.local_time, days.time_zone) AS slot_at,
                days.scheduled_since,
                days.last_slot_at
            FROM days
            CROSS JOIN LATERAL (
                SELECT days.today + days_from_today AS day
                FROM generate_series(
                    -- At most a year: a server that was off for longer has missed only these.
                    greatest(-366, greatest(days.last_day + 1, days.first_day) - days.today), 3
                ) AS days_from_today
            ) AS day_number
        )

        SELECT
            slots.day,
            slots.slot_at
        FROM slots
        WHERE
            slots.slot_at >= slots.scheduled_since
            AND (slots.last_slot_at IS NULL OR slots.slot_at > slots.last_slot_at);
END;
$open_slots$;

COMMENT ON FUNCTION kpi_engine.open_slots() IS
'Daily slots, past and coming, that were not queued yet: local day and instant.';

REVOKE ALL ON FUNCTION kpi_engine.open_slots() FROM public;
