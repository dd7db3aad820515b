-- Finds the publish whose figures are the reported ones of a period that closed at an instant.

CREATE OR REPLACE FUNCTION kpi_engine.closing_publication(p_view_name text, p_closed_at timestamptz)
RETURNS TABLE (run_id bigint, published_at timestamptz)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $closing_publication$
    SELECT chosen.run_id, chosen.published_at
    FROM (
        (
            SELECT before.run_id, before.published_at, before.shown_until
            FROM kpi_engine.publications AS before
            WHERE
                before.view_name = p_view_name
                AND before.published_at <= p_closed_at
                AND before.keeps_rows
            ORDER BY before.published_at DESC, before.run_id DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT after.run_id, after.published_at, NULL
            FROM kpi_engine.publications AS after
            WHERE
                after.view_name = p_view_name
                AND after.published_at > p_closed_at
                -- Not of a clock that was ahead.
                AND after.published_at <= analytics.now()
                AND after.keeps_rows
            ORDER BY after.run_id
            LIMIT 1
        )
    ) AS chosen
    WHERE coalesce(chosen.shown_until > p_closed_at, true)
    LIMIT 1;
$closing_publication$;

COMMENT ON FUNCTION kpi_engine.closing_publication(text, timestamptz) IS
'The publish that a view showed at an instant, or the next one if it showed none then. No row '
'if there is none. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.closing_publication(text, timestamptz) FROM public;
