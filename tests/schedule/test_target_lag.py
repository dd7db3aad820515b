"""The setting target_lag: a refresh when changes have waited for that long, beside the slot."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from conftest import Database, install, made_once
from marketplace import fill
from source_indexes import build_missing

SYSTEM_SERVER_IS_ENOUGH = True

REFRESH = "SELECT * FROM analytics.refresh_all_mv()"
TICK = "CALL analytics.tick()"
WORK = "CALL analytics.work()"
CHANGE = "UPDATE public.solicitudes SET estado = estado"
# What the gate lets pass.
CHANGE_ONE = (
    "UPDATE public.solicitudes SET estado = 'E{}' "
    "WHERE id = (SELECT max(id::text)::uuid FROM public.solicitudes)"
)
JOBS = "SELECT triggered_by, state FROM analytics.refresh_jobs ORDER BY job_id"
BREAK = (
    "ALTER TABLE kpi_engine.month_totals_a ADD CHECK (requests < 0) NOT VALID",
    "ALTER TABLE kpi_engine.month_totals_b ADD CHECK (requests < 0) NOT VALID",
    "UPDATE public.solicitudes SET estado = 'E1'",
)
MEND = (
    "ALTER TABLE kpi_engine.month_totals_a DROP CONSTRAINT month_totals_a_requests_check",
    "ALTER TABLE kpi_engine.month_totals_b DROP CONSTRAINT month_totals_b_requests_check",
)


@dataclass
class Schedule:
    """A refreshed installation whose clock the test moves from the moment of the refresh."""

    database: Database
    start: datetime

    def run(self, after: timedelta, *statements: str) -> None:
        with self.database.session() as connection:
            connection.execute(
                "SELECT set_config('analytics.now', %s, false)", [(self.start + after).isoformat()]
            )
            for statement in statements:
                connection.execute(statement.encode())

    def tick(self, **after: float) -> list[tuple[object, ...]]:
        """Tick so long after the refresh, and return all jobs."""
        self.run(timedelta(**after), TICK)
        return self.database.rows(JOBS)

    def work(self, **after: float) -> list[tuple[object, ...]]:
        self.run(timedelta(**after), WORK)
        return self.database.rows(JOBS)

    def last_run_was(self, **after: float) -> None:
        """The refresh log is by the wall clock: the last run ended so long after the refresh."""
        at = (self.start + timedelta(**after)).isoformat()
        self.run(
            timedelta(),
            f"UPDATE analytics.refresh_log SET finished_at = '{at}' "
            "WHERE run_id = (SELECT max(run_id) FROM analytics.refresh_log)",
        )

    def set_lag(self, value: str) -> None:
        self.run(timedelta(), f"SELECT analytics.set_setting('target_lag', '{value}')")

    def problem(self, **after: float) -> str | None:
        rows = self.database.rows(
            "SELECT message FROM analytics.health_problems() WHERE problem = 'lagging'",
            today=(self.start + timedelta(**after)).isoformat(),
        )
        assert len(rows) <= 1
        return str(rows[0][0]) if rows else None

    def metric(self, name: str, **after: float) -> float:
        ((text,),) = self.database.rows(
            "SELECT api.metrics()", today=(self.start + timedelta(**after)).isoformat()
        )
        [line] = [
            line for line in str(text).splitlines() if line.startswith(f"teloo_analytics_{name} ")
        ]
        return float(line.split()[1])


# By cluster: when the installation that all others are copies of was refreshed.
REFRESHED_AT: dict[str, datetime] = {}


def make_schedule(database: Database) -> None:
    install(database)
    ((now,),) = database.rows("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    REFRESHED_AT[database.cluster.name] = now
    with database.session() as connection:
        fill(connection, 5, "A", now.date())
    build_missing(database.url)
    slot = f"{(now - timedelta(hours=1)).astimezone(UTC):%H:%M}"
    Schedule(database, now).run(
        timedelta(),
        f"SELECT analytics.set_schedule('{slot}', 'UTC')",
        "SELECT analytics.set_setting('alert_after_minutes', '0')",
        REFRESH,
        TICK,
        # It took no time, and computed only what had changed.
        "UPDATE analytics.refresh_log SET refresh_time_ms = 0, mode = 'incremental', "
        f"started_at = '{now.isoformat()}', finished_at = '{now.isoformat()}'",
    )


@pytest.fixture
def schedule(database: Database) -> Schedule:
    """Refreshed now; the next daily slot is in 23 hours."""
    made_once(database, "target lag", make_schedule)
    # That was a while ago; whether the scheduler runs is by the wall clock.
    database.execute("UPDATE analytics.scheduler_state SET last_tick_at = clock_timestamp()")
    return Schedule(database, REFRESHED_AT[database.cluster.name])


def test_off_is_the_default_and_queues_nothing(schedule: Schedule) -> None:
    assert schedule.database.rows("SELECT analytics.setting('target_lag')") == [("off",)]
    schedule.run(timedelta(), CHANGE)
    assert schedule.tick(hours=22) == []
    assert schedule.problem(hours=22) is None


@pytest.mark.parametrize(
    "value", ["off", "1 minute", "2 minutes", "90 minutes", "1440 minutes", "1 hour", "24 hours"]
)
def test_right_values_are_taken(schedule: Schedule, value: str) -> None:
    schedule.set_lag(value)
    ((lag,),) = schedule.database.rows("SELECT kpi_engine.target_lag()")
    assert (lag is None) == (value == "off")
    assert lag is None or timedelta(minutes=1) <= lag <= timedelta(days=1)  # type: ignore[operator]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "on",
        "0",
        "1",
        "60",
        "0 minutes",
        "1 minutes",
        "2 minute",
        "30 seconds",
        "1.5 hours",
        "1441 minutes",
        "25 hours",
        "1 day",
        "5  minutes",
        "5 minutes ",
        "05 minutes",
        "-5 minutes",
        "5 Minutes",
        "1 hour 5 minutes",
    ],
)
def test_wrong_values_are_refused_and_the_right_ones_named(schedule: Schedule, value: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="target_lag") as refused:
        schedule.set_lag(value)
    hint = str(refused.value.diag.message_hint)
    assert "off" in hint
    assert "from 1 minute to 1440 minutes or from 1 hour to 24 hours" in hint


def test_refresh_is_queued_when_the_next_tick_would_be_too_late(schedule: Schedule) -> None:
    schedule.set_lag("5 minutes")
    schedule.run(timedelta(), CHANGE)
    assert schedule.tick(minutes=3, seconds=59.999999) == []
    assert schedule.tick(minutes=4) == [("lag", "QUEUED")]
    assert schedule.work(minutes=4) == [("lag", "SUCCESS")]
    assert schedule.database.rows(
        "SELECT triggered_by, refresh_status, mode FROM analytics.refresh_log "
        "WHERE view_name IS NULL ORDER BY log_id DESC LIMIT 1"
    ) == [("lag", "SUCCESS", "incremental")]


def test_duration_of_the_last_refresh_is_taken_off(schedule: Schedule) -> None:
    schedule.set_lag("5 minutes")
    schedule.run(timedelta(), CHANGE, "UPDATE analytics.refresh_log SET refresh_time_ms = 30000")
    assert schedule.tick(minutes=3, seconds=29) == []
    assert schedule.tick(minutes=3, seconds=30) == [("lag", "QUEUED")]


def test_wait_counts_from_the_last_tick_that_saw_no_change(schedule: Schedule) -> None:
    schedule.set_lag("5 minutes")
    assert schedule.tick(minutes=30) == []
    schedule.run(timedelta(), CHANGE)
    assert schedule.tick(minutes=33) == []
    assert schedule.tick(minutes=34) == [("lag", "QUEUED")]


def test_each_minute_that_has_changes_gets_its_refresh_and_no_other(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    assert schedule.tick(minutes=1) == []
    for minute in range(2, 5):
        schedule.run(timedelta(), CHANGE)
        assert schedule.tick(minutes=minute)[-1] == ("lag", "QUEUED")
        assert schedule.work(minutes=minute) == [("lag", "SUCCESS")] * (minute - 1)
    assert schedule.tick(minutes=5) == [("lag", "SUCCESS")] * 3


def test_nothing_is_queued_beside_a_job_that_waits_or_runs(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), CHANGE)
    assert schedule.tick(minutes=1) == [("lag", "QUEUED")]
    assert schedule.tick(minutes=2) == [("lag", "QUEUED")]
    with schedule.database.session() as worker:
        worker.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        worker.execute("SELECT kpi_engine.claim_refresh_job()")
        assert schedule.tick(minutes=3) == [("lag", "RUNNING")]
    assert schedule.work(minutes=4) == [("lag", "SUCCESS")]
    schedule.run(timedelta(), CHANGE, "SELECT kpi_engine.queue_refresh(false, 'somebody')")
    assert schedule.tick(minutes=6) == [("lag", "SUCCESS"), ("request", "QUEUED")]


def test_nothing_is_queued_while_somebody_refreshes(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), CHANGE)
    with schedule.database.connect(autocommit=False) as refreshing:
        refreshing.execute(REFRESH)
        assert schedule.tick(minutes=2) == []
        refreshing.rollback()
        assert schedule.tick(minutes=3) == [("lag", "QUEUED")]


def test_twenty_sessions_at_once_queue_one(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), CHANGE)
    step = "SELECT kpi_engine.tick_step('queue_lag_refresh')"
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: schedule.run(timedelta(minutes=1), step), range(20)))
    assert schedule.database.rows(JOBS) == [("lag", "QUEUED")]


def test_failed_refresh_is_tried_again_as_late_as_a_scheduled_one(schedule: Schedule) -> None:
    """After 5, 10 and 10 minutes, with two retries: without end, but not each minute."""
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), *BREAK)
    tries = 0
    for minute in range(1, 30):
        jobs = schedule.tick(minutes=minute)
        if jobs[-1] == ("lag", "QUEUED"):
            tries += 1
            assert minute == [1, 6, 16, 26][tries - 1]
            assert schedule.work(minutes=minute)[-1] == ("lag", "ERROR")
            schedule.last_run_was(minutes=minute)
    assert tries == 4
    schedule.run(timedelta(), *MEND)
    schedule.tick(minutes=36)
    assert schedule.work(minutes=36)[-1] == ("lag", "SUCCESS")
    schedule.run(timedelta(), CHANGE)
    assert schedule.tick(minutes=37)[-1] == ("lag", "QUEUED"), "the pause is over"


def test_view_that_failed_alone_is_tried_again_though_nothing_changed_since(
    schedule: Schedule,
) -> None:
    schedule.set_lag("1 minute")
    schedule.run(
        timedelta(minutes=1),
        "CREATE TABLE analytics.divisor AS SELECT 1 AS value",
        "CREATE MATERIALIZED VIEW analytics.mv_rota AS "
        "SELECT 1 / value AS x FROM analytics.divisor",
        "ALTER TABLE analytics.divisor OWNER TO analytics_owner",
        "ALTER MATERIALIZED VIEW analytics.mv_rota OWNER TO analytics_owner",
        REFRESH,
        "UPDATE analytics.divisor SET value = 0",
        "UPDATE public.solicitudes SET estado = 'E1'",
        REFRESH,
        "UPDATE analytics.divisor SET value = 1",
    )
    schedule.last_run_was(minutes=1)
    assert schedule.database.rows("SELECT kpi_engine.changes_waiting()") == [(0,)]
    assert schedule.tick(minutes=5, seconds=59) == []
    assert schedule.tick(minutes=6) == [("lag", "QUEUED")]
    assert schedule.work(minutes=7) == [("lag", "SUCCESS")]
    assert schedule.tick(minutes=8) == [("lag", "SUCCESS")]


def hold_a_view(schedule: Schedule) -> None:
    """Add a view that loses half of its rows with the next refresh, so that the gate holds it."""
    schedule.run(
        timedelta(),
        "SELECT analytics.set_setting('gate_least_requests', '0')",
        "CREATE TABLE analytics.filas AS SELECT generate_series(1, 20) AS n",
        "CREATE MATERIALIZED VIEW analytics.mv_filas AS SELECT n FROM analytics.filas",
        "CREATE UNIQUE INDEX ON analytics.mv_filas (n)",
        "ALTER TABLE analytics.filas OWNER TO analytics_owner",
        "ALTER MATERIALIZED VIEW analytics.mv_filas OWNER TO analytics_owner",
        REFRESH,
        "DELETE FROM analytics.filas WHERE n > 10",
    )


def fail_outside(schedule: Schedule) -> None:
    """Add a view whose tables of another service are away from now on."""
    schedule.run(
        timedelta(),
        "CREATE TABLE analytics.servicio AS SELECT false AS is_away",
        "CREATE FUNCTION analytics.preguntar() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT is_away FROM analytics.servicio) THEN "
        "RAISE EXCEPTION 'it is away' USING ERRCODE = 'TA002'; END IF; RETURN 1; END $$",
        "CREATE MATERIALIZED VIEW analytics.mv_filas AS "
        "SELECT analytics.preguntar() AS n FROM analytics.servicio",
        "ALTER TABLE analytics.servicio OWNER TO analytics_owner",
        "ALTER FUNCTION analytics.preguntar() OWNER TO analytics_owner",
        "ALTER MATERIALIZED VIEW analytics.mv_filas OWNER TO analytics_owner",
        REFRESH,
        "UPDATE analytics.servicio SET is_away = true",
    )


@pytest.mark.parametrize("hinder", [hold_a_view, fail_outside])
def test_a_view_that_is_held_does_not_slow_the_others(
    schedule: Schedule, hinder: Callable[[Schedule], None]
) -> None:
    hinder(schedule)
    schedule.set_lag("1 minute")
    for minute in range(1, 6):
        schedule.run(timedelta(), CHANGE_ONE.format(minute))
        assert schedule.tick(minutes=minute)[-1] == ("lag", "QUEUED"), minute
        assert schedule.work(minutes=minute)[-1] == ("lag", "ERROR")
        schedule.last_run_was(minutes=minute)
        assert schedule.problem(minutes=minute) is None
        assert schedule.metric("changes_waiting_seconds", minutes=minute + 1) <= 60
    assert schedule.database.rows(
        "SELECT view_name FROM analytics.refresh_log WHERE refresh_status = 'ERROR' "
        "AND view_name IS NOT NULL GROUP BY 1"
    ) == [("mv_filas",)]
    # Nothing changes: no refresh is queued for it each minute.
    number = len(schedule.database.rows(JOBS))
    for minute in range(6, 10):
        assert len(schedule.tick(minutes=minute)) == number, minute
        assert schedule.problem(minutes=minute) is None


def test_a_held_view_is_tried_again_once_it_is_accepted(schedule: Schedule) -> None:
    hold_a_view(schedule)
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), CHANGE_ONE.format(1))
    schedule.tick(minutes=1)
    assert schedule.work(minutes=1) == [("lag", "ERROR")]
    schedule.last_run_was(minutes=1)
    assert schedule.tick(minutes=2) == [("lag", "ERROR")]
    accept = "SELECT analytics.accept_gate('mv_filas', 'once', 'they left')"
    # What was accepted is not what comes: it is tried once, and held again.
    schedule.run(timedelta(minutes=2), accept, "DELETE FROM analytics.filas WHERE n > 5")
    assert schedule.tick(minutes=3)[1:] == [("lag", "QUEUED")]
    assert schedule.work(minutes=3)[1:] == [("lag", "ERROR")]
    schedule.last_run_was(minutes=3)
    assert len(schedule.tick(minutes=4)) == 2
    schedule.run(timedelta(minutes=4), accept)
    assert schedule.tick(minutes=5)[2:] == [("lag", "QUEUED")]
    assert schedule.work(minutes=5)[2:] == [("lag", "SUCCESS")]
    assert schedule.database.rows("SELECT count(*) FROM analytics.mv_filas") == [(5,)]
    assert len(schedule.tick(minutes=6)) == 3


def test_a_service_that_is_back_is_noticed_without_a_change(schedule: Schedule) -> None:
    fail_outside(schedule)
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), CHANGE_ONE.format(1))
    schedule.tick(minutes=1)
    assert schedule.work(minutes=1) == [("lag", "ERROR")]
    schedule.last_run_was(minutes=1)
    schedule.run(timedelta(), "UPDATE analytics.servicio SET is_away = false")
    for minute in range(2, 6):
        assert len(schedule.tick(minutes=minute)) == 1, minute
    schedule.tick(minutes=6)
    assert schedule.work(minutes=6)[1:] == [("lag", "SUCCESS")]


def test_lagging_names_the_gate_when_the_breaker_waits(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(
        timedelta(),
        "SELECT analytics.set_setting('gate_least_requests', '0')",
        "SELECT analytics.set_setting('breaker_pct', '1')",
        "UPDATE public.solicitudes SET estado = 'E1'",
    )
    schedule.tick(minutes=1)
    assert schedule.work(minutes=1) == [("lag", "ERROR")]
    schedule.last_run_was(minutes=1)
    assert schedule.tick(minutes=5) == [("lag", "ERROR")]
    message = str(schedule.problem(minutes=5))
    assert "(problem gate)" in message
    assert "refresh_failed" not in message


def test_computing_everything_is_not_repeated_without_a_rest(schedule: Schedule) -> None:
    """As where a table has no trigger: each refresh computes everything, a minute for it."""
    schedule.set_lag("1 minute")
    schedule.run(
        timedelta(),
        CHANGE,
        "UPDATE analytics.refresh_log SET mode = 'full', refresh_time_ms = 60000",
    )
    assert schedule.tick(minutes=8, seconds=59) == []
    assert "computed everything again" in str(schedule.problem(minutes=8, seconds=59))
    assert schedule.tick(minutes=9) == [("lag", "QUEUED")]


def test_daily_slot_is_as_it_was(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    next_slot = "SELECT analytics.next_scheduled_refresh()"
    next_part = "SELECT audit_position FROM kpi_engine.engine_state"
    at = schedule.start.isoformat()
    before = [schedule.database.rows(query, today=at) for query in (next_slot, next_part)]
    schedule.run(timedelta(), CHANGE)
    schedule.tick(minutes=1)
    schedule.work(minutes=1)
    assert schedule.database.rows(JOBS) == [("lag", "SUCCESS")]
    assert before == [schedule.database.rows(query, today=at) for query in (next_slot, next_part)]
    # The slot comes while changes wait: one job is queued, the daily one.
    schedule.run(timedelta(), CHANGE)
    assert schedule.tick(hours=23, minutes=1) == [("lag", "SUCCESS"), ("schedule", "QUEUED")]
    assert schedule.work(hours=23, minutes=1)[1:] == [("schedule", "SUCCESS")]
    assert schedule.database.rows(
        "SELECT is_missed FROM analytics.refresh_jobs WHERE triggered_by = 'schedule'"
    ) == [(False,)]
    assert schedule.database.rows(next_part) != before[1]


def test_failed_daily_refresh_keeps_its_retries(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), *BREAK)
    schedule.tick(hours=23, minutes=1)
    assert schedule.work(hours=23, minutes=1) == [("schedule", "ERROR")]
    schedule.run(timedelta(), *MEND)
    assert schedule.tick(hours=23, minutes=2) == [("schedule", "QUEUED")]
    assert schedule.work(hours=23, minutes=8) == [("schedule", "SUCCESS")]


def test_stamps_of_a_wrong_clock_stop_nothing(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.tick(days=40)
    schedule.run(
        timedelta(),
        "DELETE FROM analytics.refresh_jobs",
        "UPDATE analytics.refresh_log SET finished_at = finished_at + interval '40 days', "
        "mode = 'full', refresh_time_ms = 1000000",
        CHANGE,
    )
    assert schedule.tick(minutes=1) == [("lag", "QUEUED")]
    assert schedule.database.rows("SELECT no_changes_at FROM analytics.scheduler_state") == [
        (None,)
    ]


def test_lagging_is_raised_after_twice_the_target_and_cleared(schedule: Schedule) -> None:
    schedule.set_lag("5 minutes")
    schedule.run(timedelta(), CHANGE)
    schedule.tick(minutes=4)
    assert schedule.problem(minutes=10) is None
    message = str(schedule.problem(minutes=10, seconds=1))
    assert message.startswith(
        "changes have waited for up to 11 minute(s), and the setting target_lag is 5 minutes: "
        "refresh job 1 waits since "
    )
    assert message.endswith("SELECT analytics.set_setting('target_lag', '10 minutes');")
    schedule.work(minutes=11)
    assert schedule.problem(minutes=30) is None, "nothing waits"


def test_lagging_names_its_cause(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), CHANGE)
    assert re.search(r"the last refresh took \d+\.\d s", str(schedule.problem(minutes=3)))
    with schedule.database.connect(autocommit=False) as refreshing:
        refreshing.execute(REFRESH)
        assert "a session holds the refresh lock" in str(schedule.problem(minutes=3))
        refreshing.rollback()
    schedule.run(timedelta(), *BREAK)
    schedule.tick(minutes=3)
    schedule.work(minutes=3)
    schedule.last_run_was(minutes=3)
    after = (schedule.start + timedelta(minutes=8)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    message = str(schedule.problem(minutes=5))
    assert "the last refresh failed (problem refresh_failed)" in message
    assert f"begins after {after}" in message
    schedule.run(
        timedelta(),
        "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '1 hour'",
    )
    assert "scheduler_down" in str(schedule.problem(minutes=5))


def test_target_without_change_capture_is_a_problem(schedule: Schedule) -> None:
    schedule.set_lag("1 minute")
    schedule.run(timedelta(), "SELECT analytics.set_setting('change_capture', 'off')")
    assert "change_capture is off" in str(schedule.problem())
    schedule.set_lag("off")
    assert schedule.problem() is None


def test_metrics_tell_target_and_wait(schedule: Schedule) -> None:
    assert schedule.metric("target_lag_seconds") == 0
    assert schedule.metric("changes_waiting_seconds", minutes=2) == 0
    schedule.set_lag("2 hours")
    schedule.run(timedelta(), CHANGE)
    assert schedule.metric("target_lag_seconds") == 7200
    assert schedule.metric("changes_waiting_seconds", minutes=2) == 120
    ((status,),) = schedule.database.rows("SELECT api.scheduler_status()")
    assert isinstance(status, dict)
    assert status["target_lag"] == "2 hours"


def test_log_keeps_successes_for_target_lag_only_as_long_as_advice_needs_them(
    schedule: Schedule,
) -> None:
    """One a minute would be millions of lines in log_retention_days."""
    schedule.set_lag("1 minute")
    for minute in (1, 2):
        schedule.run(timedelta(), CHANGE)
        schedule.tick(minutes=minute)
        schedule.work(minutes=minute)
    schedule.run(
        timedelta(),
        "UPDATE analytics.refresh_log SET finished_at = finished_at - interval '15 days'",
        "UPDATE analytics.refresh_jobs SET finished_at = finished_at - interval '15 days'",
        "UPDATE analytics.scheduler_state SET last_trimmed_at = NULL",
        "INSERT INTO analytics.refresh_jobs (triggered_by, slot_date, slot_at, state) "
        "SELECT 'schedule', current_date, now() - interval '1 day', 'SUCCESS'",
    )
    schedule.tick(minutes=3)
    # The last line of each view and of the whole stays, and all lines of others.
    assert schedule.database.rows(
        "SELECT triggered_by, count(*) FROM analytics.refresh_log "
        "WHERE view_name IS NULL GROUP BY 1 ORDER BY 1"
    ) == [("lag", 1), ("manual", 1)]
    assert schedule.database.rows(JOBS) == [("schedule", "SUCCESS")]
    ((counted,),) = schedule.database.rows(
        "SELECT sum(number) FROM kpi_engine.counters() "
        "WHERE metric = 'refresh_runs_total' AND labels ->> 'trigger' = 'lag'"
    )
    assert counted == 2
