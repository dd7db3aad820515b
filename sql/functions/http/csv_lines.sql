-- An array of rows as CSV (RFC 4180).
--
-- Invariant: a spreadsheet runs no cell: each text goes through kpi_engine.csv_text(). NULL is an
-- empty cell, an empty text is "". The header has the keys of the first row, or p_columns where
-- there is no row.

CREATE OR REPLACE FUNCTION kpi_engine.csv_lines(p_rows json, p_columns json)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $csv_lines$
    WITH cells AS (
        SELECT 0 AS line, name.number AS place, to_json(name.text) AS content
        FROM json_array_elements_text(
            coalesce(
                (
                    SELECT json_agg(first_row.name ORDER BY first_row.number)
                    FROM json_object_keys(p_rows -> 0) WITH ORDINALITY AS first_row (name, number)
                ),
                p_columns
            )
        ) WITH ORDINALITY AS name (text, number)
        UNION ALL
        SELECT row.number, cell.number, cell.content
        FROM json_array_elements(p_rows) WITH ORDINALITY AS row (members, number)
        CROSS JOIN json_each(row.members) WITH ORDINALITY AS cell (name, content, number)
    ),

    texts AS (
        SELECT
            cells.line,
            cells.place,
            CASE json_typeof(cells.content)
                WHEN 'string' THEN kpi_engine.csv_text(cells.content #>> '{}')
                WHEN 'null' THEN NULL
                ELSE cells.content::text
            END AS text
        FROM cells
    )

    SELECT coalesce(string_agg(line.text, '' ORDER BY line.line), '')
    FROM (
        SELECT
            texts.line,
            string_agg(
                CASE
                    WHEN texts.text IS NULL THEN ''
                    WHEN texts.text ~ '^$|[",\r\n]'
                        THEN '"' || replace(texts.text, '"', '""') || '"'
                    ELSE texts.text
                END,
                ',' ORDER BY texts.place
            ) || E'\r\n' AS text
        FROM texts
        GROUP BY texts.line
    ) AS line;
$csv_lines$;

COMMENT ON FUNCTION kpi_engine.csv_lines(json, json) IS
'CSV of p_rows, an array of objects with the same keys, with a header. p_columns is the header '
'where there is no row.';

REVOKE ALL ON FUNCTION kpi_engine.csv_lines(json, json) FROM public;
