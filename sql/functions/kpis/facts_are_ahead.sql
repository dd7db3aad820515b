-- Tells whether the facts or the rules are newer than what a KPI view shows.
--
-- Invariant: no reader sees it during a refresh, which is one transaction. So the gate holds the
-- view back, its last refresh failed, or an upgrade changed its rules. What is computed from the
-- facts then may be what the gate refused, or does not fit the rows of the view.

CREATE OR REPLACE FUNCTION kpi_engine.facts_are_ahead(p_view_name text)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $facts_are_ahead$
    SELECT EXISTS (
        SELECT
        FROM kpi_engine.materialized_views(p_view_name) AS listed
        INNER JOIN kpi_engine.view_state ON view_state.view_name = listed.view_name
        WHERE
            view_state.is_void
            OR listed.needed_version > coalesce(view_state.published_version, -1)
    );
$facts_are_ahead$;

COMMENT ON FUNCTION kpi_engine.facts_are_ahead(text) IS
'Whether facts that a KPI view reads or rules that it follows changed, and it was not published '
'since: the gate holds it, its refresh failed, or an upgrade waits for the next one. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.facts_are_ahead(text) FROM public;
