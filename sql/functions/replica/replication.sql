-- Shows the subscriptions that bring the operational tables, and how far behind they are.
--
-- Invariant: no row where none writes a source table. A worker that is caught up hears from the
-- publisher each half minute at least (wal_receiver_timeout), so a few seconds behind are none.
-- Without a worker nobody knows how far behind it is.

CREATE OR REPLACE FUNCTION analytics.replication()
RETURNS TABLE (
    subscription text,
    is_enabled boolean,
    is_running boolean,
    copying text[],
    seconds_behind numeric,
    bytes_behind numeric
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
    -- Usually there is no subscription.
    IF NOT EXISTS (SELECT FROM pg_subscription_rel) THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT
            pg_subscription.subname::text,
            pg_subscription.subenabled,
            worker.pid IS NOT NULL,
            written.copying,
            round(greatest(0, extract(
                EPOCH FROM clock_timestamp() - worker.last_msg_send_time
            )), 1),
            greatest(0, worker.received_lsn - worker.latest_end_lsn)
        FROM pg_subscription
        INNER JOIN (
            SELECT
                pg_subscription_rel.srsubid,
                coalesce(
                    array_agg(
                        pg_subscription_rel.srrelid::regclass::text
                        ORDER BY pg_subscription_rel.srrelid::regclass::text
                    ) FILTER (WHERE pg_subscription_rel.srsubstate NOT IN ('r', 's')),
                    ARRAY[]::text []
                ) AS copying
            FROM pg_subscription_rel
            WHERE pg_subscription_rel.srrelid IN (
                SELECT captured.relation FROM kpi_engine.captured_tables() AS captured
            )
            GROUP BY pg_subscription_rel.srsubid
        ) AS written ON written.srsubid = pg_subscription.oid
        LEFT JOIN LATERAL (
            SELECT told.*
            FROM pg_stat_get_subscription(pg_subscription.oid) AS told
            WHERE told.relid IS NULL
            ORDER BY told.last_msg_send_time DESC NULLS LAST
            LIMIT 1
        ) AS worker ON true
        ORDER BY pg_subscription.subname;
END;
$replication$;

COMMENT ON FUNCTION analytics.replication() IS
'Subscriptions (logical replication) that write operational tables: whether each is enabled, '
'whether its worker runs, tables that it has not copied whole yet, seconds since the publisher '
'sent what it applied last, and bytes that it got and has not confirmed; both NULL without a '
'worker. No row: the operational service writes here.';

REVOKE ALL ON FUNCTION analytics.replication() FROM public;
GRANT EXECUTE ON FUNCTION analytics.replication() TO analytics_lector, analytics_operador;
