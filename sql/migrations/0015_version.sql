-- The version of the package that the database has.

ALTER TABLE kpi_engine.installation ADD COLUMN version text;
COMMENT ON COLUMN kpi_engine.installation.version IS
'Version of teloo-analytics that was installed last, such as 0.1.0.';
