"""A clock that was wrong once: what it stamped is void and told, and the schedule goes on."""

from datetime import UTC, datetime, timedelta

import pytest

from conftest import Database, install, made_once
from marketplace import fill

SYSTEM_SERVER_IS_ENOUGH = True
# Yesterday: what lies a few days ahead of it is ahead of the server's own clock, too.
NOW = datetime.now(UTC).replace(hour=15, minute=0, second=0, microsecond=0) - timedelta(days=1)
TODAY = NOW.date()
HALF_A_YEAR = timedelta(days=182)
SLOTS = (
    "SELECT slot_date::text, state FROM analytics.refresh_jobs "
    "WHERE slot_at IS NOT NULL AND NOT is_void ORDER BY slot_at"
)


def at_slot(days: int) -> datetime:
    """Return 01:00 in Bogotá, so many days from NOW."""
    return NOW.replace(hour=6) + timedelta(days=days)


def day(days: int) -> str:
    return str(TODAY + timedelta(days=days))


def tick(database: Database, at: datetime, *then: str) -> None:
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [at.isoformat()])
        connection.execute("CALL analytics.tick()")
        for statement in then:
            connection.execute(statement)


def problems(database: Database, at: datetime) -> dict[str, str]:
    rows = database.rows(
        "SELECT problem, string_agg(message, '; ') FROM analytics.health_problems() GROUP BY 1",
        today=at.isoformat(),
    )
    return {str(name): str(message) for name, message in rows}


def next_refresh(database: Database, at: datetime) -> object:
    return database.rows("SELECT analytics.next_scheduled_refresh()", today=at.isoformat())[0][0]


def alerts(database: Database) -> set[str]:
    return {str(name) for (name,) in database.rows("SELECT problem FROM analytics.alerts")}


@pytest.fixture
def scheduled(database: Database) -> Database:
    """An installation of some days ago that has run today's slot at 01:00 in Bogotá."""
    made_once(database, "scheduled for days", make_scheduled)
    return database


def make_scheduled(database: Database) -> None:
    install(database)
    with database.session() as connection:
        fill(connection, 7, "A", NOW.date())
    database.execute(
        f"UPDATE analytics.scheduler_state SET scheduled_since = '{day(-3)} 12:00:00-05'",
        "SELECT analytics.set_setting('schedule_time', '01:00')",
        "UPDATE analytics.scheduler_state SET schedule_changed_at = NULL",
    )
    for days in (-2, -1, 0):
        tick(database, at_slot(days) + timedelta(minutes=1), "CALL analytics.work()")


@pytest.mark.parametrize(
    "ahead", [timedelta(days=1, hours=10), HALF_A_YEAR, timedelta(days=3), timedelta(days=4000)]
)
def test_schedule_goes_on_after_a_clock_that_was_ahead(
    scheduled: Database, ahead: timedelta
) -> None:
    before = scheduled.rows(SLOTS)
    figures = scheduled.rows(
        "SELECT asesor_id, ranking_nacional FROM mv_ranking_asesores ORDER BY 1"
    )
    tick(scheduled, NOW + ahead, "CALL analytics.work()")
    assert next_refresh(scheduled, NOW) == at_slot(1)
    assert "clock" in problems(scheduled, NOW)
    # The figures of another day are computed again at once.
    tick(scheduled, NOW, "CALL analytics.work()")
    assert scheduled.rows(SLOTS) == before
    assert (
        scheduled.rows("SELECT asesor_id, ranking_nacional FROM mv_ranking_asesores ORDER BY 1")
        == figures
    )
    assert scheduled.rows(
        "SELECT count(*) FROM analytics.view_state "
        f"WHERE greatest(last_success_at, calculated_at) > '{NOW.isoformat()}'"
    ) == [(0,)]
    assert "clock" in alerts(scheduled)
    assert "missed_slot" not in problems(scheduled, NOW)
    tick(scheduled, at_slot(1) + timedelta(seconds=30), "CALL analytics.work()")
    assert scheduled.rows(SLOTS) == [*before, (day(1), "SUCCESS")]
    assert problems(scheduled, at_slot(1) + timedelta(minutes=2)).keys() <= {
        "missing_indexes",
        "slow",
    }


def test_slot_of_a_clock_that_was_ahead_is_run_when_its_day_really_comes(
    scheduled: Database,
) -> None:
    bogus = at_slot(3)
    tick(scheduled, bogus + timedelta(minutes=1), "CALL analytics.work()")
    at = NOW
    while at < bogus + timedelta(hours=2):
        tick(scheduled, at, "CALL analytics.work()")
        at += timedelta(minutes=30)
    assert [row for row in scheduled.rows(SLOTS) if str(row[0]) > day(0)] == [
        (day(1), "SUCCESS"),
        (day(2), "SUCCESS"),
        (day(3), "SUCCESS"),
    ]
    assert scheduled.rows(
        f"SELECT count(*) FROM analytics.refresh_jobs WHERE slot_at = '{day(3)} 01:00-05' "
        "AND state = 'SUCCESS' AND NOT is_missed"
    ) == [(1,)]


@pytest.mark.parametrize(
    ("with_work", "back"),
    [(True, HALF_A_YEAR), (False, HALF_A_YEAR), (True, timedelta(days=1))],
)
def test_clock_that_was_back_repeats_no_slot_and_floods_nobody(
    scheduled: Database, with_work: bool, back: timedelta
) -> None:
    before = scheduled.rows(SLOTS)
    for minutes in range(3):
        tick(scheduled, NOW - back + timedelta(minutes=minutes))
        if with_work:
            tick(scheduled, NOW - back + timedelta(minutes=minutes), "CALL analytics.work()")
    for minutes in range(3):
        tick(scheduled, NOW + timedelta(minutes=minutes), "CALL analytics.work()")
    assert [row for row in scheduled.rows(SLOTS) if str(row[0]) > day(-9)] == before
    assert len(scheduled.rows(SLOTS)) <= len(before) + 1
    assert "missed_slot" not in alerts(scheduled)
    assert "stale" not in problems(scheduled, NOW)
    assert scheduled.rows("SELECT today::text FROM kpi_engine.engine_state") == [(day(0),)]
    assert next_refresh(scheduled, NOW) == at_slot(1)
    tick(scheduled, at_slot(1) + timedelta(seconds=30), "CALL analytics.work()")
    assert scheduled.rows(SLOTS)[-1] == (day(1), "SUCCESS")


def test_small_step_of_the_clock_repeats_nothing(scheduled: Database) -> None:
    slot = at_slot(1)
    tick(scheduled, slot + timedelta(seconds=1), "CALL analytics.work()")
    for seconds in (-2, 0, 2):
        tick(scheduled, slot + timedelta(seconds=seconds), "CALL analytics.work()")
    assert scheduled.rows(
        f"SELECT state, attempts FROM analytics.refresh_jobs WHERE slot_date = '{day(1)}'"
    ) == [("SUCCESS", 1)]
    assert "clock" not in problems(scheduled, slot)


@pytest.mark.parametrize(
    "stamps",
    [
        "last_tick_at = clock_timestamp() + interval '182 days'",
        "scheduled_since = scheduled_since + interval '182 days'",
        "schedule_changed_at = '2099-05-20'",
        "refresh_seen_at = '2099-05-20'",
        "last_trimmed_at = clock_timestamp() + interval '182 days'",
        "usage_watched_at = '2099-05-20'",
    ],
)
def test_stamp_of_the_scheduler_in_the_future_is_void(scheduled: Database, stamps: str) -> None:
    scheduled.execute(f"UPDATE analytics.scheduler_state SET {stamps}")
    at = NOW
    if "last_tick_at" in stamps:
        assert scheduled.rows("SELECT kpi_engine.scheduler_is_running()") == [(False,)]
    tick(scheduled, at)
    assert next_refresh(scheduled, at) == at_slot(1)
    tick(scheduled, at + timedelta(hours=22))
    assert scheduled.rows(SLOTS)[-1] == (day(1), "QUEUED")
    # It does not begin for longer than the time of grace.
    tick(scheduled, at + timedelta(hours=25))
    assert "missed_slot" in problems(scheduled, at + timedelta(hours=25))
    assert scheduled.rows(
        "SELECT last_trimmed_at <= clock_timestamp(), usage_watched_at < '2099-01-01' "
        "FROM analytics.scheduler_state"
    ) == [(True, True)]


def test_success_in_the_future_is_told_and_no_success(scheduled: Database) -> None:
    scheduled.execute(
        "UPDATE analytics.view_state SET last_success_at = last_success_at + interval '182 days'"
    )
    assert "in the future" in problems(scheduled, NOW)["clock"]
    assert scheduled.rows(
        "SELECT DISTINCT severity FROM analytics.health_problems() WHERE problem = 'clock'",
        today=NOW.isoformat(),
    ) == [("unhealthy",)]
    scheduled.execute(
        "UPDATE analytics.refresh_log SET finished_at = finished_at + interval '182 days'"
    )
    assert scheduled.rows("SELECT kpi_engine.last_success_at()") == [(None,)]
    tick(scheduled, NOW, "CALL analytics.work()")
    assert scheduled.rows("SELECT kpi_engine.last_success_at() IS NULL") == [(False,)]
    assert "the last refresh is stamped" not in problems(scheduled, NOW)["clock"]
    assert problems(scheduled, NOW + timedelta(hours=2)).keys().isdisjoint({"clock", "stale"})


def test_retry_alert_and_notice_of_a_clock_that_was_ahead_do_not_wait_for_it(
    scheduled: Database,
) -> None:
    scheduled.execute(
        "UPDATE analytics.refresh_jobs SET state = 'QUEUED', "
        "finished_at = clock_timestamp() + interval '182 days', "
        f"run_after = clock_timestamp() + interval '182 days' WHERE slot_date = '{day(0)}'",
        "INSERT INTO analytics.alerts (problem, severity, message, first_seen_at, last_seen_at, "
        "raised_at) SELECT 'stale', 'unhealthy', 'old', instant, instant, instant "
        "FROM (SELECT clock_timestamp() + interval '182 days' AS instant) AS ahead",
        "INSERT INTO analytics.alert_outbox (alert_id, event, severity, message, created_at, "
        "next_attempt_at) SELECT alert_id, 'raised', severity, message, first_seen_at, "
        "first_seen_at FROM analytics.alerts WHERE problem = 'stale'",
    )
    tick(scheduled, NOW)
    assert scheduled.rows("SELECT problem FROM kpi_engine.take_notice()") != []
    # In a retry's own time, by the wall clock.
    assert scheduled.rows(
        "SELECT run_after <= clock_timestamp(), finished_at <= clock_timestamp() "
        f"FROM analytics.refresh_jobs WHERE slot_date = '{day(0)}'"
    ) == [(True, True)]
    assert scheduled.rows(
        "SELECT count(*) FROM analytics.alerts WHERE first_seen_at > clock_timestamp()"
    ) == [(0,)]


def test_clock_that_is_ahead_does_not_trim_what_is_not_old(scheduled: Database) -> None:
    """As if all had happened half a year before the clock's time: 300 days old, then 482."""
    scheduled.execute("CALL analytics.tick()")
    lines = scheduled.rows("SELECT count(*) FROM analytics.refresh_log")
    shift = "interval '482 days'"
    scheduled.execute(
        f"UPDATE analytics.refresh_log SET finished_at = finished_at - {shift}",
        f"UPDATE analytics.refresh_jobs SET finished_at = finished_at - {shift}",
        # The last trim took an instant of half a year ago for now.
        "UPDATE analytics.scheduler_state SET "
        "last_trimmed_at = last_trimmed_at - interval '182 days', "
        "trimmed_as_of = trimmed_as_of - interval '182 days'",
        "CALL analytics.tick()",
    )
    assert scheduled.rows("SELECT count(*) FROM analytics.refresh_log") == lines
    # What goes on being the time is believed in the end: a day an hour.
    for _ in range(190):
        scheduled.execute(
            "UPDATE analytics.scheduler_state SET last_trimmed_at = '2020-01-01'",
            "SELECT kpi_engine.trim_logs()",
        )
    assert scheduled.rows("SELECT count(*) FROM analytics.refresh_log") < lines
