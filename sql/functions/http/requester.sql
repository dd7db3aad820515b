-- Returns the user of the session, or of the token of an HTTP request.
--
-- Invariant: only PostgREST's login can speak for others, because its claims were signed.

CREATE OR REPLACE FUNCTION kpi_engine.requester()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $requester$
    SELECT coalesce(
        CASE WHEN session_user = 'analytics_authenticator' THEN (
            SELECT format('%s (%s)', left(coalesce(claims ->> 'sub', 'HTTP'), 100), claims ->> 'role')
            FROM (
                SELECT nullif(current_setting('request.jwt.claims', true), '')::json AS claims
            ) AS request
            WHERE claims ->> 'role' IS NOT NULL
        ) END,
        session_user::text
    );
$requester$;

COMMENT ON FUNCTION kpi_engine.requester() IS
'Who asked for something: session_user, or, in an HTTP request, subject and role of its '
'token.';

REVOKE ALL ON FUNCTION kpi_engine.requester() FROM public;
