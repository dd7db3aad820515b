-- Removes the history of a view.

CREATE OR REPLACE FUNCTION kpi_engine.forget_history(p_view_name text, p_keeps_counts boolean)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $forget_history$
    DELETE FROM kpi_engine.publications
    WHERE
        publications.view_name = p_view_name
        AND (
            NOT p_keeps_counts
            OR publications.run_id < (
                SELECT max(newest.run_id)
                FROM kpi_engine.publications AS newest
                WHERE newest.view_name = p_view_name
            )
        );
    UPDATE kpi_engine.publications SET keeps_rows = false
    WHERE publications.view_name = p_view_name AND publications.keeps_rows;
    DELETE FROM kpi_engine.closings WHERE closings.view_name = p_view_name;
    DELETE FROM kpi_engine.published_rows WHERE published_rows.view_name = p_view_name;
    DELETE FROM kpi_engine.published_layouts WHERE published_layouts.view_name = p_view_name;
    DELETE FROM kpi_engine.published_hashes WHERE published_hashes.view_name = p_view_name;
$forget_history$;

COMMENT ON FUNCTION kpi_engine.forget_history(text, boolean) IS
'Removes what kpi_engine.publications, closings, published_rows, published_layouts and '
'published_hashes have of a view. p_keeps_counts: but the numbers of rows and of NULLs of the last '
'publish, which the gate compares. Restatements stay. Internal to kpi_engine.note_publication().';

REVOKE ALL ON FUNCTION kpi_engine.forget_history(text, boolean) FROM public;
