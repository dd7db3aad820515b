"""What alerts say: cause, database and host, no markup; why no tick comes; whose event trigger."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import migrate as migrate_module
import notifier
from cluster import Cluster
from commandline import console
from conftest import TEST_SETTINGS, Database, close_sessions
from development.demo_source import load_source_schema
from health.test_notifier import Hook, Mailbox, hook, mail_settings, mailbox
from migrate import migrate

__all__ = ["hook", "mailbox"]
SYSTEM_SERVER_IS_ENOUGH = True
REASON = "SELECT analytics.scheduler_down_reason()"
DOWN = "SELECT message FROM analytics.health_problems() WHERE problem = 'scheduler_down'"


def deliver(database: Database, url: str, **settings: str) -> None:
    """Deliver all notices of a database."""
    one = notifier.Notifier(notifier.ways_of(settings), threading.Event())
    with database.connect(url) as connection:
        while one.deliver_next(connection):
            pass
    assert one.all_arrived


def fail(database: Database) -> None:
    """Let a refresh fail for a right that was lost, and raise the alert at once."""
    database.execute(
        "SELECT analytics.set_setting('alert_after_minutes', '0')",
        "SELECT * FROM analytics.refresh_all_mv()",
        "REVOKE SELECT ON public.ofertas FROM analytics_owner",
        "SELECT * FROM analytics.refresh_all_mv(true)",
        "SELECT kpi_engine.update_alerts()",
    )


def test_an_alert_names_cause_database_and_host_and_its_end_has_no_failure(
    migrated: Database, hook: Hook, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    settings = mail_settings(url) | {"ALERT_WEBHOOK_URL": hook.url}
    fail(migrated)
    deliver(migrated, migrated.url, **settings)
    migrated.execute(
        "GRANT SELECT ON public.ofertas TO analytics_owner",
        "SELECT * FROM analytics.refresh_all_mv()",
        "SELECT kpi_engine.update_alerts()",
    )
    deliver(migrated, migrated.url, **settings)
    posts = {body["event"]: body for _, body in hook.posts if body["problem"] == "refresh_failed"}
    where = f"Database {migrated.name} on 127.0.0.1:{migrated.cluster.port}."
    message = posts["raised"]["message"]
    assert "role analytics_owner may not read any column of table public.ofertas" in message
    assert "(SQLSTATE 55000)" in message
    assert posts["raised"]["database"] == migrated.name
    assert posts["raised"]["host"] == f"127.0.0.1:{migrated.cluster.port}"
    for event in ("raised", "cleared"):
        assert where in posts[event]["text"]
    for text in (posts["cleared"]["text"], posts["cleared"]["message"]):
        assert "refresh_failed is over" in text
        assert "permission" not in text
        assert "failed:" not in text
        assert "runbook" not in text
    mails = [str(mail.get_payload(decode=True)) for mail in box.mails]
    assert all(where in mail for mail in mails)


@pytest.mark.parametrize(
    ("message", "sqlstate", "shown"),
    [
        ("line one\nline two", "P0001", "line one (SQLSTATE P0001)"),
        ("\n\n  late  \r\nmore", "P0001", "late   (SQLSTATE P0001)"),
        (
            'invalid input syntax for type integer: "Ana"',
            "22P02",
            "a value does not fit what is computed from it (SQLSTATE 22P02); the log of refreshes "
            "has the details",
        ),
        ("ask ana@example.com now", "P0001", "ask … now (SQLSTATE P0001)"),
        ("could not connect: password=S3CRET x", "08001", "could not connect: password… x"),
        ("x" * 5000, "P0001", "x" * 200 + " (SQLSTATE P0001)"),
        (None, None, "without a message"),
    ],
)
def test_a_cause_is_one_line_without_data_and_secrets(
    migrated: Database, message: str | None, sqlstate: str | None, shown: str
) -> None:
    with migrated.session() as connection:
        row = connection.execute(
            "SELECT kpi_engine.error_in_short(%s, %s)", [message, sqlstate]
        ).fetchone()
    assert row is not None
    assert str(row[0]).startswith(shown)


@pytest.mark.parametrize(
    "text",
    [
        "<!channel>",
        "<!here|now>",
        "<@U123>",
        "<https://evil.example|click>",
        "@here @channel @everyone",
        "[click](https://evil.example)",
        "*bold* and `code` and ```block```",
        "||spoiler|| ~~gone~~ _soft_",
        "<users/all>",
        "&lt;!channel&gt;",
        "https://evil.example",
        "# heading",
    ],
)
def test_text_from_data_never_becomes_markup_of_a_chat(text: str) -> None:
    plain = notifier.plain_in_chat(f"the last refresh failed: {text}\n{text}")
    for markup in ("<", ">", "&", "@h", "@c", "@e", "@U", "](", "*b", "d*", "`", "||", "~~", " _s"):
        assert markup not in plain
    assert "://" not in plain
    assert "\n# " not in plain


def test_statements_of_a_message_stay_as_they_are_in_a_chat() -> None:
    text = (
        "SELECT * FROM analytics.refresh_all_mv(); CALL analytics.apply_change_capture();\n"
        "view mv_ranking_asesores: POST /materialized-views/refresh"
    )
    assert notifier.plain_in_chat(text) == text


def test_a_notice_whose_message_is_data_is_plain_in_the_chat(
    migrated: Database, hook: Hook
) -> None:
    fail(migrated)
    migrated.execute("UPDATE analytics.alert_outbox SET message = '<!channel> *now* @here'")
    deliver(migrated, migrated.url, ALERT_WEBHOOK_URL=hook.url)
    assert hook.posts
    for _, body in hook.posts:
        assert "<!channel>" not in body["text"]
        assert "@here" not in body["text"]
        assert "*now*" not in body["text"]


# -- why no tick comes -------------------------------------------------------------------------


def test_without_pg_cron_health_says_to_start_the_scheduler(migrated: Database) -> None:
    migrated.execute(
        "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '4 minutes'"
    )
    [(message,)] = migrated.rows(DOWN)
    assert "is pg_cron running?" not in str(message)
    assert "scripts/scheduler.py" in str(message) or "pg_cron is in database" in str(message)


@pytest.fixture(scope="module")
def timed() -> Iterator[Database]:
    """An installation whose database pg_cron lives in, with jobs of analytics_scheduler."""
    cluster = Cluster(f"test-reason-{os.getpid()}", database="timed", settings=TEST_SETTINGS)
    cluster.start()
    try:
        load_source_schema(cluster.url())
        migrate(cluster.url())
        database = Database(cluster, "timed")
        # The launcher began before its database existed: the server starts it again after 1 s.
        database.wait_until(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'"
        )
        yield database
    finally:
        cluster.remove()


@pytest.mark.parametrize(
    ("fault", "mend", "said"),
    [
        (
            "UPDATE cron.job SET active = false",
            "UPDATE cron.job SET active = true",
            "is not active: SELECT cron.alter_job(",
        ),
        (
            "CREATE TABLE public.kept AS TABLE cron.job; DELETE FROM cron.job",
            "INSERT INTO cron.job SELECT * FROM public.kept; DROP TABLE public.kept",
            "is missing: make migrate",
        ),
        (
            "INSERT INTO cron.job_run_details (jobid, runid, status, return_message) "
            "SELECT jobid, 1000000, 'failed', 'ERROR: no way for ana@example.com' FROM cron.job "
            "WHERE command LIKE '%tick%'",
            "DELETE FROM cron.job_run_details WHERE runid = 1000000",
            "failed: ERROR: no way for …",
        ),
        (
            "ALTER ROLE analytics_scheduler NOLOGIN",
            "ALTER ROLE analytics_scheduler LOGIN",
            "may not log in",
        ),
        (
            "UPDATE cron.job SET nodeport = 1",
            "UPDATE cron.job SET nodeport = current_setting('port')::integer",
            "calls another server",
        ),
    ],
)
def test_health_says_what_is_really_the_case_with_pg_cron(
    timed: Database, fault: str, mend: str, said: str
) -> None:
    timed.execute("DELETE FROM cron.job_run_details")
    timed.execute(fault)
    try:
        [(reason,)] = timed.rows(REASON)
        assert said in str(reason)
        if "cron.job SET active" in fault:
            with timed.session() as connection:
                connection.execute("SET ROLE analytics_scheduler")
                row = connection.execute(REASON).fetchone()
                assert row is not None
                assert said in str(row[0])
    finally:
        timed.execute(mend)


def test_who_may_not_look_into_pg_cron_is_told_so_without_an_error(timed: Database) -> None:
    with timed.session() as connection:
        connection.execute("SET ROLE analytics_owner")
        row = connection.execute(REASON).fetchone()
    assert row is not None
    assert "analytics_owner" in str(row[0])


# -- a stamp that a dump brought ---------------------------------------------------------------


def test_the_stamp_of_a_tick_in_another_database_is_no_tick_here(migrated: Database) -> None:
    migrated.execute(
        "CALL analytics.tick()",
        "UPDATE analytics.scheduler_state SET scheduled_since = now() - interval '1 day'",
    )
    assert migrated.rows("SELECT kpi_engine.scheduler_is_running()") == [(True,)]
    copy = f"{migrated.name}_copy"
    admin = Database(migrated.cluster, "postgres")
    close_sessions(migrated)
    admin.execute(f"CREATE DATABASE {copy} TEMPLATE {migrated.name}")
    try:
        other = Database(migrated.cluster, copy)
        assert other.rows("SELECT kpi_engine.scheduler_is_running()") == [(False,)]
        assert "scheduler_down" in [
            row[0] for row in other.rows("SELECT problem FROM analytics.health_problems()")
        ]
        # A refresh takes over what the dump brought; the stamp is still none.
        other.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert other.rows("SELECT kpi_engine.scheduler_is_running()") == [(False,)]
        other.execute("CALL analytics.tick()")
        assert other.rows("SELECT kpi_engine.scheduler_is_running()") == [(True,)]
    finally:
        admin.execute(f"DROP DATABASE {copy} WITH (FORCE)")


# -- event triggers ----------------------------------------------------------------------------


def forbid(database: Database, tags: str) -> None:
    """Let an event trigger of somebody else raise on some statements."""
    database.execute(
        "CREATE FUNCTION public.no_ddl_today() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$f$ BEGIN RAISE EXCEPTION 'not on a Friday'; END; $f$",
        "CREATE EVENT TRIGGER night_freeze ON ddl_command_start "
        f"WHEN TAG IN ({tags}) EXECUTE FUNCTION public.no_ddl_today()",
    )


def test_migrate_names_the_event_trigger_that_fails_it(
    migrated: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    migrated.execute("UPDATE analytics.migration_ledger SET checksum = '' WHERE name ~ 'city_key'")
    forbid(migrated, "'CREATE FUNCTION'")
    assert migrate_module.main(["--database-url", migrated.url]) == 1
    said = capsys.readouterr().err
    assert "not on a Friday" in said
    assert "Event trigger night_freeze" in said
    assert "function no_ddl_today()" in said


def test_change_capture_names_the_event_trigger_that_fails_it(
    migrated: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    migrated.execute("SELECT analytics.set_setting('change_capture', 'off')")
    forbid(migrated, "'DROP TRIGGER'")
    assert migrate_module.main(["--database-url", migrated.url]) == 1
    assert "Event trigger night_freeze" in capsys.readouterr().err


def test_a_refresh_names_the_event_trigger_that_fails_it(migrated: Database) -> None:
    migrated.execute("SELECT * FROM analytics.refresh_all_mv()")
    forbid(migrated, "'REFRESH MATERIALIZED VIEW'")
    rows = migrated.rows("SELECT refresh_status, error_message FROM analytics.refresh_all_mv(true)")
    assert {status for status, _ in rows} == {"ERROR"}
    assert all("raised by event trigger night_freeze" in str(message) for _, message in rows)
    assert all("no_ddl_today()" in str(message) for _, message in rows)


def test_a_rebuild_names_the_event_trigger_that_fails_it(migrated: Database) -> None:
    """At its end the views of the derived tables are made again."""
    forbid(migrated, "'CREATE VIEW'")
    with migrated.session() as connection:
        connection.execute("SET ROLE analytics_operador")
        with pytest.raises(psycopg.Error, match=r"raised by event trigger night_freeze.*no_ddl_t"):
            connection.execute("CALL analytics.rebuild()")


# -- rights ------------------------------------------------------------------------------------


def test_all_rights_that_a_first_migrate_lacks_are_listed_at_once(database: Database) -> None:
    load_source_schema(database.url)
    role = f"plain_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'",
        f"REVOKE TEMPORARY ON DATABASE {database.name} FROM public",
    )
    url = database.url_as(role, "pw")
    with pytest.raises(console.UserError) as refused:
        migrate(url)
    statements = [
        line.strip() for line in refused.value.hint.splitlines() if line.startswith("    ")
    ]
    text = "\n".join(statements)
    assert "CREATE SCHEMA" in text
    assert "GRANT SELECT ON" in text
    assert "ALTER DATABASE" in text
    assert "GRANT" in text
    assert f'TO "{role}"' in text
    # What was printed is enough: a second migrate lacks nothing.
    database.execute(*statements)
    with_triggers = None
    try:
        migrate(url)
    except console.UserError as error:
        with_triggers = str(error)
    assert with_triggers is None or "change capture" in with_triggers
    assert database.rows("SELECT count(*) > 0 FROM analytics.migration_ledger") == [(True,)]


# -- demo --------------------------------------------------------------------------------------


def test_the_demo_shows_a_line_for_each_phase_and_keeps_the_rest_in_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import demo

    console.set_up_logging()
    phases = demo.Phases(tmp_path / "demo.log")
    phases.begin("migrate")
    for number in range(100):
        console.LOGGER.info("applied functions/%d.sql", number)
    console.LOGGER.warning("no schedule")
    phases.begin("refresh")
    phases.failed()
    shown = capfd.readouterr().err.splitlines()
    assert len(shown) == 3
    assert shown[0] == "WARNING: no schedule"
    assert shown[1].startswith("migrate ")
    assert f"failed: refresh; the details are in {tmp_path / 'demo.log'}" in shown[2]
    assert "applied functions/99.sql" in (tmp_path / "demo.log").read_text()
    assert (tmp_path / "demo.log").stat().st_mode & 0o077 == 0


def test_errors_of_psycopg_name_no_trigger_where_there_is_none(migrated: Database) -> None:
    with migrated.session() as connection, pytest.raises(psycopg.Error) as failed:
        connection.execute("SELECT 1 / 0")
    from database import prerequisites

    assert "trigger" not in prerequisites.details(failed.value)
