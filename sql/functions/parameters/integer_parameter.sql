-- Reads a whole number that came as a parameter of a request.
--
-- Invariant: the result lies between p_least and p_greatest, or is p_default.

CREATE OR REPLACE FUNCTION kpi_engine.integer_parameter(
    p_name text, p_value text, p_least integer, p_greatest integer, p_default integer
)
RETURNS integer
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_value IS NULL AND p_default IS NOT NULL THEN p_default
    WHEN
        CASE
            WHEN p_value ~ '^[0-9]{1,9}$' THEN p_value::integer BETWEEN p_least AND p_greatest
        END
        THEN p_value::integer
    -- Always raises.
    WHEN
        kpi_engine.raise_bad_parameter(
            p_name, p_value, format('a whole number from %s to %s', p_least, p_greatest)
        ) IS NULL
        THEN NULL
END;

COMMENT ON FUNCTION kpi_engine.integer_parameter(text, text, integer, integer, integer) IS
'Parameter p_name of a request as a whole number from p_least to p_greatest; p_default '
'where it is missing (NULL: it is required). Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.integer_parameter(text, text, integer, integer, integer)
FROM public;
