-- Lists what the rows of KPI views lack, at this moment or at one of the past, and since when.
--
-- Invariant: what the facts lack (kpi_engine.partial_figures), and what a view lacked at the last
-- refresh that it followed, if a later refresh counted it and left the view as it was: the gate
-- holds it, or its refresh failed. An origin, subscription or site that was added since, of
-- which nothing was counted before, is lacking in it, too. Usually there is none of it.

CREATE OR REPLACE FUNCTION kpi_engine.partial_views(p_view_name text, p_at timestamptz)
RETURNS TABLE (origen text, since timestamptz, is_site boolean)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $partial_views$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kpi_engine.partial_spans WHERE partial_spans.ended_by_refresh
    ) THEN
        RETURN QUERY SELECT * FROM kpi_engine.partial_figures(false, p_at);
        RETURN;
    END IF;
    RETURN QUERY
        WITH followed AS MATERIALIZED (
            SELECT
                CASE
                    -- NULL if a later refresh confirmed what it showed.
                    WHEN p_at < analytics.now() THEN (
                        SELECT CASE WHEN confirmed.at <= p_at THEN confirmed.at END
                        FROM kpi_engine.publication_at(view_state.view_name, p_at) AS publication
                        CROSS JOIN LATERAL (
                            SELECT kpi_engine.last_confirmed(publication) AS at
                        ) AS confirmed
                    )
                    ELSE view_state.last_success_at
                END AS at
            FROM kpi_engine.view_state
            INNER JOIN pg_class
                ON pg_class.relname = view_state.view_name
                AND pg_class.relnamespace = 'analytics'::regnamespace
                AND pg_class.relispopulated
            WHERE p_view_name IS NULL OR view_state.view_name = p_view_name
        )

        SELECT
            lacking.origen,
            -- min() skips NULL, and nobody knows until when these are counted.
            CASE WHEN count(*) = count(lacking.since) THEN min(lacking.since) END,
            lacking.is_site
        FROM (
            SELECT figures.* FROM kpi_engine.partial_figures(false, p_at) AS figures
            UNION ALL
            SELECT spans.origen, spans.since, spans.is_site
            FROM kpi_engine.partial_spans AS spans
            WHERE
                spans.ended_by_refresh
                AND EXISTS (
                    SELECT FROM followed
                    WHERE
                        spans.ended_at > followed.at
                        AND (
                            spans.noted_at <= followed.at
                            OR spans.since IS NULL
                            AND coalesce(spans.noted_at <= p_at, true)
                        )
                )
        ) AS lacking
        GROUP BY lacking.origen, lacking.is_site;
END;
$partial_views$;

COMMENT ON FUNCTION kpi_engine.partial_views(text, timestamptz) IS
'The origins, subscriptions and sites of which the rows of a KPI view (NULL: of any) lack rows, '
'each with the instant until when its changes are counted (NULL: not known). p_at: the rows of '
'that moment; NULL: of now. No row: they are whole. Internal to the header X-Partial and to '
'digests.';

REVOKE ALL ON FUNCTION kpi_engine.partial_views(text, timestamptz) FROM public;
