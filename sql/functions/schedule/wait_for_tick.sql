-- Lets a tick of the same moment go first.
--
-- Invariant: it waits at most two seconds, and not at all if a tick just ran. Both procedures are
-- called at the same second of each minute. Without this, work would find the jobs of a tick a
-- minute later.
-- SECURITY DEFINER: the scheduler's role reads nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.wait_for_tick()
RETURNS boolean
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
AS $wait_for_tick$
DECLARE
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
BEGIN
    WHILE EXISTS (
        SELECT FROM kpi_engine.scheduler_state
        WHERE
            coalesce(scheduler_state.last_tick_at, scheduler_state.scheduled_since)
            NOT BETWEEN clock_timestamp() - interval '30 seconds'
            AND clock_timestamp() + interval '30 seconds'
    ) LOOP
        IF clock_timestamp() > v_until THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
    RETURN true;
END;
$wait_for_tick$;

COMMENT ON FUNCTION kpi_engine.wait_for_tick() IS
'Waits up to two seconds for a tick, where the last one is over 30 seconds ago; false when none '
'came. Internal to analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.wait_for_tick() FROM public;
