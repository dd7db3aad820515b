-- Compares what a view is about to show with what it showed and reported.
--
-- Invariant: it reads the publish that was just noted. Each rule is here, once:
--
--   closed_sum  a sum of a closed period moves by more than the setting gate_closed_pct from the
--               reported one. A period without a row was reported as 0, unless nothing at all was
--               shown then. That is for columns of declared totals alone: a level, such as
--               registered advisors, is not 0 where no row shows it. Counts below
--               gate_least_count, and money of periods with fewer, move by large shares every day:
--               they do not count
--   lost_rows   the view loses more than the setting gate_lost_rows_pct of its rows
--   null_share  the share of NULLs in a column of before rises by more than gate_null_points
--   total       a sum over another view differs (kpi_engine.declared_totals); only where both views
--               show the same data version
--
-- The first three need an earlier publish. TABLESAMPLE: as in kpi_engine.count_rows(), these are no
-- readers' scans.

CREATE OR REPLACE FUNCTION kpi_engine.gate_findings(p_view_name text, p_run_id bigint)
RETURNS TABLE (
    rule text, column_name text, period date, before numeric, after numeric, allowed text
)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $gate_findings$
#variable_conflict use_column
DECLARE
    v_closed_pct constant numeric := analytics.setting('gate_closed_pct');
    v_rows_pct constant numeric := analytics.setting('gate_lost_rows_pct');
    v_null_points constant numeric := analytics.setting('gate_null_points');
    v_least constant numeric := analytics.setting('gate_least_count');
    v_now kpi_engine.publications;
    v_before kpi_engine.publications;
    v_total record;
BEGIN
    SELECT publications.* INTO v_now
    FROM kpi_engine.publications
    WHERE publications.view_name = p_view_name AND publications.run_id = p_run_id;
    SELECT publications.* INTO v_before
    FROM kpi_engine.publications
    WHERE publications.view_name = p_view_name AND publications.run_id < p_run_id
    ORDER BY publications.run_id DESC
    LIMIT 1;

    RETURN QUERY
        WITH touched AS (
            SELECT DISTINCT
                closings.period,
                closings.run_id,
                -- False for the first load of an empty installation. A publish that the history
                -- does not have any more has left the rows that it reported.
                coalesce(
                    (
                        SELECT reported.rows_shown > 0
                        FROM kpi_engine.publications AS reported
                        WHERE
                            reported.view_name = p_view_name
                            AND reported.run_id = closings.run_id
                    ),
                    EXISTS (
                        SELECT FROM kpi_engine.published_rows AS reported
                        WHERE
                            reported.view_name = p_view_name
                            AND reported.run_id <= closings.run_id
                            AND reported.row_values IS NOT NULL
                    )
                ) AS had_rows
            FROM kpi_engine.published_rows AS changed
            INNER JOIN kpi_engine.closings
                ON closings.view_name = p_view_name
                AND closings.period = changed.period
                AND closings.run_id < p_run_id
                AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
            WHERE
                changed.view_name = p_view_name
                AND changed.run_id = p_run_id
        ),

        -- Else its place in the plan may compute it once for each row.
        additive AS MATERIALIZED (
            SELECT kpi.column_name, kpi.unit
            FROM kpi_engine.kpi_views(p_view_name) AS the_view
            CROSS JOIN LATERAL kpi_engine.kpi_columns(the_view.relation) AS kpi
            WHERE
                kpi.unit IN ('conteo', 'COP')
                AND kpi.over_nothing = '0'
                AND kpi.column_name <> ALL (the_view.key_columns)
        ),

        sums AS (
            SELECT
                touched.period,
                additive.column_name,
                additive.unit,
                -- A column that did not exist then stays NULL.
                coalesce(
                    sum(kpi_engine.figure_of(closed.contents, additive.column_name)),
                    CASE
                        WHEN
                            touched.had_rows
                            AND count(closed.contents) = 0
                            AND additive.column_name IN (
                                SELECT CASE declared.view_name
                                    WHEN p_view_name THEN declared.column_name
                                    ELSE declared.part_column
                                END
                                FROM kpi_engine.declared_totals(p_view_name) AS declared
                            )
                            THEN 0
                    END
                ) AS before,
                sum((shown.contents ->> additive.column_name)::numeric) AS after
            FROM touched
            CROSS JOIN LATERAL (
                SELECT DISTINCT version.row_key
                FROM kpi_engine.published_rows AS version
                WHERE version.view_name = p_view_name AND version.period = touched.period
            ) AS one
            LEFT JOIN LATERAL (
                SELECT version.contents
                FROM kpi_engine.reported_rows AS version
                WHERE
                    version.view_name = p_view_name
                    AND version.period = touched.period
                    AND version.row_key = one.row_key
                    AND version.run_id <= touched.run_id
                ORDER BY version.run_id DESC
                LIMIT 1
            ) AS closed ON true
            LEFT JOIN LATERAL (
                SELECT version.contents
                FROM kpi_engine.reported_rows AS version
                WHERE
                    version.view_name = p_view_name
                    AND version.period = touched.period
                    AND version.row_key = one.row_key
                ORDER BY version.run_id DESC
                LIMIT 1
            ) AS shown ON true
            CROSS JOIN additive
            GROUP BY touched.period, touched.had_rows, additive.column_name, additive.unit
        )

        SELECT
            'closed_sum', sums.column_name, sums.period, sums.before, sums.after,
            format('%s %%', v_closed_pct)
        FROM (
            SELECT
                sums.*,
                max(greatest(sums.before, sums.after)) FILTER (WHERE sums.unit = 'conteo')
                    OVER (PARTITION BY sums.period) AS most
            FROM sums
        ) AS sums
        WHERE
            sums.before IS NOT NULL
            AND abs(coalesce(sums.after, 0) - sums.before) * 100 > v_closed_pct * abs(sums.before)
            AND CASE sums.unit
                WHEN 'conteo' THEN greatest(sums.before, sums.after)
                ELSE sums.most
            END >= v_least
        UNION ALL
        SELECT
            'lost_rows', NULL, NULL, v_before.rows_shown, v_now.rows_shown,
            format('%s %%', v_rows_pct)
        WHERE
            v_before.rows_shown >= 10
            AND (v_before.rows_shown - v_now.rows_shown) * 100 > v_rows_pct * v_before.rows_shown
        UNION ALL
        SELECT
            'null_share', share.column_name, NULL, round(share.before, 2), round(share.after, 2),
            format('%s points', v_null_points)
        FROM (
            SELECT
                nulls.key AS column_name,
                coalesce((v_before.null_counts ->> nulls.key)::numeric, 0)
                * 100 / nullif(v_before.rows_shown, 0) AS before,
                nulls.value::numeric * 100 / nullif(v_now.rows_shown, 0) AS after
            FROM jsonb_each_text(v_now.null_counts) AS nulls
        ) AS share
        WHERE
            v_before.rows_shown >= 10
            AND share.after - share.before > v_null_points
            -- A new column turns nothing NULL. Without a history nobody knows which are new.
            AND coalesce(
                (
                    SELECT share.column_name = ANY (layout.column_names)
                    FROM kpi_engine.published_layouts AS layout
                    WHERE layout.view_name = p_view_name AND layout.run_id <= v_before.run_id
                    ORDER BY layout.run_id DESC
                    LIMIT 1
                ),
                true
            );

    -- One statement for all sums over one view.
    FOR v_total IN
        SELECT
            pair.view_name, pair.part_view, pair.sums, pair.figures,
            whole.time_column, whole.grain, part.time_column AS part_time
        FROM (
            SELECT
                declared.view_name,
                declared.part_view,
                string_agg(
                    format(
                        'sum(part.%I)::numeric AS total_%s', declared.part_column, declared.place),
                    ', '
                ) AS sums,
                string_agg(
                    format(
                        '(%1$L, part.total_%2$s, whole.%1$I::numeric, %3$L)',
                        declared.column_name,
                        declared.place,
                        format(
                            'equal to the sum of %s.%s', declared.part_view, declared.part_column)
                    ),
                    ', '
                ) AS figures
            FROM kpi_engine.declared_totals(p_view_name) WITH ORDINALITY AS declared (
                view_name, column_name, part_view, part_column, place
            )
            INNER JOIN kpi_engine.view_state AS other
                ON other.view_name = CASE
                    WHEN declared.view_name = p_view_name THEN declared.part_view
                    ELSE declared.view_name
                END
            WHERE other.published_version = v_now.data_version
            GROUP BY declared.view_name, declared.part_view
        ) AS pair
        CROSS JOIN LATERAL kpi_engine.kpi_views(pair.view_name) AS whole
        CROSS JOIN LATERAL kpi_engine.kpi_views(pair.part_view) AS part
    LOOP
        RETURN QUERY EXECUTE format(
            $totals$
            SELECT
                'total', figure.column_name, coalesce(whole.%1$I, part.period),
                figure.part, figure.whole, figure.allowed
            FROM analytics.%2$I AS whole TABLESAMPLE SYSTEM (100)
            FULL JOIN (
                SELECT date_trunc(%3$L, part.%4$I::timestamp)::date AS period, %5$s
                FROM analytics.%6$I AS part TABLESAMPLE SYSTEM (100)
                GROUP BY 1
            ) AS part ON part.period = whole.%1$I
            CROSS JOIN LATERAL (VALUES %7$s) AS figure (column_name, part, whole, allowed)
            WHERE coalesce(figure.part, 0) <> coalesce(figure.whole, 0)
            $totals$,
            v_total.time_column, v_total.view_name, v_total.grain, v_total.part_time,
            v_total.sums, v_total.part_view, v_total.figures
        );
    END LOOP;
END;
$gate_findings$;

COMMENT ON FUNCTION kpi_engine.gate_findings(text, bigint) IS
'What looks like nonsense in a publish that was just noted: one row for each rule, column and '
'period, with the figure before and after, and what the rule allows. Internal to '
'kpi_engine.check_gate().';

REVOKE ALL ON FUNCTION kpi_engine.gate_findings(text, bigint) FROM public;
