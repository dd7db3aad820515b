-- Lays the contract over each schema of the operational tables: which view reads which table.

CREATE OR REPLACE FUNCTION kpi_engine.source_names()
RETURNS TABLE (
    view_name text,
    union_name text,
    column_name text,
    origen text,
    source_schema text,
    table_name text,
    is_needed boolean
)
LANGUAGE sql
STABLE PARALLEL SAFE
ROWS 60
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_names$
    SELECT DISTINCT
        sources.view_prefix || substr(source_contract.view_name, 5),
        source_contract.view_name,
        source_contract.column_name,
        sources.origen,
        sources.source_schema,
        CASE sources.source_generation
            WHEN 'A' THEN source_contract.table_in_a
            ELSE source_contract.table_in_b
        END,
        strpos(source_contract.needed_in, sources.source_generation) > 0
    FROM kpi_engine.source_contract()
    CROSS JOIN kpi_engine.sources();
$source_names$;

COMMENT ON FUNCTION kpi_engine.source_names() IS
'Each column of the source contract in each schema of the operational tables: the view that reads '
'its table, the view that unites those of all origins (the same view over one schema), the column, '
'the origin (NULL over one schema), the schema, the name of the table there, and whether a refresh '
'needs the column there. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.source_names() FROM public;
