-- Binds the operational tables: finds them, grants, writes the src_ views.

CREATE FUNCTION pg_temp.release_bind()
RETURNS void
LANGUAGE plpgsql
AS $release_bind$
DECLARE
    v_run record;
    v_schema text;
    v_source record;
    v_found text[];
    v_moved record;
BEGIN
    SELECT * INTO STRICT v_run FROM pg_temp.release_run;
    SELECT coalesce(v_run.asked_schema, installation.source_schema) INTO v_schema
    FROM kpi_engine.installation;
    IF v_run.asked_schema IS NULL AND to_regnamespace(quote_ident(v_schema)) IS NULL THEN
        -- Renamed as a whole: every src_ view reads a table of the same schema.
        v_found := ARRAY(
            SELECT DISTINCT pg_namespace.nspname::text
            FROM pg_rewrite
            INNER JOIN pg_class AS view ON view.oid = pg_rewrite.ev_class
            INNER JOIN pg_depend
                ON pg_depend.classid = 'pg_rewrite'::regclass
                AND pg_depend.objid = pg_rewrite.oid
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.refobjid <> view.oid
            INNER JOIN pg_class AS source ON source.oid = pg_depend.refobjid
            INNER JOIN pg_namespace ON pg_namespace.oid = source.relnamespace
            WHERE
                view.relnamespace = 'kpi_engine'::regnamespace
                AND view.relname IN (
                    SELECT contract.view_name FROM kpi_engine.source_contract() AS contract
                )
        );
        IF cardinality(v_found) = 1 THEN
            v_schema := v_found[1];
        END IF;
    END IF;
    SELECT found.* INTO STRICT v_source FROM kpi_engine.find_source(v_schema) AS found;

    INSERT INTO pg_temp.release_files
        (place, name, kind, contents, checksum, text_checksum, needs_source)
    SELECT
        100000 + row_number() OVER (),
        'kpi_engine.' || definitions.view_name,
        'source view',
        definitions.definition,
        encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex'),
        encode(sha256(convert_to(definitions.definition, 'UTF8')), 'hex'),
        false
    FROM kpi_engine.source_view_definitions(
        v_source.source_schema, v_source.source_generation
    ) AS definitions;
    v_found := ARRAY(
        SELECT definitions.table_name
        FROM kpi_engine.source_view_definitions(
            v_source.source_schema, v_source.source_generation
        ) AS definitions
    );
    PERFORM set_config('role', v_run.migrator, true);
    PERFORM pg_temp.release_meet('source', false, v_source.source_schema, v_found);
    PERFORM set_config('role', 'analytics_owner', true);

    UPDATE kpi_engine.installation SET
        source_schema = v_source.source_schema,
        source_generation = v_source.source_generation
    WHERE
        (installation.source_schema, installation.source_generation)
        IS DISTINCT FROM (v_source.source_schema, v_source.source_generation);
    IF FOUND THEN
        INSERT INTO pg_temp.release_changes (change) VALUES (format(
            'bound schema %s, generation %s', v_source.source_schema, v_source.source_generation
        ));
    END IF;
    FOR v_moved IN
        SELECT DISTINCT problems.view_name, problems.message
        FROM analytics.source_problems() AS problems
        WHERE problems.view_name IS NOT NULL
        ORDER BY problems.view_name, problems.message
    LOOP
        RAISE WARNING '%: bound again, the next refresh computes everything', v_moved.message;
        INSERT INTO pg_temp.release_moved (name) VALUES ('kpi_engine.' || v_moved.view_name);
    END LOOP;

    PERFORM pg_temp.release_apply_all(false, ARRAY['source view']);

    IF (
        SELECT engine_state.database_identity <> kpi_engine.database_identity()
        FROM kpi_engine.engine_state
    ) THEN
        -- Restored from a dump: the tables have other numbers and are the same.
        PERFORM kpi_engine.settle_source();
        PERFORM kpi_engine.recognize_database();
    ELSIF kpi_engine.note_source_binding() THEN
        INSERT INTO pg_temp.release_changes (change) VALUES ('noted what the source views read');
    END IF;
    PERFORM kpi_engine.require_source();
END;
$release_bind$;
