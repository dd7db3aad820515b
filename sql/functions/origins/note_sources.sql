-- Notes which schemas the operational tables are in.
--
-- Invariant: an origin keeps its number while it is there, because its views are called by it. One
-- schema alone is no origin: then kpi_engine.origins is empty, and everything is as without it.

CREATE OR REPLACE FUNCTION kpi_engine.note_sources(p_schemas text[], p_generations text[])
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_sources$
DECLARE
    v_before constant text := (
        SELECT string_agg(
            concat_ws(' ', sources.number, sources.source_schema, sources.source_generation), ','
        )
        FROM kpi_engine.sources()
    );
    v_next constant smallint := (
        SELECT coalesce(max(origins.number), 0) FROM kpi_engine.origins
    );
BEGIN
    UPDATE kpi_engine.installation SET
        source_schema = p_schemas[1],
        source_generation = p_generations[1]
    WHERE
        (installation.source_schema, installation.source_generation)
        IS DISTINCT FROM (p_schemas[1], p_generations[1]);
    DELETE FROM kpi_engine.origins
    WHERE cardinality(p_schemas) = 1 OR origins.source_schema <> ALL (p_schemas);
    IF cardinality(p_schemas) > 1 THEN
        INSERT INTO kpi_engine.origins AS known (number, source_schema, source_generation)
        SELECT
            coalesce(origins.number, (v_next + wanted.place)::smallint),
            wanted.source_schema,
            wanted.source_generation
        FROM unnest(p_schemas, p_generations)
            WITH ORDINALITY AS wanted (source_schema, source_generation, place)
        LEFT JOIN kpi_engine.origins ON origins.source_schema = wanted.source_schema
        ON CONFLICT (source_schema) DO UPDATE SET source_generation = excluded.source_generation
        WHERE known.source_generation <> excluded.source_generation;
    END IF;
    RETURN v_before IS DISTINCT FROM (
        SELECT string_agg(
            concat_ws(' ', sources.number, sources.source_schema, sources.source_generation), ','
        )
        FROM kpi_engine.sources()
    );
END;
$note_sources$;

COMMENT ON FUNCTION kpi_engine.note_sources(text[], text[]) IS
'Notes the schemas of the operational tables and the generation of each; true where they are '
'others than before. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.note_sources(text[], text[]) FROM public;
