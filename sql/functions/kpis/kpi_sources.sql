-- The operational tables behind a KPI view.
--
-- Invariant: the catalog says what a view reads. What a derived table is made of only the engine
-- knows: it stands in derived_tables.reads. A relation of somebody else is a source.

CREATE OR REPLACE FUNCTION analytics.kpi_sources(p_relation regclass)
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_sources$
    WITH RECURSIVE reached AS (
        SELECT p_relation::oid AS relation
        UNION
        SELECT step.relation
        FROM reached
        INNER JOIN pg_class
            ON pg_class.oid = reached.relation
            AND pg_class.relowner = 'analytics_owner'::regrole
        LEFT JOIN analytics.derived_tables ON derived_tables.table_name = pg_class.relname
        CROSS JOIN LATERAL (
            SELECT pg_depend.refobjid AS relation
            FROM pg_rewrite
            INNER JOIN pg_depend
                ON pg_depend.classid = 'pg_rewrite'::regclass
                AND pg_depend.objid = pg_rewrite.oid
                AND pg_depend.refclassid = 'pg_class'::regclass
            WHERE pg_rewrite.ev_class = pg_class.oid AND derived_tables.table_name IS NULL
            UNION ALL
            SELECT named.oid
            FROM pg_class AS named
            WHERE
                named.relname = ANY (derived_tables.reads)
                AND named.relnamespace = pg_class.relnamespace
        ) AS step
    )

    SELECT coalesce(array_agg(DISTINCT pg_class.relname::text), '{}')
    FROM reached
    INNER JOIN pg_class
        ON pg_class.oid = reached.relation
        AND pg_class.relowner <> 'analytics_owner'::regrole;
$kpi_sources$;

COMMENT ON FUNCTION analytics.kpi_sources(regclass) IS
'Names of the operational tables whose rows decide what a KPI view shows.';

REVOKE ALL ON FUNCTION analytics.kpi_sources(regclass) FROM public;
