-- Names the source tables whose changes are not noted.
--
-- Invariant: NULL exactly where every write to every source table and partition is noted.

CREATE OR REPLACE FUNCTION analytics.capture_gap()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $capture_gap$
    SELECT coalesce(
        'change capture is not working on '
        || string_agg(DISTINCT capture_triggers.relation::regclass::text, ', '),
        'change capture can''t note changes: ' || analytics.capture_obstacle()
    )
    FROM analytics.capture_triggers()
    WHERE capture_triggers.definition IS NOT NULL AND NOT capture_triggers.is_working;
$capture_gap$;

COMMENT ON FUNCTION analytics.capture_gap() IS
'Which source tables or partitions are without working change capture, or what keeps its '
'triggers from noting changes; NULL when there is nothing.';

REVOKE ALL ON FUNCTION analytics.capture_gap() FROM public;
