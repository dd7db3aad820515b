-- Lists what the roles and schemas of the package need, and whether they have it.
--
-- Invariant: one row for each need, met or not, in an order in which the statements can run. roles
-- and schemas: nothing works without them. The functions are those that the triggers of change
-- capture call. usage of schemas: migrations gave it; a restore without rights loses it. cancel: a
-- tick can cancel each refresh over its maximum time. usage: calls of the HTTP API are counted.
-- log: a server that logs statements logs no token, which PostgREST hands over as a parameter.
-- migrate runs this query from the file before anything is installed, so a missing role or schema
-- is an unmet need.

CREATE OR REPLACE FUNCTION kpi_engine.package_needs()
RETURNS TABLE (purpose text, is_met boolean, statement text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $package_needs$
    WITH need AS (
        SELECT
            1 AS step,
            role.place,
            'roles' AS purpose,
            to_regrole(role.role_name) IS NOT NULL AS is_met,
            format(
                'CREATE ROLE %1$I %2$s; COMMENT ON ROLE %1$I IS %3$L',
                role.role_name, role.attributes, role.description
            ) AS statement
        FROM kpi_engine.package_roles() AS role
        UNION ALL
        SELECT
            2,
            2 * role.place,
            'roles',
            EXISTS (
                SELECT FROM pg_auth_members
                WHERE
                    pg_auth_members.roleid = to_regrole(role.role_name)
                    AND pg_auth_members.member = to_regrole('analytics_authenticator')
            ),
            format('GRANT %I TO analytics_authenticator', role.role_name)
        FROM kpi_engine.package_roles() AS role
        WHERE role.statement_timeout IS NOT NULL
        UNION ALL
        SELECT
            2,
            2 * role.place + 1,
            'roles',
            -- PostgREST uses it when it becomes the role. A value of somebody else stays.
            EXISTS (
                SELECT FROM pg_roles
                CROSS JOIN unnest(pg_roles.rolconfig) AS given (setting)
                WHERE
                    pg_roles.rolname = role.role_name
                    AND starts_with(given.setting, 'statement_timeout=')
            ),
            format('ALTER ROLE %I SET statement_timeout = %L', role.role_name, role.statement_timeout)
        FROM kpi_engine.package_roles() AS role
        WHERE role.statement_timeout IS NOT NULL
        UNION ALL
        SELECT
            3,
            schema.place,
            'schemas',
            to_regnamespace(schema.schema_name) IS NOT NULL,
            format('CREATE SCHEMA %I AUTHORIZATION analytics_owner', schema.schema_name)
        FROM kpi_engine.package_schemas() AS schema
        UNION ALL
        SELECT
            4,
            wanted.place,
            'schemas',
            coalesce(has_database_privilege(
                to_regrole(wanted.role_name)::oid, current_database(), wanted.privilege
            ), false),
            format(
                'GRANT %s ON DATABASE %I TO %I', wanted.privilege, current_database(),
                wanted.role_name
            )
        FROM (
            VALUES
            -- REFRESH … CONCURRENTLY needs it.
            (1, 'analytics_owner', 'TEMPORARY'),
            (2, 'analytics_scheduler', 'CONNECT'),
            (3, 'analytics_authenticator', 'CONNECT')
        ) AS wanted (place, role_name, privilege)
        UNION ALL
        SELECT
            4,
            3 + row_number() OVER (ORDER BY pg_language.lanname)::integer,
            'schemas',
            has_language_privilege('public', pg_language.oid, 'USAGE')
            OR coalesce(has_language_privilege(
                to_regrole('analytics_owner')::oid, pg_language.oid, 'USAGE'
            ), false),
            format('GRANT USAGE ON LANGUAGE %I TO analytics_owner', pg_language.lanname)
        FROM pg_language
        WHERE pg_language.lanname IN ('plpgsql', 'sql')
        UNION ALL
        SELECT
            4,
            10,
            'schemas',
            -- The right of PUBLIC may be taken away later, and a writer's trigger would fail. It is
            -- enough for a role that may not grant.
            bool_and(
                EXISTS (
                    SELECT FROM aclexplode(pg_proc.proacl) AS granted
                    WHERE granted.grantee = to_regrole('analytics_owner')::oid
                )
                OR has_function_privilege('public', pg_proc.oid, 'EXECUTE')
                AND NOT pg_has_role(pg_proc.proowner, 'USAGE')
            ),
            format(
                'GRANT EXECUTE ON FUNCTION %s TO analytics_owner',
                string_agg('pg_catalog.' || called.signature, ', ' ORDER BY called.place)
            )
        FROM unnest(ARRAY[
            'clock_timestamp()', 'now()', 'length(text)', 'current_setting(text, boolean)',
            'set_config(text, text, boolean)', 'pg_current_xact_id()', 'split_part(text, text, integer)',
            'strpos(text, text)', 'format(text, VARIADIC "any")', 'unnest(anyarray)',
            'pg_typeof("any")', 'pg_backend_pid()', 'pg_partition_ancestors(regclass)',
            'pg_stat_get_subscription(oid)', 'nextval(regclass)'
        ]) WITH ORDINALITY AS called (signature, place)
        INNER JOIN pg_proc ON pg_proc.oid = to_regprocedure(
            'pg_catalog.' || replace(called.signature, 'VARIADIC ', '')
        )
        UNION ALL
        SELECT
            5,
            wanted.place,
            'usage of schemas',
            coalesce(has_schema_privilege(
                to_regrole(wanted.role_name)::oid, pg_namespace.oid, 'USAGE'
            ), false),
            format('GRANT USAGE ON SCHEMA %I TO %I', pg_namespace.nspname, wanted.role_name)
        FROM (
            VALUES
            (1, 'analytics', 'analytics_owner'),
            (2, 'analytics', 'analytics_lector'),
            (3, 'analytics', 'analytics_operador'),
            (4, 'analytics', 'analytics_scheduler'),
            (5, 'analytics', 'analytics_anon'),
            (6, 'kpi_engine', 'analytics_owner'),
            (7, 'kpi_engine', 'analytics_operador'),
            (8, 'kpi_engine', 'analytics_scheduler'),
            (9, 'kpi_engine', 'analytics_hub'),
            (10, 'api', 'analytics_owner'),
            (11, 'api', 'analytics_anon'),
            (12, 'api', 'analytics_lector'),
            (13, 'api', 'analytics_operador'),
            (14, 'api', 'analytics_authenticator')
        ) AS wanted (place, schema_name, role_name)
        INNER JOIN pg_namespace ON pg_namespace.nspname = wanted.schema_name
        WHERE EXISTS (
            SELECT FROM pg_class
            WHERE
                pg_class.relname = 'migration_ledger'
                AND pg_class.relnamespace = to_regnamespace('kpi_engine')
        )
        UNION ALL
        SELECT
            6,
            1,
            'cancel',
            coalesce(
                pg_has_role(to_regrole('analytics_owner')::oid, 'pg_signal_backend', 'MEMBER'), false
            ),
            'GRANT pg_signal_backend TO analytics_owner'
        UNION ALL
        SELECT
            wanted.step,
            wanted.place,
            wanted.purpose,
            -- A value of somebody else stays.
            EXISTS (
                SELECT FROM pg_roles
                CROSS JOIN unnest(pg_roles.rolconfig) AS given (setting)
                WHERE
                    pg_roles.rolname = 'analytics_authenticator'
                    AND starts_with(given.setting, wanted.setting || '=')
            ),
            format('ALTER ROLE analytics_authenticator SET %s = %s', wanted.setting, wanted.value)
        FROM (
            VALUES
            (7, 1, 'usage', 'track_functions', '''pl'''),
            (8, 1, 'log', 'log_parameter_max_length', '0'),
            (8, 2, 'log', 'log_parameter_max_length_on_error', '0')
        ) AS wanted (step, place, purpose, setting, value)
    )

    SELECT
        need.purpose,
        need.is_met,
        need.statement
    FROM need
    ORDER BY need.step, need.place;
$package_needs$;

COMMENT ON FUNCTION kpi_engine.package_needs() IS
'What the package needs around its objects, by purpose (roles, schemas, usage of schemas, cancel, '
'usage, log): whether it is met, and the statement that meets it. Internal to the doctor and '
'migrate.';

REVOKE ALL ON FUNCTION kpi_engine.package_needs() FROM public;
