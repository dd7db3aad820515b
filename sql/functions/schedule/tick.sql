-- Each minute: decides what is due and queues it. It is short and never refreshes.
--
-- Invariant: ticks never pile up. While one runs, another returns at once. If that keeps ticks away
-- for 3 minutes, it fails. A step that fails stops no other step. Its error is raised when the
-- others are committed. New triggers of change capture lock their tables, so a COMMIT follows them
-- at once. The change log comes last, when everything else is committed and other ticks may run,
-- because it may be very long.
-- SECURITY INVOKER, like analytics.work(): kpi_engine.tick_step() has the rights, and a definer
-- can't COMMIT. For the same reason search_path is set here.

CREATE OR REPLACE PROCEDURE analytics.tick()
LANGUAGE plpgsql
SECURITY INVOKER
AS $tick$
DECLARE
    v_step text;
    v_cron_days integer;
    v_failed_step text;
    v_message text;
    v_sqlstate text;
BEGIN
    -- A transaction of its own. The defaults of database and role do not count in it.
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM kpi_engine.pin_settings();
    -- JIT compilation takes longer than any of these queries.
    SET LOCAL jit = off;
    -- A session that keeps a lock makes one step fail, but not the later ticks.
    SET LOCAL lock_timeout = '2s';
    IF kpi_engine.tick_step('begin') = 0 THEN
        RETURN;
    END IF;
    FOREACH v_step IN ARRAY ARRAY[
        'queue_due_refresh', 'close_orphaned_jobs', 'retry_failed_refresh',
        'queue_lag_refresh', 'cancel_overdue_refresh', 'watch_change_capture', 'note_origins',
        'watch_usage', 'trim_logs', 'update_alerts', 'tidy_change_log'
    ] LOOP
        IF v_step IN ('note_origins', 'tidy_change_log') THEN
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
            SET LOCAL search_path = pg_catalog, pg_temp;
            PERFORM kpi_engine.pin_settings();
            SET LOCAL jit = off;
            SET LOCAL lock_timeout = '2s';
            -- The lock of ticks went with the COMMIT. Another tick does the rest.
            EXIT WHEN v_step = 'note_origins' AND kpi_engine.tick_step('begin') = 0;
        END IF;
        BEGIN
            v_cron_days := kpi_engine.tick_step(v_step);
            IF v_step = 'trim_logs' AND v_cron_days IS NOT NULL THEN
                -- With the rights of the caller, as pg_cron needs it.
                PERFORM analytics.trim_cron_history(v_cron_days);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'teloo-analytics: ERROR in kpi_engine.%() of a tick: % (SQLSTATE %)',
                v_step, SQLERRM, SQLSTATE;
            v_failed_step := v_step;
            v_message := SQLERRM;
            v_sqlstate := SQLSTATE;
        END;
    END LOOP;
    IF v_failed_step IS NOT NULL THEN
        COMMIT;
        RAISE EXCEPTION 'kpi_engine.%() failed: %', v_failed_step, v_message
            USING ERRCODE = v_sqlstate,
                  DETAIL = 'The other steps of this tick are done.',
                  HINT = 'The next tick tries again. SELECT * FROM analytics.health_problems(); says '
                         'what else is wrong.';
    END IF;
END;
$tick$;

COMMENT ON PROCEDURE analytics.tick IS
'Decides each minute what is due. pg_cron calls it, or another program that calls SQL, outside a '
'transaction block. It queues the daily refresh when its slot has come, and again if it failed or '
'its session is gone; queues one when changes have waited for as long as the setting target_lag '
'allows; cancels a refresh that takes too long; repairs change capture; notes what is used; trims '
'all logs; raises and clears alerts. To call it more often is harmless. If a step fails, the other '
'steps are done and committed, then the error is raised.';

REVOKE ALL ON PROCEDURE analytics.tick FROM public;
GRANT EXECUTE ON PROCEDURE analytics.tick TO analytics_scheduler;
