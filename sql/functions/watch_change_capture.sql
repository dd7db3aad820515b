-- Every minute: looks after change capture.
--
-- Invariant: when a trigger was missing or disabled, or a partition came or went, everything is
-- marked to be computed again, and the server's log says so once.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself. Triggers are created
-- where analytics_owner may; elsewhere the owner of the tables has to.

CREATE OR REPLACE FUNCTION analytics.watch_change_capture()
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
AS $watch_change_capture$
DECLARE
    v_state analytics.engine_state;
    v_gap text;
BEGIN
    -- Locked by a refresh: that decides by itself, and the next tick looks again.
    PERFORM FROM analytics.engine_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM analytics.recognize_database();
    SELECT engine_state.* INTO STRICT v_state FROM analytics.engine_state;
    IF analytics.setting('change_capture') = 'off'
        OR v_state.time_zone IS NULL
        OR analytics.capture_signature() IS NOT DISTINCT FROM v_state.capture_signature THEN
        RETURN;
    END IF;
    v_gap := analytics.capture_gap();
    IF v_gap IS NOT NULL THEN
        BEGIN
            PERFORM analytics.set_capture_triggers();
        EXCEPTION WHEN OTHERS THEN
            IF v_state.rebuild_reason IS NULL THEN
                RAISE LOG 'teloo-analytics: change capture could not be repaired: % (SQLSTATE %)',
                    SQLERRM, SQLSTATE;
            END IF;
        END;
    END IF;
    IF v_state.rebuild_reason IS NULL THEN
        v_gap := coalesce(v_gap, 'change capture was missing or disabled for a while');
        UPDATE analytics.engine_state SET rebuild_reason = v_gap;
        RAISE WARNING 'teloo-analytics: %: the next refresh computes everything again', v_gap
            USING HINT = 'If it stays: CALL analytics.apply_change_capture(); as the owner of the '
                         'operational tables.';
    END IF;
END;
$watch_change_capture$;

COMMENT ON FUNCTION analytics.watch_change_capture() IS
'Notices that change capture was missing or disabled, repairs it where analytics_owner may, and '
'marks everything to be computed again. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION analytics.watch_change_capture() FROM public;
GRANT EXECUTE ON FUNCTION analytics.watch_change_capture() TO analytics_scheduler;
