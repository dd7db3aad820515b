-- General words for a problem, which everybody may see.
--
-- Invariant: no statement, no table, no path, no figure: GET /health shows them without a token.

CREATE OR REPLACE FUNCTION kpi_engine.problem_in_short(p_problem text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $problem_in_short$
    SELECT coalesce(
        (
            SELECT known.in_short FROM kpi_engine.known_problems() AS known
            WHERE known.problem = p_problem
        ),
        'ask with a token for what it is'
    );
$problem_in_short$;

COMMENT ON FUNCTION kpi_engine.problem_in_short(text) IS
'General words for a problem of analytics.health_problems(), for callers without a token of the '
'HTTP API.';

REVOKE ALL ON FUNCTION kpi_engine.problem_in_short(text) FROM public;
