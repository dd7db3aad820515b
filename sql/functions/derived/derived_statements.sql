-- Shows the statements that the engine generates for its derived tables.

CREATE OR REPLACE FUNCTION analytics.derived_statements()
RETURNS TABLE (table_name text, purpose text, statement text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $derived_statements$
    SELECT derived_tables.table_name, shown.purpose, shown.statement
    FROM kpi_engine.derived_tables
    CROSS JOIN LATERAL (VALUES
        (1, 'definition', kpi_engine.definition_of(derived_tables.table_name)),
        (2, 'refresh', derived_tables.statement),
        (3, 'rebuild', kpi_engine.fill_statement(derived_tables))
    ) AS shown (position, purpose, statement)
    ORDER BY derived_tables.depth, derived_tables.table_name, shown.position;
$derived_statements$;

COMMENT ON FUNCTION analytics.derived_statements() IS
'The statements of each derived table, in the order of upkeep: its definition, the statement of a '
'refresh ($1: changed keys, $2: day with which windows ended before), and the statement of a '
'rebuild ($1: day with which windows end). For reading; the owner may run EXPLAIN on them.';

REVOKE ALL ON FUNCTION analytics.derived_statements() FROM public;
