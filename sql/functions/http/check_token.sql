-- Says what is wrong with a token that analytics.check_request refused.
--
-- Invariant: claims that PostgreSQL can't hold make a wrong token, and no other error. Without an
-- audience to compare with, no token is right. Without a token, the claims have only the role
-- analytics_anon.

CREATE OR REPLACE FUNCTION kpi_engine.check_token(p_claims text, p_audience text)
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
    v_message constant text :=
        'the token is not valid here: send Authorization: Bearer and a token that is';
    v_hint constant text :=
        'make token ROLE=analytics_lector prints one where the API runs; or ask whoever runs it.';
    v_claims jsonb;
    v_problem text;
BEGIN
    BEGIN
        v_claims := coalesce(nullif(p_claims, ''), '{}')::jsonb;
    EXCEPTION
        -- A NUL, a number beyond numeric, nesting beyond the stack.
        WHEN OTHERS THEN
            PERFORM kpi_engine.raise_http_error(
                401, v_message,
                'It holds a claim that can not be read: a NUL, or a number that is too large.',
                v_hint
            );
    END;
    IF v_claims - 'role' = '{}' AND coalesce(v_claims ->> 'role', 'analytics_anon') = 'analytics_anon'
    THEN
        RETURN;
    END IF;
    v_problem := CASE
        WHEN coalesce(jsonb_typeof(v_claims -> 'exp'), '') <> 'number'
            THEN 'It has no time at which it ends (exp).'
        WHEN coalesce(p_audience, '') = ''
            THEN 'PostgREST''s configuration names no audience (app.settings.api_audience).'
        WHEN NOT coalesce(
            CASE jsonb_typeof(v_claims -> 'aud')
                WHEN 'array' THEN v_claims -> 'aud' ? p_audience
                ELSE v_claims ->> 'aud' = p_audience
            END, false)
            THEN format('It is not meant for %s (aud).', p_audience)
        WHEN coalesce(v_claims ->> 'role', '') NOT IN ('analytics_lector', 'analytics_operador')
            THEN 'Its role is not analytics_lector or analytics_operador.'
    END;
    IF v_problem IS NOT NULL THEN
        PERFORM kpi_engine.raise_http_error(401, v_message, v_problem, v_hint);
    END IF;
    IF v_claims ? 'ciudades' THEN
        PERFORM kpi_engine.check_scope(
            v_claims -> 'ciudades', current_setting('request.path', true));
    END IF;
    IF current_setting('request.path', true) NOT LIKE '/rpc/%' THEN
        PERFORM kpi_engine.mark_view(current_setting('request.path', true));
    END IF;
END;
$check_token$;

COMMENT ON FUNCTION kpi_engine.check_token(text, text) IS
'Refuses the claims of a token that lacks exp, the right aud or a role of the API, with the '
'reason (status 401), and a token for some cities where the path can''t be narrowed to them (403). '
'Passes those of a request without a token. Marks answers of KPI views.';

REVOKE ALL ON FUNCTION kpi_engine.check_token(text, text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.check_token(text, text)
TO analytics_anon, analytics_lector, analytics_operador;
