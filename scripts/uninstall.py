"""Takes teloo-analytics out of a database: every trace of it, and nothing of anybody else's."""

import argparse
import sys

import psycopg
from psycopg import sql

import cron
import prerequisites
from console import LOGGER, UserError, database_url, environment, report, set_up_logging
from prerequisites import ROLES, SCHEMA, acting_as, scalar

MIGRATE_LOCK = "teloo-analytics migrate"


def refuse_foreign_objects(connection: psycopg.Connection) -> None:
    """Stop where one of our roles owns what is not ours: that is not for us to drop."""
    rows = connection.execute(
        """
        SELECT described.role, described.object
        FROM (
            SELECT
                refobjid::regrole::text AS role,
                pg_describe_object(classid, objid, objsubid) AS object,
                (pg_identify_object(classid, objid, objsubid)).schema AS schema_name,
                (pg_identify_object(classid, objid, objsubid)).type AS type_name
            FROM pg_shdepend
            WHERE
                deptype = 'o'
                AND refclassid = 'pg_authid'::regclass
                AND refobjid::regrole::text = ANY (%(roles)s)
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) AS described
        WHERE
            described.schema_name IS DISTINCT FROM %(schema)s
            AND described.type_name <> 'default acl'
            AND NOT (described.type_name = 'schema' AND described.object = 'schema ' || %(schema)s)
        ORDER BY 2
        """,
        {"roles": list(ROLES), "schema": SCHEMA},
    ).fetchall()
    if rows:
        raise UserError(
            "roles of this package own objects outside schema analytics; nothing was changed",
            "Give them to another owner, or drop them:\n"
            + "\n".join(f"    {name} (owner {role})" for role, name in rows),
        )


def restore_search_path(connection: psycopg.Connection) -> None:
    """Give the database the search_path back that it had, or take only our schema off."""
    with acting_as(connection):
        row = connection.execute(
            "SELECT search_path_set, search_path_before FROM analytics.installation"
        ).fetchone()
    now = prerequisites.database_search_path(connection)
    if row is None or not row[0] or now is None:
        return
    before = row[1]
    default = prerequisites.default_search_path(connection)
    if now == f"{before if before is not None else default}, {SCHEMA}":
        prerequisites.set_database_search_path(connection, before)
        return
    left = [part.strip() for part in now.split(",") if part.strip() != SCHEMA]
    prerequisites.set_database_search_path(connection, ", ".join(left))


def drop_objects(connection: psycopg.Connection) -> None:
    """Drop all objects and rights of our roles in this database."""
    try:
        for role in ROLES:
            if scalar(connection, "SELECT to_regrole(%s) IS NOT NULL", role):
                connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise UserError(
            "other objects read the views of this package; nothing was changed",
            f"Drop them first:\n{error.diag.message_detail}",
        ) from error


def drop_roles(connection: psycopg.Connection) -> list[str]:
    """Drop our roles where no other database uses them; return those that stay."""
    kept = []
    for role in ROLES:
        if not scalar(connection, "SELECT to_regrole(%s) IS NOT NULL", role):
            continue
        users = connection.execute(
            "SELECT DISTINCT datname FROM pg_shdepend "
            "INNER JOIN pg_database ON pg_database.oid = dbid "
            "WHERE refclassid = 'pg_authid'::regclass AND refobjid = to_regrole(%s) "
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


def let_act_as_roles(connection: psycopg.Connection) -> None:
    """Become a member of our roles, as dropping their rights needs it; it ends with them."""
    if scalar(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        return
    user = sql.Identifier(str(scalar(connection, "SELECT current_user")))
    prerequisites.meet(
        connection,
        [
            prerequisites.Requirement(
                sql.SQL("SELECT to_regrole({role}) IS NULL OR pg_has_role({role}, 'USAGE')").format(
                    role=role
                ),
                sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), user),
            )
            for role in ROLES
        ],
        "removing what belongs to the package's roles",
    )


def uninstall(url: str, *, dry_run: bool = False) -> list[str] | None:
    """Remove the package from a database, in one transaction.

    Returns the roles that stay because something else uses them, or None where the
    package was not installed. Touches no source table. Raises UserError, with nothing
    changed, where other people's objects read ours. With ``dry_run`` it does the same and
    rolls back.
    """
    with psycopg.connect(url, application_name="teloo-analytics uninstall") as connection:
        connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [MIGRATE_LOCK])
        if scalar(connection, "SELECT to_regclass('analytics.migration_ledger') IS NULL"):
            return None
        let_act_as_roles(connection)
        refuse_foreign_objects(connection)
        # A refresh that is running ends first.
        with acting_as(connection):
            connection.execute("SELECT pg_advisory_xact_lock(analytics.refresh_lock_key())")
            created_cron = scalar(connection, "SELECT pg_cron_created FROM analytics.installation")
        jobs = cron.unschedule(connection)
        LOGGER.info("removed %d scheduled job(s)", jobs)
        restore_search_path(connection)
        if created_cron and not scalar(connection, "SELECT true FROM cron.job LIMIT 1"):
            connection.execute("DROP EXTENSION pg_cron")
            LOGGER.info("dropped extension pg_cron, which migrate had created")
        drop_objects(connection)
        LOGGER.info("dropped schema %s and all rights of its roles", SCHEMA)
        kept = drop_roles(connection)
        left = scalar(connection, "SELECT to_regnamespace(%s) IS NOT NULL", SCHEMA)
        if left:
            raise UserError(f"schema {SCHEMA} is still there; nothing was changed")
        if dry_run:
            connection.rollback()
        return kept


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="uninstall.py",
        description="Removes teloo-analytics from a database: schedule, schema, search_path, "
        "rights, and the roles that no other database uses. Touches no source table.",
        epilog="Exit codes: 0 removed or not there, 1 failed with nothing changed, 2 wrong usage.",
    )
    parser.add_argument("--database-url", help="connection string; default: DATABASE_URL")
    parser.add_argument("--dry-run", action="store_true", help="do it and roll back")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        environment()
        kept = uninstall(database_url(options.database_url), dry_run=options.dry_run)
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(UserError(f"{error} (SQLSTATE {error.sqlstate}); nothing was changed"))
    if kept is None:
        LOGGER.info("teloo-analytics is not installed in this database: nothing to remove")
        return 0
    for role in kept:
        LOGGER.info("kept role %s", role)
    if options.dry_run:
        LOGGER.info("dry run: nothing was changed")
        return 0
    LOGGER.info("removed; open sessions keep their search_path until they reconnect")
    return 0


if __name__ == "__main__":
    sys.exit(main())
