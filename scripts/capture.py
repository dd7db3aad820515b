"""Change capture: the triggers on the operational tables, as the setting change_capture says."""

import time

import psycopg

from console import LOGGER, UserError
from prerequisites import connect, details, scalar

PATIENCE_SECONDS = 60.0


def apply(url: str) -> list[str]:
    """Create or drop the triggers, in a short transaction of their own; return what changed.

    Never queues the application behind its locks for longer than 100 ms an attempt. Raises
    UserError where the tables are busy for a minute or the role does not own them: then
    every refresh computes everything again.
    """
    changes: list[str] = []
    with connect(url, "change capture") as connection:
        connection.autocommit = True
        connection.add_notice_handler(
            lambda notice: changes.append(
                str(notice.message_primary).removeprefix("teloo-analytics: ")
            )
        )
        try:
            connection.execute(
                "CALL analytics.apply_change_capture(make_interval(secs => %s))",
                [PATIENCE_SECONDS],
            )
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable) as error:
            raise UserError(
                f"change capture was not set up: {error.diag.message_primary}. Everything else "
                "is done; until it is, every refresh computes everything again",
                details(error),
            ) from error
    for change in changes:
        LOGGER.info("%s", change)
    return changes


def remove(connection: psycopg.Connection) -> int:
    """Drop all triggers of change capture in the caller's transaction; return how many.

    Waits for busy tables in attempts of 100 ms, holding nothing in between, for a minute.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    connection.execute("UPDATE analytics.settings SET value = 'off' WHERE name = 'change_capture'")
    while True:
        try:
            with connection.transaction():
                removed = scalar(connection, "SELECT analytics.set_capture_triggers()")
            connection.execute("SET LOCAL lock_timeout = 0")
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() > deadline:
                raise UserError(
                    "the operational tables are busy all the time; nothing was changed",
                    "Try again when long transactions are done (see pg_stat_activity).",
                ) from error
            time.sleep(0.2)
        except psycopg.errors.InsufficientPrivilege as error:
            raise UserError(f"{error.diag.message_primary}; nothing was changed") from error
        else:
            return int(str(removed))
