-- How many changed keys wait for the next refresh.

CREATE OR REPLACE FUNCTION analytics.changes_waiting()
RETURNS bigint
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_waiting$
    SELECT
        (SELECT count(*) FROM analytics.change_log)
        + (SELECT count(*) FROM analytics.lost_changes)
        + (SELECT count(*) FROM analytics.pending_changes WHERE NOT pending_changes.is_applied);
$changes_waiting$;

COMMENT ON FUNCTION analytics.changes_waiting() IS
'Keys in the change log and among the compacted ones that no refresh has applied yet; one '
'that changed several times may be counted several times.';

REVOKE ALL ON FUNCTION analytics.changes_waiting() FROM public;
