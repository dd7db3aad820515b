-- Lists the publications that send our tables to subscribers that may not have them.
--
-- Invariant: no row where nobody can be hurt: without a slot of pgoutput there is no subscriber.
-- The worker of a subscriber stops at the first row of a table that it does not have, and with it
-- all replication. PostgreSQL can't leave tables out of FOR ALL TABLES. Who says that all readers
-- are ready (analytics.subscribers_ready) is believed. Migrate runs this query from the file.

CREATE OR REPLACE FUNCTION kpi_engine.broad_publications()
RETURNS TABLE (publication text, message text, hint text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $broad_publications$
    SELECT
        pg_publication.pubname::text,
        format(
            'publication %s sends the tables of this package, too; a subscriber that lacks them stops, '
            'and slot %s may be one',
            pg_publication.pubname, array_to_string(readers.slots, ' or ')
        ),
        format(
            'Let it send what the subscribers need: CREATE PUBLICATION … FOR TABLES IN SCHEMA …; at '
            'each subscriber ALTER SUBSCRIPTION … SET PUBLICATION …; then DROP PUBLICATION %I. Or '
            'install this version at each subscriber first. Where that is done, or the slot is of a '
            'reader that needs no tables (Debezium), run this again with '
            'PGOPTIONS=''-c analytics.subscribers_ready=yes''.',
            pg_publication.pubname
        )
    FROM pg_publication
    CROSS JOIN (
        SELECT array_agg(pg_replication_slots.slot_name::text ORDER BY pg_replication_slots.slot_name)
        FROM pg_replication_slots
        WHERE
            pg_replication_slots.plugin = 'pgoutput'
            AND pg_replication_slots.database = current_database()
    ) AS readers (slots)
    WHERE
        cardinality(readers.slots) > 0
        AND coalesce(current_setting('analytics.subscribers_ready', true), '') <> 'yes'
        AND (
            pg_publication.puballtables
            OR EXISTS (
                SELECT FROM pg_publication_namespace
                INNER JOIN pg_namespace ON pg_namespace.oid = pg_publication_namespace.pnnspid
                WHERE
                    pg_publication_namespace.pnpubid = pg_publication.oid
                    AND pg_namespace.nspname IN (
                        SELECT schema.schema_name FROM kpi_engine.package_schemas() AS schema
                    )
            )
        )
    ORDER BY pg_publication.pubname;
$broad_publications$;

COMMENT ON FUNCTION kpi_engine.broad_publications() IS
'Publications FOR ALL TABLES, or for tables in a schema of ours: what that means, with the slots '
'that may read them, and what to do. No row if there is no slot of pgoutput, or if the setting '
'analytics.subscribers_ready of the session or database is yes. Internal to the doctor and '
'migrate.';

REVOKE ALL ON FUNCTION kpi_engine.broad_publications() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.broad_publications() TO analytics_operador;
