-- Notes which database this is, and takes over what a dump brought.
--
-- Invariant: in another database than before, working triggers are those of the dump. They were
-- created after the rows were loaded, so nothing was missed. In the same database a new signature
-- still means that changes may have been missed.

CREATE OR REPLACE FUNCTION kpi_engine.recognize_database()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $recognize_database$
DECLARE
    v_here constant text := kpi_engine.database_identity();
    v_before constant text := (SELECT engine_state.database_identity FROM kpi_engine.engine_state);
    v_capture jsonb;
    v_lost text;
BEGIN
    IF v_before = v_here THEN
        RETURN;
    ELSIF v_before IS NULL AND NOT EXISTS (SELECT FROM kpi_engine.engine_state) THEN
        PERFORM kpi_engine.raise_incomplete_restore();
    END IF;
    UPDATE kpi_engine.engine_state SET database_identity = v_here, parts_with_rows = NULL;
    IF v_before IS NOT NULL THEN
        -- The stamps of ticks in the other database. A stamp of this transaction is from here.
        UPDATE kpi_engine.scheduler_state SET last_tick_at = NULL
        WHERE scheduler_state.last_tick_at < transaction_timestamp();
        -- A dump may leave out the data of some tables. Their contents are unknown then.
        v_lost := kpi_engine.lost_derived_table();
        IF v_lost IS NOT NULL THEN
            PERFORM kpi_engine.note_rebuild_reason(
                format('%s came without its rows from a dump', v_lost)
            )
            FROM kpi_engine.engine_state
            WHERE engine_state.time_zone IS NOT NULL;
        END IF;
    END IF;
    v_capture := kpi_engine.capture_signature();
    IF v_before IS NULL OR v_capture IS NULL THEN
        RETURN;
    END IF;
    UPDATE kpi_engine.engine_state SET capture_signature = v_capture
    WHERE engine_state.capture_signature IS DISTINCT FROM v_capture;
    IF FOUND THEN
        UPDATE kpi_engine.rebuild_batches SET capture_signature = v_capture;
        RAISE LOG 'teloo-analytics: this database was restored from a dump: change capture goes on';
    END IF;
END;
$recognize_database$;

COMMENT ON FUNCTION kpi_engine.recognize_database() IS
'After a restore from a dump takes the restored triggers of change capture for those that were '
'dumped, so that nothing is computed again. Internal to the refresh and the tick.';

REVOKE ALL ON FUNCTION kpi_engine.recognize_database() FROM public;
