"""What all command-line tools share: messages, connection strings, how a tool ends.

Invariant: a tool prints and logs no password. If libpq can't read a connection string, its error
holds parts of the string, so it is never shown. Texts from elsewhere go through safe().
"""

import argparse
import base64
import contextlib
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pythonjsonlogger.json import JsonFormatter

LOGGER = logging.getLogger("teloo_analytics")
# What a shell says of a program whose reader went away: 128 + SIGPIPE.
BROKEN_PIPE = 141
INTERRUPTED = 130
TERMINATED = 143
HIDDEN = "***"
# Variables that are a secret, or may hold one.
SECRET_VARIABLES = (
    "PGPASSWORD",
    "JWT_SECRET",
    "ALERT_WEBHOOK_TOKEN",
    "ALERT_WEBHOOK_URL",
    "ALERT_SMTP_URL",
    "DATABASE_URL",
    "ADMIN_DATABASE_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)
_PATTERNS = (
    # scheme://user:password@host; a password may hold anything but white space here.
    (re.compile(r"(://[^\s'\"@/:]*):[^\s'\"]*@"), rf"\1:{HIDDEN}@"),
    (
        re.compile(r"(\b(?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.|'')*'?|[^\s&'\"]+)", re.I),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"(\bpassword\s+)(?:[eub]?&?'|\$\w*\$).*", re.I),
        rf"\1{HIDDEN}",
    ),
)
_secrets: dict[str, re.Pattern[str]] = {}
_is_cut_off = False
_is_terminated = False


class UserError(Exception):
    """A fault that the user can mend: shown as a message, without a traceback.

    ``hint`` says what to do; it may hold several lines, such as the statements to run.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


# -- secrets -----------------------------------------------------------------------------------


def keep_secret(values: Iterable[str | None]) -> None:
    """Hide these values in everything that is printed or logged from now on."""
    for value in values:
        for text in {value or "", unquote(value or "")}:
            # A plain word would be hidden in every sentence; patterns find it beside its name.
            if text and text not in _secrets and not re.fullmatch(r"[a-z_]{1,12}|\W+", text):
                # A part of a longer word is left alone: a password may be as short as a letter.
                before = r"(?<![A-Za-z0-9])" if text[0].isalnum() else ""
                after = r"(?![A-Za-z0-9])" if text[-1].isalnum() else ""
                _secrets[text] = re.compile(before + re.escape(text) + after)


def _secrets_of_url(url: str) -> Iterable[str]:
    """Yield what in a text that is meant as a URL may be its secret, however it is written."""
    _, scheme_end, rest = url.partition("://")
    if not scheme_end:
        for words in re.findall(r"password\s*=\s*(.*)", url, re.IGNORECASE | re.DOTALL):
            yield from (part for part in re.split(r"[\s'\"=&]", words) if len(part) > 2)
    user_info, at, _ = rest.rpartition("@")
    if at:
        user, colon, password = user_info.partition(":")
        if colon:
            yield password
            raw = unquote(password)
            # How a mail server is told it, which may tell it back.
            for text in (raw, f"\0{unquote(user)}\0{raw}"):
                yield base64.b64encode(text.encode(errors="replace")).decode()
        # An @, a blank or a slash that was not encoded cuts a password in pieces.
        if re.search(r"[@/\s%?#]", password):
            yield from (part for part in re.split(r"[@/\s%?#]", password) if len(part) > 2)
    if ":" not in url and "@" not in url and "=" not in url:
        return
    yield url


def hide_secrets_of_environment() -> None:
    """Hide what the environment's variables hold."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name)
        if not value:
            continue
        if "URL" in name or "proxy" in name.lower():
            keep_secret(_secrets_of_url(value))
            if name == "ALERT_WEBHOOK_URL":
                # The path of a chat's address is what lets one post there.
                path = re.sub(r"^[^:]+://[^/]*", "", value)
                keep_secret(part for part in re.split(r"[/?&=]", path) if len(part) > 15)
                keep_secret([path if len(path) > 8 else None])
        else:
            keep_secret([value])


def safe(text: object) -> str:
    """Return a text without passwords."""
    result = str(text)
    for value in sorted(_secrets, key=len, reverse=True):
        result = _secrets[value].sub(HIDDEN, result)
    for pattern, instead in _PATTERNS:
        result = pattern.sub(instead, result)
    return result


# -- messages ----------------------------------------------------------------------------------


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
        message = safe(super().format(record))
        if record.levelno >= logging.WARNING:
            return f"{record.levelname}: {message}"
        return message


def _without_secrets(record: logging.LogRecord) -> bool:
    """Take passwords out of a record, before any handler sees it."""
    record.msg, record.args = safe(record.getMessage()), ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = safe("".join(traceback.format_exception(*record.exc_info))).rstrip()
        record.exc_info = None
    return True


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Goes on in silence when who read the messages is gone; finish() tells of it."""

    def handleError(self, record: logging.LogRecord) -> None:
        global _is_cut_off
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            _is_cut_off = True
            return
        super().handleError(record)


def set_up_logging() -> None:
    """Send messages to standard error, as ENVIRONMENT wants them."""
    hide_secrets_of_environment()
    handler = _Handler(sys.stderr)
    try:
        production = environment() == "production"
    except UserError:
        production = False
    handler.setFormatter(
        JsonFormatter("%(levelname)s %(message)s", timestamp=True)
        if production
        else _ReadableFormatter("%(message)s")
    )
    handler.addFilter(_without_secrets)
    LOGGER.handlers = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)


def report(error: UserError) -> int:
    """Log an error with its hint and return the exit code for it, 1."""
    LOGGER.error("%s%s", error, f"\n{error.hint}" if error.hint else "")
    return 1


class Parser(argparse.ArgumentParser):
    """A parser whose errors show no connection string that was put in a wrong place."""

    given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember what is parsed, for error()."""
        self.given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def add_database_url(self) -> None:
        """Declare --database-url, which database_url() takes."""
        self.add_argument("--database-url", help="connection string; default: DATABASE_URL")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print as it does, but let run_tool() know that nobody reads."""
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and end with exit code 2."""
        for argument in self.given:
            text = re.sub(r"^--?[\w-]+=", "", argument)
            if re.search(r"://|@|\w\s*=", text):
                message = message.replace(text, HIDDEN).replace(repr(text)[1:-1], HIDDEN)
        super().error(safe(message))


# -- connection strings ------------------------------------------------------------------------

_EXAMPLE = "Take one such as postgresql://me@host/teloo"
_ENCODE = (
    f"{_EXAMPLE}. In a password write %40 for @, %3A for :, %2F for /, %25 for %, %20 for a blank; "
    "or leave it out, and set PGPASSWORD or ~/.pgpass."
)


def _problem_of(url: str) -> str | None:
    """Return what is wrong with a connection string, in words that hold no part of it."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return _reason_of(url)
    except ValueError:
        return "it holds letters that can't be sent"
    if re.match(r"postgres(ql)?://", url):
        authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
        if authority.count("@") > 1 or ("@" in path and "@" not in authority):
            return "it holds an @ or a / too many: those of the password must be encoded"
    for port in str(parts.get("port") or "").split(","):
        if port and not re.fullmatch(r"[0-9]{1,5}", port):
            return "its port is not a number: is there a : or a / in the password?"
    for host in str(parts.get("host") or "").split(","):
        if "@" in host and not host.startswith(("@", "/")):
            return "its host holds an @: that of the password must be encoded"
    if re.search(r"://|\bpassword\s*=", str(parts.get("dbname") or "")):
        return "the name of its database is a connection string itself"
    return None


def _reason_of(url: str) -> str:
    """Return why libpq probably can't read a connection string."""
    driver = re.match(r"postgres(?:ql)?\+(asyncpg|psycopg|psycopg2|psycopg2cffi|pg8000)://", url)
    if driver:
        return f"it names a driver of SQLAlchemy (+{driver[1]}); write postgresql:// instead"
    if url[0] in "'\"":
        return "it has quotation marks around it"
    if not re.match(r"postgres(ql)?://", url):
        if "://" in url and "=" not in url.partition("://")[0]:
            return "it does not begin with postgresql://"
        if "=" not in url:
            return "it is neither postgresql://… nor name=value …"
        return "a quotation mark, a = or the name of an option is wrong"
    if re.search(r"\s", url):
        return "it holds a blank that is not written as %20"
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        return "it holds a % that is not written as %25"
    return "libpq can't read it: is there a : / ? [ or @ in the password?"


def checked_url(url: str, name: str = "the connection string") -> str:
    """Return a connection string that libpq can read; raises UserError, which holds no part of it.

    Its password is hidden from then on.
    """
    keep_secret(_secrets_of_url(url))
    problem = _problem_of(url)
    if problem:
        raise UserError(f"{name} is not right: {problem}", _ENCODE)
    parts = conninfo_to_dict(url)
    shown = {str(parts.get(part)) for part in ("user", "dbname", "host")} | {"postgres"}
    hidden = [str(parts[part]) for part in ("password", "sslpassword") if parts.get(part)]
    # user%3Apassword is a name to libpq, and the server's refusal shows it.
    hidden.append(str(parts.get("user") or "").partition(":")[2])
    for value in hidden:
        if value in shown:
            _secrets.pop(value, None)
        else:
            keep_secret([value])
    return url


def database_url(given: str | None) -> str:
    """Return the connection string: what was given, else DATABASE_URL; refuse one that is none."""
    url = given or os.environ.get("DATABASE_URL")
    if not url:
        raise UserError(
            "no database named",
            "Set DATABASE_URL, for example DATABASE_URL=postgresql://me@host/teloo",
        )
    return checked_url(url, "the connection string" if given else "DATABASE_URL")


def described(error: psycopg.Error) -> str:
    """Return an error of the database in a line for the log."""
    return safe(f"{str(error).strip()} (SQLSTATE {error.sqlstate or 'none: the connection'})")


# -- the end -----------------------------------------------------------------------------------


def _show_without_secrets(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the traceback of an error that nobody expected, without passwords."""
    text = "".join(traceback.format_exception(kind, error, trace))
    with contextlib.suppress(OSError):
        sys.stderr.write(safe(text))


def _flush() -> bool:
    """Write out what is buffered; False where nobody reads it any more."""
    is_read = True
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            is_read = False
            # The interpreter flushes again when it ends, and would complain.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)
    return is_read


def _terminate(*_: object) -> NoReturn:
    """End the tool as Ctrl-C does, so that it stops what it started."""
    global _is_terminated
    _is_terminated = True
    # A second one must not come between the steps of stopping.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def run_tool(main: Callable[[], int]) -> NoReturn:
    """Run a tool's main() and end with its exit code.

    Ends silently with 141 where who read the output is gone, as ``| head`` is, with 130 on Ctrl-C
    and with 143 on SIGTERM. Either signal lets the tool stop what it started. What was begun when
    only the messages are cut off is finished first.
    """
    sys.excepthook = _show_without_secrets
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main()
    except BrokenPipeError:
        _flush()
        sys.exit(BROKEN_PIPE)
    except KeyboardInterrupt:
        code = TERMINATED if _is_terminated else INTERRUPTED
        with contextlib.suppress(OSError):
            sys.stderr.write("terminated\n" if _is_terminated else "interrupted\n")
    except SystemExit as ended:
        sys.exit(ended.code if _flush() else BROKEN_PIPE)
    if not _flush() or _is_cut_off:
        code = BROKEN_PIPE
    sys.exit(code)
