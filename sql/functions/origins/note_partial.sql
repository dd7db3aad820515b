-- Notes what the figures lack rows of from now on, for answers about the past.
--
-- Invariant: a span is open for each row of kpi_engine.partial_figures(), and for nothing else. A
-- refresh begins another span where the figures have more or less than before; a tick does not.
-- What a refresh ends may still be missing in a view that it leaves as it was. What a tick ends was
-- in the last refresh, which nobody knew then: it ended with that refresh.

CREATE OR REPLACE FUNCTION kpi_engine.note_partial(p_is_refresh boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_partial$
DECLARE
    v_lacking text[];
    v_sinces timestamptz[];
    v_are_sites boolean[];
    v_last_refresh timestamptz;
BEGIN
    IF NOT p_is_refresh THEN
        v_last_refresh := (SELECT engine_state.facts_as_of FROM kpi_engine.engine_state);
    END IF;
    SELECT
        coalesce(array_agg(partial.origen), '{}'),
        array_agg(partial.since),
        array_agg(partial.is_site)
    INTO v_lacking, v_sinces, v_are_sites
    FROM kpi_engine.partial_figures(false) AS partial;
    -- By a clock that was ahead.
    UPDATE kpi_engine.partial_spans SET noted_at = analytics.now()
    WHERE partial_spans.ended_at IS NULL AND partial_spans.noted_at > (SELECT analytics.now());
    UPDATE kpi_engine.partial_spans SET
        ended_at = CASE
            WHEN NOT partial_spans.is_site AND partial_spans.noted_at <= v_last_refresh
                THEN v_last_refresh
            ELSE greatest(partial_spans.noted_at, analytics.now())
        END,
        ended_by_refresh = p_is_refresh
            OR coalesce(NOT partial_spans.is_site AND partial_spans.noted_at <= v_last_refresh, false)
    WHERE
        partial_spans.ended_at IS NULL
        AND NOT EXISTS (
            SELECT FROM unnest(v_lacking, v_sinces, v_are_sites) AS lacking (origen, since, is_site)
            WHERE
                (lacking.origen, lacking.is_site) = (partial_spans.origen, partial_spans.is_site)
                AND (NOT p_is_refresh OR lacking.since IS NOT DISTINCT FROM partial_spans.since)
        );
    -- Usually it lacks nothing.
    IF v_lacking <> '{}' THEN
        INSERT INTO kpi_engine.partial_spans (origen, is_site, since, noted_at)
        SELECT lacking.origen, lacking.is_site, lacking.since, analytics.now()
        FROM unnest(v_lacking, v_sinces, v_are_sites) AS lacking (origen, since, is_site)
        ON CONFLICT (origen, is_site) WHERE ended_at IS NULL DO NOTHING;
    END IF;
END;
$note_partial$;

COMMENT ON FUNCTION kpi_engine.note_partial(boolean) IS
'Brings kpi_engine.partial_spans up to date; p_is_refresh: the figures are new. Internal to the '
'tick and the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.note_partial(boolean) FROM public;
