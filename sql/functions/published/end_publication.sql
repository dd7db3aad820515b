-- Notes that a view does not show its last publish any more.

CREATE OR REPLACE FUNCTION kpi_engine.end_publication(p_view_name text, p_was_shown boolean)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $end_publication$
    UPDATE kpi_engine.publications SET
        shown_until = CASE
            WHEN p_was_shown THEN greatest(publications.published_at, analytics.now())
            -- greatest() and least() skip NULL.
            ELSE greatest(publications.published_at, (
                SELECT least(view_state.last_success_at, analytics.now())
                FROM kpi_engine.view_state
                WHERE view_state.view_name = p_view_name AND view_state.last_success_at IS NOT NULL
            ))
        END
    WHERE
        publications.view_name = p_view_name
        AND publications.run_id = (
            SELECT max(latest.run_id)
            FROM kpi_engine.publications AS latest
            WHERE latest.view_name = p_view_name
        )
        AND publications.shown_until IS NULL;
$end_publication$;

COMMENT ON FUNCTION kpi_engine.end_publication(text, boolean) IS
'Notes in kpi_engine.publications that a view is gone or empty: since now if it was shown until '
'now (p_was_shown), else since its last successful refresh. Nothing if that is noted already, or '
'if it was never published. Internal to refreshes and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.end_publication(text, boolean) FROM public;
