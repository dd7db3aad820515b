-- Says which subscriptions bring the rows of an outside table, and how far each is.
--
-- Invariant: no row if none does. as_of moves on only when the worker has no work left
-- (kpi_engine.worker_state); until then it is what a tick or a refresh saw last. NULL: not known.
-- cause is NULL for one that keeps up, and if the setting replica_lag is off.

CREATE OR REPLACE FUNCTION kpi_engine.feeding(p_source oid)
RETURNS TABLE (
    subscription text, subscription_id oid, cause text, remedy text, as_of timestamptz
)
LANGUAGE plpgsql
VOLATILE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $feeding$
#variable_conflict use_column
DECLARE
    v_limit text;
BEGIN
    -- Usually there is no subscription.
    IF p_source IS NULL OR NOT EXISTS (SELECT FROM pg_subscription_rel) THEN
        RETURN;
    END IF;
    v_limit := analytics.setting('replica_lag');
    RETURN QUERY
        SELECT
            found.subscription,
            found.subscription_id,
            found.cause,
            CASE found.cause
                WHEN 'is disabled' THEN format('ALTER SUBSCRIPTION %I ENABLE;', found.subscription)
                ELSE 'the log of this server says why, see replica_lag in the runbook'
            END,
            found.as_of
        FROM (
            SELECT
                pg_subscription.subname::text AS subscription,
                pg_subscription.oid AS subscription_id,
                CASE
                    WHEN v_limit = 'off' OR pg_is_in_recovery() THEN NULL
                    WHEN NOT pg_subscription.subenabled THEN 'is disabled'
                    WHEN NOT worker.is_running THEN 'has no worker'
                    WHEN NOT its.is_copied THEN 'still copies it'
                    WHEN
                        coalesce(worker.as_of, known.as_of)
                        < clock_timestamp() - nullif(v_limit, 'off')::interval
                        THEN 'is behind its publisher'
                END AS cause,
                CASE WHEN its.is_copied THEN coalesce(worker.as_of, known.as_of) END AS as_of
            FROM (
                SELECT
                    pg_subscription_rel.srsubid,
                    bool_and(pg_subscription_rel.srsubstate IN ('s', 'r')) AS is_copied
                FROM pg_subscription_rel
                WHERE
                    pg_subscription_rel.srrelid = p_source
                    OR pg_subscription_rel.srrelid IN (
                        SELECT part.relid FROM pg_partition_tree(p_source) AS part
                        UNION ALL
                        SELECT parent.relid FROM pg_partition_ancestors(p_source) AS parent (relid)
                    )
                GROUP BY pg_subscription_rel.srsubid
            ) AS its
            INNER JOIN pg_subscription ON pg_subscription.oid = its.srsubid
            CROSS JOIN LATERAL kpi_engine.worker_state(pg_subscription.oid) AS worker
            LEFT JOIN kpi_engine.feeding_marks AS known
                ON known.subscription_id = pg_subscription.oid
        ) AS found;
END;
$feeding$;

COMMENT ON FUNCTION kpi_engine.feeding(oid) IS
'Subscriptions that bring the rows of an outside table: why one is behind (NULL: it is not), what '
'to do, and until when its changes are here. Internal to the views of other services.';

REVOKE ALL ON FUNCTION kpi_engine.feeding(oid) FROM public;
