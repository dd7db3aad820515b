-- Puts due digests into the outbox, and takes the oldest one to deliver.
--
-- Invariant: a subscription gets one digest for each period, however many notifiers call this. Two
-- notifiers never deliver one at the same time. If a notifier reports nothing, the digest can be
-- taken again after two minutes. A newer digest of a subscription takes the place of one that did
-- not arrive. A digest of a period that is not over was queued while a clock was ahead: it is
-- forgotten, and comes when the period is over. Everything else is as kpi_engine.take_notice() does
-- it.
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.take_digest()
RETURNS TABLE (
    delivery_id bigint,
    address text,
    frequency text,
    language text,
    cities text[],
    period date,
    created_at timestamptz,
    attempt integer
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
AS $take_digest$
#variable_conflict use_column
DECLARE
    v_hours constant integer := analytics.setting('alert_expiry_hours')::integer;
    v_gone text;
BEGIN
    WITH early AS (
        UPDATE kpi_engine.digest_subscriptions AS subscription SET last_queued = NULL
        WHERE NOT kpi_engine.period_is_over(
            subscription.frequency, subscription.last_queued, analytics.today())
        RETURNING subscription.subscription_id, subscription.frequency
    ),

    forgotten AS (
        DELETE FROM kpi_engine.digest_deliveries
        USING early
        WHERE
            digest_deliveries.subscription_id = early.subscription_id
            AND NOT kpi_engine.period_is_over(
                early.frequency, digest_deliveries.period, analytics.today())
        RETURNING
            digest_deliveries.delivery_id,
            format('%s (of %s)', digest_deliveries.delivery_id, digest_deliveries.period) AS line
    )

    SELECT string_agg(forgotten.line, ', ' ORDER BY forgotten.delivery_id)
    INTO v_gone
    FROM forgotten;
    IF v_gone IS NOT NULL THEN
        RAISE WARNING 'queued before its period was over (was a clock ahead?), and due again '
            'afterwards: digest %', v_gone;
    END IF;

    WITH queued AS (
        UPDATE kpi_engine.digest_subscriptions AS subscription SET last_queued = due.period
        FROM kpi_engine.due_digests() AS due
        WHERE
            subscription.subscription_id = due.subscription_id
            -- Another taker may have been faster than this query's snapshot.
            AND coalesce(subscription.last_queued < due.period, true)
        RETURNING subscription.subscription_id, due.period
    ),

    replaced AS (
        DELETE FROM kpi_engine.digest_deliveries AS older
        USING queued
        WHERE
            older.subscription_id = queued.subscription_id
            AND older.period <> queued.period
            AND older.delivered_at IS NULL
        RETURNING format('%s (of %s: %s)', older.delivery_id, older.period,
            coalesce(older.last_error, 'never tried')) AS line, older.delivery_id
    ),

    written AS (
        INSERT INTO kpi_engine.digest_deliveries (
            subscription_id, period, created_at, next_attempt_at
        )
        SELECT queued.subscription_id, queued.period, clock_timestamp(), clock_timestamp()
        FROM queued
        ON CONFLICT (subscription_id, period) DO NOTHING
    )

    SELECT string_agg(replaced.line, ', ' ORDER BY replaced.delivery_id)
    INTO v_gone
    FROM replaced;
    IF v_gone IS NOT NULL THEN
        RAISE WARNING 'given up for a newer one: digest %', v_gone;
    END IF;

    WITH given_up AS (
        UPDATE kpi_engine.digest_deliveries SET next_attempt_at = 'infinity'
        WHERE
            digest_deliveries.delivered_at IS NULL
            -- The result of a running delivery is not known yet.
            AND digest_deliveries.next_attempt_at <= clock_timestamp()
            AND digest_deliveries.created_at <= clock_timestamp() - make_interval(hours => v_hours)
        RETURNING
            digest_deliveries.delivery_id,
            format('%s (of %s: %s)', digest_deliveries.delivery_id, digest_deliveries.period,
                coalesce(digest_deliveries.last_error, 'never tried')) AS line
    )

    SELECT string_agg(given_up.line, ', ' ORDER BY given_up.delivery_id)
    INTO v_gone
    FROM given_up;
    IF v_gone IS NOT NULL THEN
        RAISE WARNING 'given up after % hours: digest %', v_hours, v_gone;
    END IF;

    RETURN QUERY
        WITH oldest AS (
            SELECT waiting.delivery_id
            FROM kpi_engine.digest_deliveries AS waiting
            WHERE
                waiting.delivered_at IS NULL
                AND waiting.next_attempt_at <= clock_timestamp()
            ORDER BY waiting.delivery_id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )

        UPDATE kpi_engine.digest_deliveries SET
            attempts = digest_deliveries.attempts + 1,
            next_attempt_at = clock_timestamp() + interval '2 minutes'
        FROM oldest, kpi_engine.digest_subscriptions AS subscription
        WHERE
            digest_deliveries.delivery_id = oldest.delivery_id
            AND subscription.subscription_id = digest_deliveries.subscription_id
            -- Another taker may have been faster than this query's snapshot.
            AND digest_deliveries.next_attempt_at <= clock_timestamp()
        RETURNING
            digest_deliveries.delivery_id,
            subscription.address,
            subscription.frequency,
            subscription.language,
            subscription.cities,
            digest_deliveries.period,
            digest_deliveries.created_at,
            digest_deliveries.attempts;
END;
$take_digest$;

COMMENT ON FUNCTION kpi_engine.take_digest() IS
'Takes one digest of analytics.digest_deliveries to send, or returns no row. Report its result to '
'kpi_engine.report_digest() within two minutes. What is due is put there before. A digest older '
'than the setting alert_expiry_hours is given up, with a warning. For scripts/notifier.py.';

REVOKE ALL ON FUNCTION kpi_engine.take_digest() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.take_digest() TO analytics_scheduler;
