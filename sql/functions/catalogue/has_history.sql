-- Whether a KPI view has a history that a request can ask for.
--
-- Invariant: false if the setting publication_history keeps none, and after it kept none until the
-- next refresh of the view. Until then no period has a reported figure.

CREATE OR REPLACE FUNCTION kpi_engine.has_history(p_view_name text)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $has_history$
    SELECT
        kpi_engine.history_days(p_view_name) IS DISTINCT FROM 0
        AND coalesce(
            (
                SELECT newest.keeps_rows
                FROM kpi_engine.publications AS newest
                WHERE newest.view_name = p_view_name
                ORDER BY newest.run_id DESC
                LIMIT 1
            ),
            true
        );
$has_history$;

COMMENT ON FUNCTION kpi_engine.has_history(text) IS
'Whether the rows that a KPI view publishes are kept, by the setting publication_history and since '
'its last publish. Internal to the HTTP API and digests.';

REVOKE ALL ON FUNCTION kpi_engine.has_history(text) FROM public;
