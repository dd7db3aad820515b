-- Closes the history of a view that is about to be dropped, or that somebody dropped.
--
-- Invariant: each period whose time came while the view was there is closed by what it showed. One
-- whose time comes later is reported by the next publish, if the view comes back.

CREATE OR REPLACE FUNCTION kpi_engine.retire_view(p_view_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $retire_view$
DECLARE
    v_last kpi_engine.publications;
    v_view record;
    v_is_shown boolean;
BEGIN
    SELECT kpi.time_column, kpi.grain, pg_class.relispopulated INTO v_view
    FROM kpi_engine.kpi_views(p_view_name) AS kpi
    INNER JOIN pg_class ON pg_class.oid = kpi.relation;
    v_is_shown := coalesce(v_view.relispopulated, false);
    SELECT publications.* INTO v_last
    FROM kpi_engine.publications
    WHERE publications.view_name = p_view_name
    ORDER BY publications.run_id DESC
    LIMIT 1;
    -- An empty view reports nothing.
    IF v_is_shown
        AND v_view.time_column IS NOT NULL
        AND v_last.keeps_rows
        AND v_last.rows_shown > 0
        AND v_last.shown_until IS NULL THEN
        PERFORM kpi_engine.note_closings(
            p_view_name, v_last.run_id, v_view.time_column, v_view.grain, '-infinity', true);
    END IF;
    PERFORM kpi_engine.end_publication(p_view_name, v_is_shown);
    DELETE FROM kpi_engine.view_state WHERE view_state.view_name = p_view_name;
    DELETE FROM kpi_engine.gate_holds WHERE gate_holds.view_name = p_view_name;
END;
$retire_view$;

COMMENT ON FUNCTION kpi_engine.retire_view(text) IS
'Notes that a view is not shown any more, and forgets what is known of its state. Its history '
'stays. Internal to make migrate, which holds the refresh lock where the view is still there.';

REVOKE ALL ON FUNCTION kpi_engine.retire_view(text) FROM public;
