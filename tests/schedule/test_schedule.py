"""The daily slot: decided in SQL, queued once, run in the background, by pg_cron too."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from conftest import KPI_VIEWS, Database, Server
from development.demo_source import load_source_schema
from migrate import migrate
from oracle_views import NINE
from uninstall import uninstall

SYSTEM_SERVER_IS_ENOUGH = True

TAKES_MINUTES = True

JOBS = "SELECT triggered_by, slot_date::text, state, attempts FROM analytics.refresh_jobs"


@pytest.fixture
def scheduled(migrated: Database) -> Database:
    """A database that was installed on 20 November 2026 at noon in Bogotá."""
    migrated.execute(
        "UPDATE analytics.scheduler_state SET scheduled_since = '2026-11-20 12:00:00-05'"
    )
    return migrated


def tick(database: Database, at: str) -> None:
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [at])
        connection.execute("CALL analytics.tick()")


def next_refresh(database: Database, at: str) -> datetime:
    return database.rows("SELECT analytics.next_scheduled_refresh()", today=at)[0][0]  # type: ignore[return-value]


def test_slot_is_one_in_the_morning_in_bogota_whatever_the_clock_of_the_server(
    scheduled: Database,
) -> None:
    assert next_refresh(scheduled, "2026-11-21 00:30:00-05") == datetime(
        2026, 11, 21, 6, tzinfo=UTC
    )
    tick(scheduled, "2026-11-21 00:59:59.999999-05")
    assert scheduled.rows(JOBS) == []
    tick(scheduled, "2026-11-21 01:00:00-05")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 0)]


def test_each_local_day_is_queued_once_however_often_it_ticks(scheduled: Database) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: tick(scheduled, "2026-11-21 01:00:30-05"), range(20)))
    for at in ("01:01:00", "12:00:00", "23:59:59"):
        tick(scheduled, f"2026-11-21 {at}-05")
    assert len(scheduled.rows(JOBS)) == 1
    tick(scheduled, "2026-11-22 01:00:00-05")
    assert len(scheduled.rows(JOBS)) == 2


def test_installation_at_noon_does_not_make_up_for_the_slot_of_that_day(
    scheduled: Database,
) -> None:
    tick(scheduled, "2026-11-20 12:00:00-05")
    assert scheduled.rows(JOBS) == []
    assert next_refresh(scheduled, "2026-11-20 12:00:00-05") == datetime(
        2026, 11, 21, 6, tzinfo=UTC
    )


def test_reschedule_is_effective_at_once_and_says_when_the_next_one_is(
    scheduled: Database,
) -> None:
    at = "2026-11-21 00:30:00-05"
    assert scheduled.rows("SELECT analytics.set_schedule('22:15')", today=at) == [
        (datetime(2026, 11, 22, 3, 15, tzinfo=UTC),)
    ]
    tick(scheduled, "2026-11-21 01:00:00-05")
    assert scheduled.rows(JOBS) == []
    tick(scheduled, "2026-11-21 22:15:00-05")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 0)]
    assert next_refresh(scheduled, "2026-11-21 22:15:00-05") == datetime(
        2026, 11, 23, 3, 15, tzinfo=UTC
    )


def test_reschedule_before_the_first_tick_loses_no_slot_that_was_due(scheduled: Database) -> None:
    slots = "SELECT slot_date::text, state, is_missed FROM analytics.refresh_jobs ORDER BY slot_at"
    reschedule(scheduled, "2026-11-20 12:00:00-05", "23:30")
    # No tick from here on: the scheduler is down.
    reschedule(scheduled, "2026-11-21 08:05:00-05", "12:00")
    assert scheduled.rows(slots) == [("2026-11-20", "QUEUED", True)]
    tick(scheduled, "2026-11-21 12:00:00-05")
    assert scheduled.rows(slots)[1:] == [("2026-11-21", "QUEUED", False)]
    # On the same day, which then is done.
    reschedule(scheduled, "2026-11-22 12:30:00-05", "14:00")
    assert scheduled.rows(slots)[2:] == [("2026-11-22", "QUEUED", False)]
    # Time and zone together: the new time in the old zone was never due.
    reschedule(scheduled, "2026-11-23 07:00:00-05", "06:00", "Asia/Tokyo")
    assert scheduled.rows(slots)[3:] == []
    tick(scheduled, "2026-11-24 14:00:00-05")
    assert [row[0] for row in scheduled.rows(slots)[3:]] == ["2026-11-24"]


def test_wrong_schedule_can_be_set_right(scheduled: Database) -> None:
    """Such as one that a superuser wrote past the trigger, or a zone that the system dropped."""
    scheduled.execute(
        "ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting",
        "UPDATE analytics.settings SET value = '25:00' WHERE name = 'schedule_time'",
        "UPDATE analytics.settings SET value = 'X' WHERE name = 'schedule_time_zone'",
        "ALTER TABLE kpi_engine.settings ENABLE TRIGGER validate_setting",
        "SELECT analytics.set_setting('schedule_time', '02:00')",
    )
    reschedule(scheduled, "2026-11-21 02:30:00-05", "03:00", "America/Bogota")
    tick(scheduled, "2026-11-21 03:00:00-05")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 0)]


def reschedule(database: Database, at: str, *schedule: str) -> None:
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [at])
        connection.execute(
            "SELECT analytics.set_schedule(%s, %s)", [schedule[0], (*schedule, None)[1]]
        )


@pytest.mark.parametrize("wrong", ["1:00", "24:00", "01:60", "", "01:00:00", "noon"])
def test_wrong_times_are_refused_and_change_nothing(scheduled: Database, wrong: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="schedule_time"):
        scheduled.rows(f"SELECT analytics.set_schedule('{wrong}')")
    assert scheduled.rows("SELECT analytics.setting('schedule_time')") == [("01:00",)]


@pytest.mark.parametrize("wrong", ["Bogota", "", "+05", "CET", "WET"])
def test_wrong_zone_is_refused_and_changes_nothing(scheduled: Database, wrong: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="schedule_time_zone"):
        scheduled.rows(f"SELECT analytics.set_schedule('02:00', '{wrong}')")
    assert scheduled.rows("SELECT analytics.setting('schedule_time')") == [("01:00",)]


def test_work_runs_what_is_queued_and_notes_how_it_ended(scheduled: Database) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    scheduled.execute("CALL analytics.work()")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 1)]
    assert scheduled.rows(
        "SELECT view_name, triggered_by, requested_by, refresh_status FROM analytics.refresh_log"
    ) == [(view, "schedule", "postgres", "SUCCESS") for view in (*NINE, None)]
    assert scheduled.rows("SELECT run_id, error FROM analytics.refresh_jobs") == [(1, None)]
    scheduled.execute("CALL analytics.work()")
    assert scheduled.rows("SELECT count(*) FROM analytics.refresh_log") == [(10,)]


def test_work_returns_at_once_while_a_refresh_runs_and_leaves_its_job_queued(
    scheduled: Database,
) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    with scheduled.connect(autocommit=False) as refreshing, scheduled.session() as worker:
        refreshing.execute("SELECT * FROM refresh_all_mv()")
        worker.execute("SET statement_timeout = '60s'")
        worker.execute("CALL analytics.work()")
        assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 0)]
        refreshing.commit()
        worker.execute("CALL analytics.work()")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 1)]


def test_job_whose_view_fails_ends_as_error_and_the_next_goes_on(scheduled: Database) -> None:
    scheduled.execute(
        "CREATE MATERIALIZED VIEW analytics.mv_rota AS SELECT 1 / count(*) AS x "
        "FROM public.ofertas WITH NO DATA",
        "ALTER MATERIALIZED VIEW analytics.mv_rota OWNER TO analytics_owner",
    )
    tick(scheduled, "2026-11-21 01:00:00-05")
    tick(scheduled, "2026-11-22 01:00:00-05")
    scheduled.execute("CALL analytics.work()")
    # Oldest first.
    assert scheduled.rows("SELECT run_id FROM analytics.refresh_jobs ORDER BY slot_date") == [
        (1,),
        (2,),
    ]
    assert [row[2] for row in scheduled.rows(JOBS)] == ["ERROR", "ERROR"]
    assert (
        scheduled.rows("SELECT error FROM analytics.refresh_jobs")
        == [("1 of 10 views failed: mv_rota",)] * 2
    )
    assert (
        scheduled.rows(
            "SELECT refresh_status FROM analytics.refresh_log WHERE view_name "
            "= 'mv_ranking_asesores'"
        )
        == [("SUCCESS",)] * 2
    )


def test_job_that_can_not_run_at_all_is_noted_raised_and_keeps_no_lock(
    scheduled: Database,
) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    scheduled.execute("DROP FUNCTION kpi_engine.materialized_views(text)")
    with scheduled.session() as worker:
        with pytest.raises(psycopg.errors.UndefinedFunction, match="refresh job 1 failed"):
            worker.execute("CALL analytics.work()")
        assert scheduled.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    error = scheduled.rows("SELECT state, error FROM analytics.refresh_jobs")[0]
    assert error[0] == "ERROR"
    assert "SQLSTATE 42883" in str(error[1])


def test_job_of_a_dead_session_is_done_again_three_times_at_the_most(
    scheduled: Database,
) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    with scheduled.session() as dying:
        dying.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        dying.execute("SELECT kpi_engine.claim_refresh_job()")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "RUNNING", 1)]
    scheduled.execute("CALL analytics.work()")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 2)]
    scheduled.execute("UPDATE analytics.refresh_jobs SET state = 'RUNNING', attempts = 3")
    scheduled.execute("CALL analytics.work()")
    assert scheduled.rows("SELECT state, error FROM analytics.refresh_jobs") == [
        ("ERROR", "its session ended before it was done")
    ]
    # Once also where what fails is not tried again.
    scheduled.execute("SELECT analytics.set_setting('refresh_retries', '0')")
    for attempts, state in ((1, "SUCCESS"), (2, "ERROR")):
        scheduled.execute(
            f"UPDATE analytics.refresh_jobs SET state = 'RUNNING', attempts = {attempts}",
            "CALL analytics.work()",
        )
        assert scheduled.rows("SELECT state FROM analytics.refresh_jobs") == [(state,)]


def test_tick_closes_what_a_dead_session_left_and_takes_no_other_for_it(
    scheduled: Database,
) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    with scheduled.session() as dying:
        dying.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        dying.execute("SELECT kpi_engine.claim_refresh_job()")
        tick(scheduled, "2026-11-21 01:00:30-05")
        assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "RUNNING", 1)], "it lives"
    scheduled.execute(
        "UPDATE analytics.refresh_jobs SET started_at = started_at - interval '1 day'"
    )
    with scheduled.connect(autocommit=False) as innocent:
        innocent.execute("SELECT * FROM refresh_all_mv()")
        assert scheduled.rows(
            "SELECT pid, started_at > now() - interval '1 minute', job_id "
            "FROM analytics.running_refresh()"
        ) == [(innocent.info.backend_pid, True, None)]
        tick(scheduled, "2026-11-21 01:01:00-05")
        assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 1)]
        # It was not cancelled.
        innocent.execute("SELECT 1")
        innocent.commit()
    assert scheduled.rows(
        "SELECT error_sqlstate FROM analytics.refresh_log WHERE refresh_status = 'ERROR'"
    ) == [("57P02",)]


def test_work_lets_the_tick_of_the_same_moment_go_first(scheduled: Database) -> None:
    scheduled.execute(
        "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '1 minute'"
    )
    # However late the tick is here.
    scheduled.rewrite("kpi_engine.wait_for_tick()", "'2 seconds'", "'5 minutes'")
    with ThreadPoolExecutor(1) as pool, scheduled.session() as worker:
        done = pool.submit(worker.execute, "CALL analytics.work()")
        scheduled.wait_until(
            "SELECT count(*) = 1 FROM pg_stat_activity "
            f"WHERE pid = {worker.info.backend_pid} AND wait_event = 'PgSleep'"
        )
        tick(scheduled, "2026-11-21 01:00:00-05")
        done.result(timeout=120)
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 1)]


def test_a_job_that_waits_for_a_table_is_stamped_after_the_wait(scheduled: Database) -> None:
    """Its transaction had begun before, and a refresh refuses one that is over 5 minutes old."""
    scheduled.rewrite("kpi_engine.clock_tolerance()", "'00:05:00'", "'00:00:01'")
    tick(scheduled, "2026-11-21 01:00:00-05")
    with (
        ThreadPoolExecutor(1) as pool,
        scheduled.session() as worker,
        scheduled.connect(autocommit=False) as keeper,
    ):
        keeper.execute("LOCK TABLE public.ofertas IN ACCESS EXCLUSIVE MODE")
        done = pool.submit(worker.execute, "CALL analytics.work()")
        scheduled.wait_until(
            "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' "
            "AND classid = kpi_engine.source_wait_lock_class()::oid"
        )
        time.sleep(1.2)
        keeper.commit()
        done.result(timeout=120)
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 1)]


def test_lock_that_somebody_keeps_fails_one_step_of_a_tick(scheduled: Database) -> None:
    with scheduled.connect(autocommit=False) as keeper:
        keeper.execute("LOCK TABLE kpi_engine.own_scans IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="watch_usage"):
            tick(scheduled, "2026-11-21 01:00:00-05")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 0)]
    assert scheduled.rows("SELECT count(*) > 0 FROM analytics.alerts") == [(True,)]


def test_work_in_a_transaction_block_fails_and_keeps_no_lock(scheduled: Database) -> None:
    with scheduled.connect(autocommit=False) as connection:
        with pytest.raises(psycopg.errors.InvalidTransactionTermination):
            connection.execute("CALL analytics.work()")
        assert scheduled.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.fixture
def cron_database(system_server: Server) -> Iterator[Database]:
    """The database that pg_cron lives in, over an empty source, migrated."""
    database = Database(system_server.cluster, "cron")
    load_source_schema(database.url)
    migrate(database.url)
    yield database
    try:
        uninstall(database.url)
    finally:
        database.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


@pytest.mark.system_only("pg_cron")
def test_real_pg_cron_fires_the_slot_once(cron_database: Database) -> None:
    assert cron_database.rows("SELECT jobname, command, username FROM cron.job ORDER BY 1") == [
        ("teloo-analytics tick", "CALL analytics.tick()", "analytics_scheduler"),
        ("teloo-analytics work", "CALL analytics.work()", "analytics_scheduler"),
    ]
    bogota = timedelta(hours=-5)
    slot = (datetime.now(UTC) + timedelta(minutes=1)).replace(second=0, microsecond=0)
    if slot - datetime.now(UTC) < timedelta(seconds=20):
        slot += timedelta(minutes=1)
    cron_database.rows(f"SELECT analytics.set_schedule('{slot + bogota:%H:%M}')")
    assert next_refresh(cron_database, "") == slot
    deadline = time.monotonic() + 300
    while cron_database.rows("SELECT state FROM analytics.refresh_jobs") != [("SUCCESS",)]:
        assert time.monotonic() < deadline, cron_database.rows(
            "SELECT jobid, status, return_message FROM cron.job_run_details"
        )
        time.sleep(1)
    # It ticks again, and does not fire the same slot again.
    ticks = "SELECT count(*) FROM cron.job_run_details WHERE command = 'CALL analytics.tick()'"
    first = cron_database.rows(ticks)
    deadline = time.monotonic() + 300
    while cron_database.rows(ticks) == first:
        assert time.monotonic() < deadline
        time.sleep(1)
    [(slot_at, started, requested_by)] = cron_database.rows(
        "SELECT slot_at, started_at, requested_by FROM analytics.refresh_jobs"
    )
    assert (slot_at, requested_by) == (slot, "analytics_scheduler")
    assert timedelta(0) <= started - slot < timedelta(minutes=2)  # type: ignore[operator]
    assert cron_database.rows("SELECT is_populated FROM get_mv_stats()") == [(True,)] * len(
        KPI_VIEWS
    )
    assert cron_database.rows(
        "SELECT last_tick_at >= slot_at FROM analytics.scheduler_state, analytics.refresh_jobs"
    ) == [(True,)]
    assert cron_database.rows(
        "SELECT count(*) FROM cron.job_run_details WHERE status = 'failed'"
    ) == [(0,)]


@pytest.mark.system_only("pg_cron")
def test_uninstall_takes_the_jobs_and_the_extension_away(cron_database: Database) -> None:
    uninstall(cron_database.url)
    assert cron_database.rows("SELECT count(*) FROM pg_extension WHERE extname = 'pg_cron'") == [
        (0,)
    ]


@pytest.mark.system_only("pg_cron")
def test_jobs_that_somebody_altered_go_too(cron_database: Database) -> None:
    cron_database.execute(
        "UPDATE cron.job SET username = 'postgres' WHERE command LIKE '%tick%'",
        "UPDATE cron.job SET jobname = 'kpis' WHERE command LIKE '%work%'",
        "SELECT cron.schedule('theirs', '0 0 1 1 *', 'SELECT 1')",
        "SELECT cron.schedule_in_database('t', '0 0 1 1 *', 'CALL analytics.tick()', 'template1')",
    )
    uninstall(cron_database.url)
    try:
        assert cron_database.rows("SELECT jobname FROM cron.job ORDER BY 1") == [
            ("t",),
            ("theirs",),
        ]
    finally:
        cron_database.execute("DROP EXTENSION pg_cron")


@pytest.mark.system_only("pg_cron")
def test_extension_that_was_there_before_and_other_jobs_stay(cron_database: Database) -> None:
    uninstall(cron_database.url)
    cron_database.execute(
        "CREATE EXTENSION pg_cron", "SELECT cron.schedule('theirs', '0 0 1 1 *', 'SELECT 1')"
    )
    migrate(cron_database.url)
    uninstall(cron_database.url)
    assert cron_database.rows("SELECT jobname FROM cron.job") == [("theirs",)]
    cron_database.execute("DROP EXTENSION pg_cron")


@pytest.mark.system_only("pg_cron")
def test_job_that_a_dba_deactivated_stays_so_with_a_warning(
    cron_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    cron_database.execute("SELECT cron.alter_job(jobid, active := false) FROM cron.job")
    assert migrate(cron_database.url) == []
    assert "is not active: SELECT cron.alter_job(" in caplog.text
    assert cron_database.rows("SELECT DISTINCT active FROM cron.job") == [(False,)]


@pytest.mark.system_only("pg_cron")
def test_role_of_the_jobs_that_is_gone_blocks_nothing(cron_database: Database) -> None:
    cron_database.execute("UPDATE kpi_engine.installation SET cron_role = 'se_fue'")
    assert migrate(cron_database.url) == []
    assert cron_database.rows("SELECT cron_role FROM kpi_engine.installation") == [
        ("analytics_scheduler",)
    ]
    cron_database.execute("UPDATE kpi_engine.installation SET cron_role = 'se_fue'")
    assert uninstall(cron_database.url) is not None


@pytest.mark.system_only("pg_cron")
def test_scheduler_that_may_not_log_in_is_not_used(
    cron_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    cron_database.execute("ALTER ROLE analytics_scheduler NOLOGIN")
    try:
        migrate(cron_database.url)
        assert "ALTER ROLE analytics_scheduler LOGIN;" in caplog.text
        assert cron_database.rows("SELECT DISTINCT username FROM cron.job") == [("postgres",)]
    finally:
        cron_database.execute("ALTER ROLE analytics_scheduler LOGIN")
    migrate(cron_database.url)
    assert cron_database.rows("SELECT DISTINCT username FROM cron.job") == [
        ("analytics_scheduler",)
    ]


@pytest.mark.system_only("pg_cron")
def test_uninstall_works_when_pg_cron_is_gone(cron_database: Database) -> None:
    cron_database.execute("DROP EXTENSION pg_cron")
    assert uninstall(cron_database.url) is not None
    assert cron_database.rows("SELECT to_regnamespace('analytics')") == [(None,)]


def test_only_who_holds_the_refresh_lock_may_claim_a_job(scheduled: Database) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="refresh lock"):
        scheduled.execute("SELECT kpi_engine.claim_refresh_job()")


def fail_refreshes(database: Database) -> None:
    """Make every refresh fail by a real cause: a view that divides by zero."""
    database.execute(
        "CREATE MATERIALIZED VIEW analytics.mv_rota AS SELECT 1 / count(*) AS x "
        "FROM public.ofertas WITH NO DATA",
        "ALTER MATERIALIZED VIEW analytics.mv_rota OWNER TO analytics_owner",
    )


def problems(database: Database) -> set[str]:
    return {str(row[0]) for row in database.rows("SELECT problem FROM analytics.health_problems()")}


def test_scheduled_refresh_that_fails_is_tried_again_later_each_time(scheduled: Database) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    fail_refreshes(scheduled)
    waits = "SELECT state, attempts, run_after - finished_at FROM analytics.refresh_jobs"
    for attempt, wait in ((1, 5), (2, 10)):
        scheduled.rows("UPDATE analytics.refresh_jobs SET run_after = NULL RETURNING 1")
        work_and_ignore(scheduled)
        tick(scheduled, "2026-11-21 01:01:00-05")
        assert scheduled.rows(waits) == [("QUEUED", attempt, timedelta(minutes=wait))]
        # It waits.
        work_and_ignore(scheduled, "2026-11-21 01:01:00-05")
        assert scheduled.rows(waits)[0][:2] == ("QUEUED", attempt)
        assert "refresh_failed" in problems(scheduled)
    scheduled.execute("UPDATE analytics.refresh_jobs SET run_after = NULL")
    work_and_ignore(scheduled)
    tick(scheduled, "2026-11-21 01:02:00-05")
    assert scheduled.rows(waits) == [("ERROR", 3, None)]
    # The cause goes, a refresh succeeds, and nothing is tried again.
    scheduled.execute("DROP MATERIALIZED VIEW analytics.mv_rota")
    scheduled.execute("UPDATE analytics.refresh_jobs SET attempts = 1")
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    tick(scheduled, "2026-11-21 01:03:00-05")
    assert scheduled.rows("SELECT state FROM analytics.refresh_jobs") == [("ERROR",)]
    assert "refresh_failed" not in problems(scheduled)


def test_retry_that_waits_is_given_up_when_another_refresh_succeeds(scheduled: Database) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    fail_refreshes(scheduled)
    work_and_ignore(scheduled)
    tick(scheduled, "2026-11-21 01:01:00-05")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "QUEUED", 1)]
    scheduled.execute(
        "DROP MATERIALIZED VIEW analytics.mv_rota",
        "SELECT * FROM analytics.refresh_all_mv()",
        "UPDATE analytics.refresh_jobs SET run_after = NULL",
        "CALL analytics.work()",
    )
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "ERROR", 1)]
    assert "refresh_failed" not in problems(scheduled)


def work_and_ignore(database: Database, at: str = "") -> None:
    """Run work(); a refresh that fails is noted, and raised where it could not run at all."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [at])
        try:
            connection.execute("CALL analytics.work()")
        except psycopg.Error as error:
            assert "refresh job" in str(error)


def test_refresh_that_runs_too_long_is_cancelled_and_nothing_else(scheduled: Database) -> None:
    scheduled.execute(
        "UPDATE analytics.settings SET value = '1' WHERE name = 'refresh_max_minutes'"
    )
    scheduled.execute("ALTER ROLE analytics_scheduler PASSWORD 'secret'")
    tick(scheduled, "2026-11-21 01:00:00-05")
    url = scheduled.url_as("analytics_scheduler", "secret")
    with (
        scheduled.session() as reader,
        scheduled.session() as blocker,
        scheduled.connect(url) as run,
    ):
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE kpi_engine.engine_state IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(2) as pool:
            refresh = pool.submit(run.execute, "CALL analytics.work()")
            other = pool.submit(reader.execute, "SELECT pg_sleep(4)")
            scheduled.wait_until("SELECT pid IS NOT NULL FROM analytics.running_refresh()")
            assert scheduled.rows("SELECT kpi_engine.cancel_overdue_refresh()") == [(False,)]
            # Nobody waits a minute here: the limit goes to what has been exceeded.
            scheduled.execute(
                "ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting",
                "UPDATE analytics.settings SET value = '-1' WHERE name = 'refresh_max_minutes'",
            )
            # On a busy machine it has its session before it begins.
            scheduled.wait_until("SELECT kpi_engine.cancel_overdue_refresh()")
            refresh.exception(timeout=120)
            other.result(timeout=120)
            blocker.execute("ROLLBACK")
    [(state, error)] = scheduled.rows("SELECT state, error FROM analytics.refresh_jobs")
    assert (state, "cancel" in str(error)) == ("ERROR", True)
    # In the log, as every refresh, and a problem until one succeeds.
    assert scheduled.rows(
        "SELECT triggered_by, mode, refresh_status, error_sqlstate FROM analytics.refresh_log"
    ) == [("schedule", "none", "ERROR", "57014")]
    assert "refresh_failed" in problems(scheduled)
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    assert "refresh_failed" not in problems(scheduled)


def overdue(database: Database) -> str:
    """Return the URL of an operator whose refreshes are past their time at once."""
    database.execute(
        "DROP ROLE IF EXISTS ana",
        "CREATE ROLE ana LOGIN PASSWORD 'secret' IN ROLE analytics_operador",
        "ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting",
        "UPDATE analytics.settings SET value = '-1' WHERE name = 'refresh_max_minutes'",
    )
    return database.url_as("ana", "secret")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM analytics.refresh_all_mv()",
        "CALL analytics.rebuild()",
        "SELECT analytics.audit()",
    ],
)
def test_whatever_runs_too_long_is_cancelled_by_a_tick_whoever_started_it(
    scheduled: Database, statement: str
) -> None:
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    with (
        scheduled.session() as blocker,
        scheduled.connect(overdue(scheduled)) as run,
        ThreadPoolExecutor(1) as pool,
    ):
        blocker.execute("BEGIN; LOCK TABLE public.solicitudes IN ACCESS EXCLUSIVE MODE")
        if "refresh" in statement:
            # So that it reads the source.
            scheduled.execute("UPDATE kpi_engine.derived_tables SET rules_checksum = 'x'")
        result = pool.submit(run.execute, statement)
        scheduled.wait_until("SELECT started_at IS NOT NULL FROM analytics.running_refresh()")
        with scheduled.session() as scheduler:
            scheduler.execute("SET ROLE analytics_scheduler")
            scheduler.execute("CALL analytics.tick()")
        with pytest.raises(psycopg.errors.QueryCanceled):
            result.result(timeout=120)
        blocker.execute("ROLLBACK")
    assert scheduled.rows("SELECT pid FROM analytics.running_refresh()") == [(None,)]


def test_refresh_left_open_in_a_transaction_is_ended_by_the_next_tick(scheduled: Database) -> None:
    """A session that waits for its client has nothing that could be cancelled."""
    with scheduled.connect(overdue(scheduled), autocommit=False) as forgotten:
        forgotten.execute("SELECT * FROM analytics.refresh_all_mv()")
        tick(scheduled, "2026-11-21 01:00:00-05")
        forgotten.execute("SELECT 1")
        assert scheduled.rows("SELECT pid FROM analytics.running_refresh()") == [
            (forgotten.info.backend_pid,)
        ]
        tick(scheduled, "2026-11-21 01:01:00-05")
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")
    scheduled.wait_until("SELECT pid IS NULL FROM analytics.running_refresh()")
    scheduled.execute(
        "UPDATE analytics.settings SET value = '360' WHERE name = 'refresh_max_minutes'",
        "CALL analytics.work()",
    )
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 1)]


def test_refresh_that_was_broken_off_is_a_problem_until_one_succeeds(scheduled: Database) -> None:
    """Also while it is done again, which may take hours: one streak, one notice."""
    tick(scheduled, "2026-11-21 01:00:00-05")
    claim = "SELECT kpi_engine.claim_refresh_job()"
    for _ in range(2):
        with scheduled.session() as dying:
            dying.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
            dying.execute(claim)
            dying.execute("SELECT kpi_engine.close_orphaned_jobs(false)")
        assert "refresh_failed" in problems(scheduled)
        with scheduled.session() as running:
            running.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
            running.execute(claim)
            assert "refresh_failed" in problems(scheduled)
    scheduled.execute("CALL analytics.work()")
    assert scheduled.rows("SELECT state FROM analytics.refresh_jobs") == [("ERROR",)]
    assert "refresh_failed" in problems(scheduled)
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    assert "refresh_failed" not in problems(scheduled)


def test_repair_of_change_capture_leaves_the_lock_timeout_alone(scheduled: Database) -> None:
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    with scheduled.session() as connection:
        connection.execute("ALTER TABLE public.asesores OWNER TO analytics_owner")
        connection.execute("ALTER TABLE public.asesores DISABLE TRIGGER USER")
        connection.execute("BEGIN; SET LOCAL lock_timeout = '2s'")
        connection.execute("SELECT kpi_engine.watch_change_capture()")
        assert scheduled.rows("SELECT analytics.capture_gap()") != [(None,)]
        assert connection.execute("SELECT analytics.capture_gap()").fetchone() == (None,)
        assert connection.execute("SHOW lock_timeout").fetchone() == ("2s",)
        connection.execute("COMMIT")


def test_run_whose_session_ended_is_closed_as_crashed_and_done_again(scheduled: Database) -> None:
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    tick(scheduled, "2026-11-21 01:00:00-05")
    before = scheduled.rows("SELECT * FROM mv_metricas_mensuales ORDER BY 1")
    with scheduled.session() as blocker, scheduled.session() as dying:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE kpi_engine.engine_state IN ACCESS EXCLUSIVE MODE")
        pid = dying.info.backend_pid
        with ThreadPoolExecutor(1) as pool:
            refresh = pool.submit(dying.execute, "CALL analytics.work()")
            scheduled.wait_until("SELECT state = 'RUNNING' FROM analytics.refresh_jobs")
            scheduled.rows(f"SELECT pg_terminate_backend({pid})")
            with pytest.raises(psycopg.OperationalError):
                refresh.result(timeout=120)
        blocker.execute("ROLLBACK")
        scheduled.wait_until_gone(pid)
    assert scheduled.rows("SELECT * FROM mv_metricas_mensuales ORDER BY 1") == before
    scheduled.execute("CALL analytics.work()")
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 2)]
    assert scheduled.rows(
        "SELECT refresh_status, error_message FROM analytics.refresh_log "
        "WHERE view_name IS NULL ORDER BY log_id OFFSET 1"
    ) == [("ERROR", "crashed: its session ended before it was done"), ("SUCCESS", None)]


def test_missed_slot_is_a_problem_until_a_refresh_succeeds(scheduled: Database) -> None:
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    tick(scheduled, "2026-11-21 01:00:00-05")
    assert "missed_slot" not in problems(scheduled)
    tick(scheduled, "2026-11-24 15:00:00-05")
    assert "missed_slot" in problems(scheduled)
    assert [row[2] for row in scheduled.rows(JOBS + " ORDER BY slot_at")] == [
        "QUEUED",
        "MISSED",
        "MISSED",
        "QUEUED",
    ]
    scheduled.execute("CALL analytics.work()")
    assert "missed_slot" not in problems(scheduled)


def test_counters_never_fall_when_logs_are_trimmed(scheduled: Database) -> None:
    fail_refreshes(scheduled)
    for _ in range(3):
        scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    scheduled.execute(
        "INSERT INTO analytics.audit_log (table_name, local_day, column_name, cells, is_healed) "
        "VALUES ('solicitud_facts', '2026-11-01', 'offers', 7, true)",
    )
    counters = "SELECT * FROM kpi_engine.counters() ORDER BY metric, labels"
    before = scheduled.rows(counters)
    assert len(before) == 4
    assert sum(int(str(number)) for _, _, number in before) == 3 + 3 + 7
    for days in (401, 401):
        scheduled.execute(
            f"UPDATE analytics.refresh_log SET finished_at = finished_at - interval '{days} days'",
            f"UPDATE analytics.audit_log SET audited_at = audited_at - interval '{days} days'",
            "UPDATE analytics.scheduler_state "
            "SET last_trimmed_at = clock_timestamp() - interval '2 hours'",
            "CALL analytics.tick()",
        )
        assert scheduled.rows(counters) == before
        before_next = scheduled.rows("SELECT count(*) FROM analytics.refresh_log")
    assert before_next < [(12,)], "something was trimmed"
    assert scheduled.rows("SELECT count(*) FROM analytics.audit_log") == [(0,)]


def test_logs_are_trimmed_once_an_hour_and_keep_what_is_needed(scheduled: Database) -> None:
    tick(scheduled, "2026-11-21 01:00:00-05")
    scheduled.execute("CALL analytics.work()")
    scheduled.execute("SELECT * FROM analytics.refresh_all_mv()")
    scheduled.execute(
        "UPDATE analytics.refresh_log SET finished_at = finished_at - interval '401 days', "
        "started_at = started_at - interval '401 days'",
        "UPDATE analytics.refresh_jobs SET finished_at = finished_at - interval '401 days'",
    )
    lines = "SELECT count(*) FROM analytics.refresh_log"
    two_runs = 2 * (len(KPI_VIEWS) + 1)
    assert scheduled.rows(lines) == [(two_runs,)]
    tick(scheduled, "2026-11-21 01:01:00-05")
    assert scheduled.rows(lines) == [(two_runs,)], "it was trimmed within the hour before"
    scheduled.execute("UPDATE analytics.scheduler_state SET last_trimmed_at = '2020-01-01'")
    tick(scheduled, "2026-11-21 01:02:00-05")
    assert scheduled.rows(lines) == [(two_runs // 2,)]
    assert scheduled.rows(JOBS) == [("schedule", "2026-11-21", "SUCCESS", 1)]
    assert scheduled.rows("SELECT count(*) FROM get_mv_stats()") == [(len(KPI_VIEWS),)]
