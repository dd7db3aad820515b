-- Says where the session's value of a setting of PostgreSQL comes from and how to change it.

CREATE OR REPLACE FUNCTION kpi_engine.setting_origin(p_name text, p_value text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $setting_origin$
    SELECT CASE
        WHEN pg_settings.source IN ('database', 'user', 'database user') THEN format(
            'Every session of %s begins so. To change it: %s; and connect again. Or, for now: ',
            CASE pg_settings.source
                WHEN 'database' THEN format('database %I', current_database())
                WHEN 'user' THEN format('role %I', session_user)
                ELSE format('role %I in database %I', session_user, current_database())
            END,
            CASE pg_settings.source
                WHEN 'database'
                    THEN format('ALTER DATABASE %I SET %s = %L', current_database(), p_name, p_value)
                WHEN 'user' THEN format('ALTER ROLE %I SET %s = %L', session_user, p_name, p_value)
                ELSE format(
                    'ALTER ROLE %I IN DATABASE %I SET %s = %L', session_user, current_database(),
                    p_name, p_value
                )
            END
        )
        ELSE ''
    END
    FROM pg_settings
    WHERE pg_settings.name = p_name;
$setting_origin$;

COMMENT ON FUNCTION kpi_engine.setting_origin(text, text) IS
'The beginning of a hint: whether a setting of PostgreSQL comes from the database or the role, and '
'the statement that sets it to p_value there; empty where the session set it. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.setting_origin(text, text) FROM public;
