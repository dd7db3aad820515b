-- Several operational databases in one: a schema for each of them.

CREATE TABLE kpi_engine.origins (
    number smallint PRIMARY KEY CHECK (number > 0),
    source_schema text NOT NULL UNIQUE,
    source_generation text NOT NULL CHECK (source_generation IN ('A', 'B'))
);
COMMENT ON TABLE kpi_engine.origins IS
'The schemas of the operational tables, if there are several; empty if there is one, which '
'kpi_engine.installation names. make migrate writes it, by SOURCE_SCHEMA=bogota,medellin.';
COMMENT ON COLUMN kpi_engine.origins.number IS
'Number of the origin, which stays: the views kpi_engine.src_<number>_… read its tables.';
COMMENT ON COLUMN kpi_engine.origins.source_schema IS
'Schema of the operational tables, and name of the origin.';
COMMENT ON COLUMN kpi_engine.origins.source_generation IS
'Generation of the tables in this schema, A or B (docs/source.md).';
