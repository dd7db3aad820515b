-- Kept by group: the groups that changed rows belong to are computed again.
--
-- Invariant: touched holds the groups of the rows as they were and as they are, so a row that moves
-- from one group to another touches both. Serves any aggregate.

CREATE OR REPLACE FUNCTION kpi_engine.changes_by_group(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_by_group$
    SELECT format(
        'touched AS MATERIALIZED (
             SELECT %1$s FROM (%2$s) AS come
             UNION
             SELECT %1$s FROM (%3$s) AS gone
         ),
         fresh AS MATERIALIZED (
             SELECT %4$s FROM (%5$s) AS again
         ),
         known AS MATERIALIZED (
             SELECT %4$s FROM touched INNER JOIN kpi_engine.%6$I USING (%1$s)
         )',
        kpi_engine.column_list(p_table.key_columns),
        kpi_engine.query_over(
            kpi_engine.definition_of(p_table.table_name),
            kpi_engine.changed_rows(p_table.reads, 1)
        ),
        kpi_engine.query_over(
            kpi_engine.definition_of(p_table.table_name),
            kpi_engine.changed_rows(p_table.reads, -1)
        ),
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        kpi_engine.rows_of_groups(p_table, 'touched'),
        p_table.table_name
    );
$changes_by_group$;

COMMENT ON FUNCTION kpi_engine.changes_by_group(kpi_engine.derived_tables) IS
'WITH queries fresh and known of a table that is kept by group. Internal to '
'kpi_engine.upkeep_statement().';

REVOKE ALL ON FUNCTION kpi_engine.changes_by_group(kpi_engine.derived_tables) FROM public;
