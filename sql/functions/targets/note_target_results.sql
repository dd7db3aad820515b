-- Compares the periods that closed since the last publish with their targets.
--
-- Invariant: each closed period of a column has one result at most, from the reported figure and
-- the target when the refresh closes it: a later restatement or another target changes nothing.
-- Periods that closed before the column had a target for them have none. Nothing here stops a
-- publish: a fault is a warning, and the next publish tries again. Without a target of the view,
-- this is one look into an index.

CREATE OR REPLACE FUNCTION kpi_engine.note_target_results(p_view_name text, p_run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_target_results$
DECLARE
    v_asked text;
    v_noted bigint;
BEGIN
    IF NOT EXISTS (
        SELECT FROM kpi_engine.targets WHERE targets.view_name = p_view_name
    ) THEN
        RETURN 0;
    END IF;
    v_asked := analytics.setting('target_alert');
    INSERT INTO kpi_engine.target_results (
        view_name, column_name, period, target, better, figure, is_missed, is_alert, run_id,
        noted_at
    )
    SELECT
        p_view_name,
        target.column_name,
        closings.period,
        target.value,
        target.better,
        shown.figure,
        judged.is_missed,
        coalesce(judged.is_missed, false) AND (
            v_asked = 'all' OR p_view_name = ANY (regexp_split_to_array(v_asked, ', *'))
        ),
        p_run_id,
        analytics.now()
    FROM kpi_engine.kpi_views(p_view_name) AS kpi
    CROSS JOIN kpi_engine.known_targets(p_view_name) AS target
    INNER JOIN kpi_engine.kpi_columns(kpi.relation) AS kpi_column
        ON kpi_column.column_name = target.column_name
    INNER JOIN kpi_engine.closings
        ON closings.view_name = p_view_name
        AND closings.period >= target.first_period
        AND closings.period < coalesce(target.next_from, 'infinity')
        AND closings.period > coalesce(
            (
                SELECT max(known.period)
                FROM kpi_engine.target_results AS known
                WHERE
                    known.view_name = p_view_name
                    AND known.column_name = target.column_name
                    -- Not by a clock that was ahead.
                    AND known.noted_at <= analytics.now()
            ),
            '-infinity'
        )
        AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
        -- An operator may change a target between the closing and the refresh that notes it.
        AND closings.closed_at > (
            SELECT min(earlier.first_set_at)
            FROM kpi_engine.targets AS earlier
            WHERE
                earlier.view_name = p_view_name
                AND earlier.column_name = target.column_name
                AND earlier.first_period <= closings.period
        )
    LEFT JOIN LATERAL (
        SELECT version.contents
        FROM kpi_engine.reported_rows AS version
        WHERE
            version.view_name = p_view_name
            AND version.period = closings.period
            AND version.row_key = jsonb_build_array(closings.period)
            AND version.run_id <= closings.run_id
        ORDER BY version.run_id DESC
        LIMIT 1
    ) AS closed ON true
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN closed.contents IS NULL THEN kpi_column.over_nothing::numeric
            ELSE kpi_engine.figure_of(closed.contents, target.column_name)
        END AS figure
    ) AS shown
    CROSS JOIN LATERAL (
        SELECT
            kpi_engine.misses_target(shown.figure, target.value, target.better) AS is_missed
    ) AS judged
    WHERE
        -- One row for each period.
        kpi.key_columns = ARRAY[kpi.time_column]
        AND target.stale IS NULL
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_noted := ROW_COUNT;
    RETURN v_noted;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'teloo-analytics: ERROR in comparing view % with its targets: % (SQLSTATE %)',
        p_view_name, SQLERRM, SQLSTATE
        USING DETAIL = 'The view is published all the same; its next publish tries again.';
    RETURN 0;
END;
$note_target_results$;

COMMENT ON FUNCTION kpi_engine.note_target_results(text, bigint) IS
'Writes kpi_engine.target_results for the periods of a view that closed, for each column with a '
'target. Only of views with one row for each period. Returns how many. p_run_id: the refresh. '
'Internal to kpi_engine.run_refresh(), which holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.note_target_results(text, bigint) FROM public;
