-- Shows the subscriptions that bring the operational tables, and how far behind they are.
--
-- Invariant: no row where none writes a source table. as_of moves on only when the worker has no
-- work left (kpi_engine.worker_state); until then it is what a tick or a refresh saw last. A worker
-- that is caught up hears from the publisher each half minute at least (wal_receiver_timeout), so a
-- few seconds behind are none. Without a worker nobody knows how far behind it is. A worker that
-- waits for its first word from the publisher counts as none: until then its times are those of its
-- start. A worker that lost its publisher has counted one error; one that can't apply a change
-- counts one at each try. So two are a failure. A subscription that is gone is in the list until
-- analytics.forget_subscription().

CREATE OR REPLACE FUNCTION analytics.replication()
RETURNS TABLE (
    subscription text,
    is_enabled boolean,
    is_running boolean,
    copying text[],
    seconds_behind numeric,
    bytes_behind numeric,
    lost text[],
    is_failing boolean,
    as_of timestamptz
)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $replication$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT
            followed.subscription,
            coalesce(pg_subscription.subenabled, false),
            coalesce(worker.is_running, false),
            followed.copying,
            -- greatest() makes 0 of NULL.
            CASE
                WHEN
                    worker.is_running
                    AND num_nonnulls(worker.as_of, known.as_of, known.noted_at) > 0
                    THEN round(greatest(0, extract(
                        EPOCH FROM clock_timestamp()
                        - coalesce(worker.as_of, known.as_of, known.noted_at)
                    )), 1)
            END,
            worker.bytes_behind,
            followed.lost,
            coalesce(
                worker.is_running AND NOT worker.is_caught_up
                AND stats.apply_error_count > known.apply_errors + 1,
                false
            ),
            coalesce(worker.as_of, known.as_of)
        FROM (
            SELECT
                tables.subscription,
                max(tables.subscription_id) AS subscription_id,
                coalesce(
                    array_agg(tables.table_name ORDER BY tables.table_name) FILTER (
                        WHERE tables.state NOT IN ('r', 's')
                    ),
                    ARRAY[]::text []
                ) AS copying,
                coalesce(
                    array_agg(tables.table_name ORDER BY tables.table_name) FILTER (
                        WHERE tables.lacks IS NOT NULL
                    ),
                    ARRAY[]::text []
                ) AS lost
            FROM kpi_engine.followed() AS tables
            WHERE tables.outside_of IS NULL
            GROUP BY tables.subscription
        ) AS followed
        -- In a copy of the database, it is the other one's.
        LEFT JOIN pg_subscription
            ON pg_subscription.oid = followed.subscription_id
            AND pg_subscription.subdbid = (
                SELECT pg_database.oid FROM pg_database
                WHERE pg_database.datname = current_database()
            )
        LEFT JOIN LATERAL kpi_engine.worker_state(pg_subscription.oid) AS worker
            ON pg_subscription.oid IS NOT NULL
        LEFT JOIN pg_stat_subscription_stats AS stats ON stats.subid = pg_subscription.oid
        LEFT JOIN LATERAL (
            SELECT marks.*
            FROM kpi_engine.subscription_marks AS marks
            WHERE
                marks.subscription = followed.subscription
                OR marks.subscription_id = pg_subscription.oid
            ORDER BY marks.subscription_id = pg_subscription.oid DESC
            LIMIT 1
        ) AS known ON true
        ORDER BY followed.subscription;
END;
$replication$;

COMMENT ON FUNCTION analytics.replication() IS
'Subscriptions (logical replication) that write operational tables: whether each is enabled, '
'whether its worker runs and has heard from the publisher, tables that it has not copied whole '
'yet, seconds since it last had no work left, and bytes that it got and has not confirmed; both '
'NULL without such a worker; tables of which rows are missing that it does not bring by itself '
'(lost): health says why; whether it failed twice since it last had no work left '
'and is at it again (is_failing); until when the changes of the publisher are here, as far as that '
'is known (as_of). No row: the operational service writes here.';

REVOKE ALL ON FUNCTION analytics.replication() FROM public;
GRANT EXECUTE ON FUNCTION analytics.replication() TO analytics_lector, analytics_operador;
