-- Reads a month that came as a parameter of a request.

CREATE OR REPLACE FUNCTION kpi_engine.month_parameter(p_name text, p_value text)
RETURNS date
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_value IS NULL THEN NULL
    WHEN p_value ~ '^[0-9]{4}-(0[1-9]|1[0-2])$' AND left(p_value, 4) <> '0000'
        THEN (p_value || '-01')::date
    -- Always raises.
    WHEN
        kpi_engine.raise_bad_parameter(
            p_name, p_value, 'a month as YYYY-MM, such as 2026-01'
        ) IS NULL
        THEN NULL
END;

COMMENT ON FUNCTION kpi_engine.month_parameter(text, text) IS
'Parameter p_name of a request as the first day of a month (YYYY-MM); NULL where it is '
'missing. Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.month_parameter(text, text) FROM public;
