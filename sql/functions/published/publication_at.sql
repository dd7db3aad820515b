-- Finds the publish that a view showed at a moment.

CREATE OR REPLACE FUNCTION kpi_engine.publication_at(p_view_name text, p_at timestamptz)
RETURNS kpi_engine.publications
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $publication_at$
    SELECT publications.*
    FROM kpi_engine.publications
    WHERE
        publications.view_name = p_view_name
        AND publications.published_at <= p_at
        AND publications.keeps_rows
        -- Not after a restore without the rows of the history.
        AND (
            publications.rows_shown = 0
            OR EXISTS (
                SELECT FROM kpi_engine.published_rows
                WHERE published_rows.view_name = p_view_name
            )
        )
    ORDER BY publications.run_id DESC
    LIMIT 1;
$publication_at$;

COMMENT ON FUNCTION kpi_engine.publication_at(text, timestamptz) IS
'The publish that a view showed at an instant; all NULL where the history does not reach so far '
'back. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.publication_at(text, timestamptz) FROM public;
