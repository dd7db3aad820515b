-- Lists what the figures lack rows of, at this moment or at one of the past, and since when.
--
-- Invariant: a row for each of several origins that is behind, or was at the last refresh; for the
-- subscriptions of one origin that was behind then; and for each site of a hub that gave nothing,
-- or is behind itself. Of figures of this moment, only what is behind now. Usually there is none of
-- them. A view that was not published since may lack more (kpi_engine.partial_views).

CREATE OR REPLACE FUNCTION kpi_engine.partial_figures(
    p_is_live boolean, p_at timestamptz DEFAULT NULL
)
RETURNS TABLE (origen text, since timestamptz, is_site boolean)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $partial_figures$
BEGIN
    IF p_at < analytics.now() THEN
        RETURN QUERY
            SELECT spans.origen, spans.since, spans.is_site
            FROM kpi_engine.partial_spans AS spans
            WHERE spans.noted_at <= p_at AND coalesce(spans.ended_at > p_at, true);
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM kpi_engine.origin_marks) THEN
        RETURN QUERY
            SELECT
                origins.origen,
                CASE WHEN origins.is_behind THEN origins.as_of ELSE origins.counted_as_of END,
                false
            FROM analytics.origins() AS origins
            WHERE CASE WHEN p_is_live THEN origins.is_behind ELSE origins.is_partial END;
    ELSIF p_is_live AND EXISTS (SELECT FROM kpi_engine.followed_tables)
        OR EXISTS (SELECT FROM kpi_engine.engine_state WHERE engine_state.facts_behind IS NOT NULL)
    THEN
        RETURN QUERY
            SELECT
                behind.subscription,
                coalesce(
                    CASE WHEN p_is_live THEN behind.as_of END,
                    engine_state.facts_counted_as_of
                ),
                false
            FROM kpi_engine.engine_state
            CROSS JOIN analytics.replication() AS behind
            WHERE CASE
                WHEN p_is_live
                    -- A worker ends with a standby's recovery.
                    THEN NOT pg_is_in_recovery()
                        AND EXISTS (SELECT FROM kpi_engine.replica_problem())
                ELSE engine_state.facts_behind IS NOT NULL
            END;
    END IF;
    RETURN QUERY
        SELECT sites.site, sites.counted_until, true
        FROM kpi_engine.counted_sites() AS sites
        WHERE sites.is_partial;
END;
$partial_figures$;

COMMENT ON FUNCTION kpi_engine.partial_figures(boolean, timestamptz) IS
'The origins, subscriptions and sites of which the figures lack rows, each with the instant until '
'when its changes are counted (NULL: not known). p_is_live: figures of this moment, not those of '
'the last refresh. p_at: figures of that moment, as ticks and refreshes noted it. No row: the '
'figures are whole. Internal to kpi_engine.partial_views(), kpi_engine.note_partial() and live '
'figures.';

REVOKE ALL ON FUNCTION kpi_engine.partial_figures(boolean, timestamptz) FROM public;
