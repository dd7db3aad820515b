-- Appends schema analytics to the search_path of the database.

CREATE FUNCTION pg_temp.release_search_path()
RETURNS void
LANGUAGE plpgsql
AS $release_search_path$
DECLARE
    v_after constant text := pg_temp.release_wanted_path();
BEGIN
    IF v_after IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('role', 'analytics_owner', true);
    UPDATE kpi_engine.installation SET
        search_path_before = (
            SELECT before.value FROM kpi_engine.database_search_path() AS before (value)
        ),
        search_path_after = v_after;
    PERFORM set_config('role', (SELECT release_run.migrator FROM pg_temp.release_run), true);
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
    INSERT INTO pg_temp.release_changes (change)
    VALUES ('appended analytics to the search_path of the database');
END;
$release_search_path$;
