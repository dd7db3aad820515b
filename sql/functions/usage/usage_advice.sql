-- Gives advice from the use of the views, with its evidence.
--
-- Invariant: it looks at the last usage_advice_days days, and gives no advice before something was
-- watched for that time. An advice goes when its cause goes. Nothing here is a fault, so it is not
-- a part of health.
-- SECURITY DEFINER: operators do not read the tables of the engine.

CREATE OR REPLACE FUNCTION analytics.usage_advice()
RETURNS TABLE (advice text, subject text, message text, evidence jsonb, statement text)
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
SET jit = off
AS $usage_advice$
#variable_conflict use_column
DECLARE
    v_days constant integer := analytics.setting('usage_advice_days')::integer;
    v_target_lag constant text := nullif(analytics.setting('target_lag'), 'off');
    -- Without change capture no tick knows that something changed.
    v_captures constant boolean := analytics.setting('change_capture') = 'on';
    v_since constant timestamptz := analytics.now() - make_interval(days => v_days);
    -- Fewer rows than this, read without need, are not worth an index.
    c_least_rows constant bigint := 10000;
    -- A view with a smaller index is read as a whole anyway.
    c_least_index_bytes constant bigint := 65536;
    -- So many times more, or fewer, refreshes than hours with readers.
    c_times constant integer := 4;
BEGIN
    RETURN QUERY
        WITH used AS MATERIALIZED (
            SELECT
                usage.kind,
                usage.name,
                sum(usage.uses)::bigint AS uses,
                count(*) AS hours
            FROM kpi_engine.usage_by_hour AS usage
            WHERE usage.hour >= v_since
            GROUP BY usage.kind, usage.name
        ),

        watched AS MATERIALIZED (
            SELECT usage_watched.*
            FROM kpi_engine.usage_watched
            WHERE usage_watched.watched_since <= v_since
        ),

        -- By view, and for the runs as a whole (NULL).
        refreshes AS MATERIALIZED (
            SELECT
                refresh_log.view_name,
                count(*) AS all_runs,
                count(*) FILTER (WHERE refresh_log.mode <> 'unchanged') AS runs,
                count(*) FILTER (
                    WHERE refresh_log.mode <> 'unchanged'
                    AND refresh_log.triggered_by = 'schedule'
                ) AS scheduled_runs,
                count(*) FILTER (
                    WHERE refresh_log.mode <> 'unchanged'
                    AND refresh_log.triggered_by = 'lag'
                ) AS lag_runs,
                count(DISTINCT date_trunc('hour', refresh_log.started_at)) FILTER (
                    WHERE refresh_log.triggered_by = 'lag'
                ) AS lag_hours,
                round(coalesce(sum(refresh_log.refresh_time_ms) FILTER (
                    WHERE refresh_log.triggered_by = 'lag'
                ), 0) / 1000, 1) AS lag_seconds,
                round(sum(refresh_log.refresh_time_ms) / 1000, 1) AS seconds,
                round(percentile_cont(0.5) WITHIN GROUP (
                    ORDER BY refresh_log.refresh_time_ms::double precision
                )::numeric / 1000, 3) AS median_seconds
            FROM kpi_engine.refresh_log
            WHERE
                refresh_log.started_at >= v_since
                AND refresh_log.refresh_status = 'SUCCESS'
            GROUP BY refresh_log.view_name
        ),

        reading AS MATERIALIZED (
            SELECT
                count(DISTINCT usage.hour) AS hours,
                coalesce(sum(usage.uses), 0) AS scans
            FROM kpi_engine.usage_by_hour AS usage
            WHERE usage.kind = 'view' AND usage.hour >= v_since
        ),

        http AS MATERIALIZED (
            SELECT coalesce(jsonb_object_agg(used.name, used.uses), '{}') AS calls
            FROM used
            WHERE used.kind = 'endpoint'
        ),

        frequency AS (
            SELECT
                refreshes.*,
                reading.hours,
                jsonb_build_object(
                    'days', v_days,
                    'refreshes', refreshes.runs,
                    'scheduled', refreshes.scheduled_runs,
                    'for_target_lag', refreshes.lag_runs,
                    'hours_of_target_lag', refreshes.lag_hours,
                    'seconds_for_target_lag', refreshes.lag_seconds,
                    'seconds_of_refreshes', refreshes.seconds,
                    'hours_with_readers', reading.hours,
                    'scans_by_readers', reading.scans,
                    'http_calls', http.calls
                ) AS evidence
            FROM refreshes
            CROSS JOIN reading
            CROSS JOIN http
            WHERE
                refreshes.view_name IS NULL
                AND EXISTS (SELECT FROM watched WHERE watched.kind = 'view')
        )

        SELECT
            'unread_view',
            watched.name,
            format('nobody has read view %s for %s days, and it was published %s time(s) since: ask '
                'who needs it; without its file in sql/views make migrate takes it away',
                watched.name, v_days, coalesce(refreshes.runs, 0)),
            jsonb_build_object(
                'days', v_days,
                'scans_by_readers', 0,
                'refreshes', coalesce(refreshes.runs, 0),
                'seconds_of_refreshes', coalesce(refreshes.seconds, 0),
                'bytes', pg_total_relation_size(pg_class.oid)
            ),
            NULL::text
        FROM watched
        INNER JOIN pg_class ON pg_class.oid = watched.object_id
        LEFT JOIN refreshes ON refreshes.view_name = watched.name
        WHERE
            watched.kind = 'view'
            AND NOT EXISTS (
                SELECT FROM used WHERE used.kind = 'view' AND used.name = watched.name
            )
        UNION ALL
        SELECT
            'unused_index',
            watched.name,
            format('nothing has used index %s of view %s for %s days, and each refresh writes it: '
                'take it out of sql/%s, then make migrate',
                watched.name, pg_class.relname, v_days, (
                    SELECT migration_ledger.file FROM kpi_engine.migration_ledger
                    WHERE migration_ledger.name = pg_class.relname
                )),
            jsonb_build_object(
                'days', v_days,
                'scans', 0,
                'bytes', pg_relation_size(watched.object_id),
                'definition', pg_get_indexdef(watched.object_id)
            ),
            format('DROP INDEX analytics.%I', watched.name)
        FROM watched
        INNER JOIN pg_index ON pg_index.indexrelid = watched.object_id
        INNER JOIN pg_class ON pg_class.oid = pg_index.indrelid
        WHERE
            watched.kind = 'index'
            AND pg_relation_size(watched.object_id) >= c_least_index_bytes
            AND NOT EXISTS (
                SELECT FROM used WHERE used.kind = 'index' AND used.name = watched.name
            )
        UNION ALL
        SELECT
            'refreshed_too_often',
            'schedule',
            format('%s refreshes in %s days (%s by the schedule) took %s s, and the views were read in '
                '%s hour(s): a refresh before reading would do', frequency.runs - frequency.lag_runs,
                v_days, frequency.scheduled_runs, frequency.seconds - frequency.lag_seconds,
                frequency.hours),
            frequency.evidence,
            'SELECT * FROM analytics.refresh_all_mv()'
        FROM frequency
        WHERE
            frequency.hours > 0
            -- Those for target_lag have their own advice.
            AND frequency.runs - frequency.lag_runs >= c_times * frequency.hours
        UNION ALL
        SELECT
            'target_lag_unread',
            'target_lag',
            format('%s refreshes for target_lag (%s) in %s hour(s) of %s days took %s s, and the views '
                'were read in %s hour(s): a longer target_lag costs less',
                frequency.lag_runs, v_target_lag, frequency.lag_hours, v_days,
                frequency.lag_seconds, frequency.hours),
            frequency.evidence,
            format(
                'SELECT analytics.set_setting(''target_lag'', %L)',
                CASE
                    WHEN frequency.hours = 0 OR v_target_lag::interval >= interval '1 hour' THEN 'off'
                    ELSE '1 hour'
                END
            )
        FROM frequency
        WHERE
            v_target_lag IS NOT NULL
            AND frequency.lag_hours > 0
            AND frequency.lag_hours >= c_times * frequency.hours
        UNION ALL
        SELECT
            'refreshed_too_seldom',
            'schedule',
            format('the views were read in %s hours of %s days and refreshed %s time(s), in %s s each: '
                'one every hour shows readers what is new, %s',
                frequency.hours, v_days, frequency.all_runs, frequency.median_seconds, CASE
                    WHEN v_captures THEN 'by the setting target_lag'
                    ELSE 'for instance by pg_cron'
                END),
            frequency.evidence || jsonb_build_object(
                'median_seconds', frequency.median_seconds,
                'changes_waiting', kpi_engine.changes_waiting()
            ),
            CASE
                WHEN v_captures THEN 'SELECT analytics.set_setting(''target_lag'', ''1 hour'')'
                ELSE 'SELECT cron.schedule(''teloo hourly refresh'', ''30 * * * *'', '
                    || '''SELECT * FROM analytics.refresh_all_mv()'')'
            END
        FROM frequency
        WHERE
            v_target_lag IS NULL
            AND frequency.hours > 0
            AND frequency.hours >= c_times * frequency.all_runs
            -- More of them would mostly find something new.
            AND 2 * frequency.runs >= frequency.all_runs
        UNION ALL
        SELECT
            'source_index',
            format('%s (%s)', missing.table_name, missing.column_name),
            format('incremental refreshes have read all of %s %s time(s) in %s days, for %s: an index '
                'on %s reads what is needed', missing.table_name, used.uses, v_days,
                missing.purpose, missing.column_name),
            jsonb_build_object(
                'days', v_days,
                'scans_of_the_table', used.uses,
                'rows', pg_class.reltuples::bigint,
                'bytes', pg_table_size(pg_class.oid)
            ),
            missing.statement
        FROM analytics.source_indexes() AS missing
        INNER JOIN used ON used.kind = 'source table' AND used.name = missing.table_name
        INNER JOIN pg_class ON pg_class.oid = to_regclass(missing.table_name)
        WHERE
            NOT missing.is_present
            AND used.uses * pg_class.reltuples >= c_least_rows
        ORDER BY 1, 2;
END;
$usage_advice$;

COMMENT ON FUNCTION analytics.usage_advice() IS
'Advice from the use of the last days (setting usage_advice_days): unread_view, unused_index, '
'refreshed_too_often, refreshed_too_seldom, target_lag_unread, source_index. Each row has the '
'subject, the words, the evidence and, if there is one, the statement. No row: no advice. '
'docs/monitoring.md explains it.';

REVOKE ALL ON FUNCTION analytics.usage_advice() FROM public;
GRANT EXECUTE ON FUNCTION analytics.usage_advice() TO analytics_operador;
