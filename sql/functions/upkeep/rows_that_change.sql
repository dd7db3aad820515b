-- Writes the query for the rows of a derived table that go (sign -1) and come (sign 1).

CREATE OR REPLACE FUNCTION kpi_engine.rows_that_change(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rows_that_change$
    SELECT format(
        'SELECT 1 AS sign, %1$s, %2$s FROM different WHERE NOT different.is_gone
         UNION ALL
         SELECT -1, %1$s, %3$s FROM different WHERE NOT different.is_new',
        kpi_engine.column_list(p_table.key_columns),
        kpi_engine.column_list(p_table.value_columns),
        (
            SELECT string_agg(format('known_%s', place), ', ' ORDER BY place)
            FROM generate_subscripts(p_table.value_columns, 1) AS place
        )
    );
$rows_that_change$;

COMMENT ON FUNCTION kpi_engine.rows_that_change(kpi_engine.derived_tables) IS
'Query for the changed rows of a derived table, over the WITH queries of kpi_engine.changes_of(). '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.rows_that_change(kpi_engine.derived_tables) FROM public;
