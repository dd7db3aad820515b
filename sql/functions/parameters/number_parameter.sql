-- Reads a number that came as a parameter of a request.
--
-- Invariant: the result is finite, with up to 15 digits before the point and 6 after it.

CREATE OR REPLACE FUNCTION kpi_engine.number_parameter(p_name text, p_value text)
RETURNS numeric
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_value ~ '^-?[0-9]{1,15}(\.[0-9]{1,6})?$' THEN p_value::numeric
    -- Always raises.
    WHEN
        kpi_engine.raise_bad_parameter(
            p_name, p_value,
            'a number with up to 15 digits before the point and up to 6 after it, such as 82.5'
        ) IS NULL
        THEN NULL
END;

COMMENT ON FUNCTION kpi_engine.number_parameter(text, text) IS
'Parameter p_name of a request as a number; it is required. Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.number_parameter(text, text) FROM public;
