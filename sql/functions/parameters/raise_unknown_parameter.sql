-- Ends a request of the HTTP API that has a parameter which its path does not know.

CREATE OR REPLACE FUNCTION kpi_engine.raise_unknown_parameter(p_name text, p_right_names text[])
RETURNS void
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_unknown_parameter$
    SELECT kpi_engine.raise_http_error(
        400,
        CASE
            WHEN p_name ~ '^[A-Za-z0-9_]{1,63}$' THEN format('parameter %s is unknown', p_name)
            ELSE 'the query string has an unknown parameter'
        END,
        NULL,
        format('The parameters of this path: %s.', array_to_string(p_right_names, ', '))
    );
$raise_unknown_parameter$;

COMMENT ON FUNCTION kpi_engine.raise_unknown_parameter(text, text[]) IS
'Ends a request of the HTTP API with status 400: an unknown parameter, and which are right. Raises '
'SQLSTATE PGRST.';

REVOKE ALL ON FUNCTION kpi_engine.raise_unknown_parameter(text, text[]) FROM public;
