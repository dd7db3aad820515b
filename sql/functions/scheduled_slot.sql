-- The instant of the daily slot on one local day.

CREATE OR REPLACE FUNCTION analytics.scheduled_slot(p_day date)
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $scheduled_slot$
    SELECT analytics.slot_instant(
        p_day,
        analytics.setting('schedule_time')::time,
        analytics.setting('schedule_time_zone')
    );
$scheduled_slot$;

COMMENT ON FUNCTION analytics.scheduled_slot(date) IS
'Instant at which the daily refresh is due on a local day, by the settings schedule_time and '
'schedule_time_zone; NULL for a day that the zone left out.';

REVOKE ALL ON FUNCTION analytics.scheduled_slot(date) FROM public;
