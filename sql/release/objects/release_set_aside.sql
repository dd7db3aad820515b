-- Moves an object that can't be replaced out of the way, until nothing reads it.

CREATE FUNCTION pg_temp.release_set_aside(p_kind text, p_identity text, p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_set_aside$
DECLARE
    v_schema constant text := split_part(p_identity, '.', 1);
    -- A KPI view and its view of schema api have the same name.
    v_aside constant text := concat_ws('_', 'analytics_replaced', nullif(v_schema, 'analytics'));
BEGIN
    IF to_regnamespace(v_aside) IS NULL THEN
        PERFORM pg_temp.release_make_schema(v_aside);
    END IF;
    EXECUTE format('ALTER %s %s SET SCHEMA %s', p_kind, p_identity, v_aside);
    INSERT INTO pg_temp.release_aside (schema_name, identity, name) VALUES (
        v_aside,
        format('%s %s.%s', p_kind, v_aside, substr(p_identity, length(v_schema) + 2)),
        p_name
    );
END;
$release_set_aside$;
