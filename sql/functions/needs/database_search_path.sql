-- Returns the search_path that ALTER DATABASE … SET gave this database.
--
-- Invariant: NULL if and only if the database has none of its own. migrate runs this query from the
-- file.

CREATE OR REPLACE FUNCTION kpi_engine.database_search_path()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $database_search_path$
    SELECT substr(given.setting, length('search_path=') + 1)
    FROM pg_db_role_setting
    INNER JOIN pg_database ON pg_database.oid = pg_db_role_setting.setdatabase
    CROSS JOIN unnest(pg_db_role_setting.setconfig) AS given (setting)
    WHERE
        pg_db_role_setting.setrole = 0
        AND pg_database.datname = current_database()
        AND starts_with(given.setting, 'search_path=');
$database_search_path$;

COMMENT ON FUNCTION kpi_engine.database_search_path() IS
'The search_path that the database itself sets, or NULL. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.database_search_path() FROM public;
