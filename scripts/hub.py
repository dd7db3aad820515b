"""Adds sites to a hub, lists and checks them, takes one away."""

import json
import os
from pathlib import Path

import psycopg
from tabulate import tabulate

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
from database import prerequisites

AT_THE_SITE = (
    "At the site, as the role that ran migrate: SELECT analytics.set_setting('hub_days', '30'); "
    "CREATE ROLE hub_reader LOGIN PASSWORD '…' IN ROLE analytics_hub; and a refresh."
)
SECRET = "TELOO_HUB_PASSWORD"  # noqa: S105


def password_of(file: str | None) -> str:
    """Return the password of the role at the site: from a file, or from the environment."""
    if file is not None:
        try:
            found = Path(file).read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise UserError(f"{file} can't be read: {error.strerror}") from error
    else:
        found = os.environ.get(SECRET, "")
    if not found:
        raise UserError(
            "there is no password for the role at the site",
            f"Set {SECRET}, or name a file that holds it: --password-file",
        )
    return found


def prepare(connection: psycopg.Connection) -> None:
    """Create the extension dblink and let analytics_owner use it, where that is still to do."""
    if not prerequisites.scalar(
        connection, "SELECT true FROM pg_extension WHERE extname = 'dblink'"
    ):
        connection.execute("CREATE EXTENSION dblink SCHEMA public")
        LOGGER.info("created extension dblink")
    connection.execute(f"GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO {prerequisites.OWNER}")


def say_nothing(connection: psycopg.Connection) -> None:
    """Keep what follows in the transaction out of the server's log and pg_stat_statements.

    Only a superuser may. Any other role's server logs it if it logs each statement.
    """
    connection.execute(
        "SELECT set_config(quiet.name, quiet.value, true) FROM (VALUES ('log_statement', 'none'), "
        "('log_min_duration_statement', '-1'), ('log_min_duration_sample', '-1'), "
        "('log_min_error_statement', 'panic'), ('log_min_messages', 'panic'), "
        "('pg_stat_statements.track_utility', 'off')) AS quiet (name, value) "
        "INNER JOIN pg_settings ON pg_settings.name = quiet.name "
        "WHERE current_setting('is_superuser') = 'on'"
    )


def add(url: str, name: str, options: dict[str, str], user: str, password: str) -> None:
    """Add a site to the hub."""
    with prerequisites.connect(url, "hub") as connection:
        prerequisites.pin_settings(connection)
        if not prerequisites.scalar(
            connection,
            "SELECT has_foreign_data_wrapper_privilege(to_regrole(%s)::oid, oid, 'USAGE') "
            "FROM pg_foreign_data_wrapper WHERE fdwname = 'dblink_fdw'",
            prerequisites.OWNER,
        ):
            try:
                with connection.transaction():
                    prepare(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                raise UserError(
                    "this role may not create the extension dblink for the hub",
                    "As a superuser, in this database: CREATE EXTENSION IF NOT EXISTS dblink; "
                    f"GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO {prerequisites.OWNER};",
                ) from error
        say_nothing(connection)
        with prerequisites.acting_as(connection):
            try:
                connection.execute(
                    "SELECT kpi_engine.add_hub_site(%s, %s::jsonb, %s, %s)",
                    [name, json.dumps(options), user, password],
                )
            except psycopg.errors.UniqueViolation as error:
                raise UserError(
                    f"there is a site {name} already", "Remove it first: hub.py remove"
                ) from error
            except psycopg.errors.CheckViolation as error:
                raise UserError(
                    f"{name} is no name for a site",
                    "Take up to 40 lower-case letters, digits and underscores.",
                ) from error
    LOGGER.info("added site %s; the next refresh takes its rows", name)


def rows_of(url: str, query: str, *values: object) -> list[tuple[object, ...]]:
    """Return the rows of a query that runs as analytics_owner."""
    with prerequisites.connect(url, "hub") as connection:
        prerequisites.pin_settings(connection)
        with prerequisites.acting_as(connection):
            return connection.execute(query.encode(), values).fetchall()


def list_sites(url: str) -> int:
    """Print the sites; return 3 if one gave nothing at the last refresh, or lacks rows itself."""
    rows = rows_of(
        url,
        "SELECT site, state, as_of, taken_at, coalesce(message, behind) "
        "FROM analytics.hub_sites ORDER BY site",
    )
    print(tabulate(rows, headers=["site", "state", "as of", "taken", "message"]))
    return 0 if all(row[1] == "ok" and row[4] is None for row in rows) else 3


def check(url: str, names: list[str]) -> int:
    """Ask sites what they offer, compare the mirror with them; return 3 if one is wrong."""
    listed = names or [
        str(name) for (name,) in rows_of(url, "SELECT site FROM analytics.hub_sites ORDER BY site")
    ]
    rows = [
        (name, *row)
        for name in listed
        for row in rows_of(url, "SELECT * FROM kpi_engine.check_hub_site(%s)", name)
    ]
    marks = {True: "ok", False: "WRONG", None: "later"}
    print(
        tabulate(
            [
                (name, subject, marks[None if right is None else bool(right)], answer)
                for name, subject, right, answer in rows
            ],
            headers=["site", "what", "", "answer"],
        )
    )
    if any(row[2] is False for row in rows):
        LOGGER.error("something is wrong. %s", AT_THE_SITE)
        return 3
    return 0


def remove(url: str, name: str) -> None:
    """Take a site away."""
    rows_of(url, "SELECT kpi_engine.remove_hub_site(%s)", name)
    LOGGER.info(
        "removed site %s; the next refresh takes its figures out. If the gate holds them: SELECT "
        "view_name, analytics.accept_gate(view_name, 'once', 'site %s removed') FROM (SELECT "
        "DISTINCT view_name FROM analytics.gate_holds) AS held;",
        name,
        name,
    )


def arguments_of(parser: Parser) -> None:
    """Declare the command line."""
    parser.add_argument("command", choices=["add", "list", "check", "remove"])
    parser.add_argument("site", nargs="*", help="name of the site; check: none means all")
    parser.add_argument("--database-url", help="the hub; default: DATABASE_URL")
    parser.add_argument("--host", help="add: server of the site")
    parser.add_argument("--port", default="5432", help="add: its port; default: 5432")
    parser.add_argument("--dbname", help="add: database of the site")
    parser.add_argument("--user", help="add: role there, a member of analytics_hub")
    parser.add_argument(
        "--password-file", help=f"add: file with the role's password; default: {SECRET}"
    )
    parser.add_argument("--sslmode", help="add: sslmode of libpq, such as verify-full")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="hub.py",
        description="The sites of a hub (make migrate HUB=1): adds one, lists and checks them, "
        "takes one away.",
        epilog="Exit codes: 0 all is well, 1 failed, 2 wrong usage, 3 a site gives nothing or "
        f"differs. {AT_THE_SITE}",
    )
    arguments_of(parser)
    options = parser.parse_args(arguments)
    if options.command in ("add", "remove") and len(options.site) != 1:
        parser.error(f"{options.command} takes the name of one site")
    if options.command == "list" and options.site:
        parser.error("list takes no name")
    needed = {"host": options.host, "dbname": options.dbname, "user": options.user}
    missing = [
        f"--{name}" for name, value in needed.items() if options.command == "add" and not value
    ]
    if missing:
        parser.error(f"add needs {', '.join(missing)}")
    set_up_logging()
    try:
        environment()
        url = database_url(options.database_url)
        if options.command == "list":
            return list_sites(url)
        if options.command == "check":
            return check(url, options.site)
        if options.command == "remove":
            remove(url, options.site[0])
            return 0
        address = {
            "host": options.host,
            "port": options.port,
            "dbname": options.dbname,
            "sslmode": options.sslmode,
        }
        add(
            url,
            options.site[0],
            {name: value for name, value in address.items() if value},
            options.user,
            password_of(options.password_file),
        )
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(prerequisites.explained(error))
    return 0


if __name__ == "__main__":
    run_tool(main)
