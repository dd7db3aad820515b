-- Reads a period that came as a parameter of a request: a month, or the first day of a week or day.

CREATE OR REPLACE FUNCTION kpi_engine.period_parameter(p_name text, p_value text)
RETURNS date
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_value ~ '^[0-9]{4}-[0-9]{2}$' THEN kpi_engine.month_parameter(p_name, p_value)
    ELSE kpi_engine.day_parameter(p_name, p_value)
END;

COMMENT ON FUNCTION kpi_engine.period_parameter(text, text) IS
'Parameter p_name of a request as the first day of a period (YYYY-MM or YYYY-MM-DD); NULL where it '
'is missing. Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.period_parameter(text, text) FROM public;
