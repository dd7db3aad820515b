-- Tells whether the last publish of a view had a column.

CREATE OR REPLACE FUNCTION kpi_engine.had_column(p_view_name text, p_column text)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $had_column$
    SELECT coalesce(
        (
            SELECT p_column = ANY (layout.column_names)
            FROM kpi_engine.published_layouts AS layout
            WHERE layout.view_name = p_view_name
            ORDER BY layout.run_id DESC
            LIMIT 1
        ),
        true
    );
$had_column$;

COMMENT ON FUNCTION kpi_engine.had_column(text, text) IS
'Whether a view had this column at the last publish that is noted; true where it had none. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.had_column(text, text) FROM public;
