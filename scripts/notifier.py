"""Delivers notices of alerts to a webhook and by e-mail, at least once, and digests by e-mail."""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.message import EmailMessage
from email.utils import parseaddr
from functools import partial
from typing import Protocol
from urllib.parse import unquote, urlsplit

import httpx
import psycopg
from psycopg.rows import class_row

from commandline.console import (
    LOGGER,
    Parser,
    UserError,
    database_url,
    described,
    report,
    run_tool,
    safe,
    set_up_logging,
)
from services.delivery import in_time
from services.digest_post import DIGEST_FUNCTIONS, DigestPost
from services.mail import Letter, MailServer, new_message, once, one_line
from services.service import check, connect, stop_on_signal

FUNCTIONS = [
    "kpi_engine.update_alerts()",
    "kpi_engine.take_notice()",
    "kpi_engine.report_notice(bigint,text[],text)",
    *DIGEST_FUNCTIONS,
]
TAKE = """
SELECT
    notice_id, event, problem, severity, message, first_seen_at, cleared_at, created_at, attempt,
    delivered_to, only_to
FROM kpi_engine.take_notice()
"""
# One answer of a server; all of a notice, which is ours for two minutes.
ANSWER_SECONDS = 20
DELIVERY_SECONDS = 60.0
# How often to ask for what is due. LISTEN would save a second at the most, and stay in a session
# that a pool gives to others.
ASK_SECONDS = 1.0


@dataclass(frozen=True)
class Notice:
    """A row of kpi_engine.take_notice(); instants with their time zone."""

    notice_id: int
    event: str
    problem: str
    severity: str
    message: str
    first_seen_at: datetime
    cleared_at: datetime | None
    created_at: datetime
    attempt: int
    delivered_to: list[str]
    only_to: list[str] | None
    # Which installation it is about, as this connection names it, and what only this role sees.
    database: str = ""
    host: str = ""
    reason: str = ""

    @property
    def subject(self) -> str:
        """One line that says it all."""
        what = "is over" if self.event == "cleared" else f"({self.severity})"
        return one_line(f"teloo-analytics: {self.problem} {what}")

    @property
    def is_over(self) -> bool:
        """Whether it tells that the problem is gone."""
        return self.event == "cleared"

    @property
    def text(self) -> str:
        """What is wrong where, since when, and what to do."""
        since = f"Since {self.first_seen_at.isoformat(timespec='seconds')}"
        if self.cleared_at:
            since += f", until {self.cleared_at.isoformat(timespec='seconds')}"
        where = f" Database {self.database} on {self.host}." if self.database else ""
        manual = "" if self.is_over else f" docs/runbook.md has a section {self.problem}."
        what = "\n".join(filter(None, [self.message, self.reason]))
        return f"{what}\n\n{since}.{where}{manual}"

    @property
    def chat_text(self) -> str:
        """Subject and text for a chat: nothing in it calls anybody, links or is set in bold."""
        return plain_in_chat(f"{self.subject}\n{self.text}")


class Way(Protocol):
    """How notices get to one or several places."""

    @property
    def places(self) -> list[str]:
        """Names of the places, for analytics.alert_outbox.delivered_to."""

    def send(self, notice: Notice, places: list[str]) -> Iterator[tuple[str, Exception | None]]:
        """Send to these places and yield for each, as it is done, what failed.

        What it raises is true of all that it has not yielded.
        """


@dataclass(frozen=True)
class Webhook:
    """A POST of JSON; its field ``text`` is what Slack, Mattermost and Google Chat show."""

    url: str = field(repr=False)
    token: str | None = field(repr=False)

    @property
    def places(self) -> list[str]:
        """There is one."""
        return ["webhook"]

    def send(self, notice: Notice, places: list[str]) -> Iterator[tuple[str, Exception | None]]:
        """Send it; anything but a 2xx answer is a failure, a redirect too."""
        headers = {"Idempotency-Key": once(str(notice.notice_id), notice.created_at)}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        # The body of the answer is not read: it may have no end.
        with httpx.stream(
            "POST",
            self.url,
            headers=headers,
            timeout=ANSWER_SECONDS,
            json={
                "text": notice.chat_text,
                "notice_id": notice.notice_id,
                "event": notice.event,
                "problem": notice.problem,
                "severity": notice.severity,
                "message": notice.message,
                "database": notice.database,
                "host": notice.host,
                "first_seen_at": notice.first_seen_at.isoformat(),
                "cleared_at": notice.cleared_at and notice.cleared_at.isoformat(),
            },
        ) as answer:
            if not answer.is_success:
                # Without the address: it may hold a secret, and this goes into the outbox.
                raise httpx.HTTPError(f"the webhook answered {answer.status_code}")
        for place in places:
            yield place, None


@dataclass(frozen=True)
class Email:
    """Mails through a server, encrypted where the server offers it and always with a password.

    One mail for each recipient, so that one who is refused costs the others nothing.
    """

    url: str = field(repr=False)
    sender: str
    recipients: list[str]

    @property
    def places(self) -> list[str]:
        """One for each address."""
        return [f"email:{address}" for _, address in map(parseaddr, self.recipients)]

    def send(self, notice: Notice, places: list[str]) -> Iterator[tuple[str, Exception | None]]:
        """Send it to each of them."""
        return self.server.send(
            Letter(place, place.removeprefix("email:"), self._message(notice)) for place in places
        )

    @property
    def server(self) -> MailServer:
        """The server and who sends."""
        return MailServer(self.url, self.sender, ANSWER_SECONDS)

    def _message(self, notice: Notice) -> EmailMessage:
        message = new_message(
            self.sender,
            ", ".join(self.recipients),
            notice.subject,
            str(notice.notice_id),
            notice.created_at,
        )
        message.set_content(notice.text)
        return message


# What a chat would take for markup: of Slack (<!channel>, <https://…|…>), of Mattermost, Discord,
# Teams and Google Chat (@here, [text](https://…), *bold*, `code`). Statements stay as they are.
_CHAT_MARKUP = (
    (re.compile("<"), "‹"),
    (re.compile(">"), "›"),
    (re.compile("&"), "＆"),
    (re.compile("@"), "@\u200b"),
    (re.compile("`"), "ˋ"),
    (re.compile(r"\*(?=[^\s*])|(?<=[^\s*])\*|\*\*+"), "∗"),
    (re.compile(r"\](?=[(\[])"), "]\u200b"),
    (re.compile(r"~~|\|\||\\|(?<![\w.])_(?=\S)|(?<=\S)_(?![\w.(])"), "·"),
    (re.compile("://"), ":\u200b//"),
    (re.compile(r"^(\s*)([#+-])(?=\s)", re.MULTILINE), "\\1\u200b\\2"),
)


def plain_in_chat(text: str) -> str:
    """Return a text that a chat shows as it is, whatever the data in it are."""
    text = "\n".join(one_line(line) for line in text.splitlines())
    for markup, instead in _CHAT_MARKUP:
        text = markup.sub(instead, text)
    return text


def host_of(connection: psycopg.Connection) -> str:
    """Return the server that a connection goes to; this machine for a socket."""
    info = connection.info
    host = socket.gethostname() if info.host.startswith("/") or not info.host else info.host
    return f"{host}:{info.port}"


def reason_for(notice: Notice, connection: psycopg.Connection) -> str:
    """Return what analytics_scheduler sees of its own jobs in pg_cron, which our owner does not."""
    if notice.problem != "scheduler_down" or notice.is_over:
        return ""
    try:
        row = connection.execute("SELECT analytics.scheduler_down_reason()").fetchone()
    except psycopg.Error:
        if connection.closed:
            raise
        return ""
    reason = str(row[0]) if row else ""
    return "" if reason in notice.message else f"As seen by the notifier: {reason}"


def is_address(text: str) -> bool:
    """Tell whether it can stand in a header and has an address in it."""
    return text.isprintable() and "@" in parseaddr(text)[1]


def webhook_of(environment: dict[str, str]) -> Webhook:
    """Return the webhook; raises UserError, which names the variable and no value."""
    url = environment["ALERT_WEBHOOK_URL"]
    token = environment.get("ALERT_WEBHOOK_TOKEN") or None
    try:
        is_right = httpx.URL(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except (ValueError, httpx.InvalidURL):
        is_right = False
    if not is_right:
        raise UserError(
            "ALERT_WEBHOOK_URL is not right", "Take an address such as https://host/path"
        )
    if token and not re.fullmatch("[!-~]+", token):
        raise UserError(
            "ALERT_WEBHOOK_TOKEN is not right",
            "Only letters, digits and signs of ASCII can be sent, without spaces and line breaks",
        )
    return Webhook(url, token)


def email_of(environment: dict[str, str]) -> Email:
    """Return the mail server and the recipients; raises UserError as webhook_of() does."""
    url = environment["ALERT_SMTP_URL"]
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("smtp", "smtps") and bool(parts.hostname)
        is_right = is_right and (parts.port or 1) > 0
        secrets = unquote(parts.username or "") + unquote(parts.password or "")
    except ValueError:
        is_right, secrets = False, ""
    if not is_right:
        raise UserError(
            "ALERT_SMTP_URL is not right",
            "Take smtp://host:25, smtp://user:password@host:587 or smtps://…:465; special "
            "characters of user and password %-encoded",
        )
    if not re.fullmatch("[ -~]*", secrets):
        raise UserError(
            "ALERT_SMTP_URL is not right",
            "User and password can hold letters, digits and signs of ASCII only",
        )
    sender = environment.get("ALERT_EMAIL_FROM", "")
    recipients = [
        name.strip() for name in environment.get("ALERT_EMAIL_TO", "").split(",") if name.strip()
    ]
    for name, addresses in (("ALERT_EMAIL_FROM", [sender]), ("ALERT_EMAIL_TO", recipients)):
        if not addresses or not all(map(is_address, addresses)):
            raise UserError(
                f"{name} is not right",
                f"With ALERT_SMTP_URL, set {name} to an address such as ana@example.com"
                + (" (several: separated by commas)" if name == "ALERT_EMAIL_TO" else ""),
            )
    by_address = {parseaddr(recipient)[1]: recipient for recipient in recipients}
    return Email(url, sender, list(by_address.values()))


def ways_of(environment: dict[str, str]) -> list[Way]:
    """Return how notices are delivered; raises UserError where that is not said right."""
    ways: list[Way] = []
    if environment.get("ALERT_WEBHOOK_URL"):
        ways.append(webhook_of(environment))
    if environment.get("ALERT_SMTP_URL"):
        ways.append(email_of(environment))
    if not ways:
        raise UserError(
            "nowhere to deliver to",
            "Set ALERT_WEBHOOK_URL, or ALERT_SMTP_URL with ALERT_EMAIL_FROM and ALERT_EMAIL_TO "
            "(docs/alerts.md)",
        )
    return ways


class Notifier:
    """Delivers the notices of one database.

    ``all_arrived`` turns false for good when one did not arrive everywhere.
    """

    def __init__(self, ways: list[Way], stop: threading.Event) -> None:
        self.ways = ways
        self.stop = stop
        self.places = [place for way in ways for place in way.places]
        self.all_arrived = True
        self._unreported: tuple[int, list[str], str | None] | None = None
        mails = [way for way in ways if isinstance(way, Email)]
        self.digests = DigestPost(mails[0].server, stop) if mails else None

    def check_health(self, connection: psycopg.Connection) -> bool:
        """Raise and clear alerts; log what fails, which must not keep notices from going out."""
        try:
            with connection.transaction():
                connection.execute("SELECT kpi_engine.update_alerts()")
        except psycopg.Error as error:
            if connection.closed:
                raise
            LOGGER.error("kpi_engine.update_alerts() failed: %s", described(error))
            return False
        return True

    def deliver_next(self, connection: psycopg.Connection) -> bool:
        """Deliver the oldest notice that is due; return whether there was one."""
        self._report(connection)
        with connection.transaction(), connection.cursor(row_factory=class_row(Notice)) as cursor:
            notice = cursor.execute(TAKE).fetchone()
        if notice is None:
            return False
        notice = replace(
            notice,
            database=connection.info.dbname,
            host=host_of(connection),
            reason=reason_for(notice, connection),
        )
        left = [place for place in self.places if place not in notice.delivered_to]
        told = left if notice.only_to is None else notice.only_to
        errors = self._send(notice, [place for place in left if place in told])
        arrived = [place for place in left if place in errors and errors[place] is None]
        reasons = [
            f"{place}: {one_line(f'{type(error).__name__}: {error}')}"
            for place, error in errors.items()
            if error is not None
        ]
        early = [
            f"{place}: the notice of the alert itself has to arrive first"
            for place in left
            if place not in told
        ]
        reason = safe("; ".join(reasons + early))[:1000] or None
        # Kept until the database has it: nobody is to be told twice because it restarts.
        self._unreported = (notice.notice_id, notice.delivered_to + arrived, reason)
        if reason is None:
            LOGGER.info("notice %d was delivered: %s", notice.notice_id, notice.subject)
        else:
            self.all_arrived = False
            LOGGER.log(
                logging.ERROR if reasons else logging.INFO,
                "notice %d (%s) was not delivered everywhere, attempt %d: %s",
                notice.notice_id,
                notice.subject,
                notice.attempt,
                reason,
            )
        self._report(connection)
        return True

    def _report(self, connection: psycopg.Connection) -> None:
        if self._unreported:
            with connection.transaction():
                connection.execute("SELECT kpi_engine.report_notice(%s, %s, %s)", self._unreported)
            self._unreported = None

    def _send(self, notice: Notice, places: list[str]) -> dict[str, Exception | None]:
        """Send a notice all ways at once; return for each place what failed."""
        return in_time(
            [
                (wanted, partial(way.send, notice, wanted))
                for way in self.ways
                if (wanted := [place for place in way.places if place in places])
            ],
            self.stop,
            DELIVERY_SECONDS,
        )

    def deliver_next_digest(self, connection: psycopg.Connection) -> bool:
        """Send the oldest digest that is due; return whether there was one."""
        if self.digests is None or not self.digests.deliver_next(connection, DELIVERY_SECONDS):
            return False
        self.all_arrived = self.all_arrived and self.digests.all_arrived
        return True

    def serve(self, url: str, interval: float) -> None:
        """Check the health every so many seconds, and deliver what is due.

        What it checks on its own keeps scheduler_down from going unnoticed when no tick comes. A
        lost connection is logged and opened again.
        """
        while not self.stop.is_set():
            try:
                with connect(url, "notifier") as connection:
                    LOGGER.info("delivering to %s", " and ".join(self.places))
                    next_check = time.monotonic()
                    are_digests_due = True
                    while not self.stop.is_set():
                        if time.monotonic() >= next_check:
                            next_check = time.monotonic() + interval
                            self.check_health(connection)
                            are_digests_due = True
                        # Alerts go first. Digests are asked for as often as the health.
                        if self.deliver_next(connection):
                            continue
                        are_digests_due = are_digests_due and self.deliver_next_digest(connection)
                        if not are_digests_due:
                            self.stop.wait(ASK_SECONDS)
            except psycopg.Error as error:
                LOGGER.error("the database failed: %s", described(error))
                self.stop.wait(min(interval, 10))
        LOGGER.info("stopped")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="notifier.py",
        description="Delivers alerts to a webhook (ALERT_WEBHOOK_URL, ALERT_WEBHOOK_TOKEN) and by "
        "e-mail (ALERT_SMTP_URL, ALERT_EMAIL_FROM, ALERT_EMAIL_TO), at least once; digests to "
        "their subscribers by the same mail server. Best run as role analytics_scheduler; see "
        "docs/alerts.md and docs/digest.md.",
        epilog="Exit codes: 0 stopped by SIGTERM or SIGINT (--once: all was delivered), "
        "1 something failed, 2 wrong usage.",
    )
    parser.add_database_url()
    parser.add_argument(
        "--interval", type=float, default=60, help="seconds between checks; default: 60"
    )
    parser.add_argument("--once", action="store_true", help="check, deliver what waits, and end")
    options = parser.parse_args(arguments)
    set_up_logging()
    if not 0.1 <= options.interval <= 3600:
        parser.error("--interval must be from 0.1 to 3600")
    try:
        ways = ways_of(dict(os.environ))
        url = database_url(options.database_url)
        check(url, FUNCTIONS)
    except UserError as error:
        return report(error)
    stop = stop_on_signal()
    notifier = Notifier(ways, stop)
    if not options.once:
        notifier.serve(url, options.interval)
        return 0
    try:
        with connect(url, "notifier") as connection:
            is_checked = notifier.check_health(connection)
            while not stop.is_set() and (
                notifier.deliver_next(connection) or notifier.deliver_next_digest(connection)
            ):
                pass
    except psycopg.Error as error:
        return report(UserError(f"the database failed: {str(error).strip()}"))
    return 0 if is_checked and notifier.all_arrived else 1


if __name__ == "__main__":
    run_tool(main)
