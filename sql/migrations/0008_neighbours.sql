-- Neighbours in the same database: publications, dumps.

-- A table in a publication (FOR ALL TABLES, FOR TABLES IN SCHEMA) refuses UPDATE and DELETE unless
-- its rows can be told apart. These have no key, on purpose: an index would cost the writers. With
-- wal_level below logical this changes nothing in what is written.
ALTER TABLE kpi_engine.change_log REPLICA IDENTITY FULL;
ALTER TABLE kpi_engine.own_scans REPLICA IDENTITY FULL;
-- Unlogged, so in no publication; but nobody has to know that.
ALTER TABLE kpi_engine.changed_solicitud_facts REPLICA IDENTITY FULL;
ALTER TABLE kpi_engine.changed_asesor_rows REPLICA IDENTITY FULL;

-- Emptied by DELETE, since TRUNCATE would make a parallel dump fail: vacuum has to follow.
ALTER TABLE kpi_engine.changed_solicitud_facts SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000
);
ALTER TABLE kpi_engine.changed_asesor_rows SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000
);
ALTER TABLE kpi_engine.changed_asesor_ids SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000
);
