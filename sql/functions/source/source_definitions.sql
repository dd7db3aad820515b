-- Writes all src_ views over the schemas that are bound.
--
-- Invariant: over one schema these are the views of kpi_engine.source_view_definitions(), and
-- nothing else. Over several, each schema has views of its own (src_<number>_…), and the views
-- src_… unite them, after them in this list. Facts are computed from the views of one origin at a
-- time (kpi_engine.unite_origins), so rows of two origins never meet.

CREATE OR REPLACE FUNCTION kpi_engine.source_definitions()
RETURNS TABLE (view_name text, source_schema text, table_name text, definition text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_definitions$
    SELECT
        listed.view_name, listed.source_schema, listed.table_name, listed.definition
    FROM (
        SELECT
            definitions.view_name,
            sources.source_schema,
            definitions.table_name,
            definitions.definition,
            sources.number::integer AS place
        FROM kpi_engine.sources()
        CROSS JOIN LATERAL kpi_engine.source_view_definitions(
            sources.source_schema, sources.source_generation, sources.view_prefix
        ) AS definitions
        UNION ALL
        SELECT
            names.union_name,
            NULL,
            NULL,
            format(
                E'CREATE OR REPLACE VIEW kpi_engine.%1$I AS\n%2$s;\n'
                'COMMENT ON VIEW kpi_engine.%1$I IS %3$L;\nREVOKE ALL ON kpi_engine.%1$I FROM public;',
                names.union_name,
                string_agg(
                    format('SELECT * FROM kpi_engine.%I', names.view_name), E'\nUNION ALL\n'
                    ORDER BY names.view_name
                ),
                format(
                    'Source adapter: the rows of all origins (%s). Written by make migrate.',
                    string_agg(names.source_schema, ', ' ORDER BY names.view_name)
                )
            ),
            NULL
        FROM (
            SELECT DISTINCT
                source_names.union_name, source_names.view_name, source_names.source_schema
            FROM kpi_engine.source_names()
            WHERE source_names.origen IS NOT NULL
        ) AS names
        GROUP BY names.union_name
    ) AS listed
    ORDER BY listed.place NULLS LAST, listed.view_name;
$source_definitions$;

COMMENT ON FUNCTION kpi_engine.source_definitions() IS
'The statements that create the src_ views over the bound schemas, in their order: view, schema '
'and table (NULL for a view that unites those of several origins), statement. make migrate runs '
'those that changed.';

REVOKE ALL ON FUNCTION kpi_engine.source_definitions() FROM public;
