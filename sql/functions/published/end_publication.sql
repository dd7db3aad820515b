-- Notes that a view does not show its last publish any more.

CREATE OR REPLACE FUNCTION kpi_engine.end_publication(p_view_name text, p_since timestamptz)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $end_publication$
    UPDATE kpi_engine.publications SET
        shown_until = greatest(publications.published_at, least(p_since, analytics.now()))
    WHERE
        publications.view_name = p_view_name
        AND publications.run_id = (
            SELECT max(latest.run_id)
            FROM kpi_engine.publications AS latest
            WHERE latest.view_name = p_view_name
        )
        AND publications.shown_until IS NULL;
$end_publication$;

COMMENT ON FUNCTION kpi_engine.end_publication(text, timestamptz) IS
'Notes in kpi_engine.publications that a view has been gone or empty since p_since. Nothing if '
'that is noted already, or if it was never published. Internal to refreshes and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.end_publication(text, timestamptz) FROM public;
