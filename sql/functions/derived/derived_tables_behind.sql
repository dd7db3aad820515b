-- Names the derived tables that decide some relations, directly or through other derived tables.

CREATE OR REPLACE FUNCTION kpi_engine.derived_tables_behind(p_relations regclass[])
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $derived_tables_behind$
    WITH RECURSIVE behind AS (
        SELECT reached.table_name
        FROM kpi_engine.derived_tables AS reached
        WHERE format('kpi_engine.%I', reached.table_name)::regclass IN (
            SELECT unnest(p_relations)
            UNION
            SELECT pg_depend.refobjid::regclass
            FROM pg_rewrite
            INNER JOIN pg_depend
                ON pg_depend.classid = 'pg_rewrite'::regclass
                AND pg_depend.objid = pg_rewrite.oid
                AND pg_depend.refclassid = 'pg_class'::regclass
            WHERE pg_rewrite.ev_class = ANY (p_relations)
        )
        UNION
        SELECT listed.name
        FROM behind
        INNER JOIN kpi_engine.derived_tables AS reached ON reached.table_name = behind.table_name
        CROSS JOIN LATERAL unnest(reached.reads) AS listed (name)
    )

    SELECT coalesce(array_agg(behind.table_name), ARRAY[]::text[]) FROM behind;
$derived_tables_behind$;

COMMENT ON FUNCTION kpi_engine.derived_tables_behind(regclass[]) IS
'Names of the derived tables that these views read by themselves (not through other views), or of '
'the derived tables themselves, and of the derived tables that these read. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.derived_tables_behind(regclass[]) FROM public;
