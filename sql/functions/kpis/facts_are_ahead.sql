-- Tells whether the facts are newer than what a KPI view shows.
--
-- Invariant: no reader sees it during a refresh, which is one transaction. So the gate holds the
-- view back, or its last refresh failed. What is computed from the facts then may be what the gate
-- refused.

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
        WHERE listed.needed_version > coalesce(view_state.published_version, -1)
    );
$facts_are_ahead$;

COMMENT ON FUNCTION kpi_engine.facts_are_ahead(text) IS
'Whether facts changed that a KPI view reads, and it was not published since: the gate holds it, '
'or its refresh failed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.facts_are_ahead(text) FROM public;
