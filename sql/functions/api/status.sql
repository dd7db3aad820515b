-- GET /materialized-views/status: each materialized view, its size and age.
--
-- Invariant: the ETag changes with everything in the answer except age_seconds, checked_at, sizes
-- and how far behind a subscription or an origin is, which change by themselves (autovacuum makes
-- or truncates files). The headers of freshness are those of the least fresh view.

CREATE OR REPLACE FUNCTION api.status()
RETURNS json
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
AS $status$
DECLARE
    v_lag text;
    v_waiting bigint;
    v_views json;
    v_row_counts json;
    v_tag text;
    v_replication json;
    -- What of it is in the ETag.
    v_subscriptions json;
    v_outside json;
    v_origins json;
    v_behind json;
    v_sites json;
BEGIN
    -- EXCEPTION does not catch errors of a query in DECLARE.
    v_lag := analytics.setting('replica_lag');
    v_waiting := kpi_engine.changes_waiting();
    v_outside := kpi_engine.outside_freshness();
    SELECT
        coalesce(
            json_agg(
                json_build_object(
                    'subscription', behind.subscription,
                    'is_enabled', behind.is_enabled,
                    'is_running', behind.is_running,
                    'is_failing', behind.is_failing,
                    'is_late', behind.is_late,
                    'copying', behind.copying,
                    'seconds_behind', behind.seconds_behind,
                    'bytes_behind', behind.bytes_behind,
                    'lost', behind.lost
                )
                ORDER BY behind.subscription
            ),
            '[]'
        ),
        json_agg(
            json_build_array(
                behind.subscription, behind.is_enabled, behind.is_running, behind.copying,
                behind.lost, behind.is_failing, behind.is_late
            )
            ORDER BY behind.subscription
        )
    INTO v_replication, v_subscriptions
    FROM (
        SELECT
            known.*,
            v_lag <> 'off' AND coalesce(
                -- No interval where it is off.
                known.seconds_behind > extract(EPOCH FROM nullif(v_lag, 'off')::interval), false
            ) AS is_late
        FROM analytics.replication() AS known
    ) AS behind;
    SELECT
        coalesce(
            json_agg(
                json_build_object(
                    'origen', origins.origen,
                    'subscriptions', origins.subscriptions,
                    'is_behind', origins.is_behind,
                    'cause', origins.cause,
                    'as_of', kpi_engine.iso_instant(origins.as_of),
                    'counted_as_of', kpi_engine.iso_instant(origins.counted_as_of),
                    'is_partial', origins.is_partial
                )
                ORDER BY origins.origen
            ),
            '[]'
        ),
        json_agg(
            json_build_array(
                origins.origen, origins.cause, origins.counted_as_of, origins.is_partial
            )
            ORDER BY origins.origen
        )
    INTO v_origins, v_behind
    FROM analytics.origins() AS origins;
    SELECT coalesce(
        json_agg(
            json_build_object(
                'site', hub_sites.site,
                'state', hub_sites.state,
                'message', coalesce(hub_sites.message, hub_sites.behind),
                'is_partial', counted.is_partial,
                'is_old', kpi_engine.is_stale(hub_sites.as_of),
                'as_of', kpi_engine.iso_instant(hub_sites.as_of),
                'taken_at', kpi_engine.iso_instant(hub_sites.taken_at)
            )
            ORDER BY hub_sites.site
        ),
        '[]'
    )
    INTO v_sites
    FROM kpi_engine.hub_sites
    INNER JOIN kpi_engine.counted_sites() AS counted ON counted.site = hub_sites.site;
    WITH views AS (
        SELECT
            stats.view_name,
            stats.is_populated,
            stats.row_count,
            stats.size_bytes,
            stats.last_refresh,
            last_try.refresh_status,
            last_try.refresh_time_ms,
            listed.has_unique_index,
            pg_get_viewdef(listed.relation) AS definition,
            view_state.published_version,
            view_state.calculated_at,
            coalesce(kpi_engine.is_stale(view_state.last_success_at), true) AS is_stale
        FROM analytics.get_mv_stats() AS stats
        INNER JOIN kpi_engine.materialized_views() AS listed USING (view_name)
        LEFT JOIN kpi_engine.view_state USING (view_name)
        LEFT JOIN LATERAL (
            SELECT refresh_log.*
            FROM kpi_engine.refresh_log
            WHERE refresh_log.view_name = stats.view_name
            ORDER BY refresh_log.log_id DESC
            LIMIT 1
        ) AS last_try ON true
    )

    SELECT
        coalesce(
            json_agg(
                json_build_object(
                    'schema', 'analytics',
                    'name', views.view_name,
                    'is_populated', views.is_populated,
                    'row_count', views.row_count,
                    'size_bytes', views.size_bytes,
                    'last_refresh', kpi_engine.iso_instant(views.last_refresh),
                    'last_status', views.refresh_status,
                    'last_duration_ms', views.refresh_time_ms,
                    'age_seconds', round(extract(EPOCH FROM analytics.now() - views.last_refresh)),
                    'pending_changes', v_waiting,
                    'has_unique_index', views.has_unique_index,
                    'definition', views.definition
                )
                ORDER BY views.view_name
            ),
            '[]'
        ),
        coalesce(json_object_agg(views.view_name, views.row_count ORDER BY views.view_name), '{}'),
        md5(concat(
            v_waiting, v_subscriptions, v_behind, v_outside, nullif(v_sites::text, '[]'),
            json_agg(to_jsonb(views) - 'size_bytes' ORDER BY views.view_name)
        ))
    INTO v_views, v_row_counts, v_tag
    FROM views;
    PERFORM kpi_engine.begin_reading_all(v_tag);
    RETURN json_build_object(
        'views', v_views,
        'row_counts', v_row_counts,
        'replication', v_replication,
        'outside_sources', v_outside,
        'origins', v_origins,
        'sites', v_sites,
        'checked_at', kpi_engine.iso_instant(analytics.now())
    );
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('status', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$status$;

COMMENT ON FUNCTION api.status() IS
'Each materialized view: rows, bytes, last refresh and its result, age in seconds, pending '
'changed keys, definition. The subscriptions that bring the operational tables. The origins of the '
'figures, if there are several. The tables of other services behind the views. At a hub, its '
'sites.';

REVOKE ALL ON FUNCTION api.status() FROM public;
GRANT EXECUTE ON FUNCTION api.status() TO analytics_lector, analytics_operador;
