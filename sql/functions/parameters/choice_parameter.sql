-- Reads a parameter of a request that has only a few right values.

CREATE OR REPLACE FUNCTION kpi_engine.choice_parameter(
    p_name text, p_value text, VARIADIC p_choices text[]
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_value IS NULL OR p_choices @> ARRAY[p_value] THEN p_value
    -- Always raises.
    WHEN
        kpi_engine.raise_bad_parameter(
            p_name, p_value, concat_ws(
                ' or ', nullif(array_to_string(trim_array(p_choices, 1), ', '), ''),
                p_choices[cardinality(p_choices)]
            )
        ) IS NULL
        THEN NULL
END;

COMMENT ON FUNCTION kpi_engine.choice_parameter(text, text, text[]) IS
'Parameter p_name of a request, one of p_choices; NULL where it is missing. Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.choice_parameter(text, text, text[]) FROM public;
