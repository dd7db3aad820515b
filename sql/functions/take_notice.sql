-- Takes the oldest notice that waits for delivery.
--
-- Invariant: two never deliver one notice at the same time; what its taker does not report
-- is taken again after two minutes; that an alert is gone is never told before the alert is.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION analytics.take_notice()
RETURNS TABLE (
    notice_id bigint,
    event text,
    problem text,
    severity text,
    message text,
    first_seen_at timestamptz,
    cleared_at timestamptz,
    created_at timestamptz,
    attempt integer,
    delivered_to text[]
)
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $take_notice$
    WITH waiting AS (
        SELECT
            alert_outbox.*,
            clock_timestamp() - alert_outbox.created_at
            < make_interval(hours => analytics.setting('alert_expiry_hours')::integer)
                AS is_wanted
        FROM analytics.alert_outbox
        WHERE alert_outbox.delivered_at IS NULL
    ),

    oldest AS (
        SELECT notice.notice_id
        FROM analytics.alert_outbox AS notice
        INNER JOIN waiting ON waiting.notice_id = notice.notice_id
        WHERE
            waiting.is_wanted
            AND waiting.next_attempt_at <= clock_timestamp()
            AND NOT EXISTS (
                SELECT FROM waiting AS earlier
                WHERE
                    earlier.alert_id = waiting.alert_id
                    AND earlier.notice_id < waiting.notice_id
                    AND earlier.is_wanted
            )
        ORDER BY notice.notice_id
        LIMIT 1
        FOR UPDATE OF notice SKIP LOCKED
    )

    UPDATE analytics.alert_outbox SET
        attempts = alert_outbox.attempts + 1,
        next_attempt_at = clock_timestamp() + interval '2 minutes'
    FROM oldest, analytics.alerts
    WHERE
        alert_outbox.notice_id = oldest.notice_id
        AND alerts.alert_id = alert_outbox.alert_id
        -- Another taker may have been faster than this query's snapshot.
        AND alert_outbox.next_attempt_at <= clock_timestamp()
    RETURNING
        alert_outbox.notice_id,
        alert_outbox.event,
        alerts.problem,
        alert_outbox.severity,
        alert_outbox.message,
        alerts.first_seen_at,
        CASE WHEN alert_outbox.event = 'cleared' THEN alerts.cleared_at END,
        alert_outbox.created_at,
        alert_outbox.attempts,
        alert_outbox.delivered_to;
$take_notice$;

COMMENT ON FUNCTION analytics.take_notice() IS
'Takes one notice of analytics.alert_outbox for delivery, or returns no row; its result goes '
'to analytics.report_notice() within two minutes. A notice older than the setting '
'alert_expiry_hours is left. For scripts/notifier.py.';

REVOKE ALL ON FUNCTION analytics.take_notice() FROM public;
GRANT EXECUTE ON FUNCTION analytics.take_notice() TO analytics_scheduler;
