-- Gives up a rebuild that was interrupted and that nobody went on with for seven days.
--
-- Invariant: what came since stays applied, and what waits goes on to wait. Without this, each key
-- that changes would be kept for that rebuild for ever. The caller holds the refresh lock: no
-- rebuild is running.

CREATE OR REPLACE FUNCTION kpi_engine.give_up_rebuild()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $give_up_rebuild$
DECLARE
    v_last constant timestamptz := (
        SELECT max(greatest(rebuild_batches.planned_at, rebuild_batches.finished_at))
        FROM kpi_engine.rebuild_batches
    );
BEGIN
    IF v_last IS NULL OR v_last > clock_timestamp() - interval '7 days' THEN
        RETURN;
    END IF;
    RAISE LOG 'teloo-analytics: the rebuild that was interrupted at % is given up', v_last;
    DELETE FROM kpi_engine.rebuild_batches;
    DELETE FROM kpi_engine.pending_changes WHERE pending_changes.is_applied;
    UPDATE kpi_engine.derived_tables SET rebuilding_by = NULL
    WHERE derived_tables.rebuilding_by IS NOT NULL;
    PERFORM kpi_engine.empty_other_sets();
END;
$give_up_rebuild$;

COMMENT ON FUNCTION kpi_engine.give_up_rebuild() IS
'Forgets an interrupted rebuild of which no batch was planned or done for seven days, empties its '
'sets, and removes the keys that were kept for it. Internal to kpi_engine.take_changes().';

REVOKE ALL ON FUNCTION kpi_engine.give_up_rebuild() FROM public;
