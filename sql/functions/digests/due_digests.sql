-- Says which digests are due and not queued yet.
--
-- Invariant: at most one period of a subscription, the latest one. daily: yesterday, once each view
-- of the digest was refreshed today; and the day before, which a refresh that began yesterday and
-- ended today shows whole. weekly: last week, once they were refreshed this week.
-- monthly: the last closed month. A period that ended, or a month that closed, before the
-- subscription is not due. A last_queued that is not over is of a wrong clock and does not count.

CREATE OR REPLACE FUNCTION kpi_engine.due_digests()
RETURNS TABLE (subscription_id bigint, period date, due_since timestamptz)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $due_digests$
#variable_conflict use_column
DECLARE
    v_today date;
    v_zone text;
BEGIN
    -- The notifier asks each minute.
    IF NOT EXISTS (SELECT FROM kpi_engine.digest_subscriptions) THEN
        RETURN;
    END IF;
    v_today := analytics.today();
    v_zone := analytics.setting('time_zone');
    RETURN QUERY
        WITH kinds AS (
            SELECT DISTINCT frequency, cities IS NOT NULL AS is_of_cities
            FROM kpi_engine.digest_subscriptions
        ),

        refreshed AS (
            SELECT
                kinds.frequency,
                kinds.is_of_cities,
                min(shown.view_name) FILTER (WHERE shown.place = 1 OR kinds.frequency = 'monthly')
                AS main_view,
                CASE
                    WHEN
                        count(*) = count(view_state.last_success_at)
                        -- Its days may be those of another zone, where the gate holds it.
                        AND bool_and(coalesce(view_state.time_zone, v_zone) = v_zone)
                        THEN min(view_state.last_success_at)
                END AS refreshed_at,
                least(
                    v_today, (min(view_state.last_success_at) AT TIME ZONE v_zone)::date
                ) AS last_day
            FROM kinds
            CROSS JOIN LATERAL kpi_engine.digest_views(kinds.frequency, kinds.is_of_cities) AS shown
            LEFT JOIN kpi_engine.view_state ON view_state.view_name = shown.view_name
            GROUP BY kinds.frequency, kinds.is_of_cities
        ),

        periods AS (
            SELECT
                refreshed.frequency,
                refreshed.is_of_cities,
                latest.period,
                refreshed.refreshed_at AS due_since,
                latest.next_day::timestamp AT TIME ZONE v_zone AS ended_at
            FROM refreshed
            CROSS JOIN LATERAL (
                SELECT
                    CASE refreshed.frequency
                        WHEN 'daily' THEN refreshed.last_day - 1
                        ELSE date_trunc('week', v_today::timestamp)::date - 7
                    END AS period,
                    CASE refreshed.frequency
                        WHEN 'daily' THEN refreshed.last_day
                        ELSE date_trunc('week', v_today::timestamp)::date
                    END AS next_day
            ) AS latest
            WHERE
                refreshed.frequency <> 'monthly'
                AND (refreshed.frequency <> 'daily' OR refreshed.last_day >= v_today - 1)
                AND (refreshed.refreshed_at AT TIME ZONE v_zone)::date >= latest.next_day
            UNION ALL
            SELECT
                refreshed.frequency,
                refreshed.is_of_cities,
                closed.period,
                closed.closed_at,
                closed.closed_at
            FROM refreshed
            CROSS JOIN LATERAL (
                SELECT closings.period, closings.closed_at
                FROM kpi_engine.closings
                WHERE
                    closings.view_name = refreshed.main_view
                    AND closings.closed_at <= analytics.now()
                    AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
                ORDER BY closings.period DESC
                LIMIT 1
            ) AS closed
            WHERE
                refreshed.frequency = 'monthly'
                AND kpi_engine.history_days(refreshed.main_view) IS DISTINCT FROM 0
        )

        SELECT subscription.subscription_id, periods.period, periods.due_since
        FROM kpi_engine.digest_subscriptions AS subscription
        INNER JOIN periods
            ON periods.frequency = subscription.frequency
            AND periods.is_of_cities = (subscription.cities IS NOT NULL)
        WHERE
            periods.ended_at > subscription.subscribed_at
            AND (
                subscription.last_queued IS NULL
                OR subscription.last_queued < periods.period
                OR NOT kpi_engine.period_is_over(
                    subscription.frequency, subscription.last_queued, v_today)
            );
END;
$due_digests$;

COMMENT ON FUNCTION kpi_engine.due_digests() IS
'The digests that are due and not yet in kpi_engine.digest_deliveries: subscription, first day of '
'the period, since when. Internal to kpi_engine.take_digest() and analytics.doctor().';

REVOKE ALL ON FUNCTION kpi_engine.due_digests() FROM public;
