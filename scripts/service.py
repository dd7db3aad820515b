"""What the services beside the database (scheduler.py, notifier.py) have in common."""

import signal
import threading

import psycopg

from console import LOGGER, UserError

CONNECT_SECONDS = 10


def check(url: str, functions: list[str]) -> None:
    """Refuse a database in which this role can't call the functions; one that is away may return.

    ``functions`` are signatures such as ``analytics.tick()``. Raises UserError where one is missing
    or may not be called.
    """
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            has_package, user = connection.execute(
                "SELECT bool_and(to_regprocedure(name) IS NOT NULL), current_user "
                "FROM unnest(%s::text[]) AS name",
                [functions],
            ).fetchone() or (False, "")
            may_call = has_package and connection.execute(
                "SELECT has_schema_privilege('analytics', 'USAGE') "
                "AND bool_and(has_function_privilege(name, 'EXECUTE')) "
                "FROM unnest(%s::text[]) AS name",
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
