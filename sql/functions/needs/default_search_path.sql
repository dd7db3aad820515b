-- Returns the search_path of a new session if the database sets none.
--
-- Invariant: ask it before anything is SET. If the role or the connection has a search_path of its
-- own, that hides the server's configuration. Then this returns PostgreSQL's default. The function
-- is bound when it is created, because a pinned search_path would hide what it asks for.

CREATE OR REPLACE FUNCTION kpi_engine.default_search_path()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        CASE
            WHEN pg_catalog.array_position(
                ARRAY['default', 'configuration file', 'command line', 'environment variable'],
                pg_settings.source
            ) IS NULL THEN pg_settings.boot_val
            ELSE pg_settings.reset_val
        END
    FROM pg_catalog.pg_settings
    -- No operator, since it is run before the search_path is pinned, too.
    WHERE pg_catalog.texteq(pg_settings.name, 'search_path');
END;

COMMENT ON FUNCTION kpi_engine.default_search_path() IS
'The search_path that a new session has where the database sets none, as far as this session can '
'see. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.default_search_path() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.default_search_path() TO analytics_operador;
