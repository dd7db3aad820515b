-- Lists the operational tables that subscriptions bring, and those that they brought once.
--
-- Invariant: is_lost if a tick or a refresh has seen the subscription bring the table, and it does
-- not any more: it was dropped, or the table left its publication. A table that is gone itself, or
-- is no source table any more, is not in the list.

CREATE OR REPLACE FUNCTION kpi_engine.followed()
RETURNS TABLE (
    subscription text,
    subscription_id oid,
    source_schema text,
    table_name text,
    state char,
    is_lost boolean
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $followed$
#variable_conflict use_column
BEGIN
    -- Usually there is no subscription.
    IF NOT EXISTS (SELECT FROM pg_subscription_rel)
        AND NOT EXISTS (SELECT FROM kpi_engine.followed_tables) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH source AS (
            SELECT
                pg_class.oid AS relation,
                pg_namespace.nspname::text AS source_schema,
                format('%I.%I', pg_namespace.nspname, pg_class.relname) AS table_name
            FROM kpi_engine.captured_tables() AS captured
            INNER JOIN pg_class ON pg_class.oid = captured.relation
            INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        ),

        brought AS (
            SELECT
                pg_subscription.subname::text AS subscription,
                pg_subscription.oid AS subscription_id,
                source.source_schema,
                source.table_name,
                pg_subscription_rel.srsubstate AS state
            FROM pg_subscription_rel
            INNER JOIN pg_subscription ON pg_subscription.oid = pg_subscription_rel.srsubid
            INNER JOIN source ON source.relation = pg_subscription_rel.srrelid
        )

        SELECT
            brought.subscription, brought.subscription_id, brought.source_schema,
            brought.table_name, brought.state::char, false
        FROM brought
        UNION ALL
        SELECT
            known.subscription, known.subscription_id, known.source_schema, known.table_name,
            NULL, true
        FROM kpi_engine.followed_tables AS known
        INNER JOIN source ON source.table_name = known.table_name
        WHERE NOT EXISTS (
            SELECT FROM brought
            WHERE
                brought.table_name = known.table_name
                AND (
                    brought.subscription = known.subscription
                    OR brought.subscription_id = known.subscription_id
                )
        );
END;
$followed$;

COMMENT ON FUNCTION kpi_engine.followed() IS
'Operational tables that subscriptions of this database bring, with the state of '
'pg_subscription_rel, and those that a subscription brought and does not bring any more (is_lost). '
'Internal to analytics.replication().';

REVOKE ALL ON FUNCTION kpi_engine.followed() FROM public;
