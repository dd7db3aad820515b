-- Finds the publish that a view showed at a moment.
--
-- Invariant: none where the view was gone or empty then, so that nobody takes an earlier publish
-- for what was shown.

CREATE OR REPLACE FUNCTION kpi_engine.publication_at(p_view_name text, p_at timestamptz)
RETURNS kpi_engine.publications
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $publication_at$
    SELECT latest.*
    FROM (
        SELECT publications.*
        FROM kpi_engine.publications
        WHERE
            publications.view_name = p_view_name
            -- What was published last is shown now, whatever clock stamped it.
            AND (publications.published_at <= p_at OR p_at >= (SELECT analytics.now()))
            AND publications.keeps_rows
        -- By the stamp: a clock that was behind may have made a later one before.
        ORDER BY
            CASE WHEN p_at >= (SELECT analytics.now()) THEN publications.run_id END DESC,
            publications.published_at DESC,
            publications.run_id DESC
        LIMIT 1
    ) AS latest
    WHERE
        (
            latest.shown_until IS NULL
            OR latest.shown_until > p_at AND p_at < (SELECT analytics.now())
        )
        -- Not after a restore without the rows of the history.
        AND (
            latest.rows_shown = 0
            OR EXISTS (
                SELECT FROM kpi_engine.published_rows
                WHERE published_rows.view_name = p_view_name
            )
        );
$publication_at$;

COMMENT ON FUNCTION kpi_engine.publication_at(text, timestamptz) IS
'The publish that a view showed at an instant; all NULL where the history does not reach so far '
'back, or the view was gone. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.publication_at(text, timestamptz) FROM public;
