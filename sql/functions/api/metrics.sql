-- GET /metrics: the metrics for Prometheus.
--
-- Invariant: names and labels are those of the contract of the HTTP API. A metric without a value
-- has no line. Instants are in seconds since 1970, durations in seconds.
-- docs/reference/metrics.md is made from this output: make reference.

CREATE OR REPLACE FUNCTION api.metrics()
RETURNS api."text/plain" -- noqa: RF05
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $metrics$
DECLARE
    v_lines text;
BEGIN
    WITH views AS (
        SELECT stats.*, last_try.refresh_time_ms
        FROM analytics.get_mv_stats() AS stats
        LEFT JOIN LATERAL (
            SELECT refresh_log.refresh_time_ms
            FROM kpi_engine.refresh_log
            WHERE
                refresh_log.view_name = stats.view_name
                AND refresh_log.refresh_status = 'SUCCESS'
            ORDER BY refresh_log.log_id DESC
            LIMIT 1
        ) AS last_try ON true
    ),

    -- Once: it reads the whole refresh log.
    counted AS MATERIALIZED (
        SELECT counters.metric, counters.labels, counters.number FROM kpi_engine.counters()
    ),

    -- Once: it asks each worker.
    behind AS MATERIALIZED (
        SELECT * FROM analytics.replication()
    ),

    problems AS (
        SELECT health.problem, bool_or(health.severity = 'unhealthy') AS is_unhealthy
        FROM analytics.health_problems() AS health
        GROUP BY health.problem
    ),

    sample AS (
        SELECT
            1 AS position, 'view_last_success_timestamp_seconds' AS name, 'gauge' AS type,
            'Last successful refresh of a materialized view.' AS help,
            jsonb_build_object('view', view_state.view_name) AS labels,
            extract(EPOCH FROM view_state.last_success_at) AS value
        -- Also of a view that somebody dropped: it is to be missed.
        FROM kpi_engine.view_state
        UNION ALL
        SELECT
            2, 'view_refresh_duration_seconds', 'gauge',
            'Duration of the last successful refresh of a materialized view.',
            jsonb_build_object('view', views.view_name), views.refresh_time_ms / 1000
        FROM views
        UNION ALL
        SELECT
            3, 'view_rows', 'gauge', 'Rows of a materialized view.',
            jsonb_build_object('view', views.view_name), views.row_count
        FROM views
        UNION ALL
        SELECT
            4, 'view_bytes', 'gauge', 'Bytes of a materialized view with its indexes.',
            jsonb_build_object('view', views.view_name), views.size_bytes
        FROM views
        UNION ALL
        SELECT
            5, 'refresh_failures_total', 'counter', 'Failed refreshes of a materialized view.',
            counted.labels, counted.number
        FROM counted
        WHERE counted.metric = 'refresh_failures_total'
        UNION ALL
        SELECT
            6, 'refresh_runs_total', 'counter', 'Refreshes by trigger, mode and result.',
            counted.labels, counted.number
        FROM counted
        WHERE counted.metric = 'refresh_runs_total'
        UNION ALL
        SELECT
            7, 'changes_waiting', 'gauge', 'Pending changed keys.', '{}',
            kpi_engine.changes_waiting()
        UNION ALL
        SELECT
            7.1, 'changes_waiting_seconds', 'gauge',
            'Seconds for which the oldest pending change has waited, at most; 0: none is pending.',
            '{}',
            (
                SELECT CASE
                    WHEN change_wait.is_waiting THEN extract(EPOCH FROM change_wait.waited) ELSE 0
                END
                FROM kpi_engine.change_wait()
            )
        UNION ALL
        SELECT
            7.2, 'target_lag_seconds', 'gauge', 'The setting target_lag, in seconds; 0: off.', '{}',
            coalesce(extract(EPOCH FROM kpi_engine.target_lag()), 0)
        UNION ALL
        SELECT
            7.3, 'replica_up', 'gauge',
            'Whether the worker of a subscription that brings operational tables runs.',
            jsonb_build_object('subscription', behind.subscription), behind.is_running::integer
        FROM behind
        UNION ALL
        SELECT
            7.4, 'replica_lag_seconds', 'gauge',
            'Seconds since the publisher sent what was applied last.',
            jsonb_build_object('subscription', behind.subscription), behind.seconds_behind
        FROM behind
        WHERE behind.is_running
        UNION ALL
        SELECT
            7.5, 'replica_lag_bytes', 'gauge',
            'Bytes of the publisher''s log that came and are not confirmed yet.',
            jsonb_build_object('subscription', behind.subscription), behind.bytes_behind
        FROM behind
        WHERE behind.is_running
        UNION ALL
        SELECT
            8, 'change_log_bytes', 'gauge', 'Bytes of the change log and of the compacted changes.',
            '{}',
            pg_total_relation_size('kpi_engine.change_log')
            + pg_total_relation_size('kpi_engine.pending_changes')
        UNION ALL
        SELECT
            9, 'drift_cells_total', 'counter', 'Cells that the self-audit found wrong.',
            counted.labels, counted.number
        FROM counted
        WHERE counted.metric = 'drift_cells_total'
        UNION ALL
        SELECT
            10, 'last_tick_timestamp_seconds', 'gauge', 'Last tick of the scheduler.', '{}',
            (
                SELECT extract(EPOCH FROM scheduler_state.last_tick_at)
                FROM kpi_engine.scheduler_state
            )
        UNION ALL
        SELECT
            11, 'scheduled_refresh_lag_seconds', 'gauge',
            'Seconds from the last daily slot (or from a later change of the schedule) to the start '
            'of its refresh, or to now while it waits.',
            '{}',
            (
                SELECT greatest(0, extract(
                    EPOCH FROM coalesce(job.first_started_at, clock_timestamp())
                    -- A slot is not late because of a change after it.
                    - greatest(job.slot_at, scheduler_state.schedule_changed_at)
                ))
                FROM kpi_engine.refresh_jobs AS job
                CROSS JOIN kpi_engine.scheduler_state
                WHERE job.slot_at IS NOT NULL
                ORDER BY job.slot_at DESC
                LIMIT 1
            )
        UNION ALL
        SELECT
            12, 'data_version', 'gauge', 'Refreshes that changed the data.', '{}',
            (SELECT engine_state.data_version FROM kpi_engine.engine_state)
        UNION ALL
        SELECT
            13, 'problem', 'gauge', '1 if health has this problem, else 0.',
            jsonb_build_object('name', coalesce(known.problem, problems.problem)),
            (problems.problem IS NOT NULL)::integer
        FROM kpi_engine.known_problems() AS known
        -- One without words is there, too.
        FULL JOIN problems ON problems.problem = known.problem
        UNION ALL
        SELECT
            14, 'build_info', 'gauge', 'Version of the package in the database, always 1.',
            jsonb_build_object('version', installation.version), 1
        FROM kpi_engine.installation
        UNION ALL
        SELECT
            15, 'restatements_total', 'counter', 'Changed figures of closed periods.',
            jsonb_build_object('view', restatements.view_name), count(*)
        FROM kpi_engine.restatements
        GROUP BY restatements.view_name
        UNION ALL
        SELECT
            16, 'gate_holds', 'gauge', 'Findings of the gate that hold back a view.',
            '{}', (SELECT count(*) FROM kpi_engine.gate_holds)
        UNION ALL
        SELECT
            17, 'problem_unhealthy', 'gauge', '1 if this problem makes health unhealthy, else 0.',
            jsonb_build_object('name', coalesce(known.problem, problems.problem)),
            coalesce(problems.is_unhealthy, false)::integer
        FROM kpi_engine.known_problems() AS known
        FULL JOIN problems ON problems.problem = known.problem
    ),

    line AS (
        SELECT
            sample.position,
            format('# HELP teloo_analytics_%1$s %2$s', sample.name, min(sample.help))
            || E'\n' || format('# TYPE teloo_analytics_%s %s', sample.name, min(sample.type))
            || E'\n' || string_agg(
                format(
                    'teloo_analytics_%s%s %s',
                    sample.name,
                    (
                        SELECT '{' || string_agg(
                            format(
                                '%s="%s"', label.key,
                                replace(
                                    replace(replace(label.value, '\', '\\'), '"', '\"'), E'\n', '\n'
                                )
                            ),
                            ',' ORDER BY label.key
                        ) || '}'
                        FROM jsonb_each_text(sample.labels) AS label
                    ),
                    sample.value
                ),
                E'\n' ORDER BY sample.labels::text
            ) AS text
        FROM sample
        WHERE sample.value IS NOT NULL
        GROUP BY sample.position, sample.name
    )

    SELECT string_agg(line.text, E'\n' ORDER BY line.position) || E'\n' INTO v_lines FROM line;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN v_lines;
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('metrics', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$metrics$;

COMMENT ON FUNCTION api.metrics() IS
'The metrics for Prometheus, in its text format: ages, durations, sizes and failures of the '
'views, pending changes, ticks, problems.';

REVOKE ALL ON FUNCTION api.metrics() FROM public;
GRANT EXECUTE ON FUNCTION api.metrics() TO analytics_lector, analytics_operador;
