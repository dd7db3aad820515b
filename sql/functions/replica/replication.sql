-- Shows the subscriptions that bring the operational tables, and how far behind they are.
--
-- Invariant: no row where none writes a source table. A worker that is caught up hears from the
-- publisher each half minute at least (wal_receiver_timeout), so a few seconds behind are none.
-- Without a worker nobody knows how far behind it is. A worker that waits for its first word from
-- the publisher counts as none: until then its times are those of its start. A subscription that is
-- gone is in the list until analytics.forget_subscription().

CREATE OR REPLACE FUNCTION analytics.replication()
RETURNS TABLE (
    subscription text,
    is_enabled boolean,
    is_running boolean,
    copying text[],
    seconds_behind numeric,
    bytes_behind numeric,
    lost text[]
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
            worker.received_lsn IS NOT NULL,
            followed.copying,
            -- greatest() makes 0 of NULL.
            CASE
                WHEN worker.received_lsn IS NOT NULL
                    THEN round(greatest(0, extract(
                        EPOCH FROM clock_timestamp() - worker.last_msg_send_time
                    )), 1)
            END,
            CASE
                WHEN worker.received_lsn IS NOT NULL
                    THEN greatest(0, worker.received_lsn - worker.latest_end_lsn)
            END,
            followed.lost
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
                        WHERE tables.is_lost
                    ),
                    ARRAY[]::text []
                ) AS lost
            FROM kpi_engine.followed() AS tables
            GROUP BY tables.subscription
        ) AS followed
        LEFT JOIN pg_subscription ON pg_subscription.oid = followed.subscription_id
        LEFT JOIN LATERAL (
            SELECT told.*
            FROM pg_stat_get_subscription(pg_subscription.oid) AS told
            WHERE told.relid IS NULL
            ORDER BY told.last_msg_send_time DESC NULLS LAST
            LIMIT 1
        ) AS worker ON pg_subscription.oid IS NOT NULL
        ORDER BY followed.subscription;
END;
$replication$;

COMMENT ON FUNCTION analytics.replication() IS
'Subscriptions (logical replication) that write operational tables: whether each is enabled, '
'whether its worker runs and has heard from the publisher, tables that it has not copied whole '
'yet, seconds since the publisher sent what it applied last, and bytes that it got and has not '
'confirmed; both NULL without such a worker; tables that it brought once and does not bring any '
'more (lost): it was dropped, or they left its publication. No row: the operational service writes '
'here.';

REVOKE ALL ON FUNCTION analytics.replication() FROM public;
GRANT EXECUTE ON FUNCTION analytics.replication() TO analytics_lector, analytics_operador;
