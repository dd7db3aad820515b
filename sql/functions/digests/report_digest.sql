-- Notes the result of sending a digest.
--
-- Invariant: a digest is delivered once a mail server took it. Until then it is tried again after
-- kpi_engine.retry_wait(). A digest that is gone by then, as of an ended subscription, is no error.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.report_digest(p_delivery_id bigint, p_error text)
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
AS $report_digest$
    WITH reported AS (
        UPDATE kpi_engine.digest_deliveries SET
            delivered_at = CASE WHEN p_error IS NULL THEN clock_timestamp() END,
            last_error = p_error,
            next_attempt_at
            = clock_timestamp() + kpi_engine.retry_wait(digest_deliveries.attempts)
        WHERE
            digest_deliveries.delivery_id = p_delivery_id
            AND digest_deliveries.delivered_at IS NULL
        RETURNING
            digest_deliveries.subscription_id,
            digest_deliveries.period,
            digest_deliveries.delivered_at
    )

    UPDATE kpi_engine.digest_subscriptions SET last_sent = reported.period
    FROM reported
    WHERE
        digest_subscriptions.subscription_id = reported.subscription_id
        AND reported.delivered_at IS NOT NULL;
$report_digest$;

COMMENT ON FUNCTION kpi_engine.report_digest(bigint, text) IS
'Notes that a digest of kpi_engine.take_digest() was sent (p_error NULL), or why it was not. For '
'scripts/notifier.py.';

REVOKE ALL ON FUNCTION kpi_engine.report_digest(bigint, text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.report_digest(bigint, text) TO analytics_scheduler;
