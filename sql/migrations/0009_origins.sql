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

CREATE TABLE kpi_engine.origin_marks (
    origen text PRIMARY KEY,
    as_of timestamptz,
    counted_as_of timestamptz,
    was_behind boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE kpi_engine.origin_marks IS
'How far each of several origins was when a tick or a refresh looked last; empty if there is one.';
COMMENT ON COLUMN kpi_engine.origin_marks.origen IS
'Schema of the operational tables; the subscription, if several write into the same tables.';
COMMENT ON COLUMN kpi_engine.origin_marks.as_of IS
'What the origin had sent until then was here; NULL: never seen whole.';
COMMENT ON COLUMN kpi_engine.origin_marks.counted_as_of IS 'as_of at the last refresh.';
COMMENT ON COLUMN kpi_engine.origin_marks.was_behind IS
'Whether the origin was behind at the last refresh: until the next one the figures lack rows of '
'it.';
