-- Finds the publish whose figures are the reported ones of a period that closed at an instant.

CREATE OR REPLACE FUNCTION kpi_engine.closing_publication(p_view_name text, p_closed_at timestamptz)
RETURNS TABLE (run_id bigint, published_at timestamptz)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $closing_publication$
    (
        SELECT last_one.run_id, last_one.published_at
        FROM kpi_engine.publications AS last_one
        WHERE
            last_one.view_name = p_view_name
            AND last_one.published_at <= p_closed_at
            AND last_one.keeps_rows
        ORDER BY last_one.run_id DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT first_one.run_id, first_one.published_at
        FROM kpi_engine.publications AS first_one
        WHERE first_one.view_name = p_view_name AND first_one.keeps_rows
        ORDER BY first_one.run_id
        LIMIT 1
    )
    LIMIT 1;
$closing_publication$;

COMMENT ON FUNCTION kpi_engine.closing_publication(text, timestamptz) IS
'The last publish of a view up to an instant, or the first one of all if that is later. No row '
'where the view was never published. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.closing_publication(text, timestamptz) FROM public;
