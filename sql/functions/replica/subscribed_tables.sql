-- Lists the tables that subscriptions write, with all tables below them.
--
-- Invariant: a statement that names one of these tables also writes those below it: its partitions,
-- and the tables that inherit from it. Their own triggers note the rows, whoever writes.

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
        WITH RECURSIVE below AS (
            SELECT pg_subscription_rel.srrelid AS relation
            FROM pg_subscription_rel
            UNION
            SELECT pg_inherits.inhrelid
            FROM below
            INNER JOIN pg_inherits
                ON
                    pg_inherits.inhparent = below.relation
                    AND NOT pg_inherits.inhdetachpending
        )

        SELECT below.relation FROM below
    );
END;
$subscribed_tables$;

COMMENT ON FUNCTION kpi_engine.subscribed_tables() IS
'Tables that subscriptions of this database write, with their partitions and the tables that '
'inherit from them; empty where there is none. Internal to change capture.';

REVOKE ALL ON FUNCTION kpi_engine.subscribed_tables() FROM public;
