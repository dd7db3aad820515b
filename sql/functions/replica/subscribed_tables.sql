-- Lists the tables that subscriptions write.
--
-- Invariant: a subscription that publishes by a partitioned table writes its partitions, too.

CREATE OR REPLACE FUNCTION kpi_engine.subscribed_tables()
RETURNS oid[]
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $subscribed_tables$
BEGIN
    -- PL/pgSQL keeps the plan: each refresh and each tick asks.
    RETURN ARRAY(
        SELECT pg_subscription_rel.srrelid
        FROM pg_subscription_rel
        UNION
        SELECT tree.relid
        FROM pg_subscription_rel
        INNER JOIN pg_class ON pg_class.oid = pg_subscription_rel.srrelid
        CROSS JOIN LATERAL pg_partition_tree(pg_class.oid::regclass) AS tree
        WHERE pg_class.relkind = 'p'
    );
END;
$subscribed_tables$;

COMMENT ON FUNCTION kpi_engine.subscribed_tables() IS
'Tables and partitions that subscriptions of this database write; empty where there is none. '
'Internal to change capture.';

REVOKE ALL ON FUNCTION kpi_engine.subscribed_tables() FROM public;
