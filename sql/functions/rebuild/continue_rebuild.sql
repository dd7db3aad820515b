-- Does one step of a rebuild: a batch; without one, the completion and the swap; 0 is the end; -1
-- notes that the breaker held the completion back.
--
-- Invariant: each step is a transaction of its own. The caller, a procedure, holds the refresh lock
-- for its session. Without the lock nothing is done. No reader keeps it from ending
-- (kpi_engine.publish_set), and readers wait for 50 ms at most. The last step empties the set that
-- is no longer read, so that the next rebuild can use its space.
-- SECURITY DEFINER: operators do not own the derived tables.

CREATE OR REPLACE FUNCTION kpi_engine.continue_rebuild(p_batch integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET jit = off
SET row_security = off
AS $continue_rebuild$
DECLARE
    v_today constant date := analytics.today();
    v_sqlstate text;
    v_schema text;
    v_table text;
    v_column text;
    v_wrong_key text;
BEGIN
    PERFORM kpi_engine.require_refresh_lock();
    PERFORM kpi_engine.require_source();
    IF p_batch = 0 THEN
        IF NOT EXISTS (SELECT FROM kpi_engine.rebuild_batches) THEN
            PERFORM kpi_engine.empty_other_sets();
        END IF;
        RETURN 0;
    ELSIF p_batch = -1 THEN
        PERFORM kpi_engine.note_holds(
            'changes',
            nextval('kpi_engine.refresh_run_id_seq'),
            kpi_engine.breaker_findings(kpi_engine.requests_moved())
        );
        -- A refresh of what changed would not find it again. The batches stay good.
        UPDATE kpi_engine.engine_state SET
            rebuild_reason = coalesce(
                engine_state.rebuild_reason, 'the breaker holds what a rebuild found');
        RETURN 0;
    ELSIF p_batch IS NOT NULL THEN
        RETURN kpi_engine.run_rebuild_batch(p_batch);
    END IF;
    -- An operator may call it with any number, in any order.
    IF NOT EXISTS (SELECT FROM kpi_engine.rebuild_batches)
        OR EXISTS (
            SELECT FROM kpi_engine.rebuild_batches WHERE rebuild_batches.finished_at IS NULL
        ) THEN
        RAISE EXCEPTION 'no rebuild is ready to be completed: batches are missing'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Without them requests would be missing in the figures; nothing was '
                           'changed.',
                  HINT = 'CALL analytics.rebuild();';
    END IF;
    PERFORM kpi_engine.complete_rebuild(v_today);
    PERFORM kpi_engine.check_breaker(kpi_engine.requests_moved());
    PERFORM kpi_engine.note_derived_change(
        ARRAY(SELECT derived_tables.table_name FROM kpi_engine.derived_tables)
    );
    PERFORM kpi_engine.note_hub_changes(
        ARRAY(SELECT derived_tables.table_name FROM kpi_engine.derived_tables), true
    );
    PERFORM kpi_engine.publish_set();
    PERFORM kpi_engine.finish_rebuild(v_today);
    PERFORM kpi_engine.use_acceptances('changes', NULL);
    RETURN 0;
EXCEPTION WHEN not_null_violation OR unique_violation THEN
    GET STACKED DIAGNOSTICS
        v_sqlstate := RETURNED_SQLSTATE,
        v_schema := SCHEMA_NAME,
        v_table := TABLE_NAME,
        v_column := COLUMN_NAME;
    v_wrong_key := kpi_engine.wrong_key_message(v_sqlstate, v_schema, v_table, v_column);
    IF v_wrong_key IS NULL THEN
        RAISE;
    END IF;
    -- Two rows with one key: perhaps of two origins. That is said by name.
    PERFORM kpi_engine.require_own_ids(NULL);
    RAISE EXCEPTION '%', v_wrong_key USING ERRCODE = 'TA003';
END;
$continue_rebuild$;

COMMENT ON FUNCTION kpi_engine.continue_rebuild(integer) IS
'Computes one batch of a rebuild and returns its requests; without a batch completes the rebuilt '
'set and makes it the one that is read; 0 empties the other one; -1 notes what the breaker held '
'back. Errors: 55000 without the refresh lock, or if batches are missing; TA003 if a definition '
'gives a wrong key. Internal to kpi_engine.run_rebuild_steps().';

REVOKE ALL ON FUNCTION kpi_engine.continue_rebuild(integer) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.continue_rebuild(integer)
TO analytics_operador, analytics_scheduler;
