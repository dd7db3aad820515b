-- Computes derived tables again, in the caller's transaction.
--
-- Invariant: until the caller commits, readers see the state before, and none of them waits. It
-- uses the steps of the procedure analytics.rebuild(), which commits between them. It replaces no
-- view: the caller goes on, and a dump that waits for the view could hold the next lock that the
-- caller needs.

CREATE OR REPLACE FUNCTION kpi_engine.rebuild_in_transaction(p_today date, p_table_names text[])
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $rebuild_in_transaction$
DECLARE
    v_is_first constant boolean := (
        SELECT engine_state.time_zone IS NULL FROM kpi_engine.engine_state
    );
    v_changed_tables text[];
    v_batch integer;
BEGIN
    PERFORM kpi_engine.hold_source();
    IF v_is_first THEN
        -- Nobody can read anything yet, so the active set itself is filled.
        UPDATE kpi_engine.derived_tables
        SET active_set = translate(derived_tables.active_set, 'ab', 'ba');
    END IF;
    PERFORM kpi_engine.plan_rebuild(p_table_names);
    BEGIN
        FOR v_batch IN
            SELECT rebuild_batches.batch
            FROM kpi_engine.rebuild_batches
            ORDER BY rebuild_batches.batch
        LOOP
            PERFORM kpi_engine.run_rebuild_batch(v_batch);
        END LOOP;
    EXCEPTION WHEN unique_violation THEN
        -- Two rows with one key: perhaps of two origins. That is said by name.
        PERFORM kpi_engine.require_own_ids(NULL);
        RAISE;
    END;
    PERFORM kpi_engine.complete_rebuild(p_today);
    IF v_is_first THEN
        UPDATE kpi_engine.derived_tables
        SET active_set = translate(derived_tables.active_set, 'ab', 'ba');
        v_changed_tables := ARRAY(SELECT derived_tables.table_name FROM kpi_engine.derived_tables);
    ELSE
        PERFORM kpi_engine.check_breaker(kpi_engine.requests_moved());
        v_changed_tables := kpi_engine.merge_set();
        PERFORM kpi_engine.empty_other_sets();
    END IF;
    PERFORM kpi_engine.note_hub_changes(v_changed_tables, true);
    PERFORM kpi_engine.finish_rebuild(p_today);
    RETURN v_changed_tables;
END;
$rebuild_in_transaction$;

COMMENT ON FUNCTION kpi_engine.rebuild_in_transaction(date, text[]) IS
'Computes these derived tables again, or all (NULL), for windows that end with p_today; returns '
'those that changed. Internal: the caller holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.rebuild_in_transaction(date, text[]) FROM public;
