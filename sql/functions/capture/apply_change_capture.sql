-- Puts the setting change_capture into effect.
--
-- Invariant: the application never waits behind its locks for longer than 100 ms. All triggers are
-- in one short transaction. All locks are released before the next attempt.
-- SECURITY INVOKER, for the owner of the operational tables. search_path is set again after each
-- COMMIT, because a SET clause would forbid the COMMIT.

CREATE OR REPLACE PROCEDURE analytics.apply_change_capture(
    p_patience interval DEFAULT interval '1 minute'
)
LANGUAGE plpgsql
SECURITY INVOKER
AS $apply_change_capture$
DECLARE
    v_began_at constant timestamptz := clock_timestamp();
    v_changed integer;
    v_holders text;
BEGIN
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    IF p_patience IS NULL OR p_patience NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'p_patience must be an interval from 0 to 1 day'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(p_patience::text, 'NULL')),
                  HINT = 'CALL analytics.apply_change_capture(interval ''1 minute'');';
    END IF;
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        SET LOCAL search_path = pg_catalog, pg_temp;
        BEGIN
            v_changed := kpi_engine.set_capture_triggers();
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            v_changed := NULL;
            v_holders := coalesce(
                kpi_engine.table_lockers(ARRAY(
                    SELECT captured.relation FROM kpi_engine.captured_tables() AS captured
                )),
                v_holders
            );
        END;
        COMMIT;
        EXIT WHEN v_changed IS NOT NULL;
        IF clock_timestamp() - v_began_at > p_patience THEN
            RAISE EXCEPTION 'the operational tables are busy all the time: change capture is as before'
                USING ERRCODE = 'lock_not_available',
                      DETAIL = coalesce(v_holders, 'Each time by another session.'),
                      HINT = 'Try again when these transactions are done: '
                             'CALL analytics.apply_change_capture();';
        END IF;
        -- The COMMIT took the search_path away: a pg_sleep(numeric) of the caller's path would match.
        PERFORM pg_catalog.pg_sleep(0.2);
    END LOOP;
    IF v_changed > 0 THEN
        RAISE NOTICE 'teloo-analytics: % trigger(s) of change capture created or dropped', v_changed;
    END IF;
END;
$apply_change_capture$;

COMMENT ON PROCEDURE analytics.apply_change_capture (interval) IS
'Creates or drops the triggers of change capture, as the setting change_capture says. Run it '
'outside a transaction block, as the owner of the operational tables. It tries for p_patience. '
'Errors: 22023 for another p_patience than 0 to 1 day, 55P03 if the tables are busy all the time, '
'42501 for another role.';

REVOKE ALL ON PROCEDURE analytics.apply_change_capture(interval) FROM public;
