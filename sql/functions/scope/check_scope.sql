-- Refuses a request whose token is for some cities, if its path can't be narrowed to them.
--
-- Invariant: a path is refused unless it is here. An endpoint that comes later is refused until
-- somebody made it narrow its rows and named it here.

CREATE OR REPLACE FUNCTION kpi_engine.check_scope(p_cities jsonb, p_path text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $check_scope$
DECLARE
    c_narrowed constant text[] := ARRAY[
        '/rpc/advisor_rankings', '/rpc/top_advisors', '/rpc/city_summary', '/rpc/kpi',
        '/rpc/restatements'
    ];
    -- What KPIs there are, and whether they are fresh: no figure of a city.
    c_without_figures constant text[] := ARRAY['/', '/rpc/kpis', '/rpc/health'];
    v_is_right constant boolean := CASE WHEN jsonb_typeof(p_cities) = 'array' THEN
        jsonb_array_length(p_cities) BETWEEN 1 AND 100
        AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(p_cities) AS listed (city)
            WHERE
                jsonb_typeof(listed.city) <> 'string'
                OR length(listed.city #>> '{}') > 200
                OR analytics.city_key(listed.city #>> '{}') = ''
        )
        ELSE false
    END;
BEGIN
    IF NOT v_is_right THEN
        PERFORM kpi_engine.raise_http_error(
            401,
            'the token is not valid here: send Authorization: Bearer and a token that is',
            'Its claim ciudades is not a list of 1 to 100 names of cities.',
            'make token CIUDADES=Bogotá,Cali prints one where the API runs.'
        );
    END IF;
    -- The estimates of the planner come from the rows of all cities.
    IF nullif(current_setting('request.headers', true), '')::jsonb ->> 'prefer'
        ~* 'count\s*=\s*"?(?:planned|estimated)' THEN
        PERFORM kpi_engine.raise_scope_error(
            'count=planned and count=estimated count rows of all cities; count=exact does not');
    END IF;
    -- Without a path nothing passes.
    IF coalesce(p_path, '') = ANY (c_narrowed || c_without_figures) OR EXISTS (
        SELECT
        FROM kpi_engine.kpi_views(coalesce(substr(p_path, 2), '')) AS kpi
        CROSS JOIN LATERAL kpi_engine.kpi_columns(kpi.relation) AS kpi_column
        WHERE kpi_column.city_key IS NOT NULL
    ) THEN
        RETURN;
    END IF;
    PERFORM kpi_engine.raise_scope_error('this path answers with figures of all cities');
END;
$check_scope$;

COMMENT ON FUNCTION kpi_engine.check_scope(jsonb, text) IS
'Lets the request of a token with the claim ciudades (p_cities) pass if its path (of PostgREST) '
'can be narrowed to these cities. Errors: status 401 for a claim of a wrong form, else 403. '
'Internal to kpi_engine.check_token().';

REVOKE ALL ON FUNCTION kpi_engine.check_scope(jsonb, text) FROM public;
