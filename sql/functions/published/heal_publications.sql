-- Brings back to now what a wrong clock published in the future.
--
-- Invariant: afterwards no publish lies in the future, and no period is closed whose time has not
-- come.

CREATE OR REPLACE FUNCTION kpi_engine.heal_publications()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $heal_publications$
BEGIN
    -- Once for the statement, not for each row.
    UPDATE kpi_engine.publications SET
        published_at = least(publications.published_at, analytics.now()),
        shown_until = CASE
            WHEN publications.shown_until IS NOT NULL
                THEN least(publications.shown_until, analytics.now())
        END
    WHERE
        publications.published_at > (SELECT analytics.now())
        OR publications.shown_until > (SELECT analytics.now());
    UPDATE kpi_engine.partial_spans SET
        noted_at = least(partial_spans.noted_at, analytics.now()),
        ended_at = CASE
            WHEN partial_spans.ended_at IS NOT NULL
                THEN least(partial_spans.ended_at, analytics.now())
        END
    WHERE
        partial_spans.noted_at > (SELECT analytics.now())
        OR partial_spans.ended_at > (SELECT analytics.now());
    DELETE FROM kpi_engine.closings WHERE closings.closed_at > (SELECT analytics.now());
END;
$heal_publications$;

COMMENT ON FUNCTION kpi_engine.heal_publications() IS
'Moves publishes that lie in the future to now, and opens periods again that were closed too '
'early. Internal: the tick, a refresh and migrate call it once, before they note anything.';

REVOKE ALL ON FUNCTION kpi_engine.heal_publications() FROM public;
