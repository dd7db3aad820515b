-- Once an hour: removes old lines from the logs and from the history of the views.
--
-- Invariant: it keeps the last scheduled slot (it decides what is due next), the last lines of each
-- view (they show its state), drift that is not healed, alerts with a notice that may still be
-- delivered, and the use and the refreshes that analytics.usage_advice() needs. Refreshes for the
-- setting target_lag may be one a minute: those that succeeded stay only for usage_advice_days,
-- so that the log stays short. Counters keep what they counted in removed lines
-- (kpi_engine.trimmed_counts). If a clock is far ahead, it removes at most one more day: its own
-- now moves on by one day at most.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.trim_logs()
RETURNS integer
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
AS $trim_logs$
DECLARE
    v_as_of timestamptz;
    v_oldest timestamptz;
    v_oldest_judged timestamptz;
    v_oldest_lag timestamptz;
BEGIN
    UPDATE kpi_engine.scheduler_state SET
        last_trimmed_at = clock_timestamp(),
        trimmed_as_of = least(
            clock_timestamp(),
            coalesce(scheduler_state.trimmed_as_of, scheduler_state.last_trimmed_at)
            + interval '1 day'
        )
    WHERE
        scheduler_state.last_trimmed_at IS NULL
        OR scheduler_state.last_trimmed_at NOT BETWEEN clock_timestamp() - interval '1 hour'
        AND clock_timestamp() + kpi_engine.clock_tolerance()
    RETURNING scheduler_state.trimmed_as_of INTO v_as_of;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_oldest := v_as_of
        - make_interval(days => analytics.setting('log_retention_days')::integer);
    v_oldest_lag := v_as_of
        - make_interval(days => analytics.setting('usage_advice_days')::integer);
    v_oldest_judged := least(v_oldest, v_oldest_lag);
    WITH gone AS (
        DELETE FROM kpi_engine.refresh_log
        WHERE
            (
                refresh_log.finished_at < v_oldest_judged
                OR refresh_log.finished_at < v_oldest_lag
                AND refresh_log.triggered_by = 'lag'
                AND refresh_log.refresh_status = 'SUCCESS'
            )
            AND refresh_log.log_id <> ALL (ARRAY(
                SELECT max(latest.log_id)
                FROM kpi_engine.refresh_log AS latest
                GROUP BY latest.view_name, latest.refresh_status
            ))
        RETURNING refresh_log.*
    ),

    healed AS (
        DELETE FROM kpi_engine.audit_log
        WHERE audit_log.audited_at < v_oldest AND audit_log.is_healed
        RETURNING audit_log.cells
    )

    INSERT INTO kpi_engine.trimmed_counts AS known (metric, labels, number)
    SELECT counter.metric, counter.labels, count(*)
    FROM gone
    CROSS JOIN LATERAL kpi_engine.counted_as(
        gone.view_name, gone.triggered_by, gone.mode, gone.refresh_status, gone.error_sqlstate
    ) AS counter
    WHERE counter.metric IS NOT NULL
    GROUP BY counter.metric, counter.labels
    UNION ALL
    SELECT 'drift_cells_total', '{}', sum(healed.cells)
    FROM healed
    HAVING count(*) > 0
    ON CONFLICT (metric, labels) DO UPDATE SET number = known.number + excluded.number;
    DELETE FROM kpi_engine.refresh_jobs
    WHERE
        (
            refresh_jobs.finished_at < v_oldest
            OR refresh_jobs.finished_at < v_oldest_lag
            AND refresh_jobs.triggered_by = 'lag'
            AND refresh_jobs.state = 'SUCCESS'
        )
        AND refresh_jobs.state IN ('SUCCESS', 'ERROR', 'MISSED')
        AND refresh_jobs.slot_at IS DISTINCT FROM (
            SELECT max(latest.slot_at)
            FROM kpi_engine.refresh_jobs AS latest
            WHERE NOT latest.is_void
        );
    -- With its notices, unless one may still arrive. The last attempt, which gives it up, is an hour
    -- after its time at most.
    DELETE FROM kpi_engine.alerts
    WHERE
        alerts.cleared_at < v_oldest
        AND NOT (
            alerts.cleared_at > v_as_of - make_interval(
                hours => analytics.setting('alert_expiry_hours')::integer + 2)
            AND EXISTS (
                SELECT FROM kpi_engine.alert_outbox
                WHERE
                    alert_outbox.alert_id = alerts.alert_id
                    AND alert_outbox.delivered_at IS NULL
                    AND alert_outbox.next_attempt_at < 'infinity'
            )
        );
    DELETE FROM kpi_engine.digest_deliveries
    WHERE
        digest_deliveries.delivered_at < v_oldest
        OR digest_deliveries.next_attempt_at = 'infinity'
        AND digest_deliveries.created_at < v_oldest;
    DELETE FROM kpi_engine.usage_by_hour WHERE usage_by_hour.hour < v_oldest_judged;
    PERFORM kpi_engine.trim_publications(v_as_of);
    RETURN CASE
        WHEN v_as_of > clock_timestamp() - interval '1 day'
            THEN analytics.setting('cron_retention_days')::integer
    END;
END;
$trim_logs$;

COMMENT ON FUNCTION kpi_engine.trim_logs() IS
'Once an hour removes refreshes, jobs, healed drift, cleared alerts, sent digests and usage older '
'than the setting log_retention_days, and successful refreshes for target_lag that usage advice '
'no longer needs, but nothing that is still to be delivered or that usage advice judges by; '
'returns the setting cron_retention_days, or NULL in between and while the clock is not believed. '
'Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.trim_logs() FROM public;
