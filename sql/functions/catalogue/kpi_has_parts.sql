-- Says whether the figures of a KPI view can be computed for some days of a period.
--
-- Invariant: true only if kpi_engine.rows_of_part() reads nothing but the facts of these days. The
-- view has a time. It reads derived tables, and no other relation. A fact behind it has a
-- local_day, and no fact behind it is kept for a window of days only.
-- A column that also follows from a fact without a local_day, such as that of an advisor, must be
-- declared whole.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_has_parts(p_relation regclass, p_time text)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_has_parts$
    SELECT
        p_time IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM pg_rewrite
            INNER JOIN pg_depend
                ON pg_depend.classid = 'pg_rewrite'::regclass
                AND pg_depend.objid = pg_rewrite.oid
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.refobjid <> pg_rewrite.ev_class
            INNER JOIN pg_class ON pg_class.oid = pg_depend.refobjid
            LEFT JOIN kpi_engine.derived_tables
                ON pg_class.relnamespace = 'kpi_engine'::regnamespace
                AND derived_tables.table_name = pg_class.relname
            WHERE pg_rewrite.ev_class = p_relation AND derived_tables.table_name IS NULL
        )
        AND (
            SELECT
                coalesce(bool_or('local_day' = ANY (facts.value_columns)), false)
                AND coalesce(bool_and(facts.window_days IS NULL), false)
            FROM kpi_engine.derived_tables AS facts
            WHERE
                facts.upkeep = 'key'
                AND facts.table_name = ANY (kpi_engine.derived_tables_behind(ARRAY[p_relation]))
        );
$kpi_has_parts$;

COMMENT ON FUNCTION kpi_engine.kpi_has_parts(regclass, text) IS
'Whether compare can compute the columns of a KPI view, except those declared whole, for some days '
'of a period. p_time is its column of time, NULL without one.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_has_parts(regclass, text) FROM public;
