-- Runs before each HTTP request (db-pre-request of PostgREST): what it does not check itself.
--
-- Invariant: a token must end (exp), must be meant for us (aud) and must name a role of the
-- API; PostgREST accepts one that leaves any of them out. Shows the request's id in
-- application_name, so that it is in pg_stat_activity and in the server's log.

CREATE OR REPLACE FUNCTION analytics.check_request()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $check_request$
DECLARE
    v_claims constant jsonb := coalesce(
        nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb;
    v_headers constant json := nullif(current_setting('request.headers', true), '')::json;
    v_audience constant text := analytics.setting('api_audience');
    v_problem text;
BEGIN
    PERFORM set_config(
        'application_name',
        'teloo-api ' || left(
            regexp_replace(coalesce(v_headers ->> 'x-request-id', ''), '[^A-Za-z0-9._-]', '', 'g'),
            50),
        true
    );
    -- Without a token there is the role analytics_anon, and nothing else in the claims.
    IF v_claims - 'role' = '{}' AND coalesce(v_claims ->> 'role', 'analytics_anon') = 'analytics_anon'
    THEN
        RETURN;
    END IF;
    v_problem := CASE
        WHEN coalesce(jsonb_typeof(v_claims -> 'exp'), '') <> 'number'
            THEN 'It has no time at which it ends (exp).'
        WHEN NOT coalesce(
            CASE jsonb_typeof(v_claims -> 'aud')
                WHEN 'array' THEN v_claims -> 'aud' ? v_audience
                ELSE v_claims ->> 'aud' = v_audience
            END, false)
            THEN format('It is not meant for %s (aud).', v_audience)
        WHEN coalesce(v_claims ->> 'role', '') NOT IN ('analytics_lector', 'analytics_operador')
            THEN 'Its role is not analytics_lector or analytics_operador.'
    END;
    IF v_problem IS NOT NULL THEN
        PERFORM analytics.raise_http_error(
            401, 'the token is not valid here', v_problem, 'make token makes one that is.');
    END IF;
END;
$check_request$;

COMMENT ON FUNCTION analytics.check_request() IS
'Refuses an HTTP request whose token lacks exp, the right aud or a role of the API (status '
'401); puts the id of the request into application_name. Called by PostgREST before each '
'request.';

REVOKE ALL ON FUNCTION analytics.check_request() FROM public;
GRANT EXECUTE ON FUNCTION analytics.check_request()
TO analytics_anon, analytics_lector, analytics_operador;
