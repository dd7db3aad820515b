-- Generates the statements of derived tables again.
--
-- Invariant: make migrate generates them once. To generate them in each refresh would take longer
-- than a small refresh.

CREATE OR REPLACE FUNCTION kpi_engine.generate_statements(p_table_name text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $generate_statements$
BEGIN
    UPDATE kpi_engine.derived_tables SET changes = kpi_engine.changes_of(derived_tables)
    WHERE
        p_table_name IS NULL
        OR derived_tables.table_name = p_table_name;
    UPDATE kpi_engine.derived_tables SET statement = kpi_engine.upkeep_statement(derived_tables)
    WHERE
        p_table_name IS NULL
        OR derived_tables.table_name = p_table_name;
END;
$generate_statements$;

COMMENT ON FUNCTION kpi_engine.generate_statements(text) IS
'Generates the statements that a refresh runs, for one derived table or for all (NULL). Internal '
'to kpi_engine.declare_derived_table() and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.generate_statements(text) FROM public;
