"""Takes teloo-analytics out of a database: every trace of it, and nothing of anybody else's."""

import time

import psycopg
from psycopg import sql

from commandline.console import (
    LOGGER,
    Parser,
    UserError,
    database_url,
    environment,
    report,
    run_tool,
    set_up_logging,
)
from database import capture, cron, farewell, locks, prerequisites
from database.prerequisites import (
    ENGINE_SCHEMA,
    MIGRATE_LOCK,
    OWNER,
    ROLES,
    SCHEMA,
    SCHEMAS,
    acting_as,
    is_superuser,
    role_exists,
    scalar,
)

# How long others' locks on our objects are waited for, and the longest wait with locks of our own.
PATIENCE_SECONDS = 60.0
LOCK_TIMEOUT = "100ms"
OUR_LOCKERS = """
    SELECT kpi_engine.table_lockers(ARRAY(
        SELECT pg_class.oid FROM pg_class
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        WHERE pg_namespace.nspname = ANY (%s) AND pg_class.relkind <> 'i'
    ))
"""


# Rights on what other databases share with this one, which DROP OWNED takes away too: of our roles,
# and those that they gave to others.
SHARED_RIGHTS = """
    SELECT format(
        'GRANT %%s ON %%s TO %%s%%s', granted.privilege_type, object.identity,
        CASE granted.grantee WHEN 0 THEN 'public' ELSE quote_ident(grantee.rolname) END,
        CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    ), grantee.rolname::text
    FROM (
        SELECT format('DATABASE %%I', datname), datacl FROM pg_database
        WHERE datname <> current_database()
        UNION ALL
        SELECT format('TABLESPACE %%I', spcname), spcacl FROM pg_tablespace
        UNION ALL
        SELECT format('PARAMETER %%I', parname), paracl FROM pg_parameter_acl
    ) AS object (identity, acl)
    CROSS JOIN LATERAL aclexplode(object.acl) AS granted
    LEFT JOIN pg_roles AS grantee ON grantee.oid = granted.grantee
    LEFT JOIN pg_roles AS grantor ON grantor.oid = granted.grantor
    WHERE grantee.rolname = ANY (%(roles)s) OR grantor.rolname = ANY (%(roles)s)
    ORDER BY 1
"""


def refuse_foreign_objects(connection: psycopg.Connection, servers: list[str]) -> None:
    """Stop where one of our roles owns what is not ours: that is not for us to drop.

    ``servers`` are ours, as farewell.servers_of_sites() gives them, and so are their user mappings.
    """
    rows = connection.execute(
        """
        SELECT owned.role_name, owned.object
        FROM (
            SELECT
                rolname AS role_name,
                pg_describe_object(classid, objid, objsubid) AS object,
                (pg_identify_object(classid, objid, objsubid)).schema AS schema_name,
                classid,
                objid
            FROM pg_shdepend
            INNER JOIN pg_roles ON pg_roles.oid = refobjid
            WHERE
                deptype = 'o'
                AND refclassid = 'pg_authid'::regclass
                AND rolname = ANY (%(roles)s)
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) AS owned
        WHERE
            (owned.schema_name = ANY (%(schemas)s)) IS NOT TRUE
            AND owned.classid <> 'pg_default_acl'::regclass
            AND NOT (
                owned.classid = 'pg_namespace'::regclass
                AND owned.objid IN (
                    SELECT oid FROM pg_namespace WHERE nspname = ANY (%(schemas)s)
                )
            )
            AND NOT (
                owned.classid = 'pg_foreign_server'::regclass
                AND owned.objid IN (
                    SELECT oid FROM pg_foreign_server WHERE srvname = ANY (%(servers)s)
                )
            )
            AND NOT (
                owned.classid = 'pg_user_mapping'::regclass
                AND owned.objid IN (
                    SELECT umid FROM pg_user_mappings WHERE srvname = ANY (%(servers)s)
                )
            )
        ORDER BY 2
        """,
        {"roles": list(ROLES), "schemas": list(SCHEMAS), "servers": servers},
    ).fetchall()
    if rows:
        raise UserError(
            "roles of this package own objects outside its schemas; nothing was changed",
            "Give them to another owner, or drop them:\n"
            + "\n".join(f"    {name} (owner {role})" for role, name in rows),
        )


def restore_search_path(
    connection: psycopg.Connection, is_installed: bool, default_path: str
) -> None:
    """Give the database the search_path back that it had, or take only our schema off."""
    now = prerequisites.database_search_path(connection)
    if now is None:
        return
    if is_installed:
        with acting_as(connection):
            row = connection.execute(
                "SELECT search_path_before FROM kpi_engine.installation "
                "WHERE search_path_after = %s",
                [now],
            ).fetchone()
        if row is not None:
            prerequisites.set_database_search_path(connection, row[0])
            return
    elements = prerequisites.path_elements(connection, now)
    left = [(written, name) for written, name in elements if name != SCHEMA]
    if len(left) < len(elements):
        is_default = left in ([], prerequisites.path_elements(connection, default_path))
        path = None if is_default else ", ".join(written for written, _ in left)
        prerequisites.set_database_search_path(connection, path)


def drop_servers(connection: psycopg.Connection, servers: list[str]) -> None:
    """Drop the servers of a hub's sites with all their user mappings, which hold passwords.

    Raises UserError where a foreign table of somebody else needs one.
    """
    with acting_as(connection):
        mappings = connection.execute(
            "SELECT format('DROP USER MAPPING FOR %%s SERVER %%I', CASE umuser "
            "WHEN 0 THEN 'public' ELSE quote_ident(usename) END, srvname) "
            "FROM pg_user_mappings WHERE srvname = ANY (%s) ORDER BY 1",
            [servers],
        ).fetchall()
        for (statement,) in mappings:
            connection.execute(str(statement).encode())
        for server in servers:
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("DROP SERVER {}").format(sql.Identifier(server)))
            except psycopg.errors.DependentObjectsStillExist as error:
                raise UserError(
                    f"other objects need server {server} of this hub; nothing was changed",
                    f"Drop them first:\n{error.diag.message_detail}",
                ) from error


def drop_objects(connection: psycopg.Connection) -> None:
    """Drop all objects and rights of our roles in this database, as far as this role may."""
    for role in ROLES:
        if not role_exists(connection, role):
            continue
        try:
            with connection.transaction():
                connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        except psycopg.errors.DependentObjectsStillExist as error:
            raise UserError(
                "other objects read the views of this package; nothing was changed",
                f"Drop them first:\n{error.diag.message_detail}",
            ) from error
        except psycopg.errors.InsufficientPrivilege:
            if role == OWNER:
                raise


def shared_rights(connection: psycopg.Connection) -> dict[str, str | None]:
    """Return the rights on what databases share, as statements, and whose each is."""
    return dict(connection.execute(SHARED_RIGHTS, {"roles": list(ROLES)}).fetchall())


def give_back(connection: psycopg.Connection, before: dict[str, str | None]) -> None:
    """Grant again what roles that stay have lost: another database needs it."""
    now = shared_rights(connection)
    for statement, grantee in before.items():
        if statement not in now and (grantee is None or role_exists(connection, grantee)):
            connection.execute(statement.encode())


def drop_triggers_and_objects(
    connection: psycopg.Connection, job_ids: list[int]
) -> tuple[int, int]:
    """Drop pg_cron's runs of our jobs, the triggers of change capture and all objects.

    Returns how many runs, and how many triggers. The runs go as late as possible: pg_cron may wait
    for them, and until here a job may have run.

    Dropping a trigger locks its table against everybody until the transaction ends. So it begins
    when nobody else has a lock on our objects, and tries again where it would have to wait. Raises
    UserError, with nothing changed, where somebody reads them for longer than PATIENCE_SECONDS.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    is_told = False
    while True:
        readers = scalar(connection, OUR_LOCKERS, list(SCHEMAS))
        if readers is None:
            try:
                with connection.transaction():
                    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    runs = cron.remove_runs(connection, job_ids)
                    dropped = capture.remove(connection)
                    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    drop_objects(connection)
                    connection.execute("SET LOCAL lock_timeout = 0")
                return runs, dropped
            except capture.BUSY:
                readers = scalar(connection, OUR_LOCKERS, list(SCHEMAS)) or (
                    capture.busy_sessions(connection) or "another session"
                )
        if time.monotonic() > deadline:
            raise UserError(
                "objects of this package, or operational tables, are in use all the time; nothing "
                "was changed",
                f"{readers}\nStop what reads the views (docs/runbook.md, Removing it), and try "
                "again when these transactions are done.",
            )
        if not is_told:
            LOGGER.info("waiting for who uses objects of this package: %s", readers)
            is_told = True
        time.sleep(0.2)


def drop_roles(connection: psycopg.Connection) -> list[str]:
    """Drop our roles where no other database uses them; return those that stay."""
    kept = []
    for role in ROLES:
        if not role_exists(connection, role):
            continue
        users = connection.execute(
            "SELECT DISTINCT datname FROM pg_shdepend "
            "INNER JOIN pg_database ON pg_database.oid = dbid "
            "INNER JOIN pg_roles ON pg_roles.oid = refobjid "
            "WHERE refclassid = 'pg_authid'::regclass AND rolname = %s "
            "AND datname <> current_database() ORDER BY datname",
            [role],
        ).fetchall()
        if users:
            kept.append(f"{role} (used in {', '.join(name for (name,) in users)})")
            continue
        try:
            with connection.transaction():
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist):
            kept.append(f"{role} (have a superuser run DROP OWNED BY {role}; DROP ROLE {role};)")
    return kept


def let_act_as_roles(connection: psycopg.Connection) -> list[str]:
    """Become a member of our roles where needed; return those that this made it a member of.

    Dropping what the owner has needs it; for the other roles it is tried only, since most
    of their rights go with the objects.
    """
    if is_superuser(connection):
        return []
    user = sql.Identifier(str(scalar(connection, "SELECT current_user")))
    joined = []
    for role in ROLES:
        requirement = prerequisites.Requirement(
            sql.SQL(
                "SELECT coalesce((SELECT pg_has_role(oid, 'USAGE') FROM pg_roles "
                "WHERE rolname = {}), true)"
            ).format(role),
            sql.SQL("GRANT {} TO {}{}").format(
                sql.Identifier(role),
                user,
                sql.SQL(" WITH INHERIT TRUE")
                if connection.info.server_version >= 160000
                else sql.SQL(""),
            ),
        )
        try:
            if prerequisites.meet(connection, [requirement], "removing what its roles own"):
                joined.append(role)
        except UserError:
            if role == OWNER:
                raise
    return joined


def is_installed_here(connection: psycopg.Connection) -> bool:
    """Tell whether the package's ledger is in this database."""
    return bool(
        scalar(
            connection,
            "SELECT true FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = %s AND relname = 'migration_ledger'",
            ENGINE_SCHEMA,
        )
    )


def has_leftovers(connection: psycopg.Connection) -> bool:
    """Tell whether an installation that was dropped by hand left rights or a search_path."""
    path = prerequisites.database_search_path(connection) or ""
    is_of_others = scalar(
        connection,
        "SELECT true FROM pg_namespace WHERE nspname = %s AND pg_get_userbyid(nspowner) <> %s",
        SCHEMA,
        OWNER,
    )
    has_rights = scalar(
        connection,
        "SELECT true FROM pg_shdepend INNER JOIN pg_roles ON pg_roles.oid = refobjid "
        "WHERE refclassid = 'pg_authid'::regclass AND rolname = ANY (%s) "
        "AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1",
        list(ROLES),
    )
    return not is_of_others and (prerequisites.is_on_path(connection, path) or bool(has_rights))


def drop_pg_cron(connection: psycopg.Connection) -> list[str]:
    """Drop pg_cron where migrate had created it, nobody else uses it and this role may.

    Returns what was removed, for the report.
    """
    if not cron.has_extension(connection):
        return []
    try:
        with connection.transaction():
            if scalar(connection, "SELECT true FROM cron.job LIMIT 1"):
                return []
            connection.execute("DROP EXTENSION pg_cron")
    except psycopg.errors.InsufficientPrivilege:
        LOGGER.warning(
            "extension pg_cron stays: it was created by migrate, and only a superuser may "
            "DROP EXTENSION pg_cron;"
        )
        return []
    return ["extension pg_cron, which migrate had created"]


def uninstall(url: str, *, dry_run: bool = False) -> list[str] | None:
    """Remove the package from a database, in one transaction.

    Returns the roles that stay because something else uses them, or None where the
    package was not installed. Touches no source table, and locks none while it waits for
    somebody. Raises UserError, with nothing changed, where other people's objects read ours, or
    where ours are in use all the time. With ``dry_run`` it does the same and rolls back.
    """
    with prerequisites.connect(url, "uninstall") as connection:
        done: list[str] = []
        lost: list[str] = []
        stays: list[str] = []
        job_ids: list[int] = []
        default_path = prerequisites.default_search_path(connection)
        prerequisites.pin_settings(connection)
        prerequisites.refuse_standby(connection)
        prerequisites.note_event_triggers(connection)
        locks.take(connection, MIGRATE_LOCK, "a migrate", by_refreshes=False)
        is_installed = is_installed_here(connection)
        if not is_installed and not has_leftovers(connection):
            return None
        prerequisites.refuse_renamed_owner(connection)
        prerequisites.refuse_lost_owners(connection)
        joined = let_act_as_roles(connection)
        servers = farewell.servers_of_sites(connection) if is_installed else []
        refuse_foreign_objects(connection, servers)
        rights = shared_rights(connection)
        if is_installed:
            with acting_as(connection):
                # A refresh that is running ends first.
                locks.take(connection, locks.REFRESH_LOCK, "a refresh", by_refreshes=True)
                # A tick too, and those that follow return at once; an older version has no table.
                for table in ("kpi_engine.refresh_lock", "kpi_engine.tick_lock"):
                    if scalar(connection, "SELECT to_regclass(%s)", table):
                        connection.execute(
                            sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(
                                sql.Identifier(*table.split("."))
                            )
                        )
                created_cron = scalar(
                    connection, "SELECT pg_cron_created FROM kpi_engine.installation"
                )
            lost, stays = farewell.losses(connection), farewell.leftovers(connection)
            job_ids = cron.job_ids(connection)
            jobs = cron.unschedule(connection)
            if jobs < len(cron.JOBS):
                altered, hidden = cron.unschedule_altered(connection)
                jobs += altered
                stays += hidden
            done.append(f"{jobs} scheduled job(s)")
            if created_cron:
                done += drop_pg_cron(connection)
            stays += cron.hidden_runs(connection, job_ids)
        restore_search_path(connection, is_installed, default_path)
        if servers:
            drop_servers(connection, servers)
            done.append(f"{len(servers)} site(s) of the hub: servers and user mappings")
        if is_installed:
            runs, dropped = drop_triggers_and_objects(connection, job_ids)
            if runs:
                done.append(f"{runs} run(s) of scheduled jobs in pg_cron's history")
            done.append(f"{dropped} trigger(s) of change capture")
        else:
            drop_objects(connection)
        for schema in (SCHEMA, ENGINE_SCHEMA):
            if scalar(connection, "SELECT true FROM pg_namespace WHERE nspname = %s", schema):
                raise UserError(
                    f"schema {schema} belongs to somebody else by now; nothing was changed",
                    "If it is still that of this package, run this as a superuser, then make "
                    f"uninstall:\n    ALTER SCHEMA {schema} OWNER TO {OWNER};",
                )
        done.append(f"schemas {', '.join(SCHEMAS)}, all rights of their roles")
        kept = drop_roles(connection)
        give_back(connection, rights)
        for role in joined:
            if role_exists(connection, role):
                connection.execute(
                    sql.SQL("REVOKE {} FROM CURRENT_USER").format(sql.Identifier(role))
                )
        if dry_run:
            connection.rollback()
    # Now it is true.
    for what in done:
        LOGGER.info("%s: %s", "would remove" if dry_run else "removed", what)
    for what in lost:
        LOGGER.info("%s", what)
    for what in stays:
        LOGGER.info("stays: %s", what)
    return kept


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="uninstall.py",
        description="Removes teloo-analytics from a database: schedule, schema, search_path, "
        "rights, and the roles that no other database uses. Touches no source table.",
        epilog="Exit codes: 0 removed or not there, 1 failed with nothing changed, 2 wrong usage.",
    )
    parser.add_database_url()
    parser.add_argument("--dry-run", action="store_true", help="do it and roll back")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        environment()
        kept = uninstall(database_url(options.database_url), dry_run=options.dry_run)
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(prerequisites.explained(error))
    if kept is None:
        LOGGER.info("teloo-analytics is not installed in this database: nothing to remove")
        return 0
    for role in kept:
        LOGGER.info("stays: role %s", role)
    if options.dry_run:
        LOGGER.info("dry run: nothing was changed")
        return 0
    LOGGER.info("removed; open sessions keep their search_path until they reconnect")
    return 0


if __name__ == "__main__":
    run_tool(main)
