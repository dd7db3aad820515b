-- Lists the materialized views of schema analytics in dependency order, and what they read.
--
-- Invariant: a view comes after each view that it reads, directly or through other views. The order
-- comes from the catalog; there is no list. So a new view is one new file. reads_else is true if a
-- view reads something whose changes the engine does not see. Views that read tables of other
-- services come last, with those that read them: another server may keep a transaction open for
-- them until the refresh ends.

CREATE OR REPLACE FUNCTION kpi_engine.materialized_views(p_view_name text DEFAULT NULL)
RETURNS TABLE (
    view_name text,
    relation regclass,
    is_populated boolean,
    has_unique_index boolean,
    has_calculado_at boolean,
    derived_tables text[],
    needed_version bigint,
    reads_today boolean,
    reads_settings boolean,
    reads_else boolean,
    reads_outside boolean
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = off
SET enable_seqscan = off
AS $materialized_views$
#variable_conflict use_column
DECLARE
    -- Usually none is declared.
    v_outside_views constant oid[] := ARRAY(
        SELECT to_regclass(format('analytics.%I', outside_sources.view_name))::oid
        FROM kpi_engine.outside_sources
    );
BEGIN
    -- PL/pgSQL keeps the plans: each tick calls this.
    RETURN QUERY
        WITH RECURSIVE path AS (
            SELECT
                pg_class.oid AS view_oid,
                pg_class.oid AS reached,
                pg_class.relkind,
                NULL::text AS derived_table,
                false AS is_today,
                0 AS depth
            -- By index, however many tables the database has.
            FROM pg_depend
            INNER JOIN pg_class ON pg_class.oid = pg_depend.objid
            WHERE
                pg_depend.refclassid = 'pg_namespace'::regclass
                AND pg_depend.refobjid = 'analytics'::regnamespace
                AND pg_depend.classid = 'pg_class'::regclass
                AND pg_class.relkind = 'm'
                AND (p_view_name IS NULL OR pg_class.relname = p_view_name)
            UNION
            -- Which view reads which relation, by the SELECT rule of the view.
            SELECT
                path.view_oid,
                pg_class.oid,
                pg_class.relkind,
                derived_tables.table_name,
                pg_class.oid = 'kpi_engine.view_state'::regclass AND pg_depend.refobjsubid = (
                    SELECT pg_attribute.attnum FROM pg_attribute
                    WHERE
                        pg_attribute.attrelid = 'kpi_engine.view_state'::regclass
                        AND pg_attribute.attname = 'today'
                ),
                path.depth + 1
            FROM path
            INNER JOIN pg_rewrite
                ON pg_rewrite.ev_class = path.reached AND pg_rewrite.ev_type = '1'
            INNER JOIN pg_depend
                ON pg_depend.classid = 'pg_rewrite'::regclass
                AND pg_depend.objid = pg_rewrite.oid
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.refobjid <> pg_rewrite.ev_class
            INNER JOIN pg_class
                ON pg_class.oid = pg_depend.refobjid
                AND pg_class.relkind IN ('v', 'm', 'r', 'p', 'f')
            LEFT JOIN kpi_engine.derived_tables
                ON pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND derived_tables.table_name = pg_class.relname::text COLLATE "default"
            WHERE path.derived_table IS NULL
        ),

        view_reads AS (
            SELECT
                path.view_oid,
                -- The longest way down through views. A relation that is read has a smaller number.
                max(path.depth) FILTER (WHERE path.relkind IN ('v', 'm')) AS depth,
                array_agg(DISTINCT path.derived_table) FILTER (
                    WHERE path.derived_table IS NOT NULL
                ) AS derived_tables,
                bool_or(path.is_today) AS reads_today,
                bool_or(path.reached = 'kpi_engine.settings'::regclass) AS reads_settings,
                bool_or(
                    path.depth > 0
                    AND path.derived_table IS NULL
                    AND path.relkind <> 'v'
                    AND path.reached <> ALL (
                        ARRAY['kpi_engine.view_state', 'kpi_engine.settings']::regclass []
                    )
                    AND NOT (
                        path.view_oid = ANY (v_outside_views)
                        AND path.relkind IN ('r', 'p', 'f')
                        AND EXISTS (
                            SELECT FROM kpi_engine.outside_sources AS outside
                            WHERE
                                kpi_engine.outside_relation(outside.source_name) = path.reached
                                AND to_regclass(format('analytics.%I', outside.view_name))
                                = path.view_oid
                        )
                    )
                ) AS reads_else,
                bool_or(path.reached = ANY (v_outside_views)) AS follows_outside
            FROM path
            GROUP BY path.view_oid
        )

        SELECT
            pg_class.relname::text,
            pg_class.oid::regclass,
            pg_class.relispopulated,
            EXISTS (
                SELECT FROM pg_index
                WHERE
                    pg_index.indrelid = pg_class.oid
                    AND pg_index.indisunique
                    AND pg_index.indimmediate
                    AND pg_index.indisvalid
                    AND pg_index.indpred IS NULL
                    AND 0 <> ALL (pg_index.indkey::smallint[])
            ),
            EXISTS (
                SELECT FROM pg_attribute
                WHERE
                    pg_attribute.attrelid = pg_class.oid
                    AND pg_attribute.attname = 'calculado_at'
                    AND NOT pg_attribute.attisdropped
            ),
            coalesce(view_reads.derived_tables, ARRAY[]::text []),
            (
                SELECT max(derived_tables.changed_version)
                FROM kpi_engine.derived_tables
                WHERE derived_tables.table_name = ANY (view_reads.derived_tables)
            ),
            view_reads.reads_today,
            view_reads.reads_settings,
            view_reads.reads_else,
            view_reads.view_oid = ANY (v_outside_views)
        FROM view_reads
        INNER JOIN pg_class ON pg_class.oid = view_reads.view_oid
        ORDER BY view_reads.follows_outside, view_reads.depth, pg_class.relname;
END;
$materialized_views$;

COMMENT ON FUNCTION kpi_engine.materialized_views(text) IS
'All materialized views of schema analytics, each after those it reads, or one (p_view_name). '
'has_unique_index: there is one that REFRESH … CONCURRENTLY can use. derived_tables that it reads, '
'and the data version in which they last changed. Whether it reads the day, settings, something '
'else, or declared tables of other services.';

REVOKE ALL ON FUNCTION kpi_engine.materialized_views(text) FROM public;
