-- Lists the operational tables that subscriptions bring, those that they brought once, and those
-- that they leave out. For tables of other services that KPI views read, outside_of is the table
-- that was declared: the same one, or one that it is a partition of.
--
-- Invariant: lacks is not NULL if rows of the table may be missing, and replication does not bring
-- them by itself. Such a table is whole again when a subscription has copied it: then srsublsn of
-- pg_subscription_rel is another one. A table that was subscribed without a copy has none.
-- lacks:
--   gone: a tick or a refresh has seen the subscription bring the table, and it does not any more:
--     it was dropped, or the table left its publication.
--   uncopied: it was gone or absent, or its subscription was another one, and it came back, or
--     came, without a copy.
--   absent: no subscription brings it, and this one brings other operational tables of its schema.
--   emptied, missed, promoted, skipped: kpi_engine.incomplete_tables.
-- A table that is gone itself, or is no source table any more, is not in the list.
-- A database that was copied (CREATE DATABASE … TEMPLATE) has the tables of the other one's
-- subscriptions in pg_subscription_rel. No subscription of its own brings them.

CREATE OR REPLACE FUNCTION kpi_engine.followed()
RETURNS TABLE (
    subscription text,
    subscription_id oid,
    source_schema text,
    table_name text,
    relation oid,
    state char,
    copied_lsn pg_lsn,
    lacks text,
    outside_of oid
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $followed$
#variable_conflict use_column
BEGIN
    -- Usually there is no subscription.
    IF NOT EXISTS (SELECT FROM pg_subscription_rel)
        AND NOT EXISTS (SELECT FROM kpi_engine.followed_tables) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH source AS MATERIALIZED (
            SELECT below.*, NULL::oid AS outside_of
            FROM kpi_engine.tables_below() AS below
            UNION ALL
            SELECT * FROM kpi_engine.outside_tables()
        ),

        brought AS (
            SELECT
                pg_subscription.subname::text AS subscription,
                pg_subscription.oid AS subscription_id,
                source.source_schema,
                source.schema_id,
                source.table_name,
                source.relation,
                source.outside_of,
                pg_subscription_rel.srsubstate AS state,
                pg_subscription_rel.srsublsn AS copied_lsn
            FROM pg_subscription_rel
            INNER JOIN pg_subscription
                ON pg_subscription.oid = pg_subscription_rel.srsubid
                AND pg_subscription.subdbid = (
                    SELECT pg_database.oid FROM pg_database
                    WHERE pg_database.datname = current_database()
                )
            INNER JOIN source ON source.relation = pg_subscription_rel.srrelid
        )

        SELECT
            brought.subscription, brought.subscription_id, brought.source_schema,
            brought.table_name, brought.relation, brought.state::char, brought.copied_lsn,
            CASE
                WHEN brought.state = 'r' AND brought.copied_lsn IS NULL AND (
                    EXISTS (
                        SELECT FROM kpi_engine.followed_tables AS known
                        WHERE
                            known.table_name = brought.table_name
                            AND (
                                known.subscription = brought.subscription
                                AND known.subscription_id <> brought.subscription_id
                                OR known.subscription_id = brought.subscription_id
                                AND known.copied_lsn IS NOT NULL
                            )
                    )
                    OR EXISTS (
                        SELECT FROM kpi_engine.absent_tables AS absent
                        WHERE
                            absent.source_schema = brought.source_schema
                            AND absent.table_name = brought.table_name
                    )
                ) THEN 'uncopied'
                ELSE (
                    SELECT min(incomplete.reason)
                    FROM kpi_engine.incomplete_tables AS incomplete
                    WHERE
                        incomplete.subscription_id = brought.subscription_id
                        AND incomplete.relation = brought.relation
                        AND incomplete.copied_lsn IS NOT DISTINCT FROM brought.copied_lsn
                )
            END,
            brought.outside_of
        FROM brought
        UNION ALL
        SELECT
            known.subscription, known.subscription_id, known.source_schema, known.table_name,
            source.relation, NULL, known.copied_lsn, 'gone', source.outside_of
        FROM kpi_engine.followed_tables AS known
        INNER JOIN source
            ON source.table_name = known.table_name AND source.source_schema = known.source_schema
        WHERE NOT EXISTS (
            SELECT FROM brought
            WHERE
                brought.table_name = known.table_name
                AND (
                    brought.subscription = known.subscription
                    OR brought.subscription_id = known.subscription_id
                )
        )
        UNION ALL
        SELECT
            beside.subscription, beside.subscription_id, source.source_schema, source.table_name,
            source.relation, NULL, NULL, 'absent', NULL
        FROM source
        CROSS JOIN LATERAL (
            SELECT brought.subscription, brought.subscription_id
            FROM brought
            WHERE
                brought.outside_of IS NULL
                AND brought.schema_id = source.schema_id
                AND brought.source_schema = source.source_schema
            ORDER BY brought.subscription
            LIMIT 1
        ) AS beside
        WHERE
            source.outside_of IS NULL
            AND source.relation_kind = 'r'
            AND source.is_part
            AND NOT EXISTS (
                SELECT FROM pg_subscription_rel
                WHERE
                    pg_subscription_rel.srrelid = source.relation
                    OR pg_subscription_rel.srrelid IN (
                        SELECT parent.relid FROM pg_partition_ancestors(source.relation) AS parent (relid)
                    )
            )
            AND NOT EXISTS (
                SELECT FROM kpi_engine.followed_tables AS known
                WHERE known.table_name = source.table_name
            )
            AND NOT EXISTS (
                SELECT FROM kpi_engine.written_here
                WHERE written_here.table_name = source.table_name
            );
END;
$followed$;

COMMENT ON FUNCTION kpi_engine.followed() IS
'Operational tables, and tables of other services that KPI views read (outside_of: the declared '
'table), that subscriptions of this database bring, with the state of '
'pg_subscription_rel and where their copy ended; and why rows of a table may be missing that '
'replication does not bring (lacks: gone, uncopied, absent, emptied, missed, promoted, skipped; '
'NULL: none). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.followed() FROM public;
