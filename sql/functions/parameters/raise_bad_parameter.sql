-- Ends a request of the HTTP API that has a wrong parameter.

CREATE OR REPLACE FUNCTION kpi_engine.raise_bad_parameter(
    p_name text, p_value text, p_right_values text
)
RETURNS void
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_bad_parameter$
    SELECT kpi_engine.raise_http_error(
        400,
        format('parameter %s must be %s', p_name, p_right_values),
        CASE
            WHEN p_value IS NULL THEN 'It is missing.'
            WHEN length(p_value) > 100 THEN format('Got "%s"….', left(p_value, 100))
            ELSE format('Got "%s".', p_value)
        END
    );
$raise_bad_parameter$;

COMMENT ON FUNCTION kpi_engine.raise_bad_parameter(text, text, text) IS
'Ends a request of the HTTP API with status 400: the name of the parameter, what was given, '
'and which values are right. Raises SQLSTATE PGRST.';

REVOKE ALL ON FUNCTION kpi_engine.raise_bad_parameter(text, text, text) FROM public;
