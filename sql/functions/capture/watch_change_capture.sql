-- Each minute: looks after the source binding and change capture.
--
-- Invariant: if a trigger was missing, disabled or replaced, everything is marked to be computed
-- again, and the server's log says so once. Changes by new or removed partitions are noted by keys.
-- If the operational tables moved, nothing is noted: each refresh fails and names the difference
-- until they are bound again, and health says so.
-- Missing triggers are created last: they lock their tables until the tick commits. The next tick
-- or refresh notes what was written before them.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself. It creates triggers if
-- analytics_owner may. If not, the owner of the tables has to.

CREATE OR REPLACE FUNCTION kpi_engine.watch_change_capture()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $watch_change_capture$
DECLARE
    v_state kpi_engine.engine_state;
    v_capture jsonb;
    v_gap text;
BEGIN
    -- A refresh has the lock. It decides by itself, and the next tick looks again.
    PERFORM FROM kpi_engine.engine_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM kpi_engine.settle();
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        -- Health reports it (analytics.source_problems), and the tick goes on.
        RETURN;
    END;
    SELECT engine_state.* INTO STRICT v_state FROM kpi_engine.engine_state;
    IF v_state.catalog_fingerprint IS NOT NULL
        OR analytics.setting('change_capture') = 'off'
        OR v_state.time_zone IS NULL THEN
        RETURN;
    END IF;
    v_capture := kpi_engine.capture_signature();
    IF v_state.capture_signature IS NOT NULL
        AND kpi_engine.misses_changes(v_state.capture_signature, v_capture)
        AND (
            v_state.rebuild_reason IS NULL
            -- An unfinished rebuild covers the reason that is there, and not this one.
            OR EXISTS (
                SELECT FROM kpi_engine.rebuild_batches
                WHERE
                    rebuild_batches.batch = 1
                    AND rebuild_batches.reasons_noted = v_state.reasons_noted
                    AND kpi_engine.misses_changes(rebuild_batches.capture_signature, v_capture)
            )
        ) THEN
        v_gap := coalesce(
            analytics.capture_gap(), 'change capture was missing, disabled or replaced');
        PERFORM kpi_engine.note_rebuild_reason(v_gap);
        RAISE WARNING 'teloo-analytics: %: the next refresh computes everything again', v_gap
            USING HINT = 'If it stays: CALL analytics.apply_change_capture(); as the owner of the '
                         'operational tables.';
    END IF;
    IF EXISTS (
        -- Only if it may: an attempt locks the table for a moment.
        SELECT FROM kpi_engine.capture_by_table() AS captured
        INNER JOIN pg_class ON pg_class.oid = captured.relation
        WHERE NOT captured.is_working AND pg_has_role(pg_class.relowner, 'USAGE')
    ) THEN
        BEGIN
            PERFORM kpi_engine.set_capture_triggers();
        EXCEPTION WHEN OTHERS THEN
            IF v_state.rebuild_reason IS NULL THEN
                RAISE LOG 'teloo-analytics: change capture could not be repaired: % (SQLSTATE %)',
                    SQLERRM, SQLSTATE;
            END IF;
        END;
    END IF;
END;
$watch_change_capture$;

COMMENT ON FUNCTION kpi_engine.watch_change_capture() IS
'Binds the source again after a restore, notices that change capture was missing or disabled, '
'marks what has to be computed again, and repairs it where analytics_owner may. Internal to '
'analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.watch_change_capture() FROM public;
