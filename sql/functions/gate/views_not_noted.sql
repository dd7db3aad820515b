-- Lists the materialized views that another than their last publish filled.
--
-- Invariant: kpi_engine.view_state has the view that the last publish filled, by its number. A
-- restore fills another one, and so does make migrate from a changed file.

CREATE OR REPLACE FUNCTION kpi_engine.views_not_noted()
RETURNS TABLE (view_name text, relation regclass, is_behind boolean)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $views_not_noted$
BEGIN
    -- Usually all are those that were published.
    IF EXISTS (
        SELECT FROM kpi_engine.view_state
        WHERE
            view_state.noted_relation
            IS DISTINCT FROM to_regclass(format('analytics.%I', view_state.view_name))::oid
    ) THEN
        RETURN QUERY
            SELECT
                listed.view_name,
                listed.relation,
                listed.needed_version > coalesce(view_state.published_version, -1)
            FROM kpi_engine.materialized_views() AS listed
            INNER JOIN kpi_engine.view_state ON view_state.view_name = listed.view_name
            WHERE
                listed.is_populated
                AND view_state.last_success_at IS NOT NULL
                AND view_state.noted_relation IS DISTINCT FROM listed.relation::oid;
    END IF;
END;
$views_not_noted$;

COMMENT ON FUNCTION kpi_engine.views_not_noted() IS
'Filled materialized views that are others than at their last publish, and whether that publish '
'lacks changes that the facts have (is_behind). Internal to kpi_engine.empty_refilled_views() and '
'note_new_views().';

REVOKE ALL ON FUNCTION kpi_engine.views_not_noted() FROM public;
