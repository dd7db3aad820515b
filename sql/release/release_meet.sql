-- Meets the needs of a purpose, or raises an error with all statements that this role may not run.

CREATE FUNCTION pg_temp.release_meet(
    p_purpose text, p_is_optional boolean, p_schema text DEFAULT NULL, p_tables text[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $release_meet$
DECLARE
    v_role constant text := current_setting('role');
    v_run record;
    v_statement text;
    v_refused text[];
BEGIN
    SELECT * INTO STRICT v_run FROM pg_temp.release_run;
    -- What a schema needs, its owner may give.
    PERFORM set_config('role', CASE p_purpose
        WHEN 'usage of schemas' THEN 'analytics_owner' ELSE v_run.migrator
    END, true);
    FOREACH v_statement IN ARRAY ARRAY(
        SELECT needs.statement FROM pg_temp.release_needs(p_purpose, p_schema, p_tables) AS needs
        WHERE NOT needs.is_met
    )
    LOOP
        BEGIN
            EXECUTE v_statement;
            INSERT INTO pg_temp.release_changes (change) VALUES (v_statement);
        EXCEPTION
            WHEN insufficient_privilege OR invalid_schema_name OR undefined_table
                OR invalid_grant_operation OR undefined_object THEN
                NULL;
        END;
    END LOOP;
    -- A GRANT without the right to grant is only a warning, so they are asked again.
    v_refused := ARRAY(
        SELECT needs.statement || ';'
        FROM pg_temp.release_needs(p_purpose, p_schema, p_tables) AS needs
        WHERE NOT needs.is_met
    );
    PERFORM set_config('role', v_role, true);
    IF v_refused = '{}' THEN
        RETURN;
    END IF;
    IF p_is_optional THEN
        RAISE WARNING 'teloo-analytics: role % may not run: %', session_user,
            array_to_string(v_refused, ' ')
            USING HINT = 'Everything else works. Have a superuser run it.';
        RETURN;
    END IF;
    -- What the later steps need too, so that somebody else is asked once.
    IF p_purpose = 'roles' THEN
        v_refused := v_refused || ARRAY(
            SELECT needs.statement || ';'
            FROM unnest(ARRAY[
                'create', 'schemas', 'source', 'search_path', 'cancel', 'usage', 'log'
            ]) WITH ORDINALITY AS later (purpose, place)
            CROSS JOIN unnest(CASE later.purpose
                WHEN 'source' THEN coalesce(v_run.asked_schemas, ARRAY['public', 'teloo'])
                ELSE ARRAY['']
            END) AS schema_name
            CROSS JOIN LATERAL pg_temp.release_needs(
                later.purpose, schema_name, v_run.contract_tables
            ) WITH ORDINALITY AS needs (is_met, statement, number)
            WHERE NOT needs.is_met
            ORDER BY later.place, schema_name, needs.number
        );
    ELSIF EXISTS (
        SELECT FROM pg_temp.release_changes WHERE release_changes.change LIKE 'CREATE ROLE %'
    ) THEN
        -- The error takes the roles of this transaction back, and the statements name them.
        v_refused := ARRAY(
            SELECT release_changes.change || ';' FROM pg_temp.release_changes
            WHERE release_changes.change ~ '^(CREATE ROLE|ALTER ROLE|GRANT analytics_\w+ TO) '
            ORDER BY release_changes.place
        ) || v_refused;
    END IF;
    RAISE EXCEPTION 'role % lacks rights for teloo-analytics (%); nothing was changed',
        session_user, p_purpose
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = array_to_string(v_refused, E'\n'),
              HINT = 'Have a role that may (such as a superuser) run these statements, then try again.';
END;
$release_meet$;
