-- GET /materialized-views/status: every materialized view, its size and age.

CREATE OR REPLACE FUNCTION api.status()
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $status$
DECLARE
    v_waiting constant bigint := analytics.changes_waiting();
    v_views json;
    v_row_counts json;
BEGIN
    SELECT
        coalesce(
            json_agg(
                json_build_object(
                    'schema', 'analytics',
                    'name', stats.view_name,
                    'is_populated', stats.is_populated,
                    'row_count', stats.row_count,
                    'size_bytes', stats.size_bytes,
                    'last_refresh', analytics.iso_instant(stats.last_refresh),
                    'last_status', last_try.refresh_status,
                    'last_duration_ms', last_try.refresh_time_ms,
                    'age_seconds', round(extract(EPOCH FROM analytics.now() - stats.last_refresh)),
                    'pending_changes', v_waiting,
                    'has_unique_index', listed.has_unique_index,
                    'definition', pg_get_viewdef(listed.relation)
                )
                ORDER BY stats.view_name
            ),
            '[]'
        ),
        coalesce(json_object_agg(stats.view_name, stats.row_count ORDER BY stats.view_name), '{}')
    INTO v_views, v_row_counts
    FROM analytics.get_mv_stats() AS stats
    INNER JOIN analytics.materialized_views() AS listed USING (view_name)
    LEFT JOIN LATERAL (
        SELECT refresh_log.*
        FROM analytics.refresh_log
        WHERE refresh_log.view_name = stats.view_name
        ORDER BY refresh_log.log_id DESC
        LIMIT 1
    ) AS last_try ON true;
    PERFORM set_config('response.headers', json_build_array(
        json_build_object('Cache-Control', 'private, max-age=0, must-revalidate'),
        json_build_object('ETag', format('W/"%s"', md5(
            v_views::text || (SELECT engine_state.data_version FROM analytics.engine_state)
        )))
    )::text, true);
    RETURN json_build_object(
        'views', v_views,
        'row_counts', v_row_counts,
        'checked_at', analytics.iso_instant(analytics.now())
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM analytics.raise_timeout();
        RETURN NULL;
END;
$status$;

COMMENT ON FUNCTION api.status() IS
'Every materialized view: rows, bytes, last refresh and its result, age in seconds, changed '
'keys that wait, definition.';

REVOKE ALL ON FUNCTION api.status() FROM public;
GRANT EXECUTE ON FUNCTION api.status() TO analytics_lector, analytics_operador;
