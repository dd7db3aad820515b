-- Reads a month that came as a parameter of a request.

CREATE OR REPLACE FUNCTION analytics.month_parameter(p_name text, p_value text)
RETURNS date
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $month_parameter$
BEGIN
    IF p_value !~ '^[0-9]{4}-(0[1-9]|1[0-2])$' OR left(p_value, 4) = '0000' THEN
        PERFORM analytics.raise_bad_parameter(
            p_name, p_value, 'a month as YYYY-MM, such as 2026-01');
    END IF;
    RETURN (p_value || '-01')::date;
END;
$month_parameter$;

COMMENT ON FUNCTION analytics.month_parameter(text, text) IS
'Parameter p_name of a request as the first day of a month (YYYY-MM); NULL where it is '
'missing. Error: status 400.';

REVOKE ALL ON FUNCTION analytics.month_parameter(text, text) FROM public;
