-- Once an hour: removes what is too old from the logs.
--
-- Invariant: keeps the last scheduled slot, which says what is due next, each view's last
-- lines, which say how it is, and drift that is not healed.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION analytics.trim_logs()
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $trim_logs$
DECLARE
    v_oldest constant timestamptz := clock_timestamp()
        - make_interval(days => analytics.setting('log_retention_days')::integer);
BEGIN
    UPDATE analytics.scheduler_state SET last_trimmed_at = clock_timestamp()
    WHERE
        scheduler_state.last_trimmed_at IS NULL
        OR scheduler_state.last_trimmed_at < clock_timestamp() - interval '1 hour';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    DELETE FROM analytics.refresh_log
    WHERE
        refresh_log.finished_at < v_oldest
        AND refresh_log.log_id <> ALL (ARRAY(
            SELECT max(latest.log_id)
            FROM analytics.refresh_log AS latest
            GROUP BY latest.view_name, latest.refresh_status
        ));
    DELETE FROM analytics.refresh_jobs
    WHERE
        refresh_jobs.finished_at < v_oldest
        AND refresh_jobs.state IN ('SUCCESS', 'ERROR', 'MISSED')
        AND refresh_jobs.slot_at IS DISTINCT FROM (
            SELECT max(latest.slot_at) FROM analytics.refresh_jobs AS latest
        );
    DELETE FROM analytics.audit_log
    WHERE audit_log.audited_at < v_oldest AND audit_log.is_healed;
    -- With its notices.
    DELETE FROM analytics.alerts WHERE alerts.cleared_at < v_oldest;
    RETURN analytics.setting('cron_retention_days')::integer;
END;
$trim_logs$;

COMMENT ON FUNCTION analytics.trim_logs() IS
'Once an hour removes refreshes, jobs, healed drift and cleared alerts older than the setting '
'log_retention_days; returns the setting cron_retention_days, or NULL in between. Internal to '
'analytics.tick().';

REVOKE ALL ON FUNCTION analytics.trim_logs() FROM public;
GRANT EXECUTE ON FUNCTION analytics.trim_logs() TO analytics_scheduler;
