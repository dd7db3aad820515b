-- What make migrate applied.
--
-- Shows kpi_engine.migration_ledger. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.migration_ledger AS
SELECT
    migration_ledger.name,
    migration_ledger.kind,
    migration_ledger.version,
    migration_ledger.file,
    migration_ledger.checksum,
    migration_ledger.text_checksum,
    migration_ledger.duration_ms,
    migration_ledger.applied_by,
    migration_ledger.applied_at
FROM kpi_engine.migration_ledger;

REVOKE ALL ON analytics.migration_ledger FROM public;
GRANT SELECT ON analytics.migration_ledger TO analytics_operador;
