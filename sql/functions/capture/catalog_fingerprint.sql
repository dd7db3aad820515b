-- The catalog rows of some relations, as one value to compare.
--
-- Invariant: each change to one of these tables or views, to its columns, triggers, rules, rights,
-- policies or partitions, or to the role that reads them, writes a row of the catalog, and so makes
-- another value. (Two changes in one transaction have one xmin, but each its ctid.) So does another
-- version of the collation, and a crash of the server if one of them is unlogged: it is empty then;
-- and a table of ours that becomes unlogged.
-- The same value twice means that nothing was done. It looks only at the given relations, by index.
-- A name can mean another table only after it was taken from one of these.
-- PL/pgSQL keeps the plan: each refresh and each tick asks.

CREATE OR REPLACE FUNCTION kpi_engine.catalog_fingerprint(p_relations oid[])
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $catalog_fingerprint$
BEGIN
    RETURN md5(concat_ws(
        '/',
        (
            SELECT concat_ws(
                ' ', pg_database.oid, pg_database.datcollversion,
                pg_database_collation_actual_version(pg_database.oid)
            )
            FROM pg_database
            WHERE pg_database.datname = current_database()
        ),
        (
            SELECT string_agg(
                concat(pg_class.oid, ' ', pg_class.xmin, pg_class.ctid), ',' ORDER BY pg_class.oid
            )
            FROM pg_class
            WHERE pg_class.oid = ANY (p_relations)
        ),
        (
            SELECT sum(hashtextextended(
                concat(
                    pg_attribute.attrelid, ' ', pg_attribute.attnum, ' ', pg_attribute.xmin,
                    pg_attribute.ctid
                ), 0
            ))
            FROM pg_attribute
            WHERE pg_attribute.attrelid = ANY (p_relations) AND pg_attribute.attnum > 0
        ),
        (
            SELECT sum(hashtextextended(
                concat(pg_trigger.oid, ' ', pg_trigger.xmin, pg_trigger.ctid), 0
            ))
            FROM pg_trigger
            WHERE pg_trigger.tgrelid = ANY (p_relations)
        ),
        (
            SELECT sum(hashtextextended(
                concat(pg_rewrite.oid, ' ', pg_rewrite.xmin, pg_rewrite.ctid), 0
            ))
            FROM pg_rewrite
            WHERE pg_rewrite.ev_class = ANY (p_relations)
        ),
        (
            SELECT sum(hashtextextended(
                concat(pg_attrdef.oid, ' ', pg_attrdef.xmin, pg_attrdef.ctid), 0
            ))
            FROM pg_attrdef
            WHERE pg_attrdef.adrelid = ANY (p_relations)
        ),
        (
            SELECT sum(hashtextextended(
                concat_ws(
                    ' ', pg_inherits.inhparent, pg_inherits.inhrelid, pg_inherits.inhdetachpending
                ), 0
            ))
            FROM pg_inherits
            WHERE pg_inherits.inhparent = ANY (p_relations)
        ),
        (
            SELECT sum(hashtextextended(
                concat_ws(
                    ' ', pg_inherits.inhrelid, pg_inherits.inhparent, pg_inherits.inhdetachpending
                ), 1
            ))
            FROM pg_inherits
            WHERE pg_inherits.inhrelid = ANY (p_relations)
        ),
        (
            SELECT sum(hashtextextended(concat(pg_enum.oid, ' ', pg_enum.xmin, pg_enum.ctid), 0))
            FROM pg_enum
        ),
        (
            SELECT string_agg(
                concat(
                    sources.source_generation, ' ', pg_namespace.oid, ' ', pg_namespace.xmin,
                    pg_namespace.ctid
                ),
                ',' ORDER BY sources.number
            )
            FROM kpi_engine.sources()
            LEFT JOIN pg_namespace ON pg_namespace.nspname = sources.source_schema
        ),
        (SELECT concat(installation.xmin, installation.ctid) FROM kpi_engine.installation),
        (
            SELECT concat(
                pg_roles.rolsuper, pg_roles.rolbypassrls, pg_roles.rolinherit,
                (
                    SELECT sum(hashtextextended(pg_auth_members::text, 0))
                    FROM pg_auth_members
                )
            )
            FROM pg_namespace
            INNER JOIN pg_roles ON pg_roles.oid = pg_namespace.nspowner
            WHERE pg_namespace.nspname = 'kpi_engine'
        ),
        (SELECT sum(hashtextextended(pg_subscription_rel::text, 0)) FROM pg_subscription_rel),
        CASE
            WHEN EXISTS (
                SELECT FROM pg_class
                WHERE pg_class.oid = ANY (p_relations) AND pg_class.relpersistence = 'u'
            ) THEN kpi_engine.unlogged_since()
        END,
        (
            -- Our own tables: a crash empties those that somebody makes UNLOGGED.
            SELECT sum(hashtextextended(pg_class.oid::text, 0))
            FROM pg_class
            WHERE
                pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND pg_class.relpersistence = 'u'
        ),
        kpi_engine.log_version()
    ));
END;
$catalog_fingerprint$;

COMMENT ON FUNCTION kpi_engine.catalog_fingerprint(oid[]) IS
'Fingerprint of what the catalog holds about these tables and views, and about who reads them. '
'Internal to kpi_engine.is_settled().';

REVOKE ALL ON FUNCTION kpi_engine.catalog_fingerprint(oid[]) FROM public;
