"""scripts/notifier.py over real servers: PostgreSQL, SMTP (aiosmtpd), HTTP."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

import notifier
from cluster import Cluster, free_port
from conftest import TEST_SETTINGS, Database
from development.demo_source import load_source_schema
from health.test_alerts import alerting
from migrate import migrate

__all__ = ["alerting"]

SYSTEM_SERVER_IS_ENOUGH = True

TAKES_MINUTES = True

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "notifier.py"
OUTBOX = "SELECT event, delivered_to, delivered_at IS NOT NULL FROM analytics.alert_outbox"


def wait_for(condition: Callable[[], bool], seconds: float = 120, seen: object = None) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"seen until now: {seen}"
        time.sleep(0.1)


class Hook:
    """A real HTTP server that keeps what is posted; it can wait, or go on without an end."""

    def __init__(self) -> None:
        self.status = 204
        self.body = b""
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.posts: list[tuple[dict[str, str], dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.posts.append((dict(self.headers), body))
                hook.may_answer.wait()
                self.send_response(hook.status)
                self.send_header("Location", f"{hook.url}/elsewhere")
                self.end_headers()
                with suppress(OSError):
                    while hook.body:
                        self.wfile.write(hook.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/secret-part"

    @property
    def events(self) -> list[str]:
        return [body["event"] for _, body in self.posts]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    thread = threading.Thread(target=hook.server.serve_forever, daemon=True)
    thread.start()
    yield hook
    hook.may_answer.set()
    hook.server.shutdown()
    hook.server.server_close()


class Mailbox(MessageHandler):
    """What a real SMTP server was given."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []
        self.refused = ""
        self.refusal = "550 no such mailbox"
        self.goodbye = "221 Bye"

    def subjects(self, recipient: str) -> list[str]:
        return [mail["Subject"] for mail in self.mails if mail["X-RcptTo"] == recipient]

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self.refused:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return self.goodbye


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    yield box, f"smtp://127.0.0.1:{port}"
    controller.stop()


def environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALERT_")}
    return clean | more


def mail_settings(url: str, recipients: str = "ana@example.com") -> dict[str, str]:
    return {
        "ALERT_SMTP_URL": url,
        "ALERT_EMAIL_FROM": "TeLOO <teloo@example.com>",
        "ALERT_EMAIL_TO": recipients,
    }


def once(url: str, **settings: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--database-url", url, "--once"],
        env=environment(**settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return ended.returncode, ended.stderr


@contextmanager
def service(url: str, log: Path, interval: str, **settings: str) -> Iterator[subprocess.Popen[Any]]:
    arguments = [sys.executable, str(SCRIPT), "--database-url", url, "--interval", interval]
    with (
        log.open("wb") as messages,
        subprocess.Popen(arguments, env=environment(**settings), stderr=messages) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def break_capture(database: Database) -> None:
    database.execute("ALTER TABLE public.asesores DISABLE TRIGGER USER", "CALL analytics.tick()")


def mend_capture(database: Database) -> None:
    database.execute("CALL analytics.apply_change_capture()", "CALL analytics.tick()")


def retry_now(database: Database) -> None:
    database.execute("UPDATE analytics.alert_outbox SET next_attempt_at = created_at")


def trim(database: Database) -> None:
    """Do what a tick does once an hour."""
    database.execute(
        "UPDATE analytics.scheduler_state SET last_trimmed_at = NULL", "CALL analytics.tick()"
    )


def test_both_ways_say_what_is_wrong_and_that_it_is_over(
    alerting: Database, hook: Hook, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    settings = mail_settings(url, "ana@example.com, Señor B <b@example.com>") | {
        "ALERT_WEBHOOK_URL": hook.url,
        "ALERT_WEBHOOK_TOKEN": "abc",
    }
    assert once(alerting.url, **settings)[0] == 0
    assert (hook.posts, box.mails) == ([], [])
    break_capture(alerting)
    assert once(alerting.url, **settings)[0] == 0
    mend_capture(alerting)
    assert once(alerting.url, **settings)[0] == 0
    assert once(alerting.url, **settings)[0] == 0
    assert hook.events == ["raised", "cleared"]
    headers, body = hook.posts[0]
    assert headers["Authorization"] == "Bearer abc"
    assert headers["Idempotency-Key"] != hook.posts[1][0]["Idempotency-Key"]
    assert (body["problem"], body["severity"]) == ("capture_gap", "unhealthy")
    assert "CALL analytics.apply_change_capture()" in body["text"]
    recipients = ["ana@example.com", "b@example.com"]
    assert [mail["X-RcptTo"] for mail in box.mails] == recipients * 2
    raised, same, cleared, _ = box.mails
    assert raised["Subject"] == "teloo-analytics: capture_gap (unhealthy)"
    assert cleared["Subject"] == "teloo-analytics: capture_gap is over"
    assert raised["Message-ID"] == same["Message-ID"] != cleared["Message-ID"]
    assert raised["Date"]
    assert "analytics.apply_change_capture()" in str(raised.get_payload(decode=True))
    places = ["webhook", *(f"email:{recipient}" for recipient in recipients)]
    assert alerting.rows(OUTBOX) == [("raised", places, True), ("cleared", places, True)]


@pytest.mark.parametrize(
    ("default", "value"),
    [("default_transaction_read_only", "on"), ("default_transaction_isolation", "serializable")],
)
def test_defaults_of_the_database_stop_no_notice(
    alerting: Database, hook: Hook, default: str, value: str
) -> None:
    break_capture(alerting)
    alerting.execute(f"ALTER DATABASE {alerting.name} SET {default} = '{value}'")
    ended, said = once(alerting.url, ALERT_WEBHOOK_URL=hook.url)
    assert (ended, hook.events) == (0, ["raised"]), said
    alerting.execute(
        "BEGIN READ WRITE", f"ALTER DATABASE {alerting.name} RESET {default}", "COMMIT"
    )
    assert alerting.rows(OUTBOX) == [("raised", ["webhook"], True)]


def test_the_same_number_after_a_restore_is_another_notice(
    alerting: Database, hook: Hook, mailbox: tuple[Mailbox, str]
) -> None:
    """Receivers drop what they have: a copy or another installation counts from 1, too."""
    box, url = mailbox
    settings = mail_settings(url) | {"ALERT_WEBHOOK_URL": hook.url}
    break_capture(alerting)
    for _ in range(2):
        assert once(alerting.url, **settings)[0] == 0
        # A moment before the alert.
        alerting.execute(
            "DELETE FROM kpi_engine.alerts",
            "ALTER TABLE kpi_engine.alert_outbox ALTER COLUMN notice_id RESTART",
            "CALL analytics.tick()",
        )
    (first, one), (second, other) = hook.posts
    assert (one["notice_id"], one["problem"]) == (other["notice_id"], other["problem"])
    assert first["Idempotency-Key"] != second["Idempotency-Key"]
    assert box.mails[0]["Message-ID"] != box.mails[1]["Message-ID"]


def days_pass(database: Database) -> None:
    """Let all notices and alerts be four days older."""
    database.execute(
        "UPDATE kpi_engine.alerts SET first_seen_at = first_seen_at - interval '4 days', "
        "raised_at = raised_at - interval '4 days'",
        "UPDATE kpi_engine.alert_outbox SET created_at = created_at - interval '4 days', "
        "first_attempt_at = first_attempt_at - interval '4 days', "
        "next_attempt_at = next_attempt_at - interval '4 days'",
    )


def test_a_notifier_that_comes_after_days_tells_what_is_still_wrong(
    alerting: Database, hook: Hook
) -> None:
    break_capture(alerting)
    days_pass(alerting)
    assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 0
    assert hook.events == ["raised"]
    mend_capture(alerting)
    # Nobody was told of this one, and it is over for long.
    break_capture(alerting)
    mend_capture(alerting)
    alerting.execute("CALL analytics.tick()")
    days_pass(alerting)
    alerting.execute(
        "UPDATE kpi_engine.alert_outbox SET created_at = now() WHERE event = 'cleared'"
    )
    code, said = once(alerting.url, ALERT_WEBHOOK_URL=hook.url)
    assert (code, "given up after 72 hours" in said) == (0, True)
    assert hook.events == ["raised", "cleared"]


def test_what_failed_is_tried_again_only_where_it_failed(
    alerting: Database, hook: Hook, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    box.refused = "ana@example.com"
    settings = mail_settings(url) | {"ALERT_WEBHOOK_URL": hook.url}
    break_capture(alerting)
    code, said = once(alerting.url, **settings)
    assert (code, "no such mailbox" in said) == (1, True)
    assert alerting.rows(OUTBOX) == [("raised", ["webhook"], False)]
    # However long it takes until the next attempt here.
    alerting.execute("UPDATE analytics.alert_outbox SET next_attempt_at = next_attempt_at + '1 h'")
    assert once(alerting.url, **settings)[0] == 0, "it waits before it tries again"
    assert box.mails == []
    box.refused = ""
    retry_now(alerting)
    assert once(alerting.url, **settings)[0] == 0
    assert (len(hook.posts), len(box.mails)) == (1, 1)
    assert alerting.rows(OUTBOX) == [("raised", ["webhook", "email:ana@example.com"], True)]


@pytest.mark.parametrize("refusal", ["550 no such mailbox", "421 not now"])
def test_a_recipient_who_is_refused_costs_the_others_nothing(
    alerting: Database, hook: Hook, mailbox: tuple[Mailbox, str], refusal: str
) -> None:
    box, url = mailbox
    box.refused, box.refusal = "ana@example.com", refusal
    settings = mail_settings(url, "ana@example.com, b@example.com")
    settings["ALERT_WEBHOOK_URL"] = hook.url
    raised, cleared = (
        "teloo-analytics: capture_gap (unhealthy)",
        "teloo-analytics: capture_gap is over",
    )

    def try_again() -> tuple[int, str]:
        retry_now(alerting)
        return once(alerting.url, **settings)

    break_capture(alerting)
    for _ in range(3):
        code, said = try_again()
        assert (code, "email:ana@example.com: " in said, refusal[4:] in said) == (1, True, True)
        assert (hook.events, box.subjects("b@example.com")) == (["raised"], [raised])
    # That it is over reaches who knows of it, without waiting for who does not.
    mend_capture(alerting)
    for _ in range(3):
        assert try_again()[0] == 1
        assert hook.events == ["raised", "cleared"]
        assert box.subjects("b@example.com") == [raised, cleared]
        assert box.subjects("ana@example.com") == []
    box.refused = ""
    for _ in range(2):
        assert try_again()[0] == 0
        assert box.subjects("ana@example.com") == [raised, cleared]
    assert hook.events == ["raised", "cleared"]
    assert box.subjects("b@example.com") == [raised, cleared]
    assert [is_delivered for _, _, is_delivered in alerting.rows(OUTBOX)] == [True, True]


def test_mail_is_delivered_whatever_the_server_says_goodbye_with(
    alerting: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    box.goodbye = "554 never again"
    break_capture(alerting)
    assert once(alerting.url, **mail_settings(url))[0] == 0
    retry_now(alerting)
    assert once(alerting.url, **mail_settings(url))[0] == 0
    assert len(box.mails) == 1


def test_an_error_that_nobody_expected_ends_neither_the_notifier_nor_other_ways(
    alerting: Database, hook: Hook
) -> None:
    # No name of a host: an error of its encoding, neither of the network nor of the server.
    settings = mail_settings("smtp://a..b") | {"ALERT_WEBHOOK_URL": hook.url}
    break_capture(alerting)
    for _ in range(2):
        code, said = once(alerting.url, **settings)
        assert (code, "UnicodeError" in said, "Traceback" in said) == (1, True, False)
        retry_now(alerting)
    assert hook.events == ["raised"]


def test_line_breaks_in_a_message_make_no_header_and_no_end(
    alerting: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    break_capture(alerting)
    alerting.execute(
        r"UPDATE analytics.alerts SET problem = E'x\nBcc: eve@example.com\r\nTo: eve@example.com'",
        r"UPDATE analytics.alert_outbox SET message = "
        r"E'one\r\n.\r\nMAIL FROM:<eve@example.com>\nBcc: eve@example.com\n.\nlast'",
    )
    one = notifier.Notifier(notifier.ways_of(mail_settings(url)), threading.Event())
    with alerting.session() as connection:
        assert one.deliver_next(connection)
    [mail] = box.mails
    assert (mail["X-RcptTo"], mail["To"], mail["Bcc"]) == (
        "ana@example.com",
        "ana@example.com",
        None,
    )
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().splitlines()[:5] == [
        "one",
        ".",
        "MAIL FROM:<eve@example.com>",
        "Bcc: eve@example.com",
        ".",
    ]


def test_an_answer_of_a_webhook_is_not_read_and_a_redirect_not_followed(
    alerting: Database, hook: Hook
) -> None:
    break_capture(alerting)
    hook.status = 307
    code, said = once(alerting.url, ALERT_WEBHOOK_URL=hook.url)
    assert (code, "the webhook answered 307" in said, len(hook.posts)) == (1, True, 1)
    hook.status, hook.body = 200, b"x" * 65536
    retry_now(alerting)
    assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 0
    assert hook.events == ["raised", "raised"]


def test_a_server_that_keeps_one_waiting_holds_up_nothing_else(
    alerting: Database,
    hook: Hook,
    mailbox: tuple[Mailbox, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box, url = mailbox
    # A mail may take seconds on a busy machine. The limit of one answer is far from that.
    monkeypatch.setattr(notifier, "DELIVERY_SECONDS", 6.0)
    monkeypatch.setattr(notifier, "ANSWER_SECONDS", 120)
    hook.may_answer.clear()
    break_capture(alerting)
    ways = notifier.ways_of(mail_settings(url) | {"ALERT_WEBHOOK_URL": hook.url})
    one = notifier.Notifier(ways, threading.Event())
    with alerting.session() as connection:
        began = time.monotonic()
        assert one.deliver_next(connection)
        assert time.monotonic() - began < notifier.ANSWER_SECONDS / 2
    assert (len(box.mails), one.all_arrived) == (1, False)
    assert alerting.rows("SELECT delivered_to, last_error FROM analytics.alert_outbox") == [
        (["email:ana@example.com"], "webhook: TimeoutError: no answer in time")
    ]


def test_health_that_cannot_be_checked_keeps_nothing_from_going_out(
    alerting: Database, hook: Hook
) -> None:
    break_capture(alerting)
    alerting.execute("ALTER TABLE kpi_engine.audit_log RENAME TO audit_log_gone")
    code, said = once(alerting.url, ALERT_WEBHOOK_URL=hook.url)
    assert (code, "update_alerts() failed" in said) == (1, True)
    assert hook.events == ["raised"]


def test_what_is_given_up_is_logged_once(alerting: Database, hook: Hook) -> None:
    break_capture(alerting)
    hook.status = 500
    assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 1
    hook.status = 204
    alerting.execute(
        "UPDATE kpi_engine.alert_outbox SET created_at = created_at - interval '73 hours', "
        "first_attempt_at = first_attempt_at - interval '73 hours', next_attempt_at = created_at"
    )
    code, said = once(alerting.url, ALERT_WEBHOOK_URL=hook.url)
    assert code == 0
    assert "WARNING: given up after 72 hours: notice " in said
    assert "(capture_gap raised: webhook: HTTPError: the webhook answered 500)" in said
    assert "given up" not in once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[1]
    mend_capture(alerting)
    assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 0
    assert hook.events == ["raised", "cleared"]


def test_what_may_still_arrive_is_not_trimmed(alerting: Database, hook: Hook) -> None:
    """However little the logs keep: nothing at all here."""
    alerting.execute("SELECT analytics.set_setting('log_retention_days', '0')")
    break_capture(alerting)
    mend_capture(alerting)
    trim(alerting)
    hook.status = 500
    assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 1
    trim(alerting)
    hook.status = 204
    for _ in range(2):
        retry_now(alerting)
        assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 0
    assert hook.events == ["raised", "raised", "cleared"]
    assert alerting.rows(OUTBOX) == [("raised", ["webhook"], True), ("cleared", ["webhook"], True)]
    trim(alerting)
    assert alerting.rows(OUTBOX) == []
    assert alerting.rows("SELECT * FROM analytics.alerts") == []


def test_what_was_given_up_or_waits_for_no_notifier_is_trimmed(
    alerting: Database, hook: Hook
) -> None:
    alerting.execute("SELECT analytics.set_setting('log_retention_days', '0')")
    age = (
        "UPDATE analytics.alert_outbox SET created_at = created_at - interval '{0} hours', "
        "next_attempt_at = next_attempt_at - interval '{0} hours'",
        "UPDATE analytics.alerts SET cleared_at = cleared_at - interval '{0} hours'",
    )
    break_capture(alerting)
    mend_capture(alerting)
    for hours, left in ((73, 2), (2, 0)):
        alerting.execute(*(statement.format(hours) for statement in age))
        trim(alerting)
        assert len(alerting.rows(OUTBOX)) == left, "until then a notifier says that it gives up"
    break_capture(alerting)
    mend_capture(alerting)
    alerting.execute(*(statement.format(73) for statement in age))
    assert "given up" in once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[1]
    trim(alerting)
    assert alerting.rows(OUTBOX) == []


def test_secrets_are_in_no_repr() -> None:
    settings = mail_settings("smtp://ana:oculto@example.com") | {
        "ALERT_WEBHOOK_URL": "https://example.com/oculto",
        "ALERT_WEBHOOK_TOKEN": "oculto",
    }
    assert "oculto" not in repr(notifier.ways_of(settings))


def test_a_webhook_that_fails_is_named_without_its_secret(alerting: Database, hook: Hook) -> None:
    break_capture(alerting)
    hook.status = 500
    code, said = once(alerting.url, ALERT_WEBHOOK_URL=hook.url)
    assert (code, "the webhook answered 500" in said, "secret" in said) == (1, True, False)
    address = f"http://127.0.0.1:{free_port()}/secret"
    retry_now(alerting)
    code, said = once(alerting.url, ALERT_WEBHOOK_URL=address)
    assert (code, "webhook: " in said, "secret" in said) == (1, True, False)
    ((reason, attempts),) = alerting.rows("SELECT last_error, attempts FROM analytics.alert_outbox")
    assert "secret" not in str(reason)
    assert attempts == 2
    hook.status = 200
    retry_now(alerting)
    assert once(alerting.url, ALERT_WEBHOOK_URL=hook.url)[0] == 0
    assert hook.events == ["raised", "raised"]


def test_a_password_is_never_sent_unencrypted(
    alerting: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, _ = mailbox
    logins: list[object] = []

    def authenticate(*arguments: object) -> AuthResult:
        logins.append(arguments)
        return AuthResult(success=True)

    port = free_port()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        authenticator=authenticate,
        auth_require_tls=False,
        ready_timeout=60,
    )
    controller.start()
    try:
        break_capture(alerting)
        code, said = once(alerting.url, **mail_settings(f"smtp://ana:top-secret@127.0.0.1:{port}"))
    finally:
        controller.stop()
    assert (code, "STARTTLS" in said, "top-secret" in said) == (1, True, False)
    assert (logins, box.mails) == ([], [])


def test_the_service_delivers_at_once_sees_a_dead_scheduler_and_stops(
    alerting: Database, hook: Hook, tmp_path: Path
) -> None:
    alerting.execute("ALTER ROLE analytics_scheduler PASSWORD 'secret'")
    url = alerting.url_as("analytics_scheduler", "secret")
    log = tmp_path / "log"
    with service(url, log, "3600", ALERT_WEBHOOK_URL=hook.url) as process:
        wait_for(lambda: "delivering to webhook" in log.read_text())
        break_capture(alerting)

        def ticked() -> bool:
            # A tick leaves the alerts to the notifier while that looks at them.
            alerting.execute("CALL analytics.tick()")
            return hook.events == ["raised"]

        wait_for(ticked)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
    assert "stopped" in log.read_text()
    alerting.execute(
        "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '4 minutes'"
    )
    with service(url, log, "0.5", ALERT_WEBHOOK_URL=hook.url):
        wait_for(lambda: "scheduler_down" in [body["problem"] for _, body in hook.posts])
        alerting.execute("CALL analytics.tick()")
        wait_for(lambda: hook.events == ["raised", "raised", "cleared"], seen=hook.posts)


def test_it_tries_again_when_that_is_due(alerting: Database, hook: Hook, tmp_path: Path) -> None:
    hook.status = 500
    with service(alerting.url, tmp_path / "log", "3600", ALERT_WEBHOOK_URL=hook.url) as process:
        break_capture(alerting)
        wait_for(lambda: "attempt 1:" in (tmp_path / "log").read_text())
        hook.status = 204
        retry_now(alerting)
        wait_for(lambda: hook.events == ["raised", "raised"])
        wait_for(lambda: alerting.rows(OUTBOX) == [("raised", ["webhook"], True)])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0


@pytest.mark.parametrize("answers", [True, False])
def test_sigterm_in_the_middle_of_a_delivery(
    alerting: Database, hook: Hook, tmp_path: Path, answers: bool
) -> None:
    hook.may_answer.clear()
    with service(alerting.url, tmp_path / "log", "3600", ALERT_WEBHOOK_URL=hook.url) as process:
        break_capture(alerting)
        wait_for(lambda: hook.events == ["raised"])
        process.send_signal(signal.SIGTERM)
        if answers:
            hook.may_answer.set()
        assert process.wait(timeout=120) == 0
    assert alerting.rows(
        "SELECT delivered_to, delivered_at IS NULL, last_error IS NULL, "
        "next_attempt_at < now() + interval '15 seconds' FROM analytics.alert_outbox"
    ) == [(["webhook"], False, True, True) if answers else ([], True, False, True)]


def test_two_of_them_deliver_a_notice_once(alerting: Database, hook: Hook, tmp_path: Path) -> None:
    with (
        service(alerting.url, tmp_path / "1", "0.2", ALERT_WEBHOOK_URL=hook.url),
        service(alerting.url, tmp_path / "2", "0.2", ALERT_WEBHOOK_URL=hook.url),
    ):
        for events in (["raised", "cleared"], ["raised", "cleared"] * 2):
            break_capture(alerting)
            wait_for(lambda: len(hook.posts) % 2 == 1)
            mend_capture(alerting)
            wait_for(lambda: len(hook.posts) % 2 == 0)
            assert hook.events == events
        time.sleep(1)
    assert hook.events == ["raised", "cleared"] * 2


def test_it_survives_a_restart_of_the_database(hook: Hook, tmp_path: Path) -> None:
    cluster = Cluster(f"test-notifier-{os.getpid()}", settings=TEST_SETTINGS)
    log = tmp_path / "log"
    try:
        cluster.start()
        url = cluster.url()
        database = Database(cluster, url.rpartition("/")[2].partition("?")[0])
        load_source_schema(url)
        migrate(url)
        database.execute("SELECT analytics.set_setting('alert_after_minutes', '0')")
        with service(url, log, "0.5", ALERT_WEBHOOK_URL=hook.url) as process:
            wait_for(lambda: "missing_indexes" in [body["problem"] for _, body in hook.posts])
            cluster.stop()
            wait_for(lambda: "ERROR: the database failed" in log.read_text())
            assert process.poll() is None
            cluster.start()
            hook.may_answer.clear()
            break_capture(database)
            wait_for(lambda: "capture_gap" in [body["problem"] for _, body in hook.posts])
            # In the middle of a delivery: its result is kept until the database has it.
            failures = log.read_text().count("ERROR: the database failed")
            cluster.stop()
            hook.may_answer.set()
            wait_for(lambda: log.read_text().count("ERROR: the database failed") > failures)
            cluster.start()
            wait_for(
                lambda: (
                    database.rows(f"{OUTBOX} WHERE message LIKE '%apply_change_capture%'")
                    == [("raised", ["webhook"], True)]
                )
            )
            assert [body["problem"] for _, body in hook.posts].count("capture_gap") == 1
    finally:
        cluster.remove()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "ALERT_WEBHOOK_URL"),
        ({"ALERT_WEBHOOK_URL": "example.com/hook"}, "ALERT_WEBHOOK_URL is not right"),
        ({"ALERT_WEBHOOK_URL": "https://[::1/hook"}, "ALERT_WEBHOOK_URL is not right"),
        (mail_settings("example.com:25"), "ALERT_SMTP_URL is not right"),
        (mail_settings("smtp://example.com:99999"), "ALERT_SMTP_URL is not right"),
        (mail_settings("smtp://example.com", "ana"), "ALERT_EMAIL_TO is not right"),
        (mail_settings("smtp://example.com") | {"ALERT_EMAIL_FROM": ""}, "ALERT_EMAIL_FROM"),
        (
            mail_settings("smtp://example.com") | {"ALERT_EMAIL_FROM": "a@b.c\nBcc: oculta@b.c"},
            "ALERT_EMAIL_FROM is not right",
        ),
        (mail_settings("smtp://ana:oculta%C3%B1a@example.com"), "ALERT_SMTP_URL is not right"),
        (mail_settings("smtp://ana:ocultañ@example.com"), "ALERT_SMTP_URL is not right"),
        *(
            (
                {"ALERT_WEBHOOK_URL": "https://example.com", "ALERT_WEBHOOK_TOKEN": token},
                "ALERT_WEBHOOK_TOKEN is not right",
            )
            for token in ("ocultañ", "oculta ", "oculta\n")
        ),
    ],
)
def test_what_it_refuses(settings: dict[str, str], named: str) -> None:
    code, said = once("postgresql://127.0.0.1:1/teloo", **settings)
    assert (code, named in said, "Traceback" in said) == (1, True, False)
    assert "oculta" not in said


def test_a_connection_string_that_is_none_is_not_shown(hook: Hook) -> None:
    code, said = once("postgresql//ana:oculta@db.example/teloo", ALERT_WEBHOOK_URL=hook.url)
    assert (code, "connection string is not right" in said) == (1, True)
    assert ("Traceback" in said, "oculta" in said) == (False, False)


def test_database_that_is_away_or_lacks_the_package(database: Database, hook: Hook) -> None:
    code, said = once("postgresql://127.0.0.1:1/teloo", ALERT_WEBHOOK_URL=hook.url)
    assert (code, "the database failed" in said) == (1, True)
    code, said = once(database.url, ALERT_WEBHOOK_URL=hook.url)
    assert (code, "make migrate" in said) == (1, True)
