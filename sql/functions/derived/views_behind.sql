-- Lists the views through which a relation reads derived tables.
--
-- Invariant: each view comes after those that it reads, whatever its schema. A view that reaches no
-- derived table is not listed. The view of a derived table's own name is not listed either.

CREATE OR REPLACE FUNCTION kpi_engine.views_behind(p_relation regclass)
RETURNS regclass[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $views_behind$
    WITH RECURSIVE derived AS (
        SELECT to_regclass(format('kpi_engine.%I', derived_tables.table_name))::oid AS relation
        FROM kpi_engine.derived_tables
    ),

    -- A way ends at a derived table.
    way AS (
        SELECT p_relation::oid AS relation, ARRAY[]::oid[] AS passed
        UNION
        SELECT pg_class.oid, way.passed || pg_rewrite.ev_class
        FROM way
        INNER JOIN pg_rewrite
            ON pg_rewrite.ev_class = way.relation
            AND pg_rewrite.ev_type = '1'
            AND pg_rewrite.ev_class NOT IN (SELECT derived.relation FROM derived)
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid <> pg_rewrite.ev_class
        INNER JOIN pg_class
            ON pg_class.oid = pg_depend.refobjid AND pg_class.relkind IN ('v', 'm')
    )

    SELECT coalesce(
        array_agg(behind.view::regclass ORDER BY behind.place DESC, behind.view),
        ARRAY[]::regclass[]
    )
    FROM (
        SELECT step.view, max(step.place) AS place
        FROM way
        INNER JOIN derived ON derived.relation = way.relation
        CROSS JOIN LATERAL unnest(way.passed) WITH ORDINALITY AS step (view, place)
        WHERE step.view <> p_relation
        GROUP BY step.view
    ) AS behind;
$views_behind$;

COMMENT ON FUNCTION kpi_engine.views_behind(regclass) IS
'Views and materialized views through which a relation reads derived tables, each after those that '
'it reads. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.views_behind(regclass) FROM public;
