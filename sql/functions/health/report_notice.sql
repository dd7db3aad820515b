-- Notes the result of a delivery.
--
-- Invariant: a notice is delivered when it has arrived everywhere. Until then it is tried again
-- after 15 seconds, then after twice that time, at least once an hour. A place where it has arrived
-- stays noted, also after a late report.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.report_notice(
    p_notice_id bigint, p_delivered_to text[], p_error text
)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $report_notice$
    UPDATE kpi_engine.alert_outbox SET
        delivered_to = alert_outbox.delivered_to || ARRAY(
            SELECT place
            FROM unnest(p_delivered_to) WITH ORDINALITY AS arrived (place, position)
            WHERE arrived.place <> ALL (alert_outbox.delivered_to)
            ORDER BY arrived.position
        ),
        delivered_at = CASE WHEN p_error IS NULL THEN clock_timestamp() END,
        last_error = p_error,
        next_attempt_at = clock_timestamp() + kpi_engine.retry_wait(alert_outbox.attempts)
    WHERE alert_outbox.notice_id = p_notice_id AND alert_outbox.delivered_at IS NULL;
$report_notice$;

COMMENT ON FUNCTION kpi_engine.report_notice(bigint, text[], text) IS
'Notes where a notice of kpi_engine.take_notice() has arrived (webhook, email:ana@example.com), '
'and why the rest failed. p_error NULL: nothing is left to do. For scripts/notifier.py.';

REVOKE ALL ON FUNCTION kpi_engine.report_notice(bigint, text[], text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.report_notice(bigint, text[], text) TO analytics_scheduler;
