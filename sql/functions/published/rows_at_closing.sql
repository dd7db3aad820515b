-- The rows of a view with the figures that were reported: closed periods as they were at closing.
--
-- Invariant: a row that a closed period got later is not there, and one that it lost later is.
-- Other periods are as the view shows them now.

CREATE OR REPLACE FUNCTION kpi_engine.rows_at_closing(p_view_name text)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rows_at_closing$
DECLARE
    v_view record;
BEGIN
    SELECT * INTO v_view FROM kpi_engine.kpi_views(p_view_name);
    RETURN QUERY
        SELECT closed.contents || jsonb_strip_nulls(jsonb_build_object('calculado_at', (
            SELECT publications.calculated_at
            FROM kpi_engine.publications
            WHERE
                publications.view_name = p_view_name
                AND publications.run_id = closed.closing_run
        )))
        FROM (
            SELECT version.contents, newest.closing_run
            FROM (
                SELECT
                    published_rows.row_key,
                    published_rows.period,
                    closings.run_id AS closing_run,
                    max(published_rows.run_id) AS run_id
                FROM kpi_engine.published_rows
                INNER JOIN kpi_engine.closings
                    ON closings.view_name = p_view_name
                    AND closings.period = published_rows.period
                    AND closings.run_id >= published_rows.run_id
                    AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
                WHERE published_rows.view_name = p_view_name
                GROUP BY published_rows.row_key, published_rows.period, closings.run_id
            ) AS newest
            INNER JOIN kpi_engine.reported_rows AS version
                ON version.view_name = p_view_name
                AND version.period = newest.period
                AND version.row_key = newest.row_key
                AND version.run_id = newest.run_id
            -- Only of these rows the contents are made.
            OFFSET 0
        ) AS closed
        WHERE closed.contents IS NOT NULL;
    RETURN QUERY EXECUTE format(
        'SELECT to_jsonb(kpi) FROM analytics.%1$I AS kpi
         WHERE NOT EXISTS (
             SELECT FROM kpi_engine.closings
             WHERE closings.view_name = $1 AND closings.period = kpi.%2$I
             AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
         )',
        p_view_name, v_view.time_column
    ) USING p_view_name;
END;
$rows_at_closing$;

COMMENT ON FUNCTION kpi_engine.rows_at_closing(text) IS
'Rows, as objects, of a KPI view with a time: closed periods as reported at closing, others as the '
'view shows them. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.rows_at_closing(text) FROM public;
