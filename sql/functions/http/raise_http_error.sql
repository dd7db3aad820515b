-- Ends a request of the HTTP API with a status and an error that a client can act on.
--
-- Invariant: only this function knows how to give PostgREST a status (SQLSTATE PGRST). Texts of
-- users go into JSON only, never into a header.
-- PostgREST takes each answer 503 for a lost connection: it connects again and loads its schema
-- again. So our own 503 leaves PostgREST as 533, and the gateway makes it 503. nginx drops the body
-- of an answer whose status it changes. So for these statuses the body is in a header too.

CREATE OR REPLACE FUNCTION kpi_engine.raise_http_error(
    p_status integer, p_message text, p_details text DEFAULT NULL, p_hint text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_http_error$
DECLARE
    v_error constant text := json_build_object(
        'code', format('TELOO%s', p_status),
        'message', p_message,
        'details', p_details,
        'hint', p_hint
    )::text;
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PGRST',
        MESSAGE = v_error,
        DETAIL = json_build_object(
            'status', CASE p_status WHEN 503 THEN 533 ELSE p_status END,
            'headers', CASE
                WHEN p_status IN (401, 404, 500, 503) THEN json_build_object(
                    'Cache-Control', 'no-store', 'X-Error-Body', v_error)
                ELSE json_build_object('Cache-Control', 'no-store')
            END
        )::text;
END;
$raise_http_error$;

COMMENT ON FUNCTION kpi_engine.raise_http_error(integer, text, text, text) IS
'Ends a request of the HTTP API: HTTP status, message, details and hint. Raises SQLSTATE '
'PGRST. PostgREST answers 533 for 503, which the gateway turns back.';

REVOKE ALL ON FUNCTION kpi_engine.raise_http_error(integer, text, text, text) FROM public;
