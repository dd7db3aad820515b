-- Runs before each HTTP request (db-pre-request of PostgREST), and checks what PostgREST does not
-- check.
--
-- Invariant: a token must end (exp), must be meant for us (aud) and must name a role of the API.
-- PostgREST accepts a token that lacks any of these. A token with the claim ciudades is for paths
-- that can be narrowed to these cities (kpi_engine.check_scope). The function also puts the
-- request's id into application_name, so that it is in pg_stat_activity and in the server's log.
-- kpi_engine.check_token handles claims that jsonb might refuse (an escaped NUL, a number beyond
-- numeric, deep nesting). A cast here would end as 400 or 413, but such a token is 401.
-- It takes public off the search_path, whatever the configuration of PostgREST says: who may create
-- there could put functions of his own into the queries of PostgREST.
-- A view that PostgREST reads itself gets the headers of freshness (kpi_engine.mark_view).
-- It is one expression, so that PostgreSQL puts it into PostgREST's prepared statement. Each
-- request pays for it.

CREATE OR REPLACE FUNCTION analytics.check_request()
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
RETURN CASE
    -- Never NULL. Both are called for their effect.
    WHEN set_config('search_path', 'api, pg_temp', true) IS NULL THEN NULL
    WHEN
        set_config(
            'application_name',
            'teloo-api ' || left(
                regexp_replace(
                    coalesce(
                        nullif(current_setting('request.headers', true), '')::json
                        ->> 'x-request-id',
                        ''
                    ),
                    '[^A-Za-z0-9._-]', '', 'g'
                ),
                50
            ),
            true
        ) IS NULL
        THEN NULL
    -- The gateway's question, see kpi_engine.answer_probe(). No value can hold an unescaped quote.
    WHEN current_setting('request.headers', true) LIKE '%"x-probe":%'
        THEN kpi_engine.answer_probe()
    WHEN
        length(current_setting('request.jwt.claims', true)) > 4000
        OR current_setting('request.jwt.claims', true) ~ '\\|[0-9][eE]|[[{]{8}'
        THEN kpi_engine.check_token(
            current_setting('request.jwt.claims', true),
            current_setting('app.settings.api_audience', true)
        )
    WHEN
        jsonb_path_match(
            nullif(current_setting('request.jwt.claims', true), '')::jsonb,
            '$.exp.type() == "number" && $audience.type() == "string" && $.aud == $audience
                && $.role.type() == "string"
                && ($.role == "analytics_lector" || $.role == "analytics_operador")
                && !exists($.ciudades)',
            jsonb_build_object(
                'audience', nullif(current_setting('app.settings.api_audience', true), '')
            )
        )
        THEN CASE
            WHEN current_setting('request.path', true) NOT LIKE '/rpc/%'
                THEN kpi_engine.mark_view(current_setting('request.path', true))
        END
    ELSE kpi_engine.check_token(
        current_setting('request.jwt.claims', true),
        current_setting('app.settings.api_audience', true)
    )
END;

COMMENT ON FUNCTION analytics.check_request() IS
'Refuses an HTTP request if its token lacks exp, the right aud or a role of the API (status 401). '
'Puts the id of the request into application_name, and marks answers of KPI views. PostgREST calls '
'it before each request.';

REVOKE ALL ON FUNCTION analytics.check_request() FROM public;
GRANT EXECUTE ON FUNCTION analytics.check_request()
TO analytics_anon, analytics_lector, analytics_operador;
