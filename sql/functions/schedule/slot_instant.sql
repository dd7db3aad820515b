-- Returns the instant of a local time on a local day.
--
-- Invariant: its local day is p_day. In an overlap it is the first of both instants (AT TIME ZONE
-- takes the second). In a gap it is as long after the gap as the time is after the start of the
-- gap. If that is the next day (23:30 in America/Nuuk in spring), it is as long before the gap as
-- the time is before its end. NULL for a day that a zone left out, such as 2011-12-30 in
-- Pacific/Apia.

CREATE OR REPLACE FUNCTION kpi_engine.slot_instant(p_day date, p_time time, p_time_zone text)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $slot_instant$
DECLARE
    c_local constant timestamp := p_day + p_time;
    v_instant timestamptz := c_local AT TIME ZONE p_time_zone;
    c_shown constant timestamp := v_instant AT TIME ZONE p_time_zone;
    v_day_before constant timestamptz := v_instant - interval '24 hours';
    -- If the clock went back since then, the same local time came before.
    v_put_back constant interval := c_local - (v_day_before AT TIME ZONE p_time_zone)
        - interval '24 hours';
BEGIN
    IF v_put_back < interval '0'
        AND (v_instant + v_put_back) AT TIME ZONE p_time_zone = c_local THEN
        v_instant := v_instant + v_put_back;
    ELSIF c_shown::date > p_day THEN
        v_instant := (c_local - (c_shown - c_local)) AT TIME ZONE p_time_zone;
    END IF;
    RETURN CASE WHEN (v_instant AT TIME ZONE p_time_zone)::date = p_day THEN v_instant END;
END;
$slot_instant$;

COMMENT ON FUNCTION kpi_engine.slot_instant(date, time, text) IS
'Instant of a local time on a local day of a zone: the first one where the clock is put back, '
'after the gap where it is put forward (before it where that is the next day), NULL where the '
'zone has no such day.';

REVOKE ALL ON FUNCTION kpi_engine.slot_instant(date, time, text) FROM public;
