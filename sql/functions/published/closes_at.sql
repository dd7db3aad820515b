-- When a period closes.

CREATE OR REPLACE FUNCTION kpi_engine.closes_at(p_period date, p_grain text)
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $closes_at$
    -- Later periods are not closed, and their end may be beyond all dates.
    SELECT CASE WHEN p_period <= analytics.today() THEN
        (
            (p_period + ('1 ' || p_grain)::interval)::date
            + analytics.setting('closing_days')::integer
        )::timestamp AT TIME ZONE analytics.setting('time_zone')
    ELSE 'infinity' END;
$closes_at$;

COMMENT ON FUNCTION kpi_engine.closes_at(date, text) IS
'The local midnight at which a period closes: the setting closing_days after its end. p_period is '
'its first day, p_grain is day, week or month. infinity where the period is not there yet.';

REVOKE ALL ON FUNCTION kpi_engine.closes_at(date, text) FROM public;
