-- Each minute: creates triggers of change capture that are missing, where analytics_owner may.
--
-- Invariant: it is the last step before a COMMIT of the tick. A new trigger locks its table against
-- writers until then, so nothing else is done meanwhile. What was written before the trigger is
-- noted by the next tick or refresh.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself. Where analytics_owner may not
-- create triggers, the owner of the tables has to.

CREATE OR REPLACE FUNCTION kpi_engine.repair_change_capture()
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
AS $repair_change_capture$
DECLARE
    v_state kpi_engine.engine_state;
BEGIN
    -- A refresh has the lock. The next tick looks again.
    SELECT engine_state.* INTO v_state FROM kpi_engine.engine_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND
        OR v_state.catalog_fingerprint IS NOT NULL
        OR v_state.time_zone IS NULL
        OR analytics.setting('change_capture') = 'off'
        -- The tables moved: no trigger is created before they are bound again.
        OR EXISTS (SELECT FROM analytics.source_problems()) THEN
        RETURN;
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
$repair_change_capture$;

COMMENT ON FUNCTION kpi_engine.repair_change_capture() IS
'Creates the triggers of change capture that are missing, where analytics_owner may act as the '
'owner of the table. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.repair_change_capture() FROM public;
