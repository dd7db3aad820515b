"""Takes digests from the database and sends them."""

import threading
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import psycopg
from psycopg.rows import class_row

from commandline.console import LOGGER, safe
from services.delivery import in_time
from services.digest_mail import message_of
from services.digest_page import page_of, parsed
from services.mail import Letter, MailServer, one_line

DIGEST_FUNCTIONS = [
    "kpi_engine.take_digest()",
    "kpi_engine.report_digest(bigint,text)",
    "kpi_engine.digest_contents(text,text[],date)",
]
TAKE = """
SELECT delivery_id, address, frequency, language, cities, period, created_at, attempt
FROM kpi_engine.take_digest()
"""
CONTENTS = "SELECT kpi_engine.digest_contents(%s, %s, %s)::text"


@dataclass(frozen=True)
class Digest:
    """A row of kpi_engine.take_digest()."""

    delivery_id: int
    address: str
    frequency: str
    language: str
    cities: list[str] | None
    period: date
    created_at: datetime
    attempt: int


def contents_of(
    connection: psycopg.Connection, frequency: str, cities: list[str] | None, day: date | None
) -> str:
    """Return what a digest says, as JSON."""
    row = connection.execute(CONTENTS, [frequency, cities, day]).fetchone()
    return str(row[0]) if row else ""


class DigestPost:
    """Sends the digests of one database.

    ``all_arrived`` turns false for good when one did not.
    """

    def __init__(self, server: MailServer, stop: threading.Event) -> None:
        self.server = server
        self.stop = stop
        self.all_arrived = True
        self._unreported: tuple[int, str | None] | None = None

    def deliver_next(self, connection: psycopg.Connection, seconds: float) -> bool:
        """Send the oldest digest that is due; return whether there was one."""
        self._report(connection)
        with connection.transaction(), connection.cursor(row_factory=class_row(Digest)) as cursor:
            digest = cursor.execute(TAKE).fetchone()
        if digest is None:
            return False
        error = self._send(connection, digest, seconds)
        reason = (
            None if error is None else safe(one_line(f"{type(error).__name__}: {error}"))[:1000]
        )
        # Kept until the database has it: nobody is to get it twice because it restarts.
        self._unreported = (digest.delivery_id, reason)
        what = f"digest {digest.delivery_id} ({digest.frequency}, {digest.period})"
        if reason is None:
            LOGGER.info("%s was sent", what)
        else:
            self.all_arrived = False
            LOGGER.error("%s was not sent, attempt %d: %s", what, digest.attempt, reason)
        self._report(connection)
        return True

    def _send(
        self, connection: psycopg.Connection, digest: Digest, seconds: float
    ) -> Exception | None:
        """Return what failed; one digest that can't be written keeps no other one back."""
        place = f"email:{digest.address}"
        try:
            contents = contents_of(connection, digest.frequency, digest.cities, digest.period)
            message = message_of(
                page_of(parsed(contents), digest.language),
                self.server.sender,
                digest.address,
                f"digest.{digest.delivery_id}",
                digest.created_at,
            )
        except Exception as error:
            if connection.closed:
                raise
            return error
        letter = Letter(place, digest.address, message)
        sender = partial(self.server.send, [letter])
        return in_time([([place], sender)], self.stop, seconds)[place]

    def _report(self, connection: psycopg.Connection) -> None:
        if self._unreported:
            with connection.transaction():
                connection.execute("SELECT kpi_engine.report_digest(%s, %s)", self._unreported)
            self._unreported = None
