-- What refreshes did.
--
-- Shows kpi_engine.refresh_log. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.refresh_log AS
SELECT
    refresh_log.log_id,
    refresh_log.run_id,
    refresh_log.view_name,
    refresh_log.triggered_by,
    refresh_log.requested_by,
    refresh_log.mode,
    refresh_log.started_at,
    refresh_log.finished_at,
    refresh_log.refresh_status,
    refresh_log.refresh_time_ms,
    refresh_log.rows_affected,
    refresh_log.error_message,
    refresh_log.error_sqlstate,
    refresh_log.reason,
    refresh_log.requests_recomputed,
    refresh_log.data_version
FROM kpi_engine.refresh_log;

REVOKE ALL ON analytics.refresh_log FROM public;
GRANT SELECT ON analytics.refresh_log TO analytics_lector, analytics_operador;
