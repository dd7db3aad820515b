-- Lists roles that could dump this database without the package, and the statements that let them
-- dump it again.
--
-- Invariant: these are the owner of the database, and each role that may read every table of others
-- and owns none, such as a role for backups. Superusers, and members of pg_read_all_data, can read
-- our tables too.

CREATE OR REPLACE FUNCTION kpi_engine.dump_obstacles()
RETURNS TABLE (role_name text, statements text[])
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $dump_obstacles$
    WITH ours AS (
        SELECT
            array_agg(schema.schema_name) AS names,
            string_agg(schema.schema_name, ', ' ORDER BY schema.place) AS list
        FROM kpi_engine.package_schemas() AS schema
    ),

    dumped AS (
        SELECT
            pg_class.oid,
            pg_class.relowner,
            pg_namespace.nspname = ANY (ours.names) AS is_ours
        FROM pg_class
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        CROSS JOIN ours
        WHERE
            pg_class.relkind IN ('r', 'p', 'S')
            AND pg_class.relpersistence <> 't'
            AND pg_namespace.nspname NOT LIKE 'pg\_%'
            AND pg_namespace.nspname <> 'information_schema'
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE
                    pg_depend.classid = 'pg_class'::regclass
                    AND pg_depend.objid = pg_class.oid
                    AND pg_depend.deptype = 'e'
            )
    )

    SELECT
        role.rolname::text,
        ARRAY[
            format('GRANT USAGE ON SCHEMA %s TO %I', ours.list, role.rolname),
            format('GRANT SELECT ON ALL TABLES IN SCHEMA %s TO %I', ours.list, role.rolname),
            format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %s TO %I', ours.list, role.rolname),
            format(
                'ALTER DEFAULT PRIVILEGES FOR ROLE analytics_owner IN SCHEMA %s '
                'GRANT SELECT ON TABLES TO %I', ours.list, role.rolname
            ),
            format(
                'ALTER DEFAULT PRIVILEGES FOR ROLE analytics_owner IN SCHEMA %s '
                'GRANT SELECT ON SEQUENCES TO %I', ours.list, role.rolname
            )
        ]
    FROM pg_roles AS role
    CROSS JOIN ours
    WHERE
        NOT role.rolsuper
        AND role.rolname NOT IN (SELECT own.role_name FROM kpi_engine.package_roles() AS own)
        AND (
            EXISTS (
                SELECT FROM dumped
                WHERE dumped.is_ours AND NOT has_table_privilege(role.oid, dumped.oid, 'SELECT')
            )
            OR EXISTS (
                SELECT FROM pg_namespace
                WHERE
                    pg_namespace.nspname = ANY (ours.names)
                    AND NOT has_schema_privilege(role.oid, pg_namespace.oid, 'USAGE')
            )
        )
        AND (
            role.oid = (
                SELECT pg_database.datdba FROM pg_database
                WHERE pg_database.datname = current_database()
            )
            OR (
                role.rolcanlogin
                AND has_database_privilege(role.oid, current_database(), 'CONNECT')
                AND EXISTS (SELECT FROM dumped WHERE NOT dumped.is_ours)
                AND NOT EXISTS (
                    SELECT FROM dumped
                    WHERE
                        NOT dumped.is_ours
                        AND (
                            dumped.relowner = role.oid
                            OR NOT has_table_privilege(role.oid, dumped.oid, 'SELECT')
                        )
                )
            )
        )
    ORDER BY role.rolname;
$dump_obstacles$;

COMMENT ON FUNCTION kpi_engine.dump_obstacles() IS
'Roles that could dump this database if they might read our schemas, and the statements that '
'let them. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.dump_obstacles() FROM public;
