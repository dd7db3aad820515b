-- Says what is wrong with a token that analytics.check_request did not find right.
--
-- Invariant: without an audience to compare with, no token is right. Without a token there is
-- the role analytics_anon, and nothing else in the claims.

CREATE OR REPLACE FUNCTION analytics.check_token(p_claims jsonb, p_audience text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $check_token$
DECLARE
    v_problem text;
BEGIN
    IF p_claims - 'role' = '{}' AND coalesce(p_claims ->> 'role', 'analytics_anon') = 'analytics_anon'
    THEN
        RETURN;
    END IF;
    v_problem := CASE
        WHEN coalesce(jsonb_typeof(p_claims -> 'exp'), '') <> 'number'
            THEN 'It has no time at which it ends (exp).'
        WHEN coalesce(p_audience, '') = ''
            THEN 'PostgREST''s configuration names no audience (app.settings.api_audience).'
        WHEN NOT coalesce(
            CASE jsonb_typeof(p_claims -> 'aud')
                WHEN 'array' THEN p_claims -> 'aud' ? p_audience
                ELSE p_claims ->> 'aud' = p_audience
            END, false)
            THEN format('It is not meant for %s (aud).', p_audience)
        WHEN coalesce(p_claims ->> 'role', '') NOT IN ('analytics_lector', 'analytics_operador')
            THEN 'Its role is not analytics_lector or analytics_operador.'
    END;
    IF v_problem IS NOT NULL THEN
        PERFORM analytics.raise_http_error(
            401, 'the token is not valid here', v_problem, 'make token makes one that is.');
    END IF;
END;
$check_token$;

COMMENT ON FUNCTION analytics.check_token(jsonb, text) IS
'Refuses the claims of a token that lacks exp, the right aud or a role of the API, with the '
'reason (status 401). Passes those of a request without a token.';

REVOKE ALL ON FUNCTION analytics.check_token(jsonb, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.check_token(jsonb, text)
TO analytics_anon, analytics_lector, analytics_operador;
