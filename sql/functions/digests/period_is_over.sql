-- Tells whether the period of a digest is over.

CREATE OR REPLACE FUNCTION kpi_engine.period_is_over(
    p_frequency text, p_period date, p_today date
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN (
    p_period + CASE p_frequency
        WHEN 'daily' THEN interval '1 day'
        WHEN 'weekly' THEN interval '1 week'
        ELSE interval '1 month'
    END
)::date <= p_today;

COMMENT ON FUNCTION kpi_engine.period_is_over(text, date, date) IS
'True if the day, week or month of a digest (p_frequency) that begins with p_period ended before '
'p_today. Internal to the digests.';

REVOKE ALL ON FUNCTION kpi_engine.period_is_over(text, date, date) FROM public;
