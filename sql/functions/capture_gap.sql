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
    SELECT
        'change capture is not working on '
        || string_agg(DISTINCT capture_triggers.relation::regclass::text, ', ')
    FROM analytics.capture_triggers()
    WHERE capture_triggers.definition IS NOT NULL AND NOT capture_triggers.is_working
    HAVING count(*) > 0;
$capture_gap$;

COMMENT ON FUNCTION analytics.capture_gap() IS
'Which source tables or partitions are without working change capture; NULL when there is none.';

REVOKE ALL ON FUNCTION analytics.capture_gap() FROM public;
