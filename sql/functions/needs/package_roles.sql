-- Lists the roles of the package.
--
-- Invariant: the only list of them: name, attributes, the comment, and the time limit of a
-- statement for roles that PostgREST uses. Scripts read the list in this file.

CREATE OR REPLACE FUNCTION kpi_engine.package_roles()
RETURNS TABLE (
    place integer,
    role_name text,
    attributes text,
    statement_timeout text,
    description text
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $package_roles$
    SELECT
        role.place,
        role.role_name,
        role.attributes,
        role.statement_timeout,
        role.description
    FROM (
        VALUES
        (
            1, 'analytics_owner', 'NOLOGIN', NULL,
            'Owns every object of teloo-analytics. Nobody logs in as it.'
        ),
        (2, 'analytics_lector', 'NOLOGIN', '10s', 'Reads the KPIs of teloo-analytics.'),
        (
            3, 'analytics_operador', 'NOLOGIN', '10s',
            'Reads, refreshes and reschedules teloo-analytics.'
        ),
        (
            4, 'analytics_anon', 'NOLOGIN', '5s',
            'HTTP requests without a token: the health of teloo-analytics.'
        ),
        (
            5, 'analytics_authenticator', 'LOGIN NOINHERIT', NULL,
            'PostgREST''s login for teloo-analytics: becomes a role of the HTTP API, nothing else.'
        ),
        (
            6, 'analytics_scheduler', 'LOGIN', NULL,
            'Runs the scheduled jobs of teloo-analytics, nothing else.'
        ),
        (
            7, 'analytics_hub', 'NOLOGIN', NULL,
            'A hub of teloo-analytics: reads the facts and which of them changed, nothing else.'
        )
    ) AS role (place, role_name, attributes, statement_timeout, description);
$package_roles$;

COMMENT ON FUNCTION kpi_engine.package_roles() IS
'The roles of the package: name, attributes, time limit of a statement where the HTTP API '
'answers as it, comment. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.package_roles() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.package_roles() TO analytics_scheduler;
