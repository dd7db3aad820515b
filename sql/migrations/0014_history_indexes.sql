-- Keys of rows (jsonb) have an index for views with a time alone: there single rows are looked up,
-- and few change. In the others, such as the ranking, nearly all rows change each day, and that
-- index took half of the time to write them.

ALTER TABLE kpi_engine.published_rows DROP CONSTRAINT published_rows_pkey;
CREATE UNIQUE INDEX published_rows_by_key ON kpi_engine.published_rows (view_name, row_key, run_id)
WHERE period IS NOT NULL;
DROP INDEX kpi_engine.published_rows_by_run;
CREATE INDEX published_rows_by_run ON kpi_engine.published_rows (view_name, run_id);
-- Without a primary key, a publication of all tables would keep rows from being deleted.
ALTER TABLE kpi_engine.published_rows REPLICA IDENTITY FULL;
