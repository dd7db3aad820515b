-- Lists the rights that analytics_owner needs to read operational tables, and whether it has them.
--
-- Invariant: one row for each right, met or not. A table that does not exist needs none. migrate
-- runs this query from the file.

CREATE OR REPLACE FUNCTION kpi_engine.source_needs(p_schema text, p_tables text[])
RETURNS TABLE (is_met boolean, statement text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_needs$
    WITH need AS (
        SELECT
            0::bigint AS place,
            has_schema_privilege(
                to_regrole('analytics_owner')::oid, pg_namespace.oid, 'USAGE'
            ) AS is_met,
            format('GRANT USAGE ON SCHEMA %I TO analytics_owner', p_schema) AS statement
        FROM pg_namespace
        WHERE pg_namespace.nspname = p_schema
        UNION ALL
        SELECT
            source.place,
            has_table_privilege(to_regrole('analytics_owner')::oid, pg_class.oid, 'SELECT'),
            format('GRANT SELECT ON %I.%I TO analytics_owner', p_schema, pg_class.relname)
        FROM unnest(p_tables) WITH ORDINALITY AS source (table_name, place)
        INNER JOIN pg_namespace ON pg_namespace.nspname = p_schema
        INNER JOIN pg_class
            ON
                pg_class.relnamespace = pg_namespace.oid
                AND pg_class.relname = source.table_name
                AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
    )

    SELECT
        coalesce(need.is_met, false) AS is_met,
        need.statement
    FROM need
    ORDER BY need.place;
$source_needs$;

COMMENT ON FUNCTION kpi_engine.source_needs(text, text[]) IS
'The rights of analytics_owner on a schema and tables of it: whether it has each, and the '
'statement that gives it. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.source_needs(text, text[]) FROM public;
