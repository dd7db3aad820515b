-- The rows of a view as a publish left them.
--
-- Invariant: of each key the last version up to that run. A key whose last version is gone has no
-- row.

CREATE OR REPLACE FUNCTION kpi_engine.rows_as_reported(p_view_name text, p_run_id bigint)
RETURNS SETOF jsonb
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rows_as_reported$
    SELECT CASE
        WHEN publication.calculated_at IS NULL THEN version.contents
        ELSE version.contents || jsonb_build_object('calculado_at', publication.calculated_at)
    END
    FROM (
        SELECT kept.contents
        FROM (
            SELECT published_rows.row_key, max(published_rows.run_id) AS run_id
            FROM kpi_engine.published_rows
            WHERE published_rows.view_name = p_view_name AND published_rows.run_id <= p_run_id
            GROUP BY published_rows.row_key
        ) AS newest
        INNER JOIN kpi_engine.reported_rows AS kept
            ON kept.view_name = p_view_name
            AND kept.row_key = newest.row_key
            AND kept.run_id = newest.run_id
        -- Only of these rows the contents are made.
        OFFSET 0
    ) AS version
    CROSS JOIN (
        SELECT publications.calculated_at
        FROM kpi_engine.publications
        WHERE publications.view_name = p_view_name AND publications.run_id = p_run_id
    ) AS publication
    WHERE version.contents IS NOT NULL;
$rows_as_reported$;

COMMENT ON FUNCTION kpi_engine.rows_as_reported(text, bigint) IS
'Rows, as objects, of a KPI view as the publish p_run_id left them. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.rows_as_reported(text, bigint) FROM public;
