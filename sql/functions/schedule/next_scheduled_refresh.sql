-- Says when the next daily refresh is due.
--
-- Invariant: it is the slot that kpi_engine.queue_due_refresh() will queue next: the last slot that
-- has come, else the first one to come.
-- SECURITY DEFINER: readers may know the schedule, but may not read its tables.

CREATE OR REPLACE FUNCTION analytics.next_scheduled_refresh()
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $next_scheduled_refresh$
    SELECT coalesce(
        max(open_slots.slot_at) FILTER (WHERE open_slots.slot_at <= analytics.now()),
        min(open_slots.slot_at)
    )
    FROM kpi_engine.open_slots();
$next_scheduled_refresh$;

COMMENT ON FUNCTION analytics.next_scheduled_refresh() IS
'Instant of the next daily refresh. It is in the past if the refresh is due and not queued yet.';

REVOKE ALL ON FUNCTION analytics.next_scheduled_refresh() FROM public;
GRANT EXECUTE ON FUNCTION analytics.next_scheduled_refresh()
TO analytics_lector, analytics_operador;
