-- The elements of a search_path.
--
-- Invariant: split as PostgreSQL does: each element as it is written, and the name that it means.
-- migrate runs this query from the file.

CREATE OR REPLACE FUNCTION kpi_engine.path_elements(p_path text)
RETURNS TABLE (place bigint, written text, schema_name text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $path_elements$
    SELECT
        element.place,
        part.written,
        CASE
            WHEN starts_with(part.written, '"')
                THEN replace(substr(part.written, 2, length(part.written) - 2), '""', '"')
            ELSE lower(part.written)
        END AS schema_name
    FROM regexp_matches(p_path, '(?:"(?:[^"]|"")*"|[^,"])+', 'g')
        WITH ORDINALITY AS element (parts, place)
    CROSS JOIN LATERAL (
        SELECT btrim(element.parts[1], E' \t\n\r') AS written
    ) AS part
    WHERE part.written <> '';
$path_elements$;

COMMENT ON FUNCTION kpi_engine.path_elements(text) IS
'The elements of a search_path in their order: as written, and the schema that each names. '
'Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.path_elements(text) FROM public;
