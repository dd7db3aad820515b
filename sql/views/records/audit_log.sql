-- What the self-audit found.
--
-- Shows kpi_engine.audit_log. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.audit_log AS
SELECT
    audit_log.audit_id,
    audit_log.audited_at,
    audit_log.table_name,
    audit_log.local_day,
    audit_log.column_name,
    audit_log.cells,
    audit_log.is_healed
FROM kpi_engine.audit_log;

REVOKE ALL ON analytics.audit_log FROM public;
GRANT SELECT ON analytics.audit_log TO analytics_lector, analytics_operador;
