-- Closes the periods of a view whose time has come, before a publish is noted.
--
-- Invariant: a period is closed once, by the last publish until then. A later change of a setting
-- does not open it again, and closes none before the last publish: what that showed was the figure
-- of an open period, and no change of it would be in the restatements. All periods from the view's
-- first one on are closed in order, also those without a row.
-- A publish reports no period whose end it has not seen, or whose last rows it lacks: it shows a
-- part, or nothing. After an outage, or after the gate held the view, or while a publisher, an
-- origin or a site is behind, the first publish that has all of it is the reported one. So is it
-- where the view was empty until now: the first load is what was reported. If the time of the view
-- has another name, all its periods are reported anew. A publish of another time zone has seen an
-- end if the period was over in that zone, too.
-- A period before the first one that the view ever showed was closed when its time came, not by
-- this publish: nobody missed a target in it.

CREATE OR REPLACE FUNCTION kpi_engine.note_closings(
    p_view_name text,
    p_run_id bigint,
    p_time_column text,
    p_grain text,
    p_counted_until timestamptz,
    p_had_time boolean
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_closings$
DECLARE
    v_last constant date := kpi_engine.last_closed_period(p_grain);
    v_now constant timestamptz := analytics.now();
    v_from date;
    -- While this was shown, none of the periods that close now was closed.
    v_last_publish timestamptz;
    -- NULL before versions that noted it.
    v_last_zone text;
    -- Until when the last publish has all rows: it was right at the last successful refresh.
    v_last_counted constant timestamptz := (
        -- least() skips NULL: without a refresh nothing is known.
        SELECT CASE
            WHEN view_state.last_success_at IS NOT NULL
                THEN least(view_state.last_success_at, view_state.counted_until, v_now)
        END
        FROM kpi_engine.view_state
        WHERE view_state.view_name = p_view_name
    );
    v_today constant date := analytics.today();
    v_days constant integer := analytics.setting('closing_days')::integer;
    v_zone constant text := analytics.setting('time_zone');
    -- The first period that the view showed until now; NULL: none.
    v_first_shown date := '-infinity';
BEGIN
    SELECT publications.published_at, publications.time_zone INTO v_last_publish, v_last_zone
    FROM kpi_engine.publications
    WHERE
        publications.view_name = p_view_name
        AND publications.keeps_rows
        -- Not by a clock that was ahead.
        AND publications.published_at <= v_now
    ORDER BY publications.run_id DESC
    LIMIT 1;
    IF NOT p_had_time THEN
        -- Such as weeks instead of months: nothing of before can be the figure of a period of now.
        DELETE FROM kpi_engine.closings WHERE closings.view_name = p_view_name;
    END IF;
    SELECT (max(closings.period) + ('1 ' || p_grain)::interval)::date INTO v_from
    FROM kpi_engine.closings
    WHERE closings.view_name = p_view_name AND kpi_engine.closing_counts(closings, v_now);
    IF v_from IS NULL THEN
        EXECUTE format(
            'SELECT min(kpi.%1$I) FROM analytics.%2$I AS kpi TABLESAMPLE SYSTEM (100) '
            'WHERE kpi.%1$I > %3$L',
            p_time_column, p_view_name, '-infinity'
        ) INTO v_from;
        v_first_shown := (
            SELECT min(published_rows.period)
            FROM kpi_engine.published_rows
            WHERE published_rows.view_name = p_view_name AND p_had_time
        );
    END IF;
    INSERT INTO kpi_engine.closings AS known (
        view_name, period, run_id, closed_at, reported_at, noted_at
    )
    SELECT
        p_view_name,
        closing.period,
        coalesce(reported.run_id, p_run_id),
        greatest(
            closing.closed_at, CASE WHEN closing.period >= v_first_shown THEN v_last_publish END
        ),
        coalesce(reported.published_at, v_now),
        v_now
    FROM (
        SELECT
            listed.period,
            kpi_engine.closes_at(listed.period, p_grain, v_today, v_days, v_zone) AS closed_at,
            kpi_engine.closes_at(listed.period, p_grain, v_today, 0, v_zone) AS ends_at,
            kpi_engine.closes_at(listed.period, p_grain, v_today, 0, v_zone) <= v_last_counted
            AND (
                coalesce(v_last_zone, v_zone) = v_zone
                OR kpi_engine.closes_at(listed.period, p_grain, v_today, 0, v_last_zone)
                <= v_last_counted
            ) AS was_seen
        FROM (
            SELECT series.instant::date AS period
            FROM generate_series(
                v_from::timestamp, v_last::timestamp, ('1 ' || p_grain)::interval
            ) AS series (instant)
        ) AS listed
    ) AS closing
    LEFT JOIN LATERAL kpi_engine.closing_publication(
        p_view_name, greatest(closing.closed_at, v_last_publish)
    ) AS reported ON closing.was_seen AND v_first_shown IS NOT NULL
    WHERE
        closing.closed_at <= v_now
        AND (closing.was_seen OR closing.ends_at <= p_counted_until)
    ON CONFLICT (view_name, period) DO UPDATE SET
        run_id = excluded.run_id,
        closed_at = excluded.closed_at,
        reported_at = excluded.reported_at,
        noted_at = excluded.noted_at
    WHERE NOT kpi_engine.closing_counts(known, v_now);
END;
$note_closings$;

COMMENT ON FUNCTION kpi_engine.note_closings(
    text, bigint, text, text, timestamptz, boolean
) IS
'Writes kpi_engine.closings for the periods of a view that closed since the last publish. '
'p_run_id: the publish that comes now; it is the reported one of periods that no earlier one has '
'whole. p_time_column and p_grain (day, week, month): the time of the view. p_counted_until: the '
'publish that comes now has all rows until then; a later period stays open. p_had_time: whether '
'the last publish had p_time_column. '
'Internal to kpi_engine.note_publication() and retire_view().';

REVOKE ALL ON FUNCTION kpi_engine.note_closings(
    text, bigint, text, text, timestamptz, boolean
) FROM public;
