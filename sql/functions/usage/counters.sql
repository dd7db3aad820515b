-- Returns the values of the counters of GET /metrics.
--
-- Invariant: a counter never falls. kpi_engine.trim_logs() adds the lines that it removes to
-- kpi_engine.trimmed_counts.

CREATE OR REPLACE FUNCTION kpi_engine.counters()
RETURNS TABLE (metric text, labels jsonb, number numeric)
LANGUAGE sql
STABLE PARALLEL SAFE
ROWS 20
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $counters$
    SELECT counted.metric, counted.labels, sum(counted.number)
    FROM (
        SELECT counter.metric, counter.labels, lines.number
        FROM (
            SELECT
                refresh_log.view_name,
                refresh_log.triggered_by,
                refresh_log.mode,
                refresh_log.refresh_status,
                refresh_log.error_sqlstate,
                count(*) AS number
            FROM kpi_engine.refresh_log
            GROUP BY 1, 2, 3, 4, 5
        ) AS lines
        CROSS JOIN LATERAL kpi_engine.counted_as(
            lines.view_name, lines.triggered_by, lines.mode, lines.refresh_status,
            lines.error_sqlstate
        ) AS counter
        WHERE counter.metric IS NOT NULL
        UNION ALL
        SELECT 'drift_cells_total', '{}', coalesce(sum(audit_log.cells), 0)
        FROM kpi_engine.audit_log
        UNION ALL
        SELECT trimmed_counts.metric, trimmed_counts.labels, trimmed_counts.number
        FROM kpi_engine.trimmed_counts
    ) AS counted
    GROUP BY counted.metric, counted.labels;
$counters$;

COMMENT ON FUNCTION kpi_engine.counters() IS
'The counters of GET /metrics: name without prefix, labels, and what was counted since the '
'installation. Internal to api.metrics().';

REVOKE ALL ON FUNCTION kpi_engine.counters() FROM public;
