-- Says how many rows of a KPI view a request gets without a limit.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_default_limit(p_grain text)
RETURNS integer
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE p_grain WHEN 'month' THEN 12 WHEN 'week' THEN 26 WHEN 'day' THEN 90 ELSE 50 END;

COMMENT ON FUNCTION kpi_engine.kpi_default_limit(text) IS
'Default of the parameter limit, by the grain of the view: a year of months, half a year of weeks, '
'90 days, else 50.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_default_limit(text) FROM public;
