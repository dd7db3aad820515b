-- Writes the two sides of a change: the rows that a derived table holds, and the rows that it
-- should hold.
--
-- Invariant: no WITH query is joined with another one in a way that a nested loop can do. The
-- planner expects one row of each, and a day of work has thousands. A FULL JOIN is always hashed.

CREATE OR REPLACE FUNCTION kpi_engine.changes_of(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changes_of$
    SELECT format(
        '%1$s,
         different AS MATERIALIZED (
             SELECT
                 %2$s, %4$s,
                 fresh.%3$I IS NULL AS is_gone, known.%3$I IS NULL AS is_new
             FROM fresh FULL JOIN known USING (%2$s)
             WHERE fresh.* IS DISTINCT FROM known.*
         )',
        CASE p_table.upkeep
            WHEN 'key' THEN kpi_engine.changes_by_key(p_table)
            WHEN 'difference' THEN kpi_engine.changes_by_difference(p_table)
            ELSE kpi_engine.changes_by_group(p_table)
        END,
        kpi_engine.column_list(p_table.key_columns),
        p_table.key_columns[1],
        (
            SELECT string_agg(
                format('fresh.%1$I, known.%1$I AS known_%2$s', listed.name, listed.ordinality),
                ', ' ORDER BY listed.ordinality
            )
            FROM unnest(p_table.value_columns) WITH ORDINALITY AS listed (name, ordinality)
        )
    );
$changes_of$;

COMMENT ON FUNCTION kpi_engine.changes_of(kpi_engine.derived_tables) IS
'WITH queries fresh, known and different (rows that differ: their keys, their values as they are '
'in fresh, and in known as known_1, known_2 …) of a derived table, by its way of upkeep. They read '
'the WITH queries changed_<table> and after_<table> of what it reads, the keys $1 and the day $2. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.changes_of(kpi_engine.derived_tables) FROM public;
