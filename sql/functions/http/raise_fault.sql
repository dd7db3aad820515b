-- Ends a request of the HTTP API in which our own work in the database failed.
--
-- Invariant: such a failure never counts as the caller's (400, 401, 403, 404), whatever PostgREST
-- makes of its SQLSTATE. Example: a right that the owner lost on a source table is 42501. A missing
-- right of the caller is 42501 too, but PostgreSQL raises that before the function begins. The
-- failure is in the server's log, with the function. Only an operator reads the text, because it
-- names objects.

CREATE OR REPLACE FUNCTION kpi_engine.raise_fault(
    p_function text, p_sqlstate text, p_message text
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_fault$
DECLARE
    v_text constant text := CASE
        WHEN pg_has_role(kpi_engine.api_caller(), 'analytics_operador', 'USAGE')
            THEN rtrim(left(kpi_engine.public_error(p_message, p_sqlstate), 500), '.') || ' '
        ELSE ''
    END;
BEGIN
    RAISE WARNING 'teloo-analytics: ERROR in api.%: % (SQLSTATE %)',
        p_function, p_message, p_sqlstate
        USING HINT = 'make doctor says what is missing, with the commands that mend it.';
    PERFORM kpi_engine.raise_http_error(
        -- No room, no connections, stopped, or a table was just changed: it may work later.
        CASE WHEN p_sqlstate ~ '^(53|57P|08|40)' THEN 503 ELSE 500 END,
        'the API could not do its own work in the database',
        format('%s(SQLSTATE %s)', v_text, p_sqlstate),
        'Your token and your request are not the cause. The log of the database has the details; '
        'make doctor says what is missing.'
    );
END;
$raise_fault$;

COMMENT ON FUNCTION kpi_engine.raise_fault(text, text, text) IS
'Logs a failure inside a function of schema api and ends the request with status 500, or 503 where '
'the server lacks a resource or the tables just changed: never one that blames the caller. Raises '
'SQLSTATE PGRST.';

REVOKE ALL ON FUNCTION kpi_engine.raise_fault(text, text, text) FROM public;
