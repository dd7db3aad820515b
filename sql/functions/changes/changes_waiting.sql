-- How many changed keys wait for the next refresh.

CREATE OR REPLACE FUNCTION kpi_engine.changes_waiting()
RETURNS bigint
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_waiting$
    SELECT
        (SELECT count(*) FROM kpi_engine.change_log)
        + (SELECT count(*) FROM kpi_engine.lost_changes)
        + (SELECT count(*) FROM kpi_engine.pending_changes WHERE NOT pending_changes.is_applied);
$changes_waiting$;

COMMENT ON FUNCTION kpi_engine.changes_waiting() IS
'Number of pending keys, in the change log and among the compacted ones. A key that changed '
'several times may count several times.';

REVOKE ALL ON FUNCTION kpi_engine.changes_waiting() FROM public;
