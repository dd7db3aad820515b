-- Kept by group: computes the groups of the changed rows again.
--
-- Invariant: touched holds the groups of the rows before and after the change. So a row that moves
-- to another group touches both. This way serves any aggregate.

CREATE OR REPLACE FUNCTION kpi_engine.changes_by_group(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_by_group$
    SELECT format(
        'touched AS MATERIALIZED (
             SELECT DISTINCT %1$s FROM (%2$s) AS moved
         ),
         fresh AS MATERIALIZED (
             SELECT %3$s FROM (%4$s) AS again
         ),
         known AS MATERIALIZED (
             SELECT %3$s FROM touched INNER JOIN kpi_engine.%5$I USING (%1$s)
         )',
        kpi_engine.column_list(p_table.key_columns),
        kpi_engine.changed_sides(p_table),
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        kpi_engine.rows_of_groups(p_table, 'touched'),
        p_table.table_name
    );
$changes_by_group$;

COMMENT ON FUNCTION kpi_engine.changes_by_group(kpi_engine.derived_tables) IS
'WITH queries fresh and known of a table that is kept by group. Internal to '
'kpi_engine.changes_of().';

REVOKE ALL ON FUNCTION kpi_engine.changes_by_group(kpi_engine.derived_tables) FROM public;
