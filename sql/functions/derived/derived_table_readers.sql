-- Names what reads each derived table by itself: views and functions.
--
-- Invariant: the view of its own name does not count.

CREATE OR REPLACE FUNCTION kpi_engine.derived_table_readers()
RETURNS TABLE (table_name text, readers text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $derived_table_readers$
    SELECT derived_tables.table_name, string_agg(DISTINCT reader.name, ', ' ORDER BY reader.name)
    FROM kpi_engine.derived_tables
    LEFT JOIN LATERAL (
        SELECT pg_rewrite.ev_class::regclass::text AS name
        FROM pg_depend
        INNER JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
        WHERE
            pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid
            = to_regclass(format('kpi_engine.%I', derived_tables.table_name))
            AND pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_rewrite.ev_class <> pg_depend.refobjid
        UNION ALL
        SELECT functions.name
        FROM kpi_engine.functions_naming('kpi_engine.' || derived_tables.table_name) AS functions
    ) AS reader ON true
    GROUP BY derived_tables.table_name;
$derived_table_readers$;

COMMENT ON FUNCTION kpi_engine.derived_table_readers() IS
'Views and functions that read a derived table by its name, with commas between them; NULL if '
'nothing does. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.derived_table_readers() FROM public;
