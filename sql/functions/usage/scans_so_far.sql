-- Counts how often this session has scanned a relation, or used one of its indexes.
--
-- Invariant: only a difference within one statement has a meaning. Between statements, PostgreSQL
-- moves the counts to its statistics, and they are no longer here.

CREATE OR REPLACE FUNCTION kpi_engine.scans_so_far(p_relation oid)
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $scans_so_far$
BEGIN
    -- PL/pgSQL keeps the plan: a refresh asks this twice for each view.
    RETURN pg_stat_get_xact_numscans(p_relation) + coalesce((
        SELECT sum(pg_stat_get_xact_numscans(pg_index.indexrelid))::bigint
        FROM pg_index
        WHERE pg_index.indrelid = p_relation
    ), 0);
END;
$scans_so_far$;

COMMENT ON FUNCTION kpi_engine.scans_so_far(oid) IS
'Scans of a table or materialized view and through its indexes by this session that the '
'statistics do not show yet. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.scans_so_far(oid) FROM public;
