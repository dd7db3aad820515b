-- The checks of the doctor about our roles, what they may, and who else may.
--
-- Invariant: reads the catalog only.
-- SECURITY DEFINER: operators may not call the functions behind it.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_roles(p_check text)
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
AS $doctor_roles$
#variable_conflict use_column
BEGIN
    CASE p_check
        WHEN 'attributes' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    format('role %s %s', wanted.role_name, problem.message)
                    || coalesce(format(': it was renamed to %s', renamed.role_name), ''),
                    ARRAY[CASE
                        WHEN renamed.role_name IS NOT NULL THEN renamed.statement || ';'
                        WHEN problem.change = 'CREATE' THEN '-- $ make migrate'
                        ELSE format('ALTER ROLE %I %s;', wanted.role_name, problem.change)
                    END]
                FROM (
                    SELECT
                        roles.*,
                        string_to_array(roles.attributes, ' ') AS words
                    FROM kpi_engine.package_roles() AS roles
                ) AS wanted
                LEFT JOIN pg_roles AS role ON role.rolname = wanted.role_name
                LEFT JOIN kpi_engine.renamed_owner() AS renamed
                    ON wanted.role_name = 'analytics_owner'
                CROSS JOIN LATERAL (
                    VALUES
                    (1, role.rolname IS NULL, 'is missing', 'CREATE'),
                    (
                        2, NOT role.rolcanlogin AND 'LOGIN' = ANY (wanted.words),
                        'may not log in', 'LOGIN'
                    ),
                    (
                        3, role.rolcanlogin AND 'LOGIN' <> ALL (wanted.words),
                        'may log in', 'NOLOGIN'
                    ),
                    (
                        4, NOT role.rolinherit AND 'NOINHERIT' <> ALL (wanted.words),
                        'does not inherit', 'INHERIT'
                    ),
                    (
                        5, role.rolinherit AND 'NOINHERIT' = ANY (wanted.words),
                        'inherits the rights of the roles it may become', 'NOINHERIT'
                    ),
                    (
                        6, role.rolcanlogin AND role.rolvaliduntil < now(),
                        'has a password that has expired', 'VALID UNTIL ''infinity'''
                    ),
                    (7, role.rolsuper, 'has SUPERUSER, which it does not need', 'NOSUPERUSER'),
                    (8, role.rolcreatedb, 'has CREATEDB, which it does not need', 'NOCREATEDB'),
                    (
                        9, role.rolcreaterole,
                        'has CREATEROLE, which it does not need', 'NOCREATEROLE'
                    ),
                    (
                        10, role.rolreplication,
                        'has REPLICATION, which it does not need', 'NOREPLICATION'
                    ),
                    (
                        11,
                        -- The contract with the source wants it of the owner where a table has
                        -- row-level security (docs/source.md).
                        role.rolbypassrls AND NOT (
                            role.rolname = 'analytics_owner'
                            AND EXISTS (
                                SELECT FROM pg_class
                                INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
                                WHERE pg_class.relrowsecurity AND pg_namespace.nspname <> 'cron'
                            )
                        ),
                        'has BYPASSRLS, which it does not need in this database', 'NOBYPASSRLS'
                    )
                ) AS problem (place, is_there, message, change)
                WHERE problem.is_there
                ORDER BY wanted.place, problem.place;
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'role analytics_scheduler has %s: a tick or a refresh of pg_cron that takes '
                        'longer is cancelled, each time again', limits.setting
                    ),
                    ARRAY[format(
                        'ALTER ROLE analytics_scheduler%s SET %s = 0;',
                        ' IN DATABASE ' || quote_ident(pg_database.datname),
                        split_part(limits.setting, '=', 1)
                    )]
                FROM pg_db_role_setting
                LEFT JOIN pg_database ON pg_database.oid = pg_db_role_setting.setdatabase
                CROSS JOIN unnest(pg_db_role_setting.setconfig) AS limits (setting)
                CROSS JOIN LATERAL (
                    -- A number alone is of milliseconds.
                    SELECT regexp_replace(
                        split_part(limits.setting, '=', 2), '^(\d+)$', '\1ms'
                    )::interval AS value
                    WHERE
                        limits.setting ~ '^(statement|transaction|idle_in_transaction_session)_timeout='
                ) AS time
                WHERE
                    pg_db_role_setting.setrole = to_regrole('analytics_scheduler')
                    AND (
                        pg_database.oid IS NULL OR pg_database.datname = current_database()
                    )
                    AND time.value > interval '0'
                    -- A restore may have left the settings out.
                    AND time.value < make_interval(mins => greatest(1, (
                        SELECT settings.value::integer FROM kpi_engine.settings
                        WHERE settings.name = 'refresh_max_minutes'
                    )));
            RETURN QUERY
                SELECT 'ok', format('%s roles', count(*)), ARRAY[]::text[]
                FROM kpi_engine.package_roles() AS roles
                INNER JOIN pg_roles ON pg_roles.rolname = roles.role_name;
        WHEN 'memberships' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    format('role %s is a member of %s', member.rolname, granted.rolname),
                    ARRAY[format('REVOKE %I FROM %I;', granted.rolname, member.rolname)]
                FROM pg_auth_members
                INNER JOIN pg_roles AS member ON member.oid = pg_auth_members.member
                INNER JOIN pg_roles AS granted ON granted.oid = pg_auth_members.roleid
                INNER JOIN kpi_engine.package_roles() AS ours ON ours.role_name = member.rolname
                WHERE
                    NOT CASE member.rolname
                        WHEN 'analytics_authenticator' THEN EXISTS (
                            SELECT FROM kpi_engine.package_roles() AS api
                            WHERE
                                api.role_name = granted.rolname
                                AND api.statement_timeout IS NOT NULL
                        )
                        WHEN 'analytics_owner' THEN
                            granted.rolname = 'pg_signal_backend'
                            -- With it, a tick can create triggers again.
                            OR EXISTS (
                                SELECT FROM pg_class
                                WHERE
                                    pg_class.relowner = granted.oid
                                    AND pg_class.relname = 'solicitudes'
                            )
                        ELSE false
                    END
                -- From PostgreSQL 16 on one membership may have several grantors.
                GROUP BY member.rolname, granted.rolname
                ORDER BY member.rolname, granted.rolname;
        WHEN 'what they need' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    'not in force: ' || need.statement,
                    ARRAY[need.statement || ';']
                FROM kpi_engine.package_needs() AS need
                WHERE
                    NOT need.is_met
                    AND need.purpose IN ('roles', 'schemas', 'usage of schemas')
                UNION ALL
                SELECT
                    'warning',
                    'if the server logs statements with their parameters, its log has the tokens of '
                    || 'the HTTP API',
                    array_agg(need.statement || ';  -- as a superuser; then restart PostgREST')
                FROM kpi_engine.package_needs() AS need
                WHERE NOT need.is_met AND need.purpose = 'log'
                HAVING count(*) > 0;
        WHEN 'right to cancel' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    'a refresh over its maximum time can''t be cancelled where somebody else '
                    || 'started it',
                    ARRAY[need.statement || ';  -- as a superuser']
                FROM kpi_engine.package_needs() AS need
                WHERE NOT need.is_met AND need.purpose = 'cancel';
        WHEN 'right to dump' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'pg_dump of this database fails as role %s, which may not read schemas %s',
                        obstacle.role_name,
                        (
                            SELECT string_agg(schemas.schema_name, ', ' ORDER BY schemas.place)
                            FROM kpi_engine.package_schemas() AS schemas
                        )
                    ),
                    (
                        SELECT array_agg(words.statement || ';' ORDER BY words.place)
                        FROM unnest(obstacle.statements) WITH ORDINALITY AS words (statement, place)
                    )
                    || ('-- Or, for all databases of the server, make it a member of '
                    || 'pg_read_all_data.')
                FROM kpi_engine.dump_obstacles() AS obstacle;
        WHEN 'nothing for PUBLIC' THEN
            RETURN QUERY
                WITH ours AS (
                    SELECT pg_namespace.oid, pg_namespace.nspname, pg_namespace.nspacl
                    FROM pg_namespace
                    INNER JOIN kpi_engine.package_schemas() AS schemas
                        ON schemas.schema_name = pg_namespace.nspname
                ),

                object AS (
                    SELECT
                        'SCHEMA ' || quote_ident(ours.nspname) AS identity,
                        '' AS columns,
                        ours.nspacl AS rights
                    FROM ours
                    UNION ALL
                    SELECT
                        CASE pg_class.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END
                        || pg_class.oid::regclass,
                        '',
                        pg_class.relacl
                    FROM pg_class
                    INNER JOIN ours ON ours.oid = pg_class.relnamespace
                    UNION ALL
                    SELECT
                        'TABLE ' || pg_class.oid::regclass,
                        format(' (%I)', pg_attribute.attname),
                        pg_attribute.attacl
                    FROM pg_attribute
                    INNER JOIN pg_class ON pg_class.oid = pg_attribute.attrelid
                    INNER JOIN ours ON ours.oid = pg_class.relnamespace
                    UNION ALL
                    SELECT
                        'ROUTINE ' || pg_proc.oid::regprocedure,
                        '',
                        coalesce(pg_proc.proacl, acldefault('f', pg_proc.proowner))
                    FROM pg_proc
                    INNER JOIN ours ON ours.oid = pg_proc.pronamespace
                    UNION ALL
                    SELECT
                        'TYPE ' || pg_type.oid::regtype,
                        '',
                        coalesce(pg_type.typacl, acldefault('T', pg_type.typowner))
                    FROM pg_type
                    INNER JOIN ours ON ours.oid = pg_type.typnamespace
                    WHERE pg_type.typtype IN ('d', 'e', 'r')
                )

                SELECT
                    'wrong',
                    format('PUBLIC has rights on %s%s', object.identity, object.columns),
                    ARRAY[format(
                        'REVOKE ALL%s ON %s FROM public;', object.columns, object.identity
                    )]
                FROM object
                WHERE EXISTS (
                    SELECT FROM aclexplode(object.rights) AS granted WHERE granted.grantee = 0
                )
                ORDER BY object.identity, object.columns;
    END CASE;
END;
$doctor_roles$;

COMMENT ON FUNCTION kpi_engine.doctor_roles(text) IS
'Makes one check of group roles of analytics.doctor(): status, message, fixes. The checks:
attributes: each role has the attributes that it needs, and no others; no limit ends scheduled jobs
memberships: our roles are members of no other role
what they need: each right that the package needs is granted
right to cancel: analytics_owner may cancel a refresh that another role started
right to dump: each role that could dump the database can still dump it
nothing for PUBLIC: PUBLIC has no right on our objects
Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_roles(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_roles(text) TO analytics_operador;
