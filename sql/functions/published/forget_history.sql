-- Removes the whole history of a view.

CREATE OR REPLACE FUNCTION kpi_engine.forget_history(p_view_name text)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $forget_history$
    DELETE FROM kpi_engine.publications WHERE publications.view_name = p_view_name;
    DELETE FROM kpi_engine.closings WHERE closings.view_name = p_view_name;
    DELETE FROM kpi_engine.published_rows WHERE published_rows.view_name = p_view_name;
    DELETE FROM kpi_engine.published_layouts WHERE published_layouts.view_name = p_view_name;
    DELETE FROM kpi_engine.published_hashes WHERE published_hashes.view_name = p_view_name;
$forget_history$;

COMMENT ON FUNCTION kpi_engine.forget_history(text) IS
'Removes what kpi_engine.publications, closings, published_rows, published_layouts and '
'published_hashes have of a view. Restatements stay. Internal to kpi_engine.note_publication().';

REVOKE ALL ON FUNCTION kpi_engine.forget_history(text) FROM public;
