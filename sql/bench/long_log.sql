-- A refresh log as of a refresh a minute for over two months: a run and two views each time.
INSERT INTO kpi_engine.refresh_log (
    run_id, view_name, triggered_by, requested_by, mode, started_at, finished_at,
    refresh_status, refresh_time_ms, rows_affected
)
SELECT
    -number AS run_id,
    view_name,
    'manual' AS triggered_by,
    'bench' AS requested_by,
    'incremental' AS mode,
    clock_timestamp() AS started_at,
    clock_timestamp() AS finished_at,
    'SUCCESS' AS refresh_status,
    10 AS refresh_time_ms,
    (SELECT count(*) FROM analytics.mv_ranking_asesores) AS rows_affected
FROM generate_series(1, 100000) AS number
CROSS JOIN (VALUES ('mv_metricas_mensuales'), ('mv_ranking_asesores'), (NULL)) AS line (view_name);
