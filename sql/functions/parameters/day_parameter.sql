-- Reads a day that came as a parameter of a request.

CREATE OR REPLACE FUNCTION kpi_engine.day_parameter(p_name text, p_value text)
RETURNS date
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_value IS NULL THEN NULL
    -- A day that its month does not have, such as 2026-02-30, becomes another day.
    WHEN
        CASE
            WHEN
                p_value ~ '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$'
                AND left(p_value, 4) <> '0000'
                THEN to_char(
                    (left(p_value, 8) || '01')::date + right(p_value, 2)::integer - 1, 'YYYY-MM-DD'
                ) = p_value
        END
        THEN p_value::date
    -- Always raises.
    WHEN
        kpi_engine.raise_bad_parameter(
            p_name, p_value, 'a day as YYYY-MM-DD, such as 2026-01-31'
        ) IS NULL
        THEN NULL
END;

COMMENT ON FUNCTION kpi_engine.day_parameter(text, text) IS
'Parameter p_name of a request as a day (YYYY-MM-DD); NULL where it is missing. Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.day_parameter(text, text) FROM public;
