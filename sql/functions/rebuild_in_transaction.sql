-- Computes everything again from the source, in the caller's transaction.
--
-- Invariant: readers see the state before until the caller commits, and none of them
-- waits. Uses the same steps as the procedure analytics.rebuild(), which commits between them.

CREATE OR REPLACE FUNCTION analytics.rebuild_in_transaction(p_today date)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $rebuild_in_transaction$
DECLARE
    v_suffix constant text := analytics.inactive_set();
    v_changed_tables text[];
    v_batch integer;
BEGIN
    PERFORM analytics.plan_rebuild();
    FOR v_batch IN
        SELECT rebuild_batches.batch
        FROM analytics.rebuild_batches
        ORDER BY rebuild_batches.batch
    LOOP
        PERFORM analytics.run_rebuild_batch(v_batch);
    END LOOP;
    PERFORM analytics.complete_rebuild(p_today);
    IF (SELECT engine_state.time_zone IS NULL FROM analytics.engine_state) THEN
        -- There was nothing before: hardly anybody reads it.
        v_changed_tables := analytics.publish_set(v_suffix);
    ELSE
        v_changed_tables := analytics.merge_set(v_suffix);
        PERFORM analytics.empty_set(v_suffix, ARRAY[]::text []);
    END IF;
    PERFORM analytics.finish_rebuild(p_today);
    RETURN v_changed_tables;
END;
$rebuild_in_transaction$;

COMMENT ON FUNCTION analytics.rebuild_in_transaction(date) IS
'Computes all derived tables again from the source, for windows that end with p_today; returns '
'those that changed. Internal: the caller holds the refresh lock.';

REVOKE ALL ON FUNCTION analytics.rebuild_in_transaction(date) FROM public;
