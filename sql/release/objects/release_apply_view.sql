-- Creates or replaces a plain view.

CREATE FUNCTION pg_temp.release_apply_view(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_apply_view$
DECLARE
    v_before constant text := pg_temp.release_relation_kind(p_name);
    v_is_replaced boolean := true;
BEGIN
    IF v_before = 'VIEW' THEN
        EXECUTE format('REVOKE ALL ON %s FROM %s', pg_temp.release_quoted(p_name), (
            SELECT string_agg(roles.role_name, ', ' ORDER BY roles.place)
            FROM kpi_engine.package_roles() AS roles WHERE roles.role_name <> 'analytics_owner'
        ));
        PERFORM pg_temp.release_forget_comments(p_name, 'view');
    END IF;
    BEGIN
        PERFORM pg_temp.release_execute(p_name);
    EXCEPTION
        WHEN invalid_function_definition OR invalid_table_definition OR wrong_object_type THEN
            v_is_replaced := false;
    END;
    IF NOT v_is_replaced THEN
        PERFORM pg_temp.release_set_aside(v_before, pg_temp.release_quoted(p_name), p_name);
        PERFORM pg_temp.release_execute(p_name);
    END IF;
END;
$release_apply_view$;
