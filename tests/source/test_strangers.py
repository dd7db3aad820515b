"""Locks that anybody may take: nobody is silently still, and the holder is named."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import psycopg
import pytest

from commandline.console import UserError
from conftest import Database
from faults.killing import Work, held
from marketplace import fill
from migrate import migrate

SYSTEM_SERVER_IS_ENOUGH = True
KEY = "hashtextextended('teloo-analytics refresh', 0)"
MESSAGES = "SELECT problem, severity, message FROM analytics.health_problems()"


@pytest.fixture
def stranger(migrated: Database) -> Iterator[psycopg.Connection]:
    """A session of a login without any grant."""
    name, password = f"stranger_{secrets.token_hex(4)}", secrets.token_hex(8)
    migrated.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    url = migrated.url_as(name, password) + "?application_name=psql-of-mallory"
    connection = migrated.connect(url)
    try:
        yield connection
    finally:
        connection.close()
        migrated.execute(f"DROP ROLE {name}")


def problems(database: Database) -> dict[str, str]:
    return {
        str(name): f"{severity}: {message}" for name, severity, message in database.rows(MESSAGES)
    }


@pytest.mark.parametrize(
    "locks",
    [
        f"pg_advisory_lock({KEY})",
        f"pg_advisory_lock_shared({KEY})",
        # He also shows a start, of long after now.
        f"pg_advisory_lock({KEY}), pg_advisory_lock_shared(1952803951, 2000000000)",
    ],
)
def test_stranger_who_holds_the_refresh_lock_is_named_and_no_refresh(
    migrated: Database, stranger: psycopg.Connection, locks: str
) -> None:
    stranger.execute(f"SELECT {locks}")
    pid, role = stranger.info.backend_pid, stranger.info.user
    with pytest.raises(psycopg.errors.LockNotAvailable, match=f"{pid}.*{role}") as refused:
        migrated.execute("SELECT * FROM refresh_all_mv()")
    assert f"pg_terminate_backend({pid})" in str(refused.value.diag.message_hint)
    for statement in (
        "CALL analytics.rebuild()",
        "SELECT analytics.audit()",
        "CALL analytics.work()",
    ):
        with pytest.raises(psycopg.errors.LockNotAvailable, match=f"{pid}.*{role}"):
            migrated.execute(statement)
    assert migrated.rows("SELECT pid FROM analytics.running_refresh()") == [(None,)]
    told = problems(migrated)["lock_blocked"]
    assert told.startswith("unhealthy") and f"pg_terminate_backend({pid})" in told
    assert role in told and "psql-of-mallory" in told
    # The slot is missed when its time of grace is over.
    migrated.execute(
        "UPDATE analytics.scheduler_state SET scheduled_since = now() - interval '2 days'",
        "SELECT analytics.set_schedule(to_char(now() AT TIME ZONE 'UTC' - interval '2 hours', "
        "'HH24:MI'), 'UTC')",
        "UPDATE analytics.scheduler_state SET schedule_changed_at = NULL",
        "CALL analytics.tick()",
    )
    assert "missed_slot" in problems(migrated)
    migrated.execute(f"SELECT pg_terminate_backend({pid})")
    migrated.wait_until_gone(pid)
    migrated.execute("CALL analytics.work()")
    assert problems(migrated).keys().isdisjoint({"lock_blocked", "missed_slot"})


def test_session_of_ours_that_holds_the_refresh_lock_and_does_nothing_is_told_in_time(
    migrated: Database,
) -> None:
    with migrated.session() as forgotten:
        forgotten.execute(f"SELECT pg_advisory_lock({KEY})")
        pid = forgotten.info.backend_pid
        migrated.execute("CALL analytics.tick()")
        assert "lock_blocked" not in problems(migrated)
        migrated.execute(
            "UPDATE analytics.scheduler_state SET lock_holder_since = now() - interval '6 minutes'"
        )
        assert f"pg_terminate_backend({pid})" in problems(migrated)["lock_blocked"]
        migrated.execute(
            "UPDATE analytics.scheduler_state SET lock_holder_since = now() - interval '7 hours'",
            "CALL analytics.tick()",
            "CALL analytics.tick()",
        )
        # A superuser's session is not ended by the tick, but named.
        assert f"pg_terminate_backend({pid})" in problems(migrated)["lock_blocked"]
    migrated.wait_until("SELECT pid IS NULL FROM analytics.running_refresh()")
    migrated.execute("CALL analytics.tick()")
    assert "lock_blocked" not in problems(migrated)


def test_stranger_is_ended_like_a_refresh_that_takes_too_long(
    migrated: Database, stranger: psycopg.Connection
) -> None:
    stranger.execute(f"SELECT pg_advisory_lock({KEY})")
    migrated.execute("CALL analytics.tick()")
    stranger.execute("SELECT 1")
    migrated.execute(
        "UPDATE analytics.scheduler_state SET lock_holder_since = now() - interval '7 hours'",
        "CALL analytics.tick()",
        "CALL analytics.tick()",
    )
    pid = stranger.info.backend_pid
    with pytest.raises(psycopg.OperationalError):
        stranger.execute("SELECT 1")
    migrated.wait_until_gone(pid)
    migrated.execute("SELECT * FROM refresh_all_mv()")


def test_other_locks_of_ours_are_not_for_strangers(
    migrated: Database, stranger: psycopg.Connection
) -> None:
    for name in ("tick", "change log", "alerts"):
        stranger.execute(f"SELECT pg_advisory_lock(hashtextextended('teloo-analytics {name}', 0))")
    for table in ("tick_lock", "change_log_lock", "alerts_lock", "refresh_lock"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stranger.transaction():
            stranger.execute(f"LOCK TABLE kpi_engine.{table} IN ACCESS SHARE MODE")
    with migrated.session() as connection:
        fill(connection, 3, "A", date(2026, 11, 26))
    migrated.execute("CALL analytics.tick()")
    assert migrated.rows("SELECT last_tick_at IS NOT NULL FROM analytics.scheduler_state") == [
        (True,)
    ]
    assert migrated.rows("SELECT count(*) > 0 FROM analytics.alerts") == [(True,)]
    migrated.execute("SELECT * FROM refresh_all_mv()", "UPDATE public.ofertas SET estado = estado")
    migrated.execute("SET statement_timeout = '60s'", "SELECT * FROM refresh_all_mv()")


def test_tick_that_can_not_begin_is_not_silent(migrated: Database) -> None:
    migrated.execute("CALL analytics.tick()")
    with migrated.connect(autocommit=False) as keeper:
        keeper.execute("LOCK TABLE kpi_engine.tick_lock IN EXCLUSIVE MODE")
        pid = keeper.info.backend_pid
        # Another tick is at work: it may be.
        migrated.execute("CALL analytics.tick()")
        migrated.execute(
            "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '4 minutes'"
        )
        with pytest.raises(psycopg.errors.LockNotAvailable, match=str(pid)):
            migrated.execute("CALL analytics.tick()")
        assert f"pg_terminate_backend({pid})" in problems(migrated)["lock_blocked"]
        assert "scheduler_down" in problems(migrated)
    migrated.execute("CALL analytics.tick()")
    assert problems(migrated).keys().isdisjoint({"lock_blocked", "scheduler_down"})


def test_the_first_tick_after_a_pause_keeps_no_tick_from_beginning(migrated: Database) -> None:
    migrated.execute("CALL analytics.tick()")
    migrated.execute(
        "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '4 minutes'"
    )
    # The tick has begun, and its stamp is not committed.
    with held(migrated, "LOCK TABLE kpi_engine.refresh_jobs IN EXCLUSIVE MODE") as waiting:
        tick = Work(lambda: migrated.execute("CALL analytics.tick()"))
        pid = waiting()
        found = problems(migrated)
        assert "scheduler_down" in found
        assert "lock_blocked" not in found
        # One that does not come to its end is told.
        assert f"pg_terminate_backend({pid})" in str(
            migrated.rows("SELECT * FROM analytics.lock_blocked_problem('0 seconds')")
        )
    tick.end()
    assert problems(migrated).keys().isdisjoint({"lock_blocked", "scheduler_down"})


def test_refresh_that_waits_for_a_lock_on_a_source_table_is_told(migrated: Database) -> None:
    with migrated.session() as connection:
        fill(connection, 3, "A", date(2026, 11, 26))
    with migrated.connect(autocommit=False) as keeper, migrated.session() as refreshing:
        keeper.execute("LOCK TABLE public.solicitudes IN ACCESS EXCLUSIVE MODE")
        keeper_pid, pid = keeper.info.backend_pid, refreshing.info.backend_pid
        refreshing.execute("SET lock_timeout = 0")
        with ThreadPoolExecutor(1) as pool:
            refresh = pool.submit(refreshing.execute, "SELECT * FROM refresh_all_mv()")
            migrated.wait_until(
                f"SELECT count(*) > 0 FROM pg_locks WHERE pid = {pid} AND NOT granted"
            )
            assert migrated.rows("SELECT analytics.lock_blocked_problem('0 seconds')::text") != []
            ((told,),) = migrated.rows(
                "SELECT message FROM analytics.lock_blocked_problem('0 seconds')"
            )
            assert f"pg_terminate_backend({keeper_pid})" in str(told)
            assert "solicitudes" in str(told)
            assert "lock_blocked" not in problems(migrated), "not in the first minute"
            keeper.rollback()
            assert refresh.result(timeout=120).fetchall() != []


def test_stranger_who_holds_the_lock_of_migrate_is_named(
    migrated: Database, stranger: psycopg.Connection
) -> None:
    stranger.execute("SELECT pg_advisory_lock(hashtextextended('teloo-analytics migrate', 0))")
    pid, role = stranger.info.backend_pid, stranger.info.user
    with pytest.raises(UserError, match=rf"{pid}.*{role}") as refused:
        migrate(migrated.url)
    assert f"pg_terminate_backend({pid})" in refused.value.hint


@contextmanager
def wrapped(database: Database, role: str) -> Iterator[None]:
    """A function of the application, in its owner's rights, that refreshes."""
    database.execute(
        "CREATE FUNCTION public.refresh_for_me() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT count(*) FROM analytics.refresh_all_mv()'",
        f"GRANT EXECUTE ON FUNCTION public.refresh_for_me() TO {role}",
    )
    try:
        yield
    finally:
        database.execute("DROP FUNCTION public.refresh_for_me()")


def test_refresh_through_a_function_of_the_application_is_a_refresh(
    migrated: Database, stranger: psycopg.Connection
) -> None:
    with wrapped(migrated, str(stranger.info.user)):
        stranger.execute("BEGIN")
        stranger.execute("SELECT public.refresh_for_me()")
        assert migrated.rows(
            "SELECT pid, started_at IS NOT NULL FROM analytics.running_refresh()"
        ) == [(stranger.info.backend_pid, True)]
        assert "lock_blocked" not in problems(migrated)
        with pytest.raises(psycopg.errors.LockNotAvailable, match="already running"):
            migrated.execute("SELECT * FROM refresh_all_mv()")
        stranger.execute("COMMIT")
