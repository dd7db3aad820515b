-- Writes the query for the rows of some keys of a table that is kept by key.

CREATE OR REPLACE FUNCTION kpi_engine.query_of_keys(p_table_name text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $query_of_keys$
    SELECT kpi_engine.query_over(
        kpi_engine.definition_of(derived_tables.table_name),
        (
            SELECT jsonb_object_agg(
                listed.view_name,
                format('SELECT * FROM kpi_engine.%I WHERE id = ANY ($1)', listed.view_name)
            )
            FROM (
                -- Over several origins, each has a view of its own.
                SELECT regexp_replace(
                    derived_tables.source_view, '^src_', sources.view_prefix
                ) AS view_name
                FROM kpi_engine.sources()
            ) AS listed
        )
    )
    FROM kpi_engine.derived_tables
    WHERE derived_tables.table_name = p_table_name;
$query_of_keys$;

COMMENT ON FUNCTION kpi_engine.query_of_keys(text) IS
'Query for the rows of a derived table, kept by key, that belong to the ids $1 (uuid[]), from the '
'source at this moment. An id that is not there gives no row. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.query_of_keys(text) FROM public;
