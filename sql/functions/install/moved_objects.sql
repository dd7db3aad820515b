-- Lists what has to be built anew, because a name means another table now.
--
-- Invariant: src_ views that read another table or column than the one that has the name; over
-- several origins also the view that unites theirs; and KPI views whose outside table moved.
-- In another database than before, numbers alone tell nothing: after a dump each table has another
-- one. A view that reads another table than the one of its name tells it in any case, or a column
-- that has no name of the contract. So do other columns of a table that has its number, as in a
-- copy of the files.

CREATE OR REPLACE FUNCTION kpi_engine.moved_objects()
RETURNS TABLE (object_name text, message text)
LANGUAGE sql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $moved_objects$
    SELECT
        'kpi_engine.' || moved.view_name,
        problems.message || ': bound again, the next refresh computes everything'
    FROM analytics.source_problems(true) AS problems
    CROSS JOIN kpi_engine.engine_state
    CROSS JOIN kpi_engine.source_now() AS present
    CROSS JOIN LATERAL (
        SELECT
            engine_state.source_binding -> problems.view_name AS known,
            present.binding -> problems.view_name AS fresh
    ) AS bound
    CROSS JOIN LATERAL (
        VALUES (problems.view_name), (regexp_replace(problems.view_name, '^src_\d+_', 'src_'))
    ) AS moved (view_name)
    WHERE
        problems.view_name IS NOT NULL
        AND (
            (engine_state.database_identity <> kpi_engine.database_identity()) IS NOT TRUE
            OR bound.fresh -> 'table' IS DISTINCT FROM bound.fresh -> 'reads'
            OR (
                bound.fresh -> 'table' = bound.known -> 'table'
                AND bound.fresh -> 'columns' IS DISTINCT FROM bound.known -> 'columns'
            )
            OR EXISTS (
                SELECT FROM pg_rewrite
                INNER JOIN pg_depend
                    ON pg_depend.classid = 'pg_rewrite'::regclass
                    AND pg_depend.objid = pg_rewrite.oid
                    AND pg_depend.refclassid = 'pg_class'::regclass
                    AND pg_depend.refobjid = (bound.fresh ->> 'reads')::oid
                    AND pg_depend.refobjsubid > 0
                WHERE
                    pg_rewrite.ev_class = to_regclass(format('kpi_engine.%I', problems.view_name))
                    AND pg_depend.refobjsubid NOT IN (
                        SELECT (named.value ->> 0)::integer
                        FROM jsonb_each(bound.fresh -> 'columns') AS named
                    )
            )
        )
    UNION
    SELECT
        problems.view_name,
        problems.message || ': the view is built anew'
    FROM kpi_engine.outside_problems() AS problems
    WHERE problems.needs_build
    ORDER BY 2, 1;
$moved_objects$;

COMMENT ON FUNCTION kpi_engine.moved_objects() IS
'The src_ views and KPI views that have to be built anew, since a name means another table now, '
'and why. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.moved_objects() FROM public;
