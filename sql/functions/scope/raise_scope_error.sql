-- Refuses what a token for some cities may not see, and says for which cities it is.

CREATE OR REPLACE FUNCTION kpi_engine.raise_scope_error(p_reason text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_scope_error$
BEGIN
    PERFORM kpi_engine.raise_http_error(
        403,
        format('this token is for some cities only: %s', p_reason),
        format('Its cities: %s.', array_to_string(kpi_engine.token_cities(), ', ')),
        'It can read views, advisors and sums by city. Who runs the API has tokens without ciudades.'
    );
END;
$raise_scope_error$;

COMMENT ON FUNCTION kpi_engine.raise_scope_error(text) IS
'Ends a request with status 403: its token is for some cities, and p_reason says why that is not '
'enough.';

REVOKE ALL ON FUNCTION kpi_engine.raise_scope_error(text) FROM public;
