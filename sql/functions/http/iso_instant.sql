-- An instant as the HTTP API writes it.

CREATE OR REPLACE FUNCTION kpi_engine.iso_instant(p_instant timestamptz)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN to_char(p_instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

COMMENT ON FUNCTION kpi_engine.iso_instant(timestamptz) IS
'Instant in UTC as ISO 8601 with milliseconds, such as 2026-01-31T06:00:00.000Z.';

REVOKE ALL ON FUNCTION kpi_engine.iso_instant(timestamptz) FROM public;
