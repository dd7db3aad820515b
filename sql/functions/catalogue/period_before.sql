-- Says with which days a period is compared.
--
-- Invariant: as many days of the earlier period as the period has had, and at most all of them.
-- Today counts as one of them. A period is over if its last day is before today. One that begins
-- after today has had no day: last_day is before first_day then. One year before a week are 52
-- weeks, because these begin with a Monday too. One year before 29 February is 28 February.

CREATE OR REPLACE FUNCTION kpi_engine.period_before(
    p_period date, p_grain text, p_compare text, p_today date
)
RETURNS TABLE (first_day date, last_day date, is_over boolean, is_part boolean)
LANGUAGE sql
STABLE PARALLEL SAFE
ROWS 1
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $period_before$
    SELECT
        earlier.first_day,
        days.last_day,
        this.is_over,
        days.last_day < earlier.last_day OR p_period > p_today
    FROM (
        SELECT (p_period + ('1 ' || p_grain)::interval)::date - 1 < p_today AS is_over
    ) AS this
    CROSS JOIN LATERAL (
        SELECT
            start.day AS first_day,
            (start.day + ('1 ' || p_grain)::interval)::date - 1 AS last_day
        FROM (
            SELECT (
                p_period - CASE
                    WHEN p_compare = 'previous' THEN ('1 ' || p_grain)::interval
                    WHEN p_grain = 'week' THEN interval '364 days'
                    ELSE interval '1 year'
                END
            )::date AS day
        ) AS start
    ) AS earlier
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN this.is_over THEN earlier.last_day
            WHEN p_period > p_today THEN earlier.first_day - 1
            ELSE least(earlier.last_day, earlier.first_day + (p_today - p_period))
        END AS last_day
    ) AS days;
$period_before$;

COMMENT ON FUNCTION kpi_engine.period_before(date, text, text, date) IS
'The days with which the period p_period (its first day; day, week or month) is compared, one '
'period (previous) or one year before (year): first and last of them, whether p_period is over on '
'p_today, whether these days are only a part of the earlier period.';

REVOKE ALL ON FUNCTION kpi_engine.period_before(date, text, text, date) FROM public;
