"""What the services beside the database (scheduler.py, notifier.py) have in common."""

import signal
import threading
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commandline.console import LOGGER, UserError
from database.prerequisites import refuse_standby

# A host that vanished without a word is noticed after a minute instead of two hours.
CONNECTION = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def warn(diagnostic: psycopg.errors.Diagnostic) -> None:
    """Log a warning of the server."""
    if diagnostic.severity_nonlocalized == "WARNING":
        LOGGER.warning("%s", diagnostic.message_primary)


def connect(url: str, name: str) -> psycopg.Connection:
    """Connect, each statement a transaction; what the connection string sets wins over ours.

    Leaves nothing in a session that a pool gives to others. What writes in a block of
    transaction() needs no default of the database for it.
    """
    parameters: dict[str, Any] = CONNECTION | conninfo_to_dict(url)
    connection = psycopg.connect(
        make_conninfo(**parameters),
        autocommit=True,
        prepare_threshold=None,
        application_name=f"teloo-analytics {name}",
    )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    # READ WRITE is an error on a standby, before refuse_standby() could say so.
    connection.read_only = connection.info.parameter_status("in_hot_standby") == "on"
    connection.add_notice_handler(warn)
    return connection


def check(url: str, functions: list[str]) -> None:
    """Refuse a database in which this role can't call the functions; one that is away may return.

    ``functions`` are signatures with a schema, such as ``analytics.tick()``. Raises
    UserError where one is missing or may not be called, or where the database is a standby.
    """
    try:
        with connect(url, "check") as connection:
            refuse_standby(connection)
            has_package, user = connection.execute(
                "SELECT bool_and(to_regprocedure(name) IS NOT NULL), current_user "
                "FROM pg_catalog.unnest(%s::text[]) AS name",
                [functions],
            ).fetchone() or (False, "")
            may_call = has_package and connection.execute(
                "SELECT bool_and(has_schema_privilege(split_part(name, '.', 1), 'USAGE') "
                "AND has_function_privilege(name, 'EXECUTE')) "
                "FROM pg_catalog.unnest(%s::text[]) AS name",
                [functions],
            ).fetchone() == (True,)
    except psycopg.errors.InsufficientPrivilege:
        has_package, user, may_call = True, "this role", False
    except psycopg.OperationalError as error:
        LOGGER.error("the database does not answer yet: %s", str(error).strip())
        return
    if not has_package:
        raise UserError(
            "this database has no teloo-analytics, or an older one",
            "Bring it to the current version: make migrate",
        )
    if not may_call:
        raise UserError(
            f"role {user} may not call {' and '.join(functions)}",
            f"Connect as analytics_scheduler, or: GRANT analytics_scheduler TO {user};",
        )


def stop_on_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
