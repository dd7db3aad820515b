"""When a digest is due: once for each period, after the refresh, whoever asks and however often."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from conftest import Database, made_once
from golden_data import load_rich
from kpis.test_published import refresh

SYSTEM_SERVER_IS_ENOUGH = True

TAKE = "SELECT frequency, period::text, attempt FROM kpi_engine.take_digest()"
DELIVERIES = "SELECT period::text FROM analytics.digest_deliveries ORDER BY delivery_id"
# A Thursday, in the zone of the installation.
THURSDAY = "2026-11-26 12:00:00-05"


def fill(database: Database) -> None:
    load_rich(database.url)
    refresh(database, "2026-11-25 03:00:00-05")


@pytest.fixture
def filled(database: Database) -> Database:
    made_once(database, "filled for digests", fill)
    return database


def subscribe(database: Database, frequency: str, now: str, cities: str = "NULL") -> None:
    database.rows(
        f"SELECT analytics.subscribe_digest('ana@example.com', '{frequency}', 'es', {cities})", now
    )


def take(database: Database, now: str) -> list[tuple[object, ...]]:
    """Take one digest and report it as sent."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        rows = connection.execute(
            "SELECT delivery_id, frequency, period::text FROM kpi_engine.take_digest()"
        ).fetchall()
        for row in rows:
            connection.execute("SELECT kpi_engine.report_digest(%s, NULL)", [row[0]])
    return [row[1:] for row in rows]


def test_a_daily_digest_is_due_once_after_the_refresh_of_the_day(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    # Yesterday was over before the subscription.
    assert take(filled, "2026-11-25 09:00:00-05") == []
    # A new day, without a refresh of this day.
    assert take(filled, "2026-11-26 01:00:00-05") == []
    refresh(filled, "2026-11-26 03:00:00-05")
    assert take(filled, "2026-11-26 03:01:00-05") == [("daily", "2026-11-25")]
    assert take(filled, "2026-11-26 03:02:00-05") == []
    refresh(filled, "2026-11-26 18:00:00-05", force=True)
    assert take(filled, "2026-11-26 23:59:00-05") == []
    # Midnight in UTC is no new day here; last refresh 18:00 of the 26th in local time.
    assert take(filled, "2026-11-27 00:30:00+00") == []
    assert filled.rows(
        "SELECT last_queued::text, last_sent::text FROM analytics.digest_subscriptions"
    ) == [("2026-11-25", "2026-11-25")]


def test_a_refresh_that_failed_for_one_view_keeps_the_digest_back(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    filled.execute(
        "UPDATE kpi_engine.view_state SET last_success_at = '2026-11-25 03:00:00-05' "
        "WHERE view_name = 'mv_metricas_mensuales'"
    )
    assert take(filled, THURSDAY) == []
    refresh(filled, "2026-11-26 13:00:00-05")
    assert take(filled, "2026-11-26 13:01:00-05") == [("daily", "2026-11-25")]


def test_a_view_that_was_never_refreshed_keeps_the_digest_back(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    filled.execute(
        "UPDATE kpi_engine.view_state SET last_success_at = NULL "
        "WHERE view_name = 'mv_metricas_mensuales'"
    )
    assert take(filled, THURSDAY) == []
    refresh(filled, "2026-11-26 13:00:00-05")
    assert take(filled, "2026-11-26 13:01:00-05") == [("daily", "2026-11-25")]


def test_after_missed_days_the_latest_one_alone_is_sent(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-30 03:00:00-05")
    assert take(filled, "2026-11-30 09:00:00-05") == [("daily", "2026-11-29")]
    assert take(filled, "2026-11-30 09:00:01-05") == []
    assert filled.rows(DELIVERIES) == [("2026-11-29",)]


def test_a_digest_that_did_not_arrive_makes_room_for_the_newer_one(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    assert filled.rows(TAKE, THURSDAY) == [("daily", "2026-11-25", 1)]
    refresh(filled, "2026-11-27 03:00:00-05")
    with filled.session() as connection:
        said: list[str] = []
        connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
        connection.execute("SELECT set_config('analytics.now', '2026-11-27 09:00-05', false)")
        assert connection.execute(TAKE).fetchall() == [("daily", "2026-11-26", 1)]
        assert said == ["given up for a newer one: digest 1 (of 2026-11-25: never tried)"]
    assert filled.rows(DELIVERIES) == [("2026-11-26",)]
    # The late report of what is gone changes nothing.
    filled.execute("SELECT kpi_engine.report_digest(1, NULL)")
    assert filled.rows("SELECT last_sent FROM analytics.digest_subscriptions") == [(None,)]


def test_a_weekly_digest_is_due_from_monday_on(filled: Database) -> None:
    subscribe(filled, "weekly", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-29 23:00:00-05")
    assert take(filled, "2026-11-29 23:30:00-05") == []
    # Monday, before its refresh.
    assert take(filled, "2026-11-30 01:00:00-05") == []
    refresh(filled, "2026-12-01 03:00:00-05")
    assert take(filled, "2026-12-01 04:00:00-05") == [("weekly", "2026-11-23")]
    refresh(filled, "2026-12-04 03:00:00-05")
    assert take(filled, "2026-12-04 04:00:00-05") == []
    refresh(filled, "2026-12-22 03:00:00-05")
    assert take(filled, "2026-12-22 04:00:00-05") == [("weekly", "2026-12-14")]


@pytest.mark.parametrize("cities", ["NULL", "'{Cali}'"])
def test_a_monthly_digest_is_due_when_the_month_closes(filled: Database, cities: str) -> None:
    view = "mv_metricas_mensuales" if cities == "NULL" else "mv_demanda_ciudades"
    closed = f"SELECT max(period)::text FROM kpi_engine.closings WHERE view_name = '{view}'"
    assert filled.rows(closed) == [("2026-10-01",)]
    subscribe(filled, "monthly", "2026-11-25 08:00:00-05", cities)
    # October was closed before the subscription.
    assert take(filled, "2026-11-25 09:00:00-05") == []
    refresh(filled, "2026-12-05 23:00:00-05", force=True)
    assert take(filled, "2026-12-05 23:30:00-05") == []
    refresh(filled, "2026-12-06 03:00:00-05", force=True)
    assert filled.rows(closed) == [("2026-11-01",)]
    assert take(filled, "2026-12-06 04:00:00-05") == [("monthly", "2026-11-01")]
    refresh(filled, "2026-12-07 03:00:00-05", force=True)
    assert take(filled, "2026-12-07 04:00:00-05") == []


def test_without_history_no_month_closes(filled: Database) -> None:
    filled.execute(
        "SELECT analytics.set_setting('publication_history', 'mv_metricas_mensuales=none')"
    )
    subscribe(filled, "monthly", "2026-10-01 08:00:00-05")
    assert take(filled, THURSDAY) == []
    filled.execute("SELECT analytics.set_setting('publication_history', '*=all')")
    assert take(filled, THURSDAY) == [("monthly", "2026-10-01")]


def test_many_notifiers_take_each_digest_once(filled: Database) -> None:
    for number in range(20):
        filled.rows(
            f"SELECT analytics.subscribe_digest('a{number}@example.com', 'daily')",
            "2026-11-25 08:00:00-05",
        )
    refresh(filled, "2026-11-26 03:00:00-05")

    def all_of_one(_: int) -> list[str]:
        taken: list[str] = []
        with filled.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
            misses = 0
            # An empty answer may mean that another one holds the oldest for a moment.
            while misses < 20:
                rows = connection.execute("SELECT address FROM kpi_engine.take_digest()").fetchall()
                taken += [str(row[0]) for row in rows]
                misses = 0 if rows else misses + 1
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [address for addresses in pool.map(all_of_one, range(4)) for address in addresses]
    assert sorted(taken) == sorted(f"a{number}@example.com" for number in range(20))
    assert len(filled.rows(DELIVERIES)) == 20


def test_a_notifier_of_yesterday_takes_nothing_from_that_of_today(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    taken: list[object] = []

    def late(connection: psycopg.Connection) -> None:
        taken.extend(connection.execute(TAKE).fetchall())

    with filled.connect(autocommit=False) as today, filled.session() as yesterday:
        yesterday.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
        refresh(filled, "2026-11-27 03:00:00-05")
        today.execute("SELECT set_config('analytics.now', '2026-11-27 09:00:00-05', false)")
        assert today.execute(TAKE).fetchall() == [("daily", "2026-11-26", 1)]
        # It saw the subscription before, and waits for the row.
        thread = threading.Thread(target=late, args=(yesterday,))
        thread.start()
        filled.wait_until(
            "SELECT count(*) > 0 FROM pg_stat_activity "
            f"WHERE pid = {yesterday.info.backend_pid} AND wait_event_type = 'Lock'"
        )
        today.commit()
        thread.join()
    assert taken == []
    assert filled.rows(DELIVERIES) == [("2026-11-26",)]
    assert filled.rows("SELECT last_queued::text FROM analytics.digest_subscriptions") == [
        ("2026-11-26",)
    ]


def test_what_nobody_reported_can_be_taken_again_after_two_minutes(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    assert filled.rows(TAKE, THURSDAY) == [("daily", "2026-11-25", 1)]
    assert filled.rows(TAKE, THURSDAY) == []
    assert filled.rows(
        "SELECT next_attempt_at - clock_timestamp() BETWEEN '1 min' AND '2 min' "
        "FROM analytics.digest_deliveries"
    ) == [(True,)]
    filled.execute("UPDATE kpi_engine.digest_deliveries SET next_attempt_at = clock_timestamp()")
    assert filled.rows(TAKE, THURSDAY) == [("daily", "2026-11-25", 2)]


def test_a_failure_waits_longer_each_time_and_is_given_up(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    for wait in ("15 s", "30 s", "1 min"):
        assert len(filled.rows(TAKE, THURSDAY)) == 1
        filled.execute("SELECT kpi_engine.report_digest(1, 'no such mailbox')")
        assert filled.rows(
            f"SELECT next_attempt_at - clock_timestamp() BETWEEN interval '{wait}' - '10 s' "
            f"AND interval '{wait}', last_error FROM analytics.digest_deliveries"
        ) == [(True, "no such mailbox")]
        filled.execute(
            "UPDATE kpi_engine.digest_deliveries SET next_attempt_at = clock_timestamp()"
        )
    filled.execute("UPDATE kpi_engine.digest_deliveries SET created_at = now() - interval '73 h'")
    with filled.session() as connection:
        said: list[str] = []
        connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
        connection.execute("SELECT set_config('analytics.now', %s, false)", [THURSDAY])
        assert connection.execute(TAKE).fetchall() == []
        assert said == ["given up after 72 hours: digest 1 (of 2026-11-25: no such mailbox)"]
    ((status, message),) = filled.rows(
        "SELECT status, message FROM analytics.doctor('schedule') WHERE check_name = 'digests'"
    )
    assert (status, "were given up: no such mailbox" in str(message)) == ("warning", True)
    # It is not queued again, also when the doctor's statement has removed it.
    filled.execute("DELETE FROM kpi_engine.digest_deliveries WHERE next_attempt_at = 'infinity'")
    assert filled.rows(TAKE, THURSDAY) == []


def test_the_doctor_knows_a_digest_that_nobody_sends(filled: Database) -> None:
    doctor = "SELECT status, message FROM analytics.doctor('schedule') WHERE check_name = 'digests'"
    assert [row[0] for row in filled.rows(doctor, THURSDAY)] == ["ok"]
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    assert [row[0] for row in filled.rows(doctor, THURSDAY)] == ["ok"]
    refresh(filled, "2026-11-26 03:00:00-05")
    assert [row[0] for row in filled.rows(doctor, "2026-11-26 03:05:00-05")] == ["ok"]
    [(status, message)] = filled.rows(doctor, THURSDAY)
    assert (status, str(message).startswith("1 digest(s) wait since 2026-11-26 ")) == (
        "warning",
        True,
    )
    assert "no notifier with ALERT_SMTP_URL takes them" in str(message)
    take(filled, THURSDAY)
    assert [row[0] for row in filled.rows(doctor, THURSDAY)] == ["ok"]


def test_a_clock_that_was_ahead_stops_nothing(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    filled.execute("UPDATE kpi_engine.digest_subscriptions SET last_queued = '2027-11-25'")
    refresh(filled, "2026-11-26 03:00:00-05")
    assert take(filled, THURSDAY) == [("daily", "2026-11-25")]
    assert take(filled, THURSDAY) == []


def test_the_digest_of_a_month_that_a_wrong_clock_closed_comes_when_it_is_over(
    filled: Database,
) -> None:
    """The clock is a month ahead while November is running."""
    subscribe(filled, "monthly", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-12-07 03:00:00-05", force=True)
    assert take(filled, "2026-12-07 04:00:00-05") == [("monthly", "2026-11-01")]
    refresh(filled, "2026-11-26 03:00:00-05")
    assert take(filled, THURSDAY) == []
    assert filled.rows(DELIVERIES) == []
    refresh(filled, "2026-12-06 03:00:00-05", force=True)
    assert take(filled, "2026-12-06 04:00:00-05") == [("monthly", "2026-11-01")]
    assert take(filled, "2026-12-06 04:01:00-05") == []


def test_old_deliveries_are_trimmed_and_not_sent_again(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    take(filled, THURSDAY)
    trim = (
        "UPDATE kpi_engine.scheduler_state SET last_trimmed_at = NULL, trimmed_as_of = NULL",
        "SELECT kpi_engine.trim_logs()",
    )
    filled.execute(*trim)
    assert filled.rows(DELIVERIES) == [("2026-11-25",)]
    filled.execute(
        "UPDATE kpi_engine.digest_deliveries SET delivered_at = now() - interval '400 days'", *trim
    )
    assert filled.rows(DELIVERIES) == []
    assert take(filled, THURSDAY) == []


def test_who_unsubscribes_gets_nothing_that_is_on_its_way(filled: Database) -> None:
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 03:00:00-05")
    assert len(filled.rows(TAKE, THURSDAY)) == 1
    filled.execute("SELECT analytics.unsubscribe_digest('ana@example.com')")
    assert filled.rows(DELIVERIES) == []
    filled.execute("SELECT kpi_engine.report_digest(1, NULL)")
    assert take(filled, THURSDAY) == []


def test_a_refresh_over_midnight_does_not_keep_the_daily_digest_back(filled: Database) -> None:
    """Its instant is that of its begin. When readers see it, the day is another one."""
    subscribe(filled, "daily", "2026-11-25 08:00:00-05")
    refresh(filled, "2026-11-26 23:55:00-05", force=True)
    # Of the day that it shows whole.
    assert take(filled, "2026-11-27 00:05:00-05") == [("daily", "2026-11-25")]
    assert take(filled, "2026-11-27 12:00:00-05") == []
    refresh(filled, "2026-11-27 23:55:00-05", force=True)
    assert take(filled, "2026-11-28 00:05:00-05") == [("daily", "2026-11-26")]
    # Two days without a refresh: nothing new is known.
    assert take(filled, "2026-11-30 00:05:00-05") == []


def test_a_digest_of_a_period_that_is_not_over_is_refused(filled: Database) -> None:
    for frequency, day in (
        ("daily", "2030-01-01"),
        ("weekly", "2026-11-26"),
        ("monthly", "2026-11-01"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_period must be a day of"):
            filled.rows(
                f"SELECT kpi_engine.digest_contents('{frequency}', NULL, '{day}')", THURSDAY
            )
