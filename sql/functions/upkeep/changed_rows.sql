-- Writes the replacements that make a definition read only changed rows.
--
-- Invariant: sign 1 are the rows as they are now, for windows that end today. Sign -1 are the rows
-- as they were, for windows that ended with the day $2. Without a sign there are both, for
-- definitions without windows.

CREATE OR REPLACE FUNCTION kpi_engine.changed_rows(p_reads text[], p_sign integer)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $changed_rows$
    SELECT jsonb_object_agg(replacement.name, replacement.query)
    FROM (
        SELECT
            listed.name,
            format('SELECT * FROM %I', 'changed_' || listed.name)
            || coalesce(' WHERE sign = ' || p_sign, '') AS query
        FROM unnest(p_reads) AS listed (name)
        UNION ALL
        SELECT 'window_end', 'SELECT $2 AS today'
        WHERE p_sign = -1
    ) AS replacement;
$changed_rows$;

COMMENT ON FUNCTION kpi_engine.changed_rows(text[], integer) IS
'For kpi_engine.query_over(): the rows of these derived tables that come (p_sign 1), go (-1), or '
'both (NULL). '
'Internal to the derived tables.';

REVOKE ALL ON FUNCTION kpi_engine.changed_rows(text[], integer) FROM public;
