-- The history of all KPI views, each row as an object.
--
-- Invariant: a row has the columns of the last layout up to its run. Without one it is an error,
-- never a row without contents.

CREATE OR REPLACE VIEW kpi_engine.reported_rows AS
SELECT
    kept.view_name,
    kept.row_key,
    kept.run_id,
    kept.period,
    CASE WHEN kept.row_values IS NOT NULL THEN (
        SELECT
            jsonb_object_agg(
                cell.name,
                CASE cell.kind
                    WHEN 'number' THEN to_jsonb(cell.value::numeric)
                    WHEN 'boolean' THEN to_jsonb(cell.value::boolean)
                    WHEN 'json' THEN cell.value::jsonb
                    ELSE to_jsonb(cell.value)
                END
            )
        FROM (
            SELECT max(published_layouts.run_id) AS run_id
            FROM kpi_engine.published_layouts
            WHERE
                published_layouts.view_name = kept.view_name
                AND published_layouts.run_id <= kept.run_id
        ) AS newest
        LEFT JOIN kpi_engine.published_layouts AS layout
            ON layout.view_name = kept.view_name AND layout.run_id = newest.run_id
        CROSS JOIN LATERAL unnest(
            layout.column_names, layout.column_kinds, kept.row_values
        ) AS cell (name, kind, value)
    ) END AS contents
FROM kpi_engine.published_rows AS kept;

COMMENT ON VIEW kpi_engine.reported_rows IS
'kpi_engine.published_rows with the contents of each row as an object.';
COMMENT ON COLUMN kpi_engine.reported_rows.view_name IS 'As in kpi_engine.published_rows.';
COMMENT ON COLUMN kpi_engine.reported_rows.row_key IS 'As in kpi_engine.published_rows.';
COMMENT ON COLUMN kpi_engine.reported_rows.run_id IS 'As in kpi_engine.published_rows.';
COMMENT ON COLUMN kpi_engine.reported_rows.period IS 'As in kpi_engine.published_rows.';
COMMENT ON COLUMN kpi_engine.reported_rows.contents IS
'The row by column, without calculado_at; NULL: the row was gone.';

REVOKE ALL ON kpi_engine.reported_rows FROM public;
