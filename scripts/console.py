"""Messages of the command-line tools: readable in development, JSON lines in production."""

import logging
import os
import sys

from pythonjsonlogger.json import JsonFormatter

LOGGER = logging.getLogger("teloo_analytics")


class UserError(Exception):
    """A fault that the user can mend: shown as a message, without a traceback.

    ``hint`` says what to do; it may hold several lines, such as the statements to run.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def environment() -> str:
    """Return ENVIRONMENT: ``development`` (the default) or ``production``; refuse the rest."""
    value = os.environ.get("ENVIRONMENT") or "development"
    if value not in ("development", "production"):
        raise UserError(
            f"ENVIRONMENT must be development or production, not {value!r}",
            "Unset it for development.",
        )
    return value


class _ReadableFormatter(logging.Formatter):
    """Plain messages; a level is named only when it asks for attention."""

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        if record.levelno >= logging.WARNING:
            return f"{record.levelname}: {message}"
        return message


def set_up_logging() -> None:
    """Send messages to standard error, as ENVIRONMENT wants them."""
    handler = logging.StreamHandler(sys.stderr)
    try:
        production = environment() == "production"
    except UserError:
        production = False
    handler.setFormatter(
        JsonFormatter("%(levelname)s %(message)s", timestamp=True)
        if production
        else _ReadableFormatter("%(message)s")
    )
    LOGGER.handlers = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)


def report(error: UserError) -> int:
    """Log an error with its hint and return the exit code for it, 1."""
    LOGGER.error("%s%s", error, f"\n{error.hint}" if error.hint else "")
    return 1


def database_url(given: str | None) -> str:
    """Return the connection string: what was given, else DATABASE_URL."""
    url = given or os.environ.get("DATABASE_URL")
    if not url:
        raise UserError(
            "no database named",
            "Set DATABASE_URL, for example DATABASE_URL=postgresql://me@host/teloo",
        )
    return url
