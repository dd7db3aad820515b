-- Reads what the COMMENT of a KPI view, or of one of its columns, declares.
--
-- Invariant: the one place that knows the form. A text of another form gives no row. The form is:
--
--   Solicitudes creadas / Requests created [conteo, up]
--   es: Solicitudes que los clientes crearon en el mes.
--   en: Requests created in the month.
--
-- Only a column has words in brackets, and only a column may do without the English name: readers
-- of English see the Spanish one then. The / may begin the next line, and descriptions may go on
-- there. kpi_engine.kpi_columns() says what the words in brackets mean.
-- Bound when created, so that the planner puts it into the queries that use it.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_comment(p_comment text)
RETURNS TABLE (
    name_es text, name_en text, words text[], description_es text, description_en text
)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
ROWS 1
SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        split_part(split_part(lines.heading, ' [', 1), ' / ', 1) AS name_es,
        nullif(split_part(split_part(lines.heading, ' [', 1), ' / ', 2), '') AS name_en,
        string_to_array(nullif(rtrim(split_part(lines.heading, ' [', 2), ']'), ''), ', ') AS words,
        replace(split_part(lines.descriptions, E'\nen: ', 1), E'\n', ' ') AS description_es,
        replace(split_part(lines.descriptions, E'\nen: ', 2), E'\n', ' ') AS description_en
    FROM (
        SELECT
            replace(split_part(p_comment, E'\nes: ', 1), E'\n/ ', ' / ') AS heading,
            split_part(p_comment, E'\nes: ', 2) AS descriptions
        -- Parts in parentheses would make it 30 times slower.
        WHERE p_comment ~ '^\S[^][\n]*(?:\n/ [^][\n]+)?(?: \[[A-Za-z0-9, _.]+\])?\nes: \S.*\nen: \S'
        -- Each part once.
        -- noqa: disable=AM09
        OFFSET 0
    ) AS lines;
END;

COMMENT ON FUNCTION kpi_engine.kpi_comment(text) IS
'Spanish and English name (NULL without one), words in brackets, Spanish and English description '
'of the COMMENT of a KPI view or of its column; no row for a text of another form.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_comment(text) FROM public;
