-- The history keeps the values of a row, and the names of the columns once for all rows.

CREATE TABLE kpi_engine.published_layouts (
    view_name text NOT NULL,
    run_id bigint NOT NULL,
    column_names text[] NOT NULL,
    column_kinds text[] NOT NULL,
    PRIMARY KEY (view_name, run_id)
);
COMMENT ON TABLE kpi_engine.published_layouts IS
'The columns that the rows of a view have in the history (kpi_engine.published_rows), from a '
'publish on until the next layout of that view.';
COMMENT ON COLUMN kpi_engine.published_layouts.view_name IS
'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.published_layouts.run_id IS 'The first publish with these columns.';
COMMENT ON COLUMN kpi_engine.published_layouts.column_names IS
'Columns of the view in its order, without calculado_at.';
COMMENT ON COLUMN kpi_engine.published_layouts.column_kinds IS
'How each value is kept: number, boolean and text as text; json as JSON.';

ALTER TABLE kpi_engine.published_rows ADD COLUMN row_values text[];
COMMENT ON COLUMN kpi_engine.published_rows.row_values IS
'The row by column, as kpi_engine.published_layouts names them; NULL: the row was gone. '
'kpi_engine.reported_rows shows it as an object.';

-- What was kept until now, as JSON.
INSERT INTO kpi_engine.published_layouts (view_name, run_id, column_names, column_kinds)
SELECT
    layout.view_name,
    layout.run_id,
    layout.names,
    array_fill('json'::text, ARRAY[cardinality(layout.names)]) AS kinds
FROM (
    SELECT
        one.view_name,
        one.run_id,
        one.names,
        lag(one.names) OVER (PARTITION BY one.view_name ORDER BY one.run_id) AS names_before
    FROM (
        SELECT DISTINCT ON (published_rows.view_name, published_rows.run_id)
            published_rows.view_name,
            published_rows.run_id,
            (
                SELECT array_agg(cell.name ORDER BY cell.place)
                FROM
                    jsonb_each(published_rows.contents)
                    WITH ORDINALITY AS cell (name, value, place)
            ) AS names
        FROM kpi_engine.published_rows
        WHERE published_rows.contents IS NOT NULL
        ORDER BY published_rows.view_name, published_rows.run_id
    ) AS one
) AS layout
WHERE layout.names IS DISTINCT FROM layout.names_before;
UPDATE kpi_engine.published_rows SET
    row_values = (
        SELECT array_agg(nullif(cell.value, 'null')::text ORDER BY cell.place)
        FROM jsonb_each(published_rows.contents) WITH ORDINALITY AS cell (name, value, place)
    )
WHERE published_rows.contents IS NOT NULL;

ALTER TABLE kpi_engine.published_rows DROP COLUMN contents;

-- Each row counts as changed once more: its hash is made in another way.
ALTER TABLE kpi_engine.published_hashes RENAME TO published_hashes_before;
CREATE TABLE kpi_engine.published_hashes (
    view_name text NOT NULL,
    bucket integer NOT NULL,
    row_keys jsonb[] NOT NULL,
    row_hashes bigint[] NOT NULL,
    PRIMARY KEY (view_name, bucket)
)
-- Where all rows of a view change each day, the new versions find a place beside the old ones.
WITH (fillfactor = 45);
INSERT INTO kpi_engine.published_hashes (view_name, bucket, row_keys, row_hashes)
SELECT
    known.view_name,
    jsonb_hash(known.row_key) & 255 AS bucket,
    array_agg(known.row_key) AS row_keys,
    array_agg(0::bigint) AS row_hashes
FROM kpi_engine.published_hashes_before AS known
GROUP BY known.view_name, jsonb_hash(known.row_key) & 255;
DROP TABLE kpi_engine.published_hashes_before;
ALTER INDEX kpi_engine.published_hashes_pkey1 RENAME TO published_hashes_pkey;
COMMENT ON TABLE kpi_engine.published_hashes IS
'One hash for each row that the views show, to find the rows that a publish changed.';
COMMENT ON COLUMN kpi_engine.published_hashes.view_name IS 'Materialized view of schema analytics.';
COMMENT ON COLUMN kpi_engine.published_hashes.bucket IS
'0 to 255: where the rows of one hash of the key are kept together.';
COMMENT ON COLUMN kpi_engine.published_hashes.row_keys IS
'Keys of rows, as in kpi_engine.published_rows.';
COMMENT ON COLUMN kpi_engine.published_hashes.row_hashes IS
'For each of these the hash of its row_values and its layout.';
