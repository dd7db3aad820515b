-- Appends schema analytics to the search_path of the database.

CREATE FUNCTION pg_temp.release_search_path(p_path text, p_before text)
RETURNS void
LANGUAGE plpgsql
AS $release_search_path$
DECLARE
    v_after text;
BEGIN
    IF EXISTS (
        SELECT FROM kpi_engine.path_elements(p_path) AS elements
        WHERE elements.schema_name = 'analytics'
    ) THEN
        RETURN;
    END IF;
    v_after := concat_ws(', ', (
        SELECT p_path WHERE EXISTS (SELECT FROM kpi_engine.path_elements(p_path) AS elements)
    ), 'analytics');
    BEGIN
        PERFORM set_config('search_path', v_after, true);
        EXECUTE format(
            'ALTER DATABASE %I SET search_path FROM CURRENT', pg_catalog.current_database()
        );
        PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role % may not set the search_path of database %; nothing was changed',
            current_user, current_database()
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('Have the owner of the database run: ALTER DATABASE %I SET search_path = %s;',
                      current_database(), v_after);
    END;
    PERFORM set_config('role', 'analytics_owner', true);
    UPDATE kpi_engine.installation SET
        search_path_before = p_before, search_path_after = v_after;
    PERFORM set_config('role', (SELECT release_run.migrator FROM pg_temp.release_run), true);
    INSERT INTO pg_temp.release_changes (change)
    VALUES ('appended analytics to the search_path of the database');
END;
$release_search_path$;
