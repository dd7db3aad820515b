-- Takes the oldest notice to deliver, and gives up notices that waited too long.
--
-- Invariant: two notifiers never deliver one notice at the same time. If a notifier reports
-- nothing, the notice can be taken again after two minutes. A place gets "cleared" only after it
-- got "raised". A place that got "raised" gets "cleared" without waiting for other places. The
-- notice of an open alert is tried before it is given up, however late the notifier comes; that of
-- an alert which nobody was told of, and which is over, is given up with both its notices.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.take_notice()
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
    delivered_to text[],
    only_to text[]
)
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
AS $take_notice$
#variable_conflict use_column
DECLARE
    v_hours constant integer := analytics.setting('alert_expiry_hours')::integer;
    v_given_up text;
BEGIN
    WITH given_up AS (
        UPDATE kpi_engine.alert_outbox SET next_attempt_at = 'infinity'
        FROM kpi_engine.alerts
        WHERE
            alert_outbox.delivered_at IS NULL
            -- The result of a running delivery is not known yet.
            AND alert_outbox.next_attempt_at <= clock_timestamp()
            AND alerts.alert_id = alert_outbox.alert_id
            AND coalesce(
                alert_outbox.first_attempt_at,
                CASE
                    WHEN alert_outbox.attempts > 0 OR alerts.cleared_at IS NOT NULL
                        THEN alert_outbox.created_at
                END
            ) <= clock_timestamp() - make_interval(hours => v_hours)
        RETURNING
            alert_outbox.notice_id,
            format('%s (%s %s: %s)', alert_outbox.notice_id, alerts.problem, alert_outbox.event,
                coalesce(alert_outbox.last_error, 'never tried')) AS line
    )

    SELECT string_agg(given_up.line, ', ' ORDER BY given_up.notice_id)
    INTO v_given_up
    FROM given_up;
    IF v_given_up IS NOT NULL THEN
        RAISE WARNING 'given up after % hours: notice %', v_hours, v_given_up;
    END IF;

    RETURN QUERY
        WITH oldest AS (
            SELECT
                notice.notice_id,
                raised.delivered_to AS only_to
            FROM kpi_engine.alert_outbox AS notice
            -- The notice that an alert is over waits for these.
            LEFT JOIN kpi_engine.alert_outbox AS raised
                ON
                    notice.event = 'cleared'
                    AND raised.event = 'raised'
                    AND raised.alert_id = notice.alert_id
                    AND raised.delivered_at IS NULL
                    AND raised.next_attempt_at < 'infinity'
            WHERE
                notice.delivered_at IS NULL
                AND notice.next_attempt_at <= clock_timestamp()
                AND (
                    raised.notice_id IS NULL
                    OR NOT raised.delivered_to <@ notice.delivered_to
                )
                AND NOT EXISTS (
                    SELECT
                    FROM kpi_engine.alert_outbox AS untold
                    WHERE
                        notice.event = 'cleared'
                        AND untold.alert_id = notice.alert_id
                        AND untold.event = 'raised'
                        AND untold.attempts = 0
                        AND untold.next_attempt_at = 'infinity'
                )
            ORDER BY notice.notice_id
            LIMIT 1
            FOR UPDATE OF notice SKIP LOCKED
        )

        UPDATE kpi_engine.alert_outbox SET
            attempts = alert_outbox.attempts + 1,
            first_attempt_at = coalesce(alert_outbox.first_attempt_at, clock_timestamp()),
            next_attempt_at = clock_timestamp() + interval '2 minutes'
        FROM oldest, kpi_engine.alerts
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
            alert_outbox.delivered_to,
            oldest.only_to;
END;
$take_notice$;

COMMENT ON FUNCTION kpi_engine.take_notice() IS
'Takes one notice of analytics.alert_outbox for delivery, or returns no row. Report its result to '
'kpi_engine.report_notice() within two minutes. only_to: the places where it may go so far; NULL '
'means everywhere. A notice that was tried for the hours of the setting alert_expiry_hours, or '
'whose alert is over and which is older, is given up, with a warning; its next_attempt_at is then '
'infinity. For scripts/notifier.py.';

REVOKE ALL ON FUNCTION kpi_engine.take_notice() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.take_notice() TO analytics_scheduler;
