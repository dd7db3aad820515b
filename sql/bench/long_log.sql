-- A refresh log as of a refresh a minute for over two months: a run and two views each time.
INSERT INTO analytics.refresh_log (
    run_id, view_name, triggered_by, requested_by, mode, started_at, finished_at,
    refresh_status, refresh_time_ms, rows_affected
)
SELECT
    -number AS run_id,
    line.view_name,
    'manual',
    'bench',
    'incremental',
    clock_timestamp(),
    clock_timestamp(),
    'SUCCESS',
    10,
    (SELECT count(*) FROM analytics.mv_ranking_asesores)
FROM generate_series(1, 100000) AS number
CROSS JOIN (VALUES ('mv_metricas_mensuales'), ('mv_ranking_asesores'), (NULL)) AS line (view_name);
