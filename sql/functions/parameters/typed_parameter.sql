-- Checks a parameter of a request that is compared with a column of some type.
--
-- Invariant: the result can be cast to the type.

CREATE OR REPLACE FUNCTION kpi_engine.typed_parameter(p_name text, p_value text, p_type text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_type IN ('smallint', 'integer', 'bigint')
        THEN kpi_engine.integer_parameter(
            p_name, p_value, 0, CASE p_type WHEN 'smallint' THEN 32767 ELSE 999999999 END, NULL
        )::text
    WHEN
        p_type <> 'uuid'
        OR p_value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
        THEN p_value
    -- Always raises.
    WHEN
        kpi_engine.raise_bad_parameter(
            p_name, p_value, 'a UUID, such as 5f0c5c5e-3d0b-4c57-8a0e-9a4bb0a3c111'
        ) IS NULL
        THEN NULL
END;

COMMENT ON FUNCTION kpi_engine.typed_parameter(text, text, text) IS
'Parameter p_name of a request, which is compared with a column of type p_type: a whole number '
'from 0, a uuid, or any text. Error: status 400.';

REVOKE ALL ON FUNCTION kpi_engine.typed_parameter(text, text, text) FROM public;
