-- All materialized views of schema analytics, in dependency order.
--
-- Invariant: a view comes after every view it reads, directly or through other views.
-- The catalog says so, nobody keeps a list: a new view is a new file, nothing else.

CREATE OR REPLACE FUNCTION analytics.materialized_views()
RETURNS TABLE (
    view_name text,
    relation regclass,
    is_populated boolean,
    has_unique_index boolean,
    has_calculado_at boolean,
    depth integer
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $materialized_views$
    WITH RECURSIVE reads AS (
        -- Which view's query (its SELECT rule) reads which other view.
        SELECT DISTINCT pg_rewrite.ev_class AS reader, pg_depend.refobjid AS source
        FROM pg_rewrite
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid <> pg_rewrite.ev_class
        INNER JOIN pg_class
            ON pg_class.oid = pg_depend.refobjid AND pg_class.relkind IN ('v', 'm')
        WHERE pg_rewrite.ev_type = '1'
    ),

    path AS (
        SELECT pg_class.oid AS view_oid, pg_class.oid AS reached, 0 AS depth
        FROM pg_class
        WHERE
            pg_class.relkind = 'm'
            AND pg_class.relnamespace = 'analytics'::regnamespace
        UNION
        SELECT path.view_oid, reads.source, path.depth + 1
        FROM path
        INNER JOIN reads ON reads.reader = path.reached
    ),

    -- The longest way down through views: what is read always has a smaller one.
    view_depth AS (
        SELECT path.view_oid, max(path.depth) AS depth
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
        view_depth.depth
    FROM view_depth
    INNER JOIN pg_class ON pg_class.oid = view_depth.view_oid
    ORDER BY view_depth.depth, pg_class.relname;
$materialized_views$;

COMMENT ON FUNCTION analytics.materialized_views() IS
'All materialized views of schema analytics, each after those it reads; has_unique_index: '
'there is one that REFRESH … CONCURRENTLY can use.';

REVOKE ALL ON FUNCTION analytics.materialized_views() FROM public;
