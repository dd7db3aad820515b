-- What is needed for a purpose, and the statement that meets each need.

CREATE FUNCTION pg_temp.release_needs(p_purpose text, p_schema text, p_tables text[])
RETURNS TABLE (is_met boolean, statement text)
LANGUAGE plpgsql
AS $release_needs$
DECLARE
    v_migrator constant text := (SELECT release_run.migrator FROM pg_temp.release_run);
    v_is_16 constant boolean := current_setting('server_version_num')::integer >= 160000;
    v_right constant text := CASE WHEN v_is_16 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    RETURN QUERY
    SELECT needs.is_met, needs.statement
    FROM kpi_engine.package_needs() AS needs
    WHERE needs.purpose = p_purpose;
    IF p_purpose = 'roles' THEN
        RETURN QUERY SELECT
            coalesce(
                pg_has_role(v_migrator, to_regrole('analytics_owner')::oid, v_right), false
            ),
            format(
                'GRANT analytics_owner TO %I%s', v_migrator,
                CASE WHEN v_is_16 THEN ' WITH SET TRUE, INHERIT TRUE' ELSE '' END
            );
    ELSIF p_purpose = 'create' THEN
        RETURN QUERY SELECT
            has_database_privilege(v_migrator, current_database(), 'CREATE'),
            format('GRANT CREATE ON DATABASE %I TO %I', current_database(), v_migrator);
    ELSIF p_purpose = 'search_path' THEN
        RETURN QUERY
        SELECT
            pg_has_role(v_migrator, pg_database.datdba, 'USAGE'),
            format('ALTER DATABASE %I SET search_path = %s', current_database(), wanted.path)
        FROM pg_temp.release_wanted_path() AS wanted (path)
        INNER JOIN pg_database ON pg_database.datname = current_database()
        WHERE wanted.path IS NOT NULL;
    ELSIF p_purpose = 'source' THEN
        RETURN QUERY
        SELECT needs.is_met, needs.statement
        FROM kpi_engine.source_needs(p_schema, p_tables) AS needs;
    ELSIF p_purpose = 'limits' THEN
        -- The scheduler's jobs have no limit of a database or a server; somebody's choice stays.
        RETURN QUERY
        SELECT
            EXISTS (
                SELECT FROM pg_roles CROSS JOIN unnest(pg_roles.rolconfig) AS given (setting)
                WHERE
                    pg_roles.rolname = 'analytics_scheduler'
                    AND starts_with(given.setting, limits.name || '=')
            )
            OR (
                SELECT pg_settings.boot_val = pg_settings.reset_val FROM pg_settings
                WHERE pg_settings.name = limits.name
            )
            AND NOT EXISTS (
                SELECT FROM pg_db_role_setting
                CROSS JOIN unnest(pg_db_role_setting.setconfig) AS given (setting)
                WHERE
                    pg_db_role_setting.setrole = 0
                    AND starts_with(given.setting, limits.name || '=')
            ),
            format('ALTER ROLE analytics_scheduler SET %I = 0', limits.name)
        FROM unnest(ARRAY[
            'statement_timeout',
            'lock_timeout',
            'idle_in_transaction_session_timeout',
            'transaction_timeout'
        ]) AS limits (name)
        -- transaction_timeout is there from PostgreSQL 17 on.
        WHERE EXISTS (SELECT FROM pg_settings WHERE pg_settings.name = limits.name);
    END IF;
END;
$release_needs$;
