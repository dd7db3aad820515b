-- Brings publishes of a view into the order of time, if a clock was wrong when they were made.
--
-- Invariant: it touches nothing before it is known which clock was wrong. A publish that is stamped
-- before an earlier one was made by a clock that was behind, and counts from now on. A stamp in the
-- future says only that the clock was ahead then or is behind now. If a later publish, a day ago,
-- was before that stamp, too, the clock was ahead. Nobody knows when that publish was shown: it
-- counts from the next one on, and what it closed, restated and judged in the future is void.
-- Until then readers leave out what lies in the future.

CREATE OR REPLACE FUNCTION kpi_engine.heal_publications(p_view_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $heal_publications$
DECLARE
    v_now constant timestamptz := analytics.now();
    v_latest kpi_engine.publications;
BEGIN
    -- Usually the last publish has the last stamp.
    IF (
        SELECT max(stamped.published_at) FROM kpi_engine.publications AS stamped
        WHERE stamped.view_name = p_view_name
    ) <= least(v_now, (
        SELECT newest.published_at FROM kpi_engine.publications AS newest
        WHERE newest.view_name = p_view_name
        ORDER BY newest.run_id DESC
        LIMIT 1
    )) THEN
        RETURN;
    END IF;
    SELECT publications.* INTO v_latest
    FROM kpi_engine.publications
    WHERE publications.view_name = p_view_name AND publications.published_at <= v_now
    ORDER BY publications.published_at DESC, publications.run_id DESC
    LIMIT 1;
    UPDATE kpi_engine.publications AS behind SET published_at = v_now
    WHERE
        behind.view_name = p_view_name
        AND behind.run_id > v_latest.run_id
        AND behind.published_at < v_latest.published_at;
    UPDATE kpi_engine.publications AS ahead SET published_at = witness.published_at
    FROM (
        SELECT past.run_id, past.published_at
        FROM kpi_engine.publications AS past
        WHERE
            past.view_name = p_view_name
            AND past.published_at <= v_now - interval '1 day'
        ORDER BY past.run_id DESC
        LIMIT 1
    ) AS witness
    WHERE
        ahead.view_name = p_view_name
        AND ahead.run_id < witness.run_id
        AND ahead.published_at > v_now;
    IF FOUND THEN
        DELETE FROM kpi_engine.closings
        WHERE closings.view_name = p_view_name AND NOT kpi_engine.closing_counts(closings, v_now);
        DELETE FROM kpi_engine.restatements
        WHERE restatements.view_name = p_view_name AND restatements.since > v_now;
        DELETE FROM kpi_engine.target_results
        WHERE target_results.view_name = p_view_name AND target_results.noted_at > v_now;
    END IF;
END;
$heal_publications$;

COMMENT ON FUNCTION kpi_engine.heal_publications(text) IS
'Puts right the stamps of publishes of a view that a wrong clock made, as soon as it is known '
'which clock was wrong. Internal to kpi_engine.note_publication().';

REVOKE ALL ON FUNCTION kpi_engine.heal_publications(text) FROM public;
