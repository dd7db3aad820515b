-- Compares the open alerts with the problems of now, and puts notices into the outbox.
--
-- Invariant: one notice when a problem has lasted long enough, and one when it is gone, however
-- many sessions call this; between them one at most, when it became unhealthy. A problem that ends
-- before the first notice leaves nothing. A missed target has one notice for its period: it does
-- not come to an end, so there is no second one.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.update_alerts()
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
AS $update_alerts$
DECLARE
    v_hold constant interval := make_interval(
        mins => analytics.setting('alert_after_minutes')::integer);
    v_now timestamptz;
    v_notice record;
    v_notices integer := 0;
BEGIN
    BEGIN
        LOCK TABLE kpi_engine.alerts_lock IN EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;
    v_now := clock_timestamp();
    -- An open alert without such a problem is over.
    MERGE INTO kpi_engine.alerts AS alert
    USING (
        SELECT
            coalesce(health.problem, opened.problem) AS problem,
            coalesce(health.subject, opened.subject) AS subject,
            health.severity,
            health.message,
            health.hold
        FROM (
            SELECT
                found.problem,
                '' AS subject,
                CASE
                    WHEN bool_or(found.severity = 'unhealthy') THEN 'unhealthy' ELSE 'degraded'
                END AS severity,
                string_agg(found.message, E'\n' ORDER BY found.message) AS message,
                min(coalesce(found.alert_after, v_hold)) AS hold
            FROM analytics.health_problems() AS found
            WHERE found.problem <> 'target_missed'
            GROUP BY found.problem
            UNION ALL
            SELECT 'target_missed', missed.subject, 'degraded', missed.message, interval '0'
            FROM kpi_engine.missed_targets() AS missed
            WHERE NOT EXISTS (
                SELECT FROM kpi_engine.alerts
                WHERE
                    alerts.problem = 'target_missed'
                    AND alerts.subject = missed.subject
                    AND alerts.cleared_at IS NOT NULL
            )
        ) AS health
        FULL JOIN (
            SELECT alerts.problem, alerts.subject
            FROM kpi_engine.alerts
            WHERE alerts.cleared_at IS NULL
        ) AS opened ON opened.problem = health.problem AND opened.subject = health.subject
    ) AS seen
        ON
            seen.problem = alert.problem
            AND seen.subject = alert.subject
            AND alert.cleared_at IS NULL
    WHEN NOT MATCHED THEN
        INSERT (problem, subject, severity, message, first_seen_at, last_seen_at, raised_at)
        VALUES (
            seen.problem, seen.subject, seen.severity, seen.message, v_now, v_now,
            CASE WHEN seen.hold <= interval '0' THEN v_now END
        )
    WHEN MATCHED AND seen.message IS NOT NULL THEN
        UPDATE SET
            severity = seen.severity,
            message = seen.message,
            last_seen_at = v_now,
            worse_at = coalesce(
                alert.worse_at,
                CASE
                    WHEN alert.severity = 'degraded' AND seen.severity = 'unhealthy'
                        AND alert.raised_at IS NOT NULL THEN v_now
                END
            ),
            raised_at = coalesce(
                alert.raised_at,
                CASE WHEN v_now - alert.first_seen_at >= seen.hold THEN v_now END
            )
    WHEN MATCHED AND alert.raised_at IS NULL THEN
        DELETE
    WHEN MATCHED THEN
        UPDATE SET cleared_at = v_now;

    FOR v_notice IN
        INSERT INTO kpi_engine.alert_outbox (
            alert_id, event, severity, message, created_at, next_attempt_at
        )
        SELECT
            alerts.alert_id,
            CASE
                WHEN alerts.cleared_at IS NOT NULL THEN 'cleared'
                WHEN alerts.worse_at = v_now THEN 'worse'
                ELSE 'raised'
            END,
            alerts.severity,
            -- A notice that a problem is over must not look as if the problem were still there.
            CASE
                WHEN alerts.cleared_at IS NULL THEN alerts.message
                ELSE format('%s is over', alerts.problem)
            END,
            v_now,
            v_now
        FROM kpi_engine.alerts
        WHERE
            alerts.raised_at = v_now
            OR alerts.worse_at = v_now
            OR alerts.cleared_at = v_now AND alerts.problem <> 'target_missed'
        ORDER BY alerts.alert_id
        RETURNING alert_outbox.*
    LOOP
        v_notices := v_notices + 1;
        PERFORM pg_notify('teloo_analytics_alert', json_build_object(
            'notice_id', v_notice.notice_id,
            'event', v_notice.event,
            'problem', alerts.problem,
            'severity', v_notice.severity,
            -- NOTIFY takes less than 8000 bytes.
            'message', left(v_notice.message, 1000)
        )::text)
        FROM kpi_engine.alerts
        WHERE alerts.alert_id = v_notice.alert_id;
        RAISE LOG 'teloo-analytics: alert % %: % (%)',
            v_notice.alert_id, v_notice.event, v_notice.message, v_notice.severity;
    END LOOP;
    RETURN v_notices;
END;
$update_alerts$;

COMMENT ON FUNCTION kpi_engine.update_alerts() IS
'Compares analytics.alerts with analytics.health_problems(). Puts a notice into '
'analytics.alert_outbox for each problem that has lasted long enough (the setting '
'alert_after_minutes, or the time of the problem), for each alert that became unhealthy after its '
'notice said degraded, and for each that is gone. Sends it on '
'channel teloo_analytics_alert as JSON {notice_id, event, problem, severity, message}. Returns '
'the number of notices; 0 also while another session does the same.';

REVOKE ALL ON FUNCTION kpi_engine.update_alerts() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.update_alerts() TO analytics_scheduler;
