-- Creates or replaces a function; other functions of its name are taken away.

CREATE FUNCTION pg_temp.release_apply_function(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_apply_function$
DECLARE
    v_identity text;
    v_row_version text;
    v_before jsonb;
    v_identities text[] := ARRAY(SELECT found.identity FROM pg_temp.release_identities(p_name) AS found);
BEGIN
    IF v_identities = '{}' THEN
        PERFORM pg_temp.release_execute(p_name);
        RETURN;
    END IF;
    -- The file grants again what it still grants.
    FOREACH v_identity IN ARRAY v_identities LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', v_identity, (
            SELECT string_agg(roles.role_name, ', ' ORDER BY roles.place)
            FROM kpi_engine.package_roles() AS roles WHERE roles.role_name <> 'analytics_owner'
        ));
    END LOOP;
    PERFORM pg_temp.release_forget_comments(p_name, 'function');
    SELECT jsonb_object_agg(found.identity, found.row_version) INTO v_before
    FROM pg_temp.release_identities(p_name) AS found;
    BEGIN
        PERFORM pg_temp.release_execute(p_name);
        INSERT INTO pg_temp.release_changed_functions (name) VALUES (p_name);
    EXCEPTION
        WHEN invalid_function_definition OR invalid_table_definition OR wrong_object_type THEN
            v_before := '{}';
    END;
    IF v_before = '{}' THEN
        FOREACH v_identity IN ARRAY v_identities LOOP
            PERFORM pg_temp.release_set_aside('ROUTINE', v_identity, p_name);
        END LOOP;
        PERFORM pg_temp.release_execute(p_name);
    END IF;
    FOR v_identity, v_row_version IN
        SELECT before.key, before.value FROM jsonb_each_text(v_before) AS before
        INNER JOIN pg_temp.release_identities(p_name) AS present
            ON present.identity = before.key AND present.row_version = before.value
    LOOP
        PERFORM pg_temp.release_set_aside('ROUTINE', v_identity, p_name);
    END LOOP;
END;
$release_apply_function$;
