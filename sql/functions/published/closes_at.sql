-- When a period closes.
--
-- Bound when created, so that the planner puts it into the queries that use it.

CREATE OR REPLACE FUNCTION kpi_engine.closes_at(
    p_period date, p_grain text, p_today date, p_days integer, p_zone text
)
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
-- Later periods are not closed, and their end may be beyond all dates.
RETURN CASE
    WHEN p_period <= p_today
        THEN (
            (p_period + ('1 ' || p_grain)::interval)::date + p_days
        )::timestamp AT TIME ZONE p_zone
    ELSE 'infinity'
END;

COMMENT ON FUNCTION kpi_engine.closes_at(date, text, date, integer, text) IS
'The local midnight at which a period closes: p_days (setting closing_days) after its end, in '
'p_zone (setting time_zone). p_period is its first day, p_grain is day, week or month. infinity '
'where the period is not there yet, on p_today (analytics.today()).';

REVOKE ALL ON FUNCTION kpi_engine.closes_at(date, text, date, integer, text) FROM public;
