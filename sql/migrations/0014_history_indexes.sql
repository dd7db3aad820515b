-- The history is found by publish and by period: an index over the keys of rows (jsonb) took half of
-- the time that a publish needs to write it.

ALTER TABLE kpi_engine.published_rows DROP CONSTRAINT published_rows_pkey;
DROP INDEX kpi_engine.published_rows_by_run;
CREATE INDEX published_rows_by_run ON kpi_engine.published_rows (view_name, run_id);
DROP INDEX kpi_engine.published_rows_by_period;
CREATE INDEX published_rows_by_period ON kpi_engine.published_rows (view_name, period, run_id)
WHERE period IS NOT NULL;
