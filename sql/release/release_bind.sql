-- Binds the operational tables: finds them, grants, writes the src_ views.

CREATE FUNCTION pg_temp.release_bind()
RETURNS void
LANGUAGE plpgsql
AS $release_bind$
DECLARE
    v_run record;
    v_schema text;
    v_schemas text[];
    v_generations text[];
    v_had_origins constant boolean := EXISTS (SELECT FROM kpi_engine.origins);
    v_moved record;
BEGIN
    SELECT * INTO STRICT v_run FROM pg_temp.release_run;
    IF cardinality(v_run.asked_schemas) > (
        SELECT count(DISTINCT asked.name) FROM unnest(v_run.asked_schemas) AS asked (name)
    ) THEN
        RAISE EXCEPTION 'source_schema names a schema twice; nothing was changed'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT array_agg(found.source_schema), array_agg(found.source_generation)
    INTO v_schemas, v_generations
    FROM unnest(coalesce(v_run.asked_schemas, kpi_engine.bound_schemas())) AS wanted (name)
    CROSS JOIN LATERAL kpi_engine.find_source(wanted.name) AS found;
    IF kpi_engine.note_sources(v_schemas, v_generations) THEN
        INSERT INTO pg_temp.release_changes (change)
        SELECT format('bound schema %s, generation %s', found.source_schema, found.generation)
        FROM unnest(v_schemas, v_generations) AS found (source_schema, generation);
        IF v_had_origins OR cardinality(v_schemas) > 1 THEN
            -- What is computed from the source is computed for each origin.
            INSERT INTO pg_temp.release_moved (name)
            SELECT release_files.name FROM pg_temp.release_files
            WHERE
                release_files.derived_table IS NOT NULL
                AND EXISTS (
                    SELECT FROM unnest(release_files.named) AS named (name)
                    WHERE starts_with(named.name, 'kpi_engine.src_')
                );
        END IF;
    END IF;

    INSERT INTO pg_temp.release_files
        (place, name, kind, contents, checksum, text_checksum, needs_source)
    SELECT
        100000 + definitions.place,
        'kpi_engine.' || definitions.view_name,
        'source view',
        definitions.definition,
        encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex'),
        encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex'),
        false
    FROM kpi_engine.source_definitions() WITH ORDINALITY
        AS definitions (view_name, source_schema, table_name, definition, place);
    FOREACH v_schema IN ARRAY v_schemas LOOP
        PERFORM pg_temp.release_meet('source', false, v_schema, ARRAY(
            SELECT definitions.table_name FROM kpi_engine.source_definitions() AS definitions
            WHERE definitions.source_schema = v_schema
        ));
    END LOOP;

    FOR v_moved IN SELECT moved.object_name, moved.message FROM kpi_engine.moved_objects() AS moved LOOP
        RAISE WARNING '%', v_moved.message;
        INSERT INTO pg_temp.release_moved (name) VALUES (v_moved.object_name);
    END LOOP;

    PERFORM pg_temp.release_apply_all(false, ARRAY['source view']);

    IF kpi_engine.confirm_binding() THEN
        INSERT INTO pg_temp.release_changes (change) VALUES ('noted what the source views read');
    END IF;
END;
$release_bind$;
