-- The calendar date of an instant in a zone.
--
-- Invariant: never fails. AT TIME ZONE is out of range for the first and last instants
-- that PostgreSQL can store, so what lies outside the years 1900 to 2199 is given the
-- date of that bound; nothing that far away belongs to a month or a window.

CREATE OR REPLACE FUNCTION kpi_engine.local_date(p_instant timestamptz, p_time_zone text)
RETURNS date
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_instant < timestamptz '1900-01-01 00:00:00+00' THEN date '1900-01-01'
    WHEN p_instant >= timestamptz '2200-01-01 00:00:00+00' THEN date '2200-01-01'
    ELSE (p_instant AT TIME ZONE p_time_zone)::date
END;

COMMENT ON FUNCTION kpi_engine.local_date(timestamptz, text) IS
'Calendar date of an instant in a zone; 1900-01-01 or 2200-01-01 for what lies beyond. '
'NULL gives NULL.';

REVOKE ALL ON FUNCTION kpi_engine.local_date(timestamptz, text) FROM public;
