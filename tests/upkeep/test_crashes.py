"""A server that is stopped or killed: nothing is lost, the refresh is done again, by real pg_cron.

Killed are processes of a cluster of this module's own, with kill -9.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

import oracle
from cluster import Cluster
from conftest import TEST_SETTINGS, Database
from development.demo_source import load_source_schema
from marketplace import change, fill
from migrate import migrate
from source_indexes import build_missing

TAKES_MINUTES = True

pytestmark = pytest.mark.system_only("pg_cron")
JOB = "SELECT state, is_missed, attempts FROM analytics.refresh_jobs WHERE slot_at IS NOT NULL"
# Both views, at one moment.
CONTENTS = (
    "SELECT md5("
    "(SELECT string_agg(v::text, ',' ORDER BY v.mes) FROM analytics.mv_metricas_mensuales AS v) "
    "|| (SELECT string_agg((to_jsonb(v) - 'calculado_at')::text, ',' ORDER BY v.asesor_id) "
    "FROM analytics.mv_ranking_asesores AS v))"
)


def today() -> object:
    return datetime.now(ZoneInfo("America/Bogota")).date()


@pytest.fixture(scope="module")
def crashing() -> Iterator[Database]:
    """A refreshed marketplace with pg_cron's jobs, in a cluster that may be killed."""
    cluster = Cluster(f"test-crash-{os.getpid()}", database="cron", settings=TEST_SETTINGS)
    try:
        cluster.start()
        database = Database(cluster, "cron")
        load_source_schema(database.url)
        with database.session() as connection:
            fill(connection, 11, "A", today())  # type: ignore[arg-type]
        migrate(database.url)
        build_missing(database.url)
        database.execute("SELECT * FROM analytics.refresh_all_mv()")
        yield database
    finally:
        cluster.remove()


def wait_for(condition: Callable[[], bool], seconds: float, *, every: float = 0.5) -> float:
    """Wait until it is true, also while the server is away; return for how long."""
    begin = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - begin
        except psycopg.OperationalError:
            pass
        assert time.monotonic() < begin + seconds
        time.sleep(every)


def differences(database: Database) -> list[str]:
    with database.session() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        return oracle.all_differences(
            oracle.compute(connection, today()),  # type: ignore[arg-type]
            oracle.read_views(connection),
        )


class Reader:
    """Reads a view all the time, connecting again when the server comes back."""

    def __init__(self, database: Database) -> None:
        self.seen: list[object] = []
        self.errors: list[Exception] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, args=[database])

    def run(self, database: Database) -> None:
        while not self.stop.is_set():
            try:
                with database.session() as connection:
                    while not self.stop.wait(0.02):
                        row = connection.execute(CONTENTS).fetchone()
                        assert row
                        if row[0] not in self.seen:
                            self.seen.append(row[0])
            except psycopg.OperationalError:
                self.stop.wait(0.1)
            except Exception as error:
                self.errors.append(error)
                return

    def __enter__(self) -> "Reader":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def processes(cluster: Cluster) -> list[int]:
    """Return the server's processes, the postmaster first."""
    postmaster = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    children = subprocess.run(
        ["pgrep", "-P", str(postmaster)], check=True, capture_output=True, text=True
    )
    return [postmaster, *map(int, children.stdout.split())]


def begin_scheduled_refresh(database: Database, holder: psycopg.Connection, seed: int) -> int:
    """Change rows, let pg_cron begin the refresh of today's slot, and hold it in the middle."""
    with database.session() as connection:
        change(connection, seed, "A", today(), count=30)  # type: ignore[arg-type]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    database.execute(
        "SELECT analytics.set_setting('schedule_grace_minutes', '600')",
        # At once, and without what the time before had due.
        f"SELECT analytics.set_schedule('{hour_ago:%H:%M}', 'UTC'); "
        "DELETE FROM analytics.refresh_jobs; "
        "UPDATE analytics.scheduler_state SET schedule_changed_at = NULL, "
        "scheduled_since = now() - interval '2 hours'",
    )
    holder.execute("BEGIN; LOCK TABLE public.asesores IN ACCESS EXCLUSIVE MODE")
    database.execute("CALL analytics.tick()")
    assert database.rows(JOB) == [("QUEUED", False, 0)]
    waiting = (
        "SELECT pid FROM analytics.running_refresh() AS running JOIN pg_stat_activity USING (pid) "
        "WHERE wait_event_type = 'Lock' AND query LIKE '%analytics.work%'"
    )
    wait_for(lambda: len(database.rows(waiting)) == 1, 80)
    return int(str(database.rows(waiting)[0][0]))


def check_done_again(database: Database, reader: Reader, old: object, kill_seconds: str) -> None:
    """Closed as crashed within a minute of the restart, done again, nothing lost."""
    crashed = (
        "SELECT count(*) FROM analytics.refresh_log "
        f"WHERE error_sqlstate = '57P02' AND started_at > '{kill_seconds}'"
    )
    seconds = wait_for(lambda: database.rows(crashed) == [(1,)], 75)
    print(f"closed as crashed {seconds:.0f} s after the restart")
    # pg_cron comes with the next full minute.
    assert seconds < 62
    wait_for(lambda: database.rows(JOB) == [("SUCCESS", False, 2)], 80)
    # On a busy machine the reader reads a while after the job ended.
    wait_for(lambda: len(reader.seen) > 1, 30)
    reader.stop.set()
    reader.thread.join()
    assert reader.errors == []
    assert reader.seen[0] == old
    assert len(reader.seen) == 2, "readers saw what was before and what came after, nothing else"
    assert differences(database) == []
    assert database.rows("SELECT kpi_engine.changes_waiting()") == [(0,)]
    assert database.rows("SELECT analytics.audit()") == [(0,)]
    assert database.rows("SELECT problem FROM analytics.health_problems()") == []


def test_stopped_across_its_slot_it_catches_up_once(crashing: Database) -> None:
    slot = (datetime.now(UTC) + timedelta(seconds=70)).replace(second=0, microsecond=0)
    crashing.execute(
        f"SELECT analytics.set_schedule('{slot:%H:%M}', 'UTC')",
        "SELECT analytics.set_setting('schedule_grace_minutes', '0')",
    )
    assert crashing.rows("SELECT analytics.setting('alert_after_minutes')") == [("1",)]
    assert crashing.rows("SELECT analytics.next_scheduled_refresh()") == [(slot,)]
    crashing.cluster.stop()
    time.sleep(max(0, (slot - datetime.now(UTC)).total_seconds() + 2))
    begin = time.monotonic()
    crashing.cluster.start()
    problems = "SELECT problem FROM analytics.health_problems()"
    wait_for(lambda: crashing.rows(JOB) == [("SUCCESS", True, 1)], 130)
    seconds = time.monotonic() - begin
    print(f"caught up {seconds:.0f} s after the start")
    # With the first full minute: the tick goes first.
    assert seconds < 75
    notices = (
        "SELECT event FROM analytics.alert_outbox JOIN analytics.alerts USING (alert_id) "
        "WHERE problem = 'missed_slot' ORDER BY notice_id"
    )
    wait_for(lambda: crashing.rows(notices) == [("raised",), ("cleared",)], 70)
    assert crashing.rows("SELECT slot_at FROM analytics.refresh_jobs") == [(slot,)]
    assert crashing.rows(problems) == []
    crashing.execute("CALL analytics.tick()", "CALL analytics.work()")
    assert len(crashing.rows(JOB)) == 1


def test_kill_of_the_refreshing_process(crashing: Database) -> None:
    ((old,),) = crashing.rows(CONTENTS)
    with Reader(crashing) as reader, closing(crashing.connect()) as holder:
        ((begin,),) = crashing.rows("SELECT clock_timestamp()")
        pid = begin_scheduled_refresh(crashing, holder, 21)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: crashing.rows("SELECT 1") == [(1,)], 30)
        check_done_again(crashing, reader, old, str(begin))


def test_kill_of_the_whole_server(crashing: Database) -> None:
    ((old,),) = crashing.rows(CONTENTS)
    with Reader(crashing) as reader, closing(crashing.connect()) as holder:
        ((begin,),) = crashing.rows("SELECT clock_timestamp()")
        begin_scheduled_refresh(crashing, holder, 22)
        for pid in processes(crashing.cluster):
            # It may have ended since they were listed.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not crashing.cluster.is_running, 20)
        time.sleep(1)
        crashing.cluster.start()
        check_done_again(crashing, reader, old, str(begin))


def test_scheduler_that_a_dba_stopped_is_seen_until_it_ticks_again(crashing: Database) -> None:
    """No tick for 3 minutes, by the wall clock; the notifier's look raises the alert."""
    events = (
        "SELECT event FROM analytics.alert_outbox JOIN analytics.alerts USING (alert_id) "
        "WHERE problem = 'scheduler_down' ORDER BY notice_id"
    )
    down = "SELECT problem FROM analytics.health_problems() WHERE problem = 'scheduler_down'"
    switch = "SELECT cron.alter_job(jobid, active := {}) FROM cron.job"
    crashing.execute("SELECT analytics.set_setting('alert_after_minutes', '0')")
    crashing.execute(switch.format("false"))
    try:
        assert crashing.rows(down) == []
        seconds = wait_for(lambda: crashing.rows(down) == [("scheduler_down",)], 200, every=5)
        print(f"no tick noticed after {seconds:.0f} s")
        crashing.execute("SELECT kpi_engine.update_alerts()")
        assert crashing.rows(events) == [("raised",)]
    finally:
        crashing.execute(switch.format("true"))
    wait_for(lambda: crashing.rows(events) == [("raised",), ("cleared",)], 75)


def test_long_rebuild_is_no_problem(crashing: Database) -> None:
    """Ticks go on meanwhile, and nothing is reported."""
    with crashing.connect() as holder, crashing.connect() as rebuilding:
        holder.execute("BEGIN; LOCK TABLE public.solicitudes IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=rebuilding.execute, args=["CALL analytics.rebuild()"])
        thread.start()
        try:
            wait_for(
                lambda: (
                    crashing.rows("SELECT pid IS NOT NULL FROM analytics.running_refresh()")
                    == [(True,)]
                ),
                20,
            )
            crashing.execute(
                "SELECT analytics.set_setting('alert_after_minutes', '0')",
                "CALL analytics.tick()",
                "CALL analytics.work()",
            )
            assert crashing.rows("SELECT problem FROM analytics.health_problems()") == []
        finally:
            holder.execute("COMMIT")
            thread.join()
    assert crashing.rows("SELECT problem FROM analytics.health_problems()") == []
    assert differences(crashing) == []


def test_migrate_is_no_problem(crashing: Database) -> None:
    """Applying every file again, and building both views aside, blocks the health for no more than
    a moment."""
    views = "SELECT view_name::regclass::oid FROM kpi_engine.materialized_views() ORDER BY 1"
    before = crashing.rows(views)
    crashing.execute(
        "UPDATE analytics.migration_ledger SET checksum = 'x' "
        "WHERE kind IN ('function', 'view', 'materialized view')"
    )
    seen: list[object] = []
    longest = 0.0
    with ThreadPoolExecutor(1) as pool:
        migrated = pool.submit(migrate, crashing.url)
        while not migrated.done():
            begin = time.monotonic()
            seen += crashing.rows("SELECT problem FROM analytics.health_problems()")
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.05)
    assert len(migrated.result()) > 100
    assert not set(before) & set(crashing.rows(views))
    print(f"the health answered after {longest:.2f} s at most")
    assert set(seen) == set()
    assert longest < 5
