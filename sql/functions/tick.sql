-- Every minute: decides what is due and queues it. Short; never refreshes.
--
-- Invariant: ticks never pile up: while one is at work another returns at once.
-- SECURITY INVOKER, like analytics.work(): the rights are in the functions it calls.

CREATE OR REPLACE PROCEDURE analytics.tick()
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $tick$
DECLARE
    v_cron_days integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('teloo-analytics tick', 0)) THEN
        RETURN;
    END IF;
    PERFORM analytics.queue_due_refresh();
    PERFORM analytics.retry_failed_refresh();
    PERFORM analytics.cancel_overdue_refresh();
    PERFORM analytics.watch_change_capture();
    PERFORM analytics.tidy_change_log();
    v_cron_days := analytics.trim_logs();
    IF v_cron_days IS NOT NULL THEN
        PERFORM analytics.trim_cron_history(v_cron_days);
    END IF;
END;
$tick$;

COMMENT ON PROCEDURE analytics.tick IS
'To be called every minute, by pg_cron or by anything else that can call SQL: queues the '
'daily refresh when its slot has come, and again when it failed; cancels a refresh that takes '
'too long; looks after change capture; keeps all logs small. '
'Calling it more often changes nothing.';

REVOKE ALL ON PROCEDURE analytics.tick FROM public;
GRANT EXECUTE ON PROCEDURE analytics.tick TO analytics_scheduler;
