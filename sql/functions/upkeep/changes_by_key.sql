-- Kept by key: computes the rows of changed keys again from the source.
--
-- Invariant: fresh is what the source gives for the keys $1 at this moment. known is what the table
-- holds for them.
-- The condition stands where the definition reads the source. So the planner looks few keys up by
-- index, and reads whole tables for many keys.

CREATE OR REPLACE FUNCTION kpi_engine.changes_by_key(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_by_key$
    SELECT format(
        'fresh AS MATERIALIZED (
             SELECT %1$s FROM (%2$s) AS recomputed
         ),
         known AS MATERIALIZED (
             SELECT %1$s FROM unnest($1) AS wanted (%3$I)
             INNER JOIN kpi_engine.%4$I USING (%3$I)
         )',
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        kpi_engine.query_of_keys(p_table.table_name),
        p_table.key_columns[1],
        p_table.table_name
    );
$changes_by_key$;

COMMENT ON FUNCTION kpi_engine.changes_by_key(kpi_engine.derived_tables) IS
'WITH queries fresh and known of a table that is kept by key, for the keys $1. Internal to '
'kpi_engine.changes_of().';

REVOKE ALL ON FUNCTION kpi_engine.changes_by_key(kpi_engine.derived_tables) FROM public;
