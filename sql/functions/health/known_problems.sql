-- Lists all problems that health can have, and general words for each.
--
-- Invariant: they are written once, in the comment of analytics.health_problems(): a line for each
-- problem, with its name, a colon and English words. Two lines may follow: es: Spanish words, and
-- hacer: what to do, in Spanish. In English the message of a problem says it.

CREATE OR REPLACE FUNCTION kpi_engine.known_problems()
RETURNS TABLE (problem text, in_short text, in_spanish text, cure_in_spanish text)
LANGUAGE sql
STABLE PARALLEL SAFE
ROWS 20
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $known_problems$
    SELECT line.parts[1], line.parts[2], line.parts[3], line.parts[4]
    FROM regexp_matches(
        obj_description('analytics.health_problems()'::regprocedure, 'pg_proc'),
        E'^(\\w+): (.+)(?:\\nes: (.+))?(?:\\nhacer: (.+))?$', 'gn'
    ) AS line (parts);
$known_problems$;

COMMENT ON FUNCTION kpi_engine.known_problems() IS
'Each problem that analytics.health_problems() may find, general words for it in English and '
'Spanish, and what to do in Spanish. NULL: nobody wrote them.';

REVOKE ALL ON FUNCTION kpi_engine.known_problems() FROM public;
