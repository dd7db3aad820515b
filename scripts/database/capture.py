"""Change capture: the triggers on the operational tables, as the setting change_capture says."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from commandline.console import LOGGER, UserError
from database.prerequisites import (
    ENGINE_SCHEMA,
    SCHEMA,
    acting_as,
    connect,
    details,
    note_event_triggers,
    pin_settings,
    scalar,
)

PATIENCE_SECONDS = 60.0
WATCH_OUTSIDE = "analytics.watch_outside_sources(boolean)"
BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


@contextmanager
def rights_of_owner(connection: psycopg.Connection) -> Iterator[None]:
    """Let the current role use our schemas until the end of the block.

    Triggers belong to the owner of a table, and their functions to analytics_owner: a role
    that is a member of it without inheriting has both only with rights of its own.
    """
    user = sql.Identifier(str(scalar(connection, "SELECT current_user")))
    if scalar(connection, "SELECT has_schema_privilege(%s, 'USAGE')", ENGINE_SCHEMA):
        yield
        return
    ours = f"SCHEMA {SCHEMA}, {ENGINE_SCHEMA}"
    rights = (
        ("USAGE", ours),
        ("EXECUTE", f"ALL ROUTINES IN {ours}"),
        ("SELECT", f"ALL TABLES IN {ours}"),
    )
    with acting_as(connection):
        for right, what in rights:
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(right), sql.SQL(what), user)
            )
    yield
    with acting_as(connection):
        for right, what in rights:
            connection.execute(
                sql.SQL("REVOKE {} ON {} FROM {}").format(sql.SQL(right), sql.SQL(what), user)
            )


def busy_sessions(connection: psycopg.Connection) -> str:
    """Return who has locks on the operational tables now: the table, the session, its statement."""
    with connection.transaction(force_rollback=True), rights_of_owner(connection):
        holders = scalar(
            connection,
            "SELECT kpi_engine.table_lockers("
            "ARRAY(SELECT relation::oid FROM kpi_engine.captured_tables()))",
        )
    return "" if holders is None else str(holders)


def try_triggers(connection: psycopg.Connection, wanted: bool | None = None) -> int:
    """Create or drop the triggers in one attempt; return how many.

    Without ``wanted`` the setting change_capture says which. Raises one of BUSY where it would have
    to wait, and UserError where the role does not own the tables.
    """
    try:
        changed = scalar(connection, "SELECT kpi_engine.set_capture_triggers(%s)", wanted)
    except psycopg.errors.InsufficientPrivilege as error:
        raise UserError(
            f"change capture is as before: {error.diag.message_primary}", details(error)
        ) from error
    return int(str(changed))


def set_triggers(connection: psycopg.Connection) -> int:
    """Create or drop the triggers in the caller's transaction, by the setting; return how many.

    Waits for busy tables in attempts of 100 ms, holding nothing in between, for a minute. Raises
    UserError where they stay busy or the role does not own them.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    holders = ""
    while True:
        try:
            with connection.transaction(), rights_of_owner(connection):
                changed = try_triggers(connection)
            connection.execute("SET LOCAL lock_timeout = 0")
        except BUSY as error:
            holders = busy_sessions(connection) or holders
            if time.monotonic() > deadline:
                raise UserError(
                    "the operational tables are busy all the time: change capture is as before",
                    f"{holders or 'Each time by another session.'}\n"
                    "Try again when these transactions are done; or as the owner of the tables: "
                    "CALL analytics.apply_change_capture();",
                ) from error
            time.sleep(0.2)
        else:
            return changed


def apply(url: str) -> list[str]:
    """Do what the setting says in a short transaction of its own; return what changed.

    Raises UserError where that is not possible: then every refresh computes everything again.
    """
    with connect(url, "change capture") as connection:
        pin_settings(connection)
        note_event_triggers(connection)
        changed = set_triggers(connection)
        changes = [f"created or dropped {changed} triggers of change capture"] if changed else []
        changes += watch_outside(connection)
    for change in changes:
        LOGGER.info("%s", change)
    return changes


def watch_outside(connection: psycopg.Connection) -> list[str]:
    """Create the triggers on tables of other services, where this role may; return what changed.

    Without them a refresh reads such a table anew each time, and health says so.
    """
    try:
        with connection.transaction(), rights_of_owner(connection):
            if scalar(connection, "SELECT to_regprocedure(%s)", WATCH_OUTSIDE) is None:
                return []
            watched = scalar(connection, "SELECT analytics.watch_outside_sources()")
        connection.execute("SET LOCAL lock_timeout = 0")
    except (psycopg.errors.InsufficientPrivilege, *BUSY) as error:
        LOGGER.warning(
            "tables of other services are read anew at each refresh: %s; as their owner: "
            "SELECT analytics.watch_outside_sources();",
            error.diag.message_primary,
        )
        return []
    return [f"watched {watched} table(s) of other services by triggers"] if watched else []


def remove(connection: psycopg.Connection) -> int:
    """Drop all triggers of change capture in the caller's transaction; return how many.

    Those on tables of other services go too. One attempt: raises one of BUSY where it would have
    to wait, and UserError where the role does not own the tables.
    """
    with rights_of_owner(connection):
        if scalar(connection, "SELECT to_regprocedure(%s)", WATCH_OUTSIDE) is not None:
            connection.execute("SELECT analytics.watch_outside_sources(false)")
        return try_triggers(connection, wanted=False)
