-- Ends a request of the HTTP API that took too long or was cancelled.

CREATE OR REPLACE FUNCTION kpi_engine.raise_timeout()
RETURNS void
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_timeout$
    SELECT kpi_engine.raise_http_error(
        504,
        'the database took too long to answer',
        'The statement reached its time limit or was cancelled; nothing was changed.',
        'Try again; if it stays, look at what else the database is doing.'
    );
$raise_timeout$;

COMMENT ON FUNCTION kpi_engine.raise_timeout() IS
'Ends a request of the HTTP API with status 504. Raises SQLSTATE PGRST.';

REVOKE ALL ON FUNCTION kpi_engine.raise_timeout() FROM public;
