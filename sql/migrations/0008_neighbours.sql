-- Neighbours in the same database: publications, dumps.

-- A table in a publication (FOR ALL TABLES, FOR TABLES IN SCHEMA) refuses UPDATE and DELETE unless
-- its rows can be told apart. These have no key, on purpose: an index would cost the writers. With
-- wal_level below logical this changes nothing in what is written.
ALTER TABLE kpi_engine.change_log REPLICA IDENTITY FULL;
ALTER TABLE kpi_engine.own_scans REPLICA IDENTITY FULL;
