-- Lists all problems that health can have, and general words for each.
--
-- Invariant: they are written once, in the comment of analytics.health_problems(): a line for each
-- problem, with its name, a colon and the words.

CREATE OR REPLACE FUNCTION kpi_engine.known_problems()
RETURNS TABLE (problem text, in_short text)
LANGUAGE sql
STABLE PARALLEL SAFE
ROWS 20
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $known_problems$
    SELECT line.parts[1], line.parts[2]
    FROM regexp_matches(
        obj_description('analytics.health_problems()'::regprocedure, 'pg_proc'),
        '^(\w+): (.+)$', 'gn'
    ) AS line (parts);
$known_problems$;

COMMENT ON FUNCTION kpi_engine.known_problems() IS
'Each problem that analytics.health_problems() may find, and general words for it.';

REVOKE ALL ON FUNCTION kpi_engine.known_problems() FROM public;
