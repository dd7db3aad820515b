-- Tells whether the source changed during a refresh in a way that no key in the log shows.
--
-- Invariant: false only if no lost change was committed since the changes were taken, and nothing
-- was done to the operational tables since kpi_engine.settle(). Then each transaction that may have
-- been seen has its keys in the log. Rows of a part without triggers are noted by each refresh.

CREATE OR REPLACE FUNCTION kpi_engine.has_moved_on()
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $has_moved_on$
BEGIN
    RETURN EXISTS (SELECT FROM kpi_engine.change_log WHERE change_log.entity = 'everything')
        OR EXISTS (SELECT FROM kpi_engine.lost_changes)
        OR EXISTS (
            SELECT FROM kpi_engine.engine_state WHERE engine_state.catalog_fingerprint IS NOT NULL
        ) AND NOT kpi_engine.is_settled();
END;
$has_moved_on$;

COMMENT ON FUNCTION kpi_engine.has_moved_on() IS
'Whether TRUNCATE, a lost change or a change of the operational schema came during a refresh. '
'Internal to kpi_engine.apply_changes().';

REVOKE ALL ON FUNCTION kpi_engine.has_moved_on() FROM public;
