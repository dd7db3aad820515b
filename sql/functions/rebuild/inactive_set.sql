-- The set that the views do not show: a rebuild fills it.

CREATE OR REPLACE FUNCTION kpi_engine.inactive_set()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $inactive_set$
    SELECT CASE engine_state.active_set WHEN 'a' THEN '_b' ELSE '_a' END
    FROM kpi_engine.engine_state;
$inactive_set$;

COMMENT ON FUNCTION kpi_engine.inactive_set() IS
'Suffix (_a or _b) of the set of derived tables that the views do not show. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.inactive_set() FROM public;
