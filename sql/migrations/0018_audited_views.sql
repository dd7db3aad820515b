-- The self-audit compares KPI views, too.

COMMENT ON TABLE kpi_engine.audit_log IS
'Differences that the self-audit found: of the derived tables from the source, of the KPI views '
'from their definitions. Empty is well.';
COMMENT ON COLUMN kpi_engine.audit_log.table_name IS 'Derived table or KPI view.';
COMMENT ON COLUMN kpi_engine.audit_log.local_day IS
'Local day of the facts, or first day of the week or month; NULL for advisors.';
