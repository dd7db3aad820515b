-- The operational tables behind a KPI view.
--
-- Invariant: the catalog says what a view reads. The engine fills a derived table by
-- its definition, the view recomputed_<name>. A relation of somebody else is a source.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_sources(p_relation regclass)
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_sources$
    WITH RECURSIVE reached AS (
        SELECT p_relation::oid AS relation
        UNION
        SELECT pg_depend.refobjid
        FROM reached
        INNER JOIN pg_class
            ON pg_class.oid = reached.relation
            AND pg_class.relowner = 'analytics_owner'::regrole
        LEFT JOIN kpi_engine.derived_tables ON derived_tables.table_name = pg_class.relname
        INNER JOIN pg_rewrite
            ON pg_rewrite.ev_class = CASE
                WHEN derived_tables.table_name IS NULL THEN pg_class.oid
                ELSE to_regclass(format(
                    '%s.%I', pg_class.relnamespace::regnamespace,
                    'recomputed_' || derived_tables.table_name
                ))
            END
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
    )

    SELECT coalesce(array_agg(DISTINCT pg_class.relname::text), '{}')
    FROM reached
    INNER JOIN pg_class
        ON pg_class.oid = reached.relation
        AND pg_class.relowner <> 'analytics_owner'::regrole;
$kpi_sources$;

COMMENT ON FUNCTION kpi_engine.kpi_sources(regclass) IS
'Names of the operational tables whose rows decide what a KPI view shows.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_sources(regclass) FROM public;
