-- Notes each figure of a closed period that a publish changed.
--
-- Invariant: one row for each number that is another one than at the publish before. It says what
-- was reported at closing, whatever came in between. A column that one of the two versions does not
-- have, or has as another type than a number, is no change.

CREATE OR REPLACE FUNCTION kpi_engine.note_restatements(
    p_view_name text,
    p_run_id bigint,
    p_requests bigint,
    p_key text[],
    p_grain text,
    p_first_period date,
    p_counted_until timestamptz
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_restatements$
DECLARE
    v_now constant timestamptz := analytics.now();
    v_first_run bigint;
    -- A period stays closed when the setting closing_days grows.
    v_last_closed constant date := greatest(
        kpi_engine.last_closed_period(p_grain),
        (
            SELECT max(closings.period) FROM kpi_engine.closings
            WHERE closings.view_name = p_view_name AND kpi_engine.closing_counts(closings, v_now)
        )
    );
    v_numbers text[];
BEGIN
    SELECT min(publications.run_id) INTO v_first_run
    FROM kpi_engine.publications
    WHERE publications.view_name = p_view_name;
    IF v_first_run = p_run_id OR coalesce(p_first_period > v_last_closed, true) THEN
        RETURN;
    END IF;
    v_numbers := ARRAY(
        SELECT kpi.column_name
        FROM kpi_engine.kpi_columns(format('analytics.%I', p_view_name)::regclass) AS kpi
        WHERE
            kpi.unit = ANY (kpi_engine.number_units())
            AND kpi.column_name <> ALL (p_key)
    );

    -- A row for a time before the first one of the view closes its period now. One that is open
    -- because it lacks rows stays open.
    INSERT INTO kpi_engine.closings AS known (
        view_name, period, run_id, closed_at, reported_at, noted_at
    )
    SELECT p_view_name, late.period, reported.run_id, late.closed_at, reported.published_at, v_now
    FROM (
        SELECT
            changed.period,
            kpi_engine.closes_at(
                changed.period,
                p_grain,
                (SELECT analytics.today()),
                (SELECT analytics.setting('closing_days')::integer),
                (SELECT analytics.setting('time_zone'))
            ) AS closed_at
        FROM kpi_engine.published_rows AS changed
        WHERE
            changed.view_name = p_view_name
            AND (
                changed.run_id = p_run_id
                -- It lacked rows when it came, and the view shows it: a period that is gone may be
                -- of another time, such as a month of a view that has weeks now.
                OR changed.period < (
                    SELECT min(closings.period) FROM kpi_engine.closings
                    WHERE closings.view_name = p_view_name
                )
                AND changed.row_values IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM kpi_engine.published_rows AS newer
                    WHERE
                        newer.view_name = changed.view_name
                        AND newer.row_key = changed.row_key
                        AND newer.run_id > changed.run_id
                )
            )
            AND changed.period <= v_last_closed
            AND kpi_engine.closes_at(
                changed.period,
                p_grain,
                (SELECT analytics.today()),
                0,
                (SELECT analytics.setting('time_zone'))
            ) <= p_counted_until
        GROUP BY changed.period
    ) AS late
    CROSS JOIN LATERAL kpi_engine.closing_publication(p_view_name, late.closed_at) AS reported
    WHERE late.closed_at <= v_now
    ON CONFLICT (view_name, period) DO UPDATE SET
        run_id = excluded.run_id,
        closed_at = excluded.closed_at,
        reported_at = excluded.reported_at,
        noted_at = excluded.noted_at
    WHERE NOT kpi_engine.closing_counts(known, v_now);

    INSERT INTO kpi_engine.restatements (
        view_name, period, column_name, row_key, reported, previous, current, difference,
        difference_pct, reported_at, since, run_id, requests_changed
    )
    -- Materialized: contents are computed once a row, and not once for each of its numbers.
    WITH changed AS MATERIALIZED (
        SELECT published.period, published.row_key, published.contents
        FROM kpi_engine.reported_rows AS published
        WHERE
            published.view_name = p_view_name
            AND published.run_id = p_run_id
            AND published.period <= v_last_closed
    )

    SELECT
        p_view_name,
        closings.period,
        number.column_name,
        (
            SELECT jsonb_object_agg(key.name, changed.row_key -> (key.place - 1)::integer)
            FROM unnest(p_key) WITH ORDINALITY AS key (name, place)
        ),
        figure.reported,
        figure.previous,
        figure.current,
        figure.current - figure.reported,
        kpi_engine.difference_pct(figure.current, figure.reported),
        closings.reported_at,
        v_now,
        p_run_id,
        p_requests
    FROM changed
    INNER JOIN kpi_engine.closings
        ON closings.view_name = p_view_name
        AND closings.period = changed.period
        AND closings.run_id < p_run_id
        AND kpi_engine.closing_counts(closings, v_now)
    LEFT JOIN LATERAL (
        SELECT version.contents
        FROM kpi_engine.reported_rows AS version
        WHERE
            version.view_name = p_view_name
            AND version.period = changed.period
            AND version.row_key = changed.row_key
            AND version.run_id < p_run_id
        ORDER BY version.run_id DESC
        LIMIT 1
    ) AS before ON true
    LEFT JOIN LATERAL (
        SELECT version.contents
        FROM kpi_engine.reported_rows AS version
        WHERE
            version.view_name = p_view_name
            AND version.period = changed.period
            AND version.row_key = changed.row_key
            AND version.run_id <= closings.run_id
        ORDER BY version.run_id DESC
        LIMIT 1
    ) AS closed ON true
    CROSS JOIN unnest(v_numbers) AS number (column_name)
    CROSS JOIN LATERAL (
        SELECT
            kpi_engine.figure_of(closed.contents, number.column_name) AS reported,
            kpi_engine.figure_of(before.contents, number.column_name) AS previous,
            (changed.contents ->> number.column_name)::numeric AS current
    ) AS figure
    WHERE
        figure.current IS DISTINCT FROM figure.previous
        AND (
            before.contents IS NULL
            OR kpi_engine.is_figure(before.contents -> number.column_name)
        )
        AND coalesce(changed.contents ? number.column_name, true);
END;
$note_restatements$;

COMMENT ON FUNCTION kpi_engine.note_restatements(
    text, bigint, bigint, text[], text, date, timestamptz
) IS
'Writes kpi_engine.restatements: the numbers of closed periods that this publish changed, with '
'what was reported at closing. p_key: the columns of its key; p_grain: day, week or month; '
'p_first_period: the first period with a change; p_counted_until: this publish has all rows until '
'then. '
'Internal to kpi_engine.note_publication().';

REVOKE ALL ON FUNCTION kpi_engine.note_restatements(
    text, bigint, bigint, text[], text, date, timestamptz
)
FROM public;
