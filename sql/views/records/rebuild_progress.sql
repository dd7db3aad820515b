-- How far the rebuild is that is under way or was interrupted. No row: there is none.

CREATE OR REPLACE VIEW analytics.rebuild_progress AS
SELECT
    count(rebuild_batches.finished_at) AS batches_done,
    count(*) AS batches,
    coalesce(
        sum(rebuild_batches.requests) FILTER (WHERE rebuild_batches.finished_at IS NOT NULL), 0
    ) AS requests_done,
    sum(rebuild_batches.requests) AS requests,
    kpi_engine.percentage(
        coalesce(
            sum(rebuild_batches.requests) FILTER (
                WHERE rebuild_batches.finished_at IS NOT NULL
            ), 0
        ),
        sum(rebuild_batches.requests)
    ) AS done_pct,
    min(rebuild_batches.started_at) AS started_at,
    max(rebuild_batches.finished_at) AS last_batch_at,
    sum(rebuild_batches.finished_at - rebuild_batches.started_at)
    * (
        sum(rebuild_batches.requests)
        / nullif(
            sum(rebuild_batches.requests) FILTER (
                WHERE rebuild_batches.finished_at IS NOT NULL
            ), 0
        ) - 1
    )::double precision AS about_left
FROM kpi_engine.rebuild_batches
HAVING count(*) > 0;

COMMENT ON VIEW analytics.rebuild_progress IS
'Progress of the rebuild that is under way or was interrupted; no row when there is none. '
'about_left: by the batches so far, without the completion. It is under way while a session '
'holds the refresh lock (pg_locks).';

REVOKE ALL ON analytics.rebuild_progress FROM public;
GRANT SELECT ON analytics.rebuild_progress TO analytics_lector, analytics_operador;
