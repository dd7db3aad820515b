-- Returns the user of the session, or of the token of an HTTP request.
--
-- Invariant: only PostgREST's login can speak for others, because its claims were signed.

CREATE OR REPLACE FUNCTION kpi_engine.requester()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $requester$
DECLARE
    v_claims json;
BEGIN
    -- PL/pgSQL keeps the plan: each refresh calls this.
    IF session_user = 'analytics_authenticator' THEN
        v_claims := nullif(current_setting('request.jwt.claims', true), '')::json;
    END IF;
    RETURN CASE
        WHEN v_claims ->> 'role' IS NOT NULL
            THEN format('%s (%s)', left(coalesce(v_claims ->> 'sub', 'HTTP'), 100), v_claims ->> 'role')
        ELSE session_user::text
    END;
END;
$requester$;

COMMENT ON FUNCTION kpi_engine.requester() IS
'Who asked for something: session_user, or, in an HTTP request, subject and role of its '
'token.';

REVOKE ALL ON FUNCTION kpi_engine.requester() FROM public;
