-- GET /health and /materialized-views/health: is all well, and if not, what to do.
--
-- Invariant: 503 exactly when unhealthy. Who is not at least a reader is told what is wrong in
-- general words; what to do, with statements and names of tables, is for the others.

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
BEGIN
    -- The role that PostgREST became; current_user is the owner here.
    v_caller := coalesce(nullif(current_setting('role'), 'none'), session_user);
    v_in_full := pg_has_role(v_caller, 'analytics_lector', 'USAGE')
        OR pg_has_role(v_caller, 'analytics_operador', 'USAGE');
    SELECT
        coalesce(
            json_agg(DISTINCT format('%s: %s', problems.problem, CASE
                WHEN v_in_full THEN problems.message
                ELSE analytics.problem_in_short(problems.problem)
            END)),
            '[]'
        ),
        CASE
            WHEN bool_or(problems.severity = 'unhealthy') THEN 'unhealthy'
            WHEN count(*) > 0 THEN 'degraded'
            ELSE 'healthy'
        END
    INTO v_problems, v_status
    FROM analytics.health_problems() AS problems;
    IF v_status = 'unhealthy' THEN
        PERFORM set_config('response.status', '503', true);
    END IF;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN json_build_object(
        'status', v_status,
        'views_count', (SELECT count(*) FROM analytics.materialized_views()),
        'scheduler_running', analytics.scheduler_is_running(),
        'last_refresh', (
            SELECT analytics.iso_instant(max(view_state.last_success_at)) FROM analytics.view_state
        ),
        'problems', v_problems,
        'checked_at', analytics.iso_instant(analytics.now())
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM analytics.raise_timeout();
        RETURN NULL;
END;
$health$;

COMMENT ON FUNCTION api.health() IS
'Health: status healthy, degraded or unhealthy (the answer has status 503 then), and each '
'problem in words, with what to do. Needs no token; without one the words are general ones.';

REVOKE ALL ON FUNCTION api.health() FROM public;
GRANT EXECUTE ON FUNCTION api.health() TO analytics_anon, analytics_lector, analytics_operador;
