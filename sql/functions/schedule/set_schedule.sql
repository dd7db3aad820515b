-- Moves the daily refresh to another local time.
--
-- Invariant: it takes effect at once, for both schedulers, because each tick reads the settings.
-- cron.job is never edited.
-- SECURITY DEFINER: operators may reschedule, and change no other setting.

CREATE OR REPLACE FUNCTION analytics.set_schedule(p_time text, p_time_zone text DEFAULT NULL)
RETURNS timestamptz
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
AS $set_schedule$
BEGIN
    PERFORM analytics.set_setting('schedule_time', p_time);
    IF p_time_zone IS NOT NULL THEN
        PERFORM analytics.set_setting('schedule_time_zone', p_time_zone);
    END IF;
    RETURN analytics.next_scheduled_refresh();
END;
$set_schedule$;

COMMENT ON FUNCTION analytics.set_schedule(text, text) IS
'Sets the local time (HH:MM) of the daily refresh, and its zone if given. Returns the instant of '
'the next one. Errors: 22023 if the time or the zone is wrong.';

REVOKE ALL ON FUNCTION analytics.set_schedule(text, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.set_schedule(text, text) TO analytics_operador;
