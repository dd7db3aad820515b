"""Builds the indexes on the operational tables that the incremental refresh needs."""

import threading
import time
from contextlib import suppress

import psycopg
from psycopg import sql
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
from database.prerequisites import scalar

PROGRESS = """
SELECT phase, coalesce(round(100.0 * blocks_done / nullif(blocks_total, 0)), 0)::integer
FROM pg_stat_progress_create_index
WHERE datname = current_database() AND relid = %s::regclass
"""


def show_progress(url: str, table: str, name: str, done: threading.Event) -> None:
    """Log how far the build of an index is, each time it moved on; a pool may have no place."""
    before = None
    with suppress(psycopg.Error), prerequisites.connect(url, "indexes") as connection:
        connection.autocommit = True
        while not done.wait(1.0):
            with connection.transaction():
                prerequisites.pin_settings(connection)
                row = connection.execute(PROGRESS, [table]).fetchone()
            if row is not None and row != before:
                LOGGER.info("%s: %s, %d %% of blocks", name, row[0], row[1])
                before = row


def build(url: str, name: str, table: str, statement: str) -> None:
    """Build one index CONCURRENTLY, showing its progress; a half-built one is dropped first."""
    with prerequisites.connect(url, "indexes") as connection:
        connection.autocommit = True
        with connection.transaction():
            prerequisites.pin_settings(connection)
            invalid = connection.execute(
                "SELECT nspname, relname FROM pg_index "
                "INNER JOIN pg_class ON pg_class.oid = indexrelid "
                "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
                "WHERE indrelid = %s::regclass AND relname = %s AND NOT indisvalid",
                [table, name],
            ).fetchone()
        if invalid is not None:
            LOGGER.info("dropping %s, whose build was interrupted", name)
            connection.execute(
                sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(*invalid))
            )
        done = threading.Event()
        watcher = threading.Thread(target=show_progress, args=(url, table, name, done))
        watcher.start()
        started = time.monotonic()
        try:
            connection.execute(statement.encode())
        finally:
            done.set()
            watcher.join()
        LOGGER.info("built %s in %.1f s", name, time.monotonic() - started)


def needed_indexes(url: str) -> list[tuple[str, str, str, bool, str, str]]:
    """Return the indexes the engine needs: table, column, purpose, is it there, name, statement."""
    with prerequisites.connect(url, "indexes") as connection:
        prerequisites.pin_settings(connection)
        if scalar(connection, "SELECT to_regnamespace(%s) IS NULL", prerequisites.ENGINE_SCHEMA):
            raise UserError(
                "teloo-analytics is not installed in database "
                f"{prerequisites.database_name(connection)}; nothing was changed",
                "Install it: make migrate",
            )
        with prerequisites.acting_as(connection):
            return connection.execute(
                "SELECT table_name, column_name, purpose, is_present, index_name, statement "
                "FROM analytics.source_indexes()"
            ).fetchall()


def build_missing(url: str) -> int:
    """Build the indexes that are missing, one after the other; return how many there were."""
    missing = [row for row in needed_indexes(url) if not row[3]]
    for table, _, _, _, name, statement in missing:
        build(url, name, table, statement)
    return len(missing)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="source_indexes.py",
        description="Lists the indexes on the operational tables that make a refresh cost only "
        "what changed, and builds the missing ones without blocking writers.",
        epilog="Exit codes: 0 all are there, 1 failed, 2 wrong usage, 3 --list: some are missing.",
    )
    parser.add_database_url()
    parser.add_argument("--list", action="store_true", help="only list them")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        environment()
        url = database_url(options.database_url)
        rows = needed_indexes(url)
        if not options.list:
            with prerequisites.connect(url, "indexes") as connection:
                prerequisites.refuse_standby(connection)
        print(
            tabulate(
                [
                    (table, column, purpose, index if present else "MISSING")
                    for table, column, purpose, present, index, _ in rows
                ],
                headers=["table", "column", "for", "index"],
            )
        )
        if options.list:
            return 0 if all(row[3] for row in rows) else 3
        missing = build_missing(url)
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        return report(prerequisites.explained(error))
    LOGGER.info("%d index(es) were missing; all are there now", missing)
    return 0


if __name__ == "__main__":
    run_tool(main)
