"""Shows a digest as its subscribers get it, and sends nothing."""

import json
import os
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg

from commandline.console import (
    Parser,
    UserError,
    database_url,
    report,
    run_tool,
    set_up_logging,
)
from services.digest_mail import in_html, message_of, plain
from services.digest_page import Page, page_of, parsed
from services.digest_post import contents_of
from services.service import check, connect

FUNCTION = "kpi_engine.digest_contents(text,text[],date)"
NOBODY = "preview@localhost"


def day(given: str) -> date:
    """Return a day of the command line."""
    return date.fromisoformat(given)


def cities_of(given: str | None) -> list[str] | None:
    """Return the names between the commas; None for the whole country."""
    return None if given is None else [name.strip() for name in given.split(",")]


def page_from(
    url: str, frequency: str, language: str, cities: list[str] | None, of: date | None
) -> Page:
    """Return what the digest says; raises UserError with the words of the database."""
    check(url, [FUNCTION])
    try:
        with connect(url, "digest preview") as connection:
            return page_of(parsed(contents_of(connection, frequency, cities, of)), language)
    except psycopg.Error as error:
        words = error.diag.message_primary or str(error).strip()
        # An error of the HTTP API is JSON.
        with suppress(ValueError, KeyError, TypeError):
            words = json.loads(words)["message"]
        raise UserError(f"no digest: {words}", error.diag.message_hint or "") from None


def written(page: Page, output: Path) -> bytes:
    """Return what goes into a file of this name."""
    if output.suffix == ".html":
        return in_html(page).encode()
    sender = os.environ.get("ALERT_EMAIL_FROM") or f"TeLOO <{NOBODY}>"
    return bytes(message_of(page, sender, NOBODY, "preview", datetime.now(UTC)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="digest.py",
        description="Shows the digest of KPIs that subscribers get by mail (docs/digest.md), and "
        "sends nothing. Best run as role analytics_scheduler or analytics_operador.",
        epilog="Exit codes: 0 shown or written, 1 something failed, 2 wrong usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="preview")
    preview = commands.add_parser("preview", help="show a digest, and send nothing")
    preview.add_database_url()
    preview.add_argument("--frequency", required=True, choices=("daily", "weekly", "monthly"))
    preview.add_argument("--language", default="es", choices=("es", "en"), help="default: es")
    preview.add_argument("--cities", help="such as Bogotá,Cali; default: the whole country")
    preview.add_argument(
        "--day", type=day, help="a day of the period, as YYYY-MM-DD; default: the latest period"
    )
    preview.add_argument(
        "--output", type=Path, help="write a .eml or .html file; default: print subject and text"
    )
    options = parser.parse_args(arguments)
    set_up_logging()
    if options.output and options.output.suffix not in (".eml", ".html"):
        parser.error("--output must end in .eml or .html")
    try:
        page = page_from(
            database_url(options.database_url),
            options.frequency,
            options.language,
            cities_of(options.cities),
            options.day,
        )
        if options.output:
            options.output.write_bytes(written(page, options.output))
        else:
            print(f"{page.subject}\n\n{plain(page)}", end="")
    except OSError as error:
        return report(UserError(f"{options.output}: {error.strerror}"))
    except UserError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    run_tool(main)
