-- Writes the two sides of a change: the rows that a derived table holds, and the rows that it
-- should hold.

CREATE OR REPLACE FUNCTION kpi_engine.changes_of(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_of$
    SELECT format(
        '%s,
         different AS MATERIALIZED (
             SELECT %s, fresh.%s IS NULL AS is_gone, known.%s IS NULL AS is_new
             FROM fresh FULL JOIN known USING (%s)
             WHERE fresh.* IS DISTINCT FROM known.*
         )',
        CASE p_table.upkeep
            WHEN 'key' THEN kpi_engine.changes_by_key(p_table)
            WHEN 'difference' THEN kpi_engine.changes_by_difference(p_table)
            ELSE kpi_engine.changes_by_group(p_table)
        END,
        kpi_engine.column_list(p_table.key_columns),
        p_table.key_columns[1],
        p_table.key_columns[1],
        kpi_engine.column_list(p_table.key_columns)
    );
$changes_of$;

COMMENT ON FUNCTION kpi_engine.changes_of(kpi_engine.derived_tables) IS
'WITH queries fresh, known and different (keys whose rows differ) of a derived table, by its way '
'of upkeep. They read the WITH queries changed_<table> and after_<table> of what it reads, the '
'keys $1 and the day $2. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.changes_of(kpi_engine.derived_tables) FROM public;
