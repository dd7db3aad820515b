-- Shows the progress of the rebuild that runs or was interrupted. No row: there is none.

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
'Progress of the rebuild that runs or was interrupted. No row: there is none. It runs while a '
'session holds the refresh lock (pg_locks).';
COMMENT ON COLUMN analytics.rebuild_progress.batches_done IS
'Batches that are finished.';
COMMENT ON COLUMN analytics.rebuild_progress.batches IS
'All batches of the rebuild.';
COMMENT ON COLUMN analytics.rebuild_progress.requests_done IS
'Requests in the finished batches.';
COMMENT ON COLUMN analytics.rebuild_progress.requests IS
'Requests in all batches.';
COMMENT ON COLUMN analytics.rebuild_progress.done_pct IS
'Finished requests in percent.';
COMMENT ON COLUMN analytics.rebuild_progress.started_at IS
'Start of the first batch.';
COMMENT ON COLUMN analytics.rebuild_progress.last_batch_at IS
'End of the last finished batch; NULL before.';
COMMENT ON COLUMN analytics.rebuild_progress.about_left IS
'Estimated time for the other batches, without the completion. NULL before the first batch is '
'finished.';

REVOKE ALL ON analytics.rebuild_progress FROM public;
GRANT SELECT ON analytics.rebuild_progress TO analytics_lector, analytics_operador;
