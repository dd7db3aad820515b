-- Tables that no subscription brought, beside others that one did.

CREATE TABLE kpi_engine.absent_tables (
    source_schema text NOT NULL,
    table_name text NOT NULL,
    PRIMARY KEY (source_schema, table_name)
);
COMMENT ON TABLE kpi_engine.absent_tables IS
'Operational tables that a tick or a refresh saw absent (kpi_engine.followed), until a '
'subscription has copied them or somebody says that it is meant. One that comes without a copy '
'lacks its rows.';
COMMENT ON COLUMN kpi_engine.absent_tables.source_schema IS 'As in kpi_engine.followed().';
COMMENT ON COLUMN kpi_engine.absent_tables.table_name IS 'As in kpi_engine.followed().';
REVOKE ALL ON kpi_engine.absent_tables FROM public;
