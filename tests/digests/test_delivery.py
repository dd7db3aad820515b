"""Digests through scripts/notifier.py to a real mail server; the preview of scripts/digest.py."""

import email
import email.policy
import subprocess
import sys
import threading
from email.message import Message
from pathlib import Path

import pytest

import digest
import notifier
from cluster import free_port
from conftest import Database, made_once
from digests.test_due import filled
from health.test_alerts import alerting
from health.test_notifier import (
    Hook,
    Mailbox,
    break_capture,
    hook,
    mail_settings,
    mailbox,
    once,
    service,
    wait_for,
)
from kpis.test_published import refresh
from services.service import connect

__all__ = ["alerting", "filled", "hook", "mailbox"]

SYSTEM_SERVER_IS_ENOUGH = True

SCRIPT = Path(digest.__file__)
SENT = "SELECT delivered_at IS NOT NULL, attempts, last_error FROM analytics.digest_deliveries"
THURSDAY = "2026-11-26 12:00:00-05"


def fill_and_subscribe(database: Database) -> None:
    """Make three digests due on 26 November, each of another kind."""
    from digests.test_due import fill

    fill(database)
    for values in (
        "'ana@example.com', 'daily', 'es'",
        "'bob@example.com', 'daily', 'en'",
        "'cali@example.com', 'daily', 'es', '{Cali}'",
    ):
        database.rows(f"SELECT analytics.subscribe_digest({values})", "2026-11-25 08:00:00-05")
    refresh(database, "2026-11-26 03:00:00-05")


@pytest.fixture
def due(database: Database) -> Database:
    made_once(database, "digests that are due", fill_and_subscribe)
    return database


def send(database: Database, url: str, now: str = THURSDAY) -> notifier.Notifier:
    """Send what is due at a moment, as the notifier's role."""
    one = notifier.Notifier(notifier.ways_of(mail_settings(url)), threading.Event())
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        connection.execute("SET ROLE analytics_scheduler")
        while one.deliver_next_digest(connection):
            pass
    return one


def text_of(mail: Message) -> str:
    parsed = email.message_from_bytes(bytes(mail), policy=email.policy.default)
    body = parsed.get_body(("plain",))
    assert body
    return str(body.get_content())


def test_each_recipient_gets_a_mail_of_their_own(
    due: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    assert send(due, url).all_arrived
    assert send(due, url).all_arrived
    addresses = ["ana@example.com", "bob@example.com", "cali@example.com"]
    assert [mail["X-RcptTo"] for mail in box.mails] == addresses
    assert [mail["To"] for mail in box.mails] == addresses
    for mail, address in zip(box.mails, addresses, strict=True):
        others = [other for other in addresses if other != address]
        assert not [other for other in others if other.encode() in bytes(mail)]
    spanish, english, city = map(text_of, box.mails)
    assert spanish.startswith("Resumen del día · 25 nov 2026\n")
    assert english.startswith("The day in short · 25 Nov 2026\n")
    assert "CALI" in city
    assert "Métricas mensuales" in spanish
    assert "Métricas mensuales" not in city
    assert due.rows(SENT) == [(True, 1, None)] * 3
    assert due.rows("SELECT DISTINCT last_sent::text FROM analytics.digest_subscriptions") == [
        ("2026-11-25",)
    ]


def test_a_refused_recipient_costs_the_others_nothing_and_is_tried_again(
    due: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    box.refused = "ana@example.com"
    assert not send(due, url).all_arrived
    assert [mail["X-RcptTo"] for mail in box.mails] == ["bob@example.com", "cali@example.com"]
    failed = "SELECT last_error FROM analytics.digest_deliveries WHERE delivered_at IS NULL"
    [(reason,)] = due.rows(failed)
    assert "no such mailbox" in str(reason)
    # Not before its time.
    send(due, url)
    assert len(box.mails) == 2
    box.refused = ""
    due.execute("UPDATE kpi_engine.digest_deliveries SET next_attempt_at = clock_timestamp()")
    assert send(due, url).all_arrived
    assert [mail["X-RcptTo"] for mail in box.mails][2:] == ["ana@example.com"]
    assert due.rows(failed) == []


def test_a_database_whose_default_is_read_only_sends_digests(
    due: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    due.execute(f"ALTER DATABASE {due.name} SET default_transaction_read_only = on")
    one = notifier.Notifier(notifier.ways_of(mail_settings(url)), threading.Event())
    with connect(due.url, "test") as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
        assert one.deliver_next_digest(connection)
    due.execute(
        "BEGIN READ WRITE",
        f"ALTER DATABASE {due.name} RESET default_transaction_read_only",
        "COMMIT",
    )
    assert [mail["X-RcptTo"] for mail in box.mails] == ["ana@example.com"]


def test_a_dead_server_is_noted_and_each_attempt_has_the_same_id(
    due: Database, mailbox: tuple[Mailbox, str]
) -> None:
    assert not send(due, f"smtp://127.0.0.1:{free_port()}").all_arrived
    assert {row[:2] for row in due.rows(SENT)} == {(False, 1)}
    box, url = mailbox
    ids = []
    for _ in range(2):
        due.execute(
            "UPDATE kpi_engine.digest_deliveries SET next_attempt_at = clock_timestamp(), "
            "delivered_at = NULL"
        )
        send(due, url)
        ids.append([mail["Message-ID"] for mail in box.mails])
        box.mails.clear()
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_two_notifiers_send_each_digest_once(due: Database, mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    threads = [threading.Thread(target=send, args=(due, url)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One may have ended while the other one held the last digest.
    send(due, url)
    assert sorted(mail["X-RcptTo"] for mail in box.mails) == [
        "ana@example.com",
        "bob@example.com",
        "cali@example.com",
    ]


def test_a_digest_that_cannot_be_written_keeps_no_other_back(
    due: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    due.execute(
        "UPDATE kpi_engine.digest_subscriptions SET cities = '{\"\"}' "
        "WHERE address = 'cali@example.com'"
    )
    assert not send(due, url).all_arrived
    assert [mail["X-RcptTo"] for mail in box.mails] == ["ana@example.com", "bob@example.com"]
    assert [row[2] for row in due.rows(SENT) if row[2]] != []


def test_the_result_is_kept_until_the_database_has_it(
    due: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    one = notifier.Notifier(notifier.ways_of(mail_settings(url)), threading.Event())
    due.execute("ALTER FUNCTION kpi_engine.report_digest(bigint, text) RENAME TO hidden")
    with due.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
        with pytest.raises(Exception, match="report_digest"):
            one.deliver_next_digest(connection)
    due.execute("ALTER FUNCTION kpi_engine.hidden(bigint, text) RENAME TO report_digest")
    with due.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
        while one.deliver_next_digest(connection):
            pass
    assert len(box.mails) == 3
    assert due.rows(SENT) == [(True, 1, None)] * 3


def test_the_script_sends_alerts_and_digests(
    alerting: Database, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    alerting.execute(
        "SELECT analytics.subscribe_digest('bob@example.com', 'daily', 'en')",
        "UPDATE kpi_engine.digest_subscriptions SET subscribed_at = now() - interval '40 days'",
        "SELECT * FROM analytics.refresh_all_mv(true)",
    )
    break_capture(alerting)
    code, said = once(alerting.url, **mail_settings(url))
    assert (code, "bob@example.com" in said) == (0, False)
    assert [mail["X-RcptTo"] for mail in box.mails] == ["ana@example.com", "bob@example.com"]
    assert once(alerting.url, **mail_settings(url))[0] == 0
    assert len(box.mails) == 2


def test_the_service_sends_what_becomes_due(
    alerting: Database, mailbox: tuple[Mailbox, str], tmp_path: Path
) -> None:
    box, url = mailbox
    with service(alerting.url, tmp_path / "log", "0.5", **mail_settings(url)):
        wait_for(lambda: "delivering to" in (tmp_path / "log").read_text())
        alerting.execute(
            "SELECT analytics.subscribe_digest('bob@example.com', 'daily', 'en')",
            "UPDATE kpi_engine.digest_subscriptions SET subscribed_at = now() - interval '40 days'",
            "SELECT * FROM analytics.refresh_all_mv(true)",
        )
        wait_for(lambda: len(box.mails) > 0)
        wait_for(lambda: alerting.rows(SENT) == [(True, 1, None)])
    assert [mail["X-RcptTo"] for mail in box.mails] == ["bob@example.com"]


def test_a_webhook_alone_gets_no_digest(due: Database, hook: Hook) -> None:
    one = notifier.Notifier(notifier.ways_of({"ALERT_WEBHOOK_URL": hook.url}), threading.Event())
    with due.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
        assert not one.deliver_next_digest(connection)
    assert (hook.posts, due.rows(SENT)) == ([], [])


# -- the preview -------------------------------------------------------------------------------


def without_health(text: str) -> list[str]:
    """Leave out the problems: the clock of the preview is the real one."""
    lines = text.splitlines()
    del lines[lines.index("Problemas ahora") + 1]
    return lines


def preview(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "preview", "--database-url", database.url, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_preview_shows_what_would_be_sent_and_sends_nothing(
    due: Database, mailbox: tuple[Mailbox, str], tmp_path: Path
) -> None:
    box, url = mailbox
    send(due, url)
    spanish, _, city = box.mails
    before = due.rows(SENT)
    of = ["--frequency", "daily", "--day", "2026-11-25"]
    shown = preview(due, *of)
    assert (shown.returncode, shown.stderr) == (0, "")
    subject, _, text = shown.stdout.partition("\n\n")
    assert subject.startswith("TeLOO · 25 nov 2026 · ")
    assert without_health(text) == without_health(text_of(spanish))
    shown = preview(due, *of, "--cities", "Cali , cali", "--language", "es")
    assert shown.stdout.partition("\n\n")[2] == text_of(city)
    file = tmp_path / "one.eml"
    assert preview(due, *of, "--output", str(file)).returncode == 0
    written = email.message_from_bytes(file.read_bytes())
    assert without_health(text_of(written)) == without_health(text_of(spanish))
    assert written["To"] == "preview@localhost"
    page = tmp_path / "one.html"
    assert preview(due, *of, "--language", "en", "--output", str(page)).returncode == 0
    assert page.read_text().startswith('<!DOCTYPE html>\n<html lang="en">')
    assert (len(box.mails), due.rows(SENT)) == (3, before)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--frequency", "hourly"], 2, "invalid choice: 'hourly'"),
        ([], 2, "--frequency"),
        (["--frequency", "daily", "--output", "x.pdf"], 2, "--output must end in .eml or .html"),
        (["--frequency", "daily", "--day", "ayer"], 2, "argument --day"),
        (["--frequency", "daily", "--cities", ""], 1, "p_cities must be NULL"),
        (["--frequency", "daily", "--output", "/nowhere/x.eml"], 1, "No such file"),
    ],
)
def test_what_a_preview_can_not_do(
    due: Database, arguments: list[str], code: int, message: str
) -> None:
    shown = preview(due, *arguments)
    assert (shown.returncode, shown.stdout, message in shown.stderr) == (code, "", True)
    assert "Traceback" not in shown.stderr


def test_a_preview_before_the_first_refresh_says_so(migrated: Database) -> None:
    shown = preview(migrated, "--frequency", "daily")
    assert (shown.returncode, "was never populated" in shown.stderr) == (1, True)
    assert '{"' not in shown.stderr
