-- Names the views through which a relation reads derived tables.
--
-- Invariant: each view comes after those that it reads. A view that reaches no derived table is not
-- listed. A derived table is read through a view of its own name: that one is not listed either.

CREATE OR REPLACE FUNCTION kpi_engine.views_behind(p_relation regclass)
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $views_behind$
    WITH RECURSIVE way AS (
        SELECT p_relation::oid AS reader, ARRAY[]::oid[] AS views
        UNION ALL
        SELECT pg_class.oid, way.views || pg_class.oid
        FROM way
        INNER JOIN pg_rewrite ON pg_rewrite.ev_class = way.reader AND pg_rewrite.ev_type = '1'
        INNER JOIN LATERAL (
            SELECT DISTINCT pg_depend.refobjid
            FROM pg_depend
            WHERE
                pg_depend.classid = 'pg_rewrite'::regclass
                AND pg_depend.objid = pg_rewrite.oid
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.refobjid <> pg_rewrite.ev_class
        ) AS read ON true
        INNER JOIN pg_class
            ON pg_class.oid = read.refobjid
            AND pg_class.relkind = 'v'
            AND pg_class.relnamespace = 'kpi_engine'::regnamespace
        WHERE NOT EXISTS (
            SELECT FROM kpi_engine.derived_tables
            WHERE derived_tables.table_name IN (
                SELECT reader.relname FROM pg_class AS reader WHERE reader.oid = way.reader
            )
        )
    ),

    passed AS (
        -- The last one of a way is the derived table. The views before it lead to it.
        SELECT step.oid AS view_oid, max(step.place) AS place
        FROM way
        INNER JOIN pg_class ON pg_class.oid = way.reader
        INNER JOIN kpi_engine.derived_tables ON derived_tables.table_name = pg_class.relname
        CROSS JOIN LATERAL unnest(way.views) WITH ORDINALITY AS step (oid, place)
        WHERE step.oid <> way.reader
        GROUP BY step.oid
    )

    SELECT coalesce(
        array_agg(pg_class.relname::text ORDER BY passed.place DESC, pg_class.relname),
        ARRAY[]::text[]
    )
    FROM passed
    INNER JOIN pg_class ON pg_class.oid = passed.view_oid;
$views_behind$;

COMMENT ON FUNCTION kpi_engine.views_behind(regclass) IS
'Names of the views of schema kpi_engine through which a view reads derived tables, each after '
'those it reads. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.views_behind(regclass) FROM public;
