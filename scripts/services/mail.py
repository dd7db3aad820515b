"""Mails through a server: one connection, one mail for each recipient."""

import smtplib
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Letter:
    """A mail to one mailbox; ``place`` names it in the outbox."""

    place: str
    recipient: str
    message: EmailMessage


@dataclass(frozen=True)
class MailServer:
    """A server, encrypted where it offers it and always with a password."""

    url: str = field(repr=False)
    sender: str
    answer_seconds: float

    def send(self, letters: Iterable[Letter]) -> Iterator[tuple[str, Exception | None]]:
        """Send over one connection, or over another one when a server ends it.

        Yields for each letter, as it is done, what failed. What it raises is true of all that it
        has not yielded.
        """
        smtp: smtplib.SMTP | None = None
        sender = parseaddr(self.sender)[1]
        try:
            for letter in letters:
                if smtp is None or smtp.sock is None:
                    smtp = self._connect()
                try:
                    smtp.send_message(letter.message, sender, [letter.recipient])
                except Exception as error:
                    yield letter.place, error
                else:
                    yield letter.place, None
        finally:
            if smtp is not None:
                with suppress(Exception):
                    smtp.quit()
                smtp.close()

    def _connect(self) -> smtplib.SMTP:
        server = urlsplit(self.url)
        host = server.hostname or ""
        context = ssl.create_default_context()
        if server.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                host, server.port or 465, timeout=self.answer_seconds, context=context
            )
        else:
            smtp = smtplib.SMTP(host, server.port or 25, timeout=self.answer_seconds)
        try:
            if server.scheme == "smtp":
                smtp.ehlo()
                if smtp.has_extn("starttls") or server.username:
                    smtp.starttls(context=context)
            if server.username:
                smtp.login(unquote(server.username), unquote(server.password or ""))
        except BaseException:
            smtp.close()
            raise
        return smtp


def new_message(
    sender: str, recipients: str, subject: str, number: str, created_at: datetime
) -> EmailMessage:
    """Return a mail without contents; its Message-ID is the same for each attempt."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    message = EmailMessage()
    message["Subject"] = one_line(subject)
    message["From"] = sender
    message["To"] = recipients
    message["Date"] = format_datetime(created_at)
    message["Message-ID"] = f"<{once(number, created_at)}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def once(number: str, created_at: datetime) -> str:
    """Return what names one notice or digest wherever it goes, the same for each attempt.

    The number alone would not: other installations count, too, and so does a copy of this one, or
    this one after a restore. What they count was not made in the same microsecond.
    """
    return f"teloo-analytics.{number}.{created_at.timestamp():.6f}"


def one_line(text: str) -> str:
    """Return a text without line breaks and what else is not to be printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
