-- Writes the statement with which a rebuild fills the other set of a derived table.
--
-- Invariant: it reads the other set of each table that is rebuilt too, and the active set of all
-- others.

CREATE OR REPLACE FUNCTION kpi_engine.fill_statement(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $fill_statement$
    SELECT format(
        'INSERT INTO kpi_engine.%1$I (%2$s) SELECT %2$s FROM (%3$s) AS computed WHERE %4$s',
        kpi_engine.set_of(p_table.table_name, true),
        kpi_engine.column_list(p_table.key_columns || p_table.value_columns),
        kpi_engine.query_over(
            kpi_engine.definition_of(p_table.table_name),
            jsonb_build_object('window_end', 'SELECT $1 AS today') || coalesce((
                SELECT jsonb_object_agg(
                    known.table_name,
                    format(
                        'SELECT * FROM kpi_engine.%I',
                        kpi_engine.set_of(known.table_name, known.rebuilding_by IS NOT NULL)
                    )
                )
                FROM kpi_engine.derived_tables AS known
                WHERE known.table_name = ANY (p_table.reads)
            ), '{}')
        ),
        kpi_engine.counts_something(p_table)
    );
$fill_statement$;

COMMENT ON FUNCTION kpi_engine.fill_statement(kpi_engine.derived_tables) IS
'The statement that fills the other set of a derived table, for windows that end with the day $1. '
'Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.fill_statement(kpi_engine.derived_tables) FROM public;
