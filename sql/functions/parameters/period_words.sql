-- Says how the period of a view is given as a parameter of a request.

CREATE OR REPLACE FUNCTION kpi_engine.period_words(p_grain text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE p_grain
    WHEN 'month' THEN 'a month as YYYY-MM, or its first day as YYYY-MM-DD, such as 2026-01-01'
    WHEN 'week' THEN 'the Monday of a week as YYYY-MM-DD, such as 2026-01-05'
    ELSE 'a day as YYYY-MM-DD, such as 2026-01-31'
END;

COMMENT ON FUNCTION kpi_engine.period_words(text) IS
'The right values of a parameter that names a period: of a view by month, by week, or by day (also '
'of one without a time, NULL). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.period_words(text) FROM public;
