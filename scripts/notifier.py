"""Delivers the notices of analytics.alert_outbox to a webhook and by e-mail, at least once."""

import argparse
import os
import smtplib
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit

import httpx
import psycopg
from psycopg.rows import class_row

from console import LOGGER, UserError, database_url, report, set_up_logging
from service import CONNECT_SECONDS, check, stop_on_signal

FUNCTIONS = [
    "analytics.update_alerts()",
    "analytics.take_notice()",
    "analytics.report_notice(bigint,text[],text)",
]
SEND_SECONDS = 20
LISTEN_SECONDS = 1.0


@dataclass(frozen=True)
class Notice:
    """A row of analytics.take_notice(); instants with their time zone."""

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

    @property
    def subject(self) -> str:
        """One line that says it all."""
        if self.event == "cleared":
            return f"teloo-analytics: {self.problem} is over"
        return f"teloo-analytics: {self.problem} ({self.severity})"

    @property
    def text(self) -> str:
        """What is wrong, since when, and what to do."""
        since = f"Since {self.first_seen_at.isoformat(timespec='seconds')}"
        if self.cleared_at:
            since += f", until {self.cleared_at.isoformat(timespec='seconds')}"
        return f"{self.message}\n\n{since}. docs/runbook.md has a section {self.problem}."


@dataclass(frozen=True)
class Webhook:
    """A POST of JSON; its field ``text`` is what Slack, Mattermost and Google Chat show."""

    url: str
    token: str | None

    def send(self, notice: Notice) -> None:
        """Send it; raises httpx.HTTPError for anything but a 2xx answer."""
        headers = {"Idempotency-Key": f"teloo-analytics-{notice.notice_id}"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        answer = httpx.post(
            self.url,
            headers=headers,
            timeout=SEND_SECONDS,
            json={
                "text": f"{notice.subject}\n{notice.text}",
                "notice_id": notice.notice_id,
                "event": notice.event,
                "problem": notice.problem,
                "severity": notice.severity,
                "message": notice.message,
                "first_seen_at": notice.first_seen_at.isoformat(),
                "cleared_at": notice.cleared_at and notice.cleared_at.isoformat(),
            },
        )
        if not answer.is_success:
            # Without the address: it may hold a secret, and this goes into the outbox.
            raise httpx.HTTPError(f"the webhook answered {answer.status_code}")


@dataclass(frozen=True)
class Email:
    """A mail through a server, encrypted where the server offers it and always with a password."""

    url: str
    sender: str
    recipients: list[str]

    def send(self, notice: Notice) -> None:
        """Send it; raises smtplib.SMTPException or OSError when not every recipient was taken."""
        server = urlsplit(self.url)
        host = server.hostname or ""
        domain = parseaddr(self.sender)[1].rpartition("@")[2]
        message = EmailMessage()
        message["Subject"] = notice.subject
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = format_datetime(notice.created_at)
        message["Message-ID"] = (
            f"<teloo-analytics.{notice.notice_id}.{notice.created_at.timestamp():.0f}@{domain}>"
        )
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notice.text)
        with (
            smtplib.SMTP_SSL(
                host, server.port or 465, timeout=SEND_SECONDS, context=ssl.create_default_context()
            )
            if server.scheme == "smtps"
            else smtplib.SMTP(host, server.port or 25, timeout=SEND_SECONDS)
        ) as smtp:
            if server.scheme == "smtp":
                smtp.ehlo()
                if smtp.has_extn("starttls") or server.username:
                    smtp.starttls(context=ssl.create_default_context())
            if server.username:
                smtp.login(unquote(server.username), unquote(server.password or ""))
            refused = smtp.send_message(message)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)


Channels = dict[str, Callable[[Notice], None]]


def channels(environment: dict[str, str]) -> Channels:
    """Return where notices go, by name; raises UserError where that is not said right."""
    found: Channels = {}
    if url := environment.get("ALERT_WEBHOOK_URL"):
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                "ALERT_WEBHOOK_URL is not right", "Take an address such as https://host/path"
            )
        found["webhook"] = Webhook(url, environment.get("ALERT_WEBHOOK_TOKEN") or None).send
    if url := environment.get("ALERT_SMTP_URL"):
        try:
            parts = urlsplit(url)
            is_right = parts.scheme in ("smtp", "smtps") and bool(parts.hostname)
            is_right = is_right and (parts.port or 1) > 0
        except ValueError:
            is_right = False
        if not is_right:
            raise UserError(
                "ALERT_SMTP_URL is not right",
                "Take smtp://host:25, smtp://user:password@host:587 or smtps://…:465; special "
                "characters of user and password %-encoded",
            )
        sender = environment.get("ALERT_EMAIL_FROM", "")
        recipients = [
            name.strip()
            for name in environment.get("ALERT_EMAIL_TO", "").split(",")
            if name.strip()
        ]
        for name, addresses in (("ALERT_EMAIL_FROM", [sender]), ("ALERT_EMAIL_TO", recipients)):
            if not addresses or not all("@" in parseaddr(address)[1] for address in addresses):
                raise UserError(
                    f"{name} is not right",
                    f"With ALERT_SMTP_URL, set {name} to an address such as ana@example.com"
                    + (" (several: separated by commas)" if name == "ALERT_EMAIL_TO" else ""),
                )
        found["email"] = Email(url, sender, recipients).send
    if not found:
        raise UserError(
            "nowhere to deliver to",
            "Set ALERT_WEBHOOK_URL, or ALERT_SMTP_URL with ALERT_EMAIL_FROM and ALERT_EMAIL_TO "
            "(docs/alerts.md)",
        )
    return found


def deliver(connection: psycopg.Connection, where: Channels, stop: threading.Event) -> bool:
    """Deliver what waits, oldest first; log what fails, and return whether it all arrived."""
    all_arrived = True
    with connection.cursor(row_factory=class_row(Notice)) as cursor:
        while not stop.is_set():
            notice = cursor.execute("SELECT * FROM analytics.take_notice()").fetchone()
            if notice is None:
                break
            arrived = list(notice.delivered_to)
            failed: list[str] = []
            for name, send in where.items():
                if name in arrived:
                    continue
                try:
                    send(notice)
                except (httpx.HTTPError, httpx.InvalidURL, smtplib.SMTPException, OSError) as error:
                    failed.append(f"{name}: {error or type(error).__name__}")
                else:
                    arrived.append(name)
            reason = "; ".join(failed)[:1000] or None
            cursor.execute(
                "SELECT analytics.report_notice(%s, %s, %s)", [notice.notice_id, arrived, reason]
            )
            if reason:
                all_arrived = False
                LOGGER.error(
                    "notice %d (%s) was not delivered, attempt %d: %s",
                    notice.notice_id,
                    notice.subject,
                    notice.attempt,
                    reason,
                )
            else:
                LOGGER.info("notice %d was delivered: %s", notice.notice_id, notice.subject)
    return all_arrived


def serve(url: str, where: Channels, interval: float, stop: threading.Event) -> None:
    """Check the health and deliver every so many seconds, and at once when a notice comes.

    What it does on its own keeps scheduler_down from going unnoticed when no tick comes. A lost
    connection is logged and opened again.
    """
    while not stop.is_set():
        try:
            with psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="teloo-analytics notifier",
            ) as connection:
                connection.execute("LISTEN teloo_analytics_alert")
                LOGGER.info("delivering to %s", " and ".join(where))
                next_check = time.monotonic()
                while not stop.is_set():
                    if time.monotonic() >= next_check:
                        next_check = time.monotonic() + interval
                        connection.execute("SELECT analytics.update_alerts()")
                        deliver(connection, where, stop)
                    # As a list: the connection is not free before the generator has ended.
                    if list(connection.notifies(timeout=LISTEN_SECONDS, stop_after=1)):
                        deliver(connection, where, stop)
        except psycopg.Error as error:
            LOGGER.error(
                "the database failed: %s (SQLSTATE %s)",
                str(error).strip(),
                error.sqlstate or "none: the connection",
            )
            stop.wait(min(interval, 10))
    LOGGER.info("stopped")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="notifier.py",
        description="Delivers alerts to a webhook (ALERT_WEBHOOK_URL, ALERT_WEBHOOK_TOKEN) and by "
        "e-mail (ALERT_SMTP_URL, ALERT_EMAIL_FROM, ALERT_EMAIL_TO), at least once. Best run as "
        "role analytics_scheduler; see docs/alerts.md.",
        epilog="Exit codes: 0 stopped by SIGTERM or SIGINT (--once: all was delivered), "
        "1 something failed, 2 wrong usage.",
    )
    parser.add_argument("--database-url", help="connection string; default: DATABASE_URL")
    parser.add_argument(
        "--interval", type=float, default=60, help="seconds between checks; default: 60"
    )
    parser.add_argument("--once", action="store_true", help="check, deliver what waits, and end")
    options = parser.parse_args(arguments)
    set_up_logging()
    if not 0.1 <= options.interval <= 3600:
        parser.error("--interval must be from 0.1 to 3600")
    try:
        where = channels(dict(os.environ))
        url = database_url(options.database_url)
        check(url, FUNCTIONS)
    except UserError as error:
        return report(error)
    stop = stop_on_signal()
    if not options.once:
        serve(url, where, options.interval, stop)
        return 0
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            connection.execute("SELECT analytics.update_alerts()")
            return 0 if deliver(connection, where, stop) else 1
    except psycopg.Error as error:
        return report(UserError(f"the database failed: {str(error).strip()}"))


if __name__ == "__main__":
    sys.exit(main())
