-- The checks of the doctor about the server and the database.
--
-- Invariant: reads the catalog and the configuration only.
-- SECURITY DEFINER: operators may not call the functions behind it.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_server(p_check text, p_pool integer)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $doctor_server$
#variable_conflict use_column
DECLARE
    -- Connections that are not the HTTP API's: the jobs, migrate, somebody with psql.
    c_others constant integer := 5;
    v_available integer;
BEGIN
    CASE p_check
        WHEN 'version and encoding' THEN
            RETURN QUERY
                SELECT
                    CASE WHEN problem.is_fatal THEN 'wrong' ELSE 'warning' END,
                    problem.message,
                    array_remove(ARRAY['-- ' || problem.hint], NULL)
                FROM kpi_engine.server_problems() AS problem
                UNION ALL
                SELECT
                    'ok',
                    format(
                        'PostgreSQL %s, %s%s', current_setting('server_version'),
                        current_setting('server_encoding'), CASE
                            WHEN pg_is_in_recovery()
                                THEN '; a standby: what mends something has to be run on its primary'
                            ELSE ''
                        END
                    ),
                    ARRAY[]::text[];
        WHEN 'vacuum and statistics' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format('%s is off: %s', wanted.name, wanted.purpose),
                    ARRAY[
                        format('ALTER SYSTEM SET %s = on;  -- as a superuser', wanted.name),
                        'SELECT pg_reload_conf();'
                    ]
                FROM (
                    VALUES
                    (
                        1, 'autovacuum',
                        'deleted rows are never removed: tables and views grow with every refresh'
                    ),
                    (2, 'track_counts', 'autovacuum does not know where to work'),
                    (3, 'track_activities', 'pg_stat_activity does not show what runs')
                ) AS wanted (place, name, purpose)
                WHERE current_setting(wanted.name) = 'off'
                ORDER BY wanted.place;
        WHEN 'connections' THEN
            SELECT sum(CASE pg_settings.name
                WHEN 'max_connections' THEN pg_settings.setting::integer
                ELSE -pg_settings.setting::integer
            END) INTO v_available
            FROM pg_settings
            WHERE pg_settings.name IN (
                'max_connections', 'superuser_reserved_connections', 'reserved_connections'
            );
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        '%s connections are too few for the pool of the HTTP API (%s) and the jobs',
                        v_available, p_pool
                    ),
                    ARRAY[
                        format(
                            'ALTER SYSTEM SET max_connections = %s;  -- as a superuser',
                            current_setting('max_connections')::integer
                            + p_pool + c_others - v_available
                        ),
                        '-- Restart the server; or give PostgREST a smaller pool (API_POOL).'
                    ]
                WHERE v_available < p_pool + c_others
                UNION ALL
                SELECT
                    'warning',
                    format(
                        '%s %s is limited to %s connections, and the pool of the HTTP API has %s',
                        lower(limited.kind), limited.name, limited.connections, p_pool
                    ),
                    ARRAY[format(
                        'ALTER %s %I CONNECTION LIMIT -1;', limited.kind, limited.name
                    )]
                FROM (
                    SELECT 'ROLE' AS kind, pg_roles.rolname AS name, pg_roles.rolconnlimit
                    FROM pg_roles
                    WHERE pg_roles.rolname = 'analytics_authenticator'
                    UNION ALL
                    SELECT 'DATABASE', pg_database.datname, pg_database.datconnlimit
                    FROM pg_database
                    WHERE pg_database.datname = current_database()
                ) AS limited (kind, name, connections)
                WHERE limited.connections >= 0 AND limited.connections < p_pool
                UNION ALL
                SELECT
                    'ok',
                    format('%s for everybody, %s for the pool of the HTTP API', v_available, p_pool),
                    ARRAY[]::text[];
    END CASE;
END;
$doctor_server$;

COMMENT ON FUNCTION kpi_engine.doctor_server(text, integer) IS
'Makes one check of group server of analytics.doctor(): status, message, fixes. The checks:
version and encoding: the version of PostgreSQL, the encoding and the locale are supported
vacuum and statistics: autovacuum and the statistics that it needs are on
connections: there are enough connections for the HTTP API and the jobs
p_pool says how many connections the HTTP API takes. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_server(text, integer) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_server(text, integer)
TO analytics_operador;
