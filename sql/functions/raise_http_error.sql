-- Ends a request of the HTTP API with a status and an error that a client can act on.
--
-- Invariant: the one place that knows how PostgREST is told a status (SQLSTATE PGRST). Texts of
-- users go into JSON only, never into a header.

CREATE OR REPLACE FUNCTION analytics.raise_http_error(
    p_status integer, p_message text, p_details text DEFAULT NULL, p_hint text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_http_error$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PGRST',
        MESSAGE = json_build_object(
            'code', format('TELOO%s', p_status),
            'message', p_message,
            'details', p_details,
            'hint', p_hint
        )::text,
        DETAIL = json_build_object(
            'status', p_status, 'headers', json_build_object('Cache-Control', 'no-store')
        )::text;
END;
$raise_http_error$;

COMMENT ON FUNCTION analytics.raise_http_error(integer, text, text, text) IS
'Ends a request of the HTTP API: HTTP status, message, details and hint. Raises SQLSTATE '
'PGRST.';

REVOKE ALL ON FUNCTION analytics.raise_http_error(integer, text, text, text) FROM public;
