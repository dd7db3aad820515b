-- Writes the query for a definition over the changed rows of what it reads, before and after.
--
-- Invariant: sign 1 are the rows as they are now, for windows that end today. Sign -1 are the rows
-- as they were, for windows that ended with the day $2. The definition is there once: to plan it
-- takes longer than to run it over a few rows.

CREATE OR REPLACE FUNCTION kpi_engine.changed_sides(p_table kpi_engine.derived_tables)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changed_sides$
    SELECT format(
        'SELECT side.sign, defined.*
         FROM (VALUES (1), (-1)) AS side (sign)
         CROSS JOIN LATERAL (%s) AS defined',
        kpi_engine.query_over(
            kpi_engine.definition_of(p_table.table_name),
            jsonb_object_agg(replacement.name, replacement.query)
        )
    )
    FROM (
        SELECT
            listed.name,
            format('SELECT * FROM %I WHERE sign = side.sign', 'changed_' || listed.name) AS query
        FROM unnest(p_table.reads) AS listed (name)
        UNION ALL
        SELECT
            'window_end',
            'SELECT CASE side.sign WHEN 1 THEN today ELSE $2 END AS today '
            'FROM kpi_engine.window_end'
        WHERE p_table.window_days IS NOT NULL
    ) AS replacement;
$changed_sides$;

COMMENT ON FUNCTION kpi_engine.changed_sides(kpi_engine.derived_tables) IS
'Query for the rows of a derived table that its definition gives over the changed rows alone: '
'those that come (sign 1) and those that go (sign -1). Internal to the derived tables.';

REVOKE ALL ON FUNCTION kpi_engine.changed_sides(kpi_engine.derived_tables) FROM public;
