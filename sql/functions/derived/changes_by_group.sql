-- Kept by group: the groups that changed rows belong to are computed again.
--
-- Invariant: touched holds the groups of the rows as they were and as they are, so a row that moves
-- from one group to another touches both. Serves any aggregate.

CREATE OR REPLACE FUNCTION analytics.changes_by_group(p_table analytics.derived_tables)
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
             SELECT %4$s FROM touched INNER JOIN analytics.%6$I USING (%1$s)
         )',
        analytics.column_list(p_table.key_columns),
        analytics.query_over(
            analytics.definition_of(p_table.table_name),
            analytics.changed_rows(p_table.reads, 1)
        ),
        analytics.query_over(
            analytics.definition_of(p_table.table_name),
            analytics.changed_rows(p_table.reads, -1)
        ),
        analytics.column_list(p_table.key_columns || p_table.value_columns),
        analytics.rows_of_groups(p_table, 'touched'),
        p_table.table_name
    );
$changes_by_group$;

COMMENT ON FUNCTION analytics.changes_by_group(analytics.derived_tables) IS
'WITH queries fresh and known of a table that is kept by group. Internal to '
'analytics.upkeep_statement().';

REVOKE ALL ON FUNCTION analytics.changes_by_group(analytics.derived_tables) FROM public;
