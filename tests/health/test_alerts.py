"""Alerts in the database: one notice a streak and one when it is over; nothing fails silently."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from conftest import Database, install, made_once
from source_indexes import build_missing

SYSTEM_SERVER_IS_ENOUGH = True

OUTBOX = (
    "SELECT problem, event FROM analytics.alert_outbox JOIN analytics.alerts USING (alert_id) "
    "ORDER BY notice_id"
)


@pytest.fixture
def alerting(database: Database) -> Database:
    """A filled database that is healthy and alerts at once."""
    made_once(database, "alerting", make_alerting)
    # Ticked just now.
    database.execute("CALL analytics.tick()")
    assert database.rows("SELECT * FROM analytics.health_problems()") == []
    return database


def make_alerting(database: Database) -> None:
    install(database)
    build_missing(database.url)
    database.execute(
        "SELECT analytics.set_setting('alert_after_minutes', '0')",
        "SELECT * FROM analytics.refresh_all_mv()",
    )


def fail_a_refresh(database: Database) -> None:
    """Let a queued refresh fail by its real cause, a source that can't be read."""
    with database.session() as holder, database.session() as worker:
        holder.execute("BEGIN; LOCK TABLE public.asesores IN ACCESS EXCLUSIVE MODE")
        worker.execute("SET lock_timeout = '100ms'")
        worker.execute("SELECT kpi_engine.queue_refresh(true, 'ana')")
        with pytest.raises(psycopg.Error):
            worker.execute("CALL analytics.work()")


def alerts(database: Database) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT problem, severity, raised_at IS NOT NULL, cleared_at IS NOT NULL "
        "FROM analytics.alerts ORDER BY alert_id"
    )


def test_a_streak_has_one_notice_and_its_end_one_more(alerting: Database) -> None:
    for _ in range(2):
        fail_a_refresh(alerting)
        for _ in range(3):
            alerting.execute("CALL analytics.tick()")
    assert alerts(alerting) == [("refresh_failed", "unhealthy", True, False)]
    assert alerting.rows(OUTBOX) == [("refresh_failed", "raised")]
    alerting.execute("SELECT * FROM analytics.refresh_all_mv()")
    for _ in range(3):
        alerting.execute("CALL analytics.tick()")
    assert alerts(alerting) == [("refresh_failed", "unhealthy", True, True)]
    assert alerting.rows(OUTBOX) == [("refresh_failed", "raised"), ("refresh_failed", "cleared")]
    fail_a_refresh(alerting)
    alerting.execute("CALL analytics.tick()")
    assert [event for _, event in alerting.rows(OUTBOX)] == ["raised", "cleared", "raised"]


def test_what_is_gone_before_it_lasted_leaves_nothing(alerting: Database) -> None:
    alerting.execute("SELECT analytics.set_setting('alert_after_minutes', '1')")
    fail_a_refresh(alerting)
    alerting.execute("CALL analytics.tick()")
    assert alerts(alerting) == [("refresh_failed", "unhealthy", False, False)]
    alerting.execute("SELECT * FROM analytics.refresh_all_mv()", "CALL analytics.tick()")
    assert alerts(alerting) == []
    fail_a_refresh(alerting)
    alerting.execute(
        "CALL analytics.tick()",
        "UPDATE analytics.alerts SET first_seen_at = first_seen_at - interval '61 s'",
        "CALL analytics.tick()",
    )
    assert alerting.rows(OUTBOX) == [("refresh_failed", "raised")]


def test_many_at_once_put_one_notice(alerting: Database) -> None:
    fail_a_refresh(alerting)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: alerting.execute("SELECT kpi_engine.update_alerts()"), range(24)))
    assert alerting.rows(OUTBOX) == [("refresh_failed", "raised")]


def test_fresh_installation_raises_nothing_before_its_first_daily_refresh(
    migrated: Database,
) -> None:
    build_missing(migrated.url)
    migrated.execute("SELECT analytics.set_setting('alert_after_minutes', '0')")
    migrated.execute("CALL analytics.tick()")
    assert migrated.rows(OUTBOX) == []
    assert alerts(migrated) == [("never_populated", "unhealthy", False, False)]
    migrated.execute(
        "UPDATE analytics.alerts SET first_seen_at = first_seen_at - interval '25 hours'",
        "CALL analytics.tick()",
    )
    assert migrated.rows(OUTBOX) == [("never_populated", "raised")]


def test_who_listens_hears_of_alerts_and_refreshes(alerting: Database) -> None:
    with alerting.session() as listener:
        listener.execute("LISTEN teloo_analytics_alert; LISTEN teloo_analytics_refresh")
        fail_a_refresh(alerting)
        alerting.execute("CALL analytics.tick()", "SELECT * FROM analytics.refresh_all_mv()")
        with alerting.connect(autocommit=False) as undone:
            undone.execute("SELECT * FROM analytics.refresh_all_mv()")
            undone.rollback()
        alerting.execute("CALL analytics.tick()")
        heard: list[tuple[str, dict[str, Any]]] = [
            (notify.channel.removeprefix("teloo_analytics_"), json.loads(notify.payload))
            for notify in listener.notifies(timeout=60, stop_after=4)
        ]
        more = list(listener.notifies(timeout=0.5))
    assert more == []
    assert [(channel, payload.get("event") or payload["status"]) for channel, payload in heard] == [
        ("refresh", "ERROR"),
        ("alert", "raised"),
        ("refresh", "SUCCESS"),
        ("alert", "cleared"),
    ]
    assert heard[1][1]["problem"] == "refresh_failed"
    version = alerting.rows("SELECT data_version FROM kpi_engine.engine_state")[0][0]
    assert heard[2][1]["data_version"] == version


def test_notices_are_taken_once_in_order_and_again_when_nothing_is_reported(
    alerting: Database,
) -> None:
    take = "SELECT notice_id, event, attempt, delivered_to FROM kpi_engine.take_notice()"

    def now() -> datetime:
        ((instant,),) = alerting.rows("SELECT clock_timestamp()")
        assert isinstance(instant, datetime)
        return instant

    def check_next_attempt(since: datetime, seconds: int) -> None:
        """The first notice is due so long after something that was done since then."""
        ((instant,),) = alerting.rows(
            "SELECT next_attempt_at FROM analytics.alert_outbox ORDER BY notice_id LIMIT 1"
        )
        assert isinstance(instant, datetime)
        assert since <= instant - timedelta(seconds=seconds) <= now()

    fail_a_refresh(alerting)
    alerting.execute(
        "CALL analytics.tick()", "SELECT * FROM analytics.refresh_all_mv()", "CALL analytics.tick()"
    )
    began = now()
    with ThreadPoolExecutor(8) as pool:
        taken = [row for rows in pool.map(lambda _: alerting.rows(take), range(16)) for row in rows]
    # That it is over is not told before it was told that it began.
    assert [row[1:] for row in taken] == [("raised", 1, [])]
    check_next_attempt(began, 120)
    notice_id = taken[0][0]
    due = "UPDATE analytics.alert_outbox SET next_attempt_at = next_attempt_at - interval '{}'"
    alerting.execute(due.format("60 s"))
    assert alerting.rows(take) == []
    alerting.execute(due.format("60 s"))
    assert alerting.rows(take) == [(notice_id, "raised", 2, [])]
    report = "SELECT kpi_engine.report_notice({}, '{}', {})"
    began = now()
    alerting.execute(report.format(notice_id, "{webhook}", "'no mail'"))
    check_next_attempt(began, 30)
    assert alerting.rows(
        "SELECT last_error, delivered_at FROM analytics.alert_outbox ORDER BY notice_id LIMIT 1"
    ) == [("no mail", None)]
    alerting.execute(due.format("30 s"))
    assert alerting.rows(take) == [(notice_id, "raised", 3, ["webhook"])]
    alerting.execute(report.format(notice_id, "{webhook,email}", "NULL"))
    ((second, event, attempt, _),) = alerting.rows(take)
    assert (event, attempt) == ("cleared", 1)
    alerting.execute(report.format(second, "{webhook,email}", "NULL"), due.format("2 hours"))
    assert alerting.rows(take) == []


def test_what_could_not_be_delivered_for_long_is_given_up_and_trimmed(alerting: Database) -> None:
    fail_a_refresh(alerting)
    alerting.execute(
        "CALL analytics.tick()",
        "UPDATE analytics.alert_outbox SET attempts = 1, created_at = created_at "
        "- interval '73 hours'",
        "SELECT * FROM analytics.refresh_all_mv()",
        "CALL analytics.tick()",
    )
    assert alerting.rows("SELECT event FROM kpi_engine.take_notice()") == [("cleared",)]
    alerting.execute(
        "UPDATE analytics.alerts SET cleared_at = cleared_at - interval '401 days'",
        "UPDATE analytics.scheduler_state SET last_trimmed_at = NULL",
        "CALL analytics.tick()",
    )
    assert alerting.rows("SELECT count(*) FROM analytics.alerts") == [(0,)]
    assert alerting.rows("SELECT count(*) FROM analytics.alert_outbox") == [(0,)]


def test_step_of_a_tick_that_fails_stops_no_other_one_and_is_not_hidden(
    migrated: Database,
) -> None:
    migrated.execute(
        "UPDATE analytics.scheduler_state SET scheduled_since = now() - interval '25 hours'",
        "ALTER TABLE kpi_engine.audit_log RENAME TO audit_log_gone",
    )
    with (
        migrated.session() as connection,
        pytest.raises(psycopg.errors.UndefinedTable, match=r"update_alerts\(\) failed.*audit_log"),
    ):
        connection.execute("CALL analytics.tick()")
    assert migrated.rows("SELECT count(*) FROM analytics.refresh_jobs WHERE state = 'QUEUED'") == [
        (1,)
    ]
    assert migrated.rows("SELECT last_tick_at IS NOT NULL FROM analytics.scheduler_state") == [
        (True,)
    ]
    migrated.execute(
        "ALTER TABLE kpi_engine.audit_log_gone RENAME TO audit_log", "CALL analytics.tick()"
    )


def test_ticks_need_no_more_than_the_schedulers_role(alerting: Database) -> None:
    fail_a_refresh(alerting)
    with alerting.session() as connection:
        connection.execute("SET ROLE analytics_scheduler")
        connection.execute("CALL analytics.tick()")
        taken = connection.execute("SELECT notice_id FROM kpi_engine.take_notice()").fetchone()
        assert taken
        connection.execute("SELECT kpi_engine.report_notice(%s, '{webhook}', NULL)", taken)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM analytics.alerts")


def test_an_alert_that_becomes_unhealthy_is_told_once_more(alerting: Database) -> None:
    problem = "SELECT severity FROM analytics.health_problems() WHERE problem = 'clock'"
    # A tick made a stamp of the future void.
    alerting.execute(
        "UPDATE kpi_engine.scheduler_state SET clock_fault_at = now(), clock_fault = 'a slot'",
        "SELECT kpi_engine.update_alerts()",
    )
    assert alerting.rows(problem) == [("degraded",)]
    # Nobody knows the age of the data.
    alerting.execute(
        "UPDATE kpi_engine.view_state SET last_success_at = now() + interval '1 year'",
        *["SELECT kpi_engine.update_alerts()"] * 2,
    )
    assert ("unhealthy",) in alerting.rows(problem)
    told = (
        "SELECT event, notice.severity FROM analytics.alert_outbox AS notice "
        "JOIN analytics.alerts USING (alert_id) WHERE problem = 'clock' ORDER BY notice_id"
    )
    assert alerting.rows(told) == [("raised", "degraded"), ("worse", "unhealthy")]


def test_lost_rows_are_told_though_the_next_refresh_comes_at_once(alerting: Database) -> None:
    """As with target_lag: it is over before it lasted for a minute."""
    alerting.execute(
        "SELECT analytics.set_setting('alert_after_minutes', '1')",
        "SELECT analytics.set_setting('gate', 'off')",
        "INSERT INTO usuarios (id, telefono, nombre, apellido) SELECT gen_random_uuid(), "
        "number, 'Ana', 'Uno' FROM generate_series(1, 10) AS number",
        "INSERT INTO asesores (id, usuario_id, ciudad, departamento, punto_venta) "
        "SELECT gen_random_uuid(), id, 'Cali', 'Valle', 'Uno' FROM usuarios",
        "SELECT * FROM refresh_all_mv()",
        "UPDATE asesores SET estado = 'SUSPENDIDO' WHERE id IN (SELECT id FROM asesores LIMIT 8)",
        "SELECT * FROM refresh_all_mv()",
        "SELECT kpi_engine.update_alerts()",
        "SELECT * FROM refresh_all_mv()",
        "SELECT kpi_engine.update_alerts()",
    )
    assert ("row_drop", "raised") in alerting.rows(OUTBOX)
