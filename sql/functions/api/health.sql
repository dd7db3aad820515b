-- GET /health and /materialized-views/health: is everything well, and if not, what to do.
--
-- Invariant: 503 if and only if unhealthy. PostgREST answers 533, with the body also in a header,
-- for the reasons in kpi_engine.raise_http_error(). So the body is small enough for a header. A
-- caller who is not at least a reader, or whose token is for some cities, gets general words.
-- Others also get statements, figures and names of tables.

CREATE OR REPLACE FUNCTION api.health()
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $health$
DECLARE
    v_caller text;
    v_in_full boolean;
    v_problems json;
    v_status text;
    v_headers json := json_build_array(json_build_object('Cache-Control', 'no-store'));
    v_answer json;
BEGIN
    v_caller := kpi_engine.api_caller();
    v_in_full := (
        pg_has_role(v_caller, 'analytics_lector', 'USAGE')
        OR pg_has_role(v_caller, 'analytics_operador', 'USAGE')
    )
    -- The words of a problem may have figures of all cities.
    AND kpi_engine.token_cities() IS NULL;
    WITH problems AS MATERIALIZED (
        SELECT found.problem, found.severity, found.message
        FROM analytics.health_problems() AS found
    ),

    told AS (
        SELECT
            line.text,
            row_number() OVER by_text AS number,
            sum(octet_length(to_json(line.text)::text)) OVER by_text AS bytes
        FROM (
            SELECT DISTINCT left(format('%s: %s', problems.problem, CASE
                WHEN v_in_full THEN problems.message
                ELSE kpi_engine.problem_in_short(problems.problem)
            END), 4000) AS text
            FROM problems
        ) AS line
        WINDOW by_text AS (ORDER BY line.text)
    )

    SELECT
        (
            SELECT coalesce(json_agg(shown.text ORDER BY shown.number), '[]')
            FROM (
                SELECT told.text, told.number FROM told WHERE told.bytes <= 30000
                UNION ALL
                SELECT format('%s more problem(s): make doctor lists them all', count(*)), NULL
                FROM told
                WHERE told.bytes > 30000
                HAVING count(*) > 0
            ) AS shown
        ),
        CASE
            WHEN bool_or(problems.severity = 'unhealthy') THEN 'unhealthy'
            WHEN count(*) > 0 THEN 'degraded'
            ELSE 'healthy'
        END
    INTO v_problems, v_status
    FROM problems;
    v_answer := json_build_object(
        'status', v_status,
        'views_count', (SELECT count(*) FROM kpi_engine.materialized_views()),
        'scheduler_running', kpi_engine.scheduler_is_running(),
        'last_refresh', (
            SELECT kpi_engine.iso_instant(max(view_state.last_success_at))
            FROM kpi_engine.view_state
        ),
        'problems', v_problems,
        'checked_at', kpi_engine.iso_instant(analytics.now())
    );
    IF v_status = 'unhealthy' THEN
        PERFORM set_config('response.status', '533', true);
        v_headers := json_build_array(v_headers -> 0, json_build_object('X-Error-Body', v_answer::text));
    END IF;
    PERFORM set_config('response.headers', v_headers::text, true);
    RETURN v_answer;
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('health', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$health$;

COMMENT ON FUNCTION api.health() IS
'Health: status healthy, degraded or unhealthy, and each problem in words, with what to do. '
'Unhealthy is status 503. It needs no token; without a token the words are general.';

REVOKE ALL ON FUNCTION api.health() FROM public;
GRANT EXECUTE ON FUNCTION api.health() TO analytics_anon, analytics_lector, analytics_operador;
