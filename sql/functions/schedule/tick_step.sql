-- Does one step of a tick, with the rights of the owner.
--
-- Invariant: the scheduler's role may call only this function of a tick. Each step by itself does
-- what the next tick would do, at any time.
-- SECURITY DEFINER: the scheduler's role reads and writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.tick_step(p_step text)
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $tick_step$
BEGIN
    CASE p_step
        WHEN 'begin' THEN RETURN kpi_engine.begin_tick()::integer;
        WHEN 'queue_due_refresh' THEN PERFORM kpi_engine.queue_due_refresh();
        WHEN 'close_orphaned_jobs' THEN PERFORM kpi_engine.close_orphaned_jobs();
        WHEN 'retry_failed_refresh' THEN PERFORM kpi_engine.retry_failed_refresh();
        WHEN 'queue_lag_refresh' THEN PERFORM kpi_engine.queue_lag_refresh();
        WHEN 'cancel_overdue_refresh' THEN PERFORM kpi_engine.cancel_overdue_refresh();
        WHEN 'watch_change_capture' THEN PERFORM kpi_engine.watch_change_capture();
        WHEN 'note_origins' THEN PERFORM kpi_engine.note_origins(false);
        WHEN 'watch_usage' THEN PERFORM kpi_engine.watch_usage();
        WHEN 'trim_logs' THEN RETURN kpi_engine.trim_logs();
        WHEN 'update_alerts' THEN PERFORM kpi_engine.update_alerts();
        WHEN 'tidy_change_log' THEN PERFORM kpi_engine.tidy_change_log();
        ELSE
            RAISE EXCEPTION 'a tick has no step %', quote_nullable(p_step)
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'CALL analytics.tick();';
    END CASE;
    RETURN NULL;
END;
$tick_step$;

COMMENT ON FUNCTION kpi_engine.tick_step(text) IS
'Does one step of analytics.tick(). begin: 0 while another tick is at work, else 1; trim_logs: the '
'days for analytics.trim_cron_history(), or NULL. Errors: 22023 for no such step, and those of the '
'step. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.tick_step(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.tick_step(text) TO analytics_scheduler;
