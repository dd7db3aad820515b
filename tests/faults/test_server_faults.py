"""Faults of the server: a full disk, no lock, no connection, limits of time, a promotion.

What must hold in each: no silent wrong number, a clear error, the others go on. Once the cause is
gone, ticks complete the work without hands, and the nine views equal the independent computation.
docs/reliability.md says which tests show the other faults.
"""

import getpass
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cluster import SERVER_USER_UNDER_ROOT, Cluster
from conftest import TEST_SETTINGS, Database, let_superuser_in, wait_for_the_new_day
from faults.test_crash_matrix import (
    POINTS,
    REQUEST,
    SEED,
    contents,
    differences,
    disturb,
    refreshed_market,
)
from gateway import Settings, wait_until
from gateway_testing import refused, started
from webapi.test_standby import standby_of

SYSTEM_SERVER_IS_ENOUGH = True
MONTHS = "/materialized-views/monthly-metrics"
TICK = "CALL analytics.tick()"
WORK = "CALL analytics.work()"
REFRESH = "SELECT * FROM analytics.refresh_all_mv()"
# Until none is left; the session keeps those that it got.
TAKE_ALL_LOCKS = (
    "DO $$ BEGIN FOR i IN 1..10000000 LOOP PERFORM pg_advisory_lock_shared(i); END LOOP; END $$"
)
LONG = bool(os.environ.get("TELOO_LONG"))
ERRORS = (
    "SELECT error_message FROM analytics.refresh_log WHERE error_message IS NOT NULL "
    "AND started_at > now() - interval '1 minute'"
)
LAST_JOB = "SELECT state, error FROM kpi_engine.refresh_jobs ORDER BY job_id DESC LIMIT 1"
MOVE_REQUEST = "UPDATE public.solicitudes SET ciudad_origen = '{}' WHERE id = " + REQUEST


@dataclass
class ClusterWithSmallDisk(Cluster):
    """A cluster whose server sees a disk of 64 MB in one folder.

    The disk is in a mount namespace of the server's processes: it is gone when they are.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            name,
            database="cron",
            settings=TEST_SETTINGS
            + "\nmax_connections = 30\nwal_level = replica\nmax_wal_senders = 4\n",
        )

    @property
    def disk(self) -> Path:
        """The folder of the small disk."""
        return self.location / "disk"

    def as_server_user(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command; a start gets a mount namespace."""
        if command[-1] != "start":
            return super().as_server_user(*command)
        super().as_server_user("mkdir", "-p", self.disk)
        user = SERVER_USER_UNDER_ROOT if self.under_root else getpass.getuser()
        script = (
            'user="$1" && shift && '
            'mount -t tmpfs -o "size=64m,mode=0700,uid=$(id -u "$user")" tmpfs "$0" && '
            'exec runuser -u "$user" -- "$@"'
        )
        return subprocess.run(
            [
                *([] if self.under_root else ["sudo", "-n"]),
                *("unshare", "--mount", "sh", "-c", script, str(self.disk), user),
                *(str(part) for part in command),
            ],
            cwd="/",
            text=True,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def faulty() -> Iterator[Database]:
    """A refreshed marketplace in a cluster of its own, where nothing ticks by itself."""
    cluster = ClusterWithSmallDisk(f"test-faults-{os.getpid()}")
    try:
        wait_for_the_new_day()
        cluster.start()
        let_superuser_in(cluster)
        yield refreshed_market(cluster, "faulty")
    finally:
        cluster.remove()


@pytest.fixture(autouse=True)
def recovered(faulty: Database) -> Iterator[None]:
    """After each fault: ticks alone complete all that is left, and every number is right."""
    wait_for_the_new_day()
    yield
    check_recovery(faulty)


def check_recovery(database: Database) -> None:
    queue(database)
    database.execute(TICK, WORK)
    assert database.rows(LAST_JOB) == [("SUCCESS", None)]
    assert differences(database) == []
    assert database.rows("SELECT analytics.audit()") == [(0,)], "a derived table is wrong"
    assert database.rows("SELECT kpi_engine.changes_waiting()") == [(0,)]
    database.execute(TICK)
    assert database.rows("SELECT problem FROM analytics.health_problems()") == []


def last_run(database: Database) -> tuple[object, ...]:
    return database.rows(
        "SELECT refresh_status, mode, reason FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY run_id DESC LIMIT 1"
    )[0]


def failure(database: Database) -> str:
    """Refresh; return the errors of all views, or the one of the refresh."""
    try:
        rows = database.rows("SELECT refresh_status, error_message FROM analytics.refresh_all_mv()")
    except psycopg.Error as error:
        return str(error)
    assert {status for status, _ in rows} == {"ERROR"}
    return str(rows)


def queue(database: Database) -> None:
    database.execute(
        "INSERT INTO kpi_engine.refresh_jobs (triggered_by) VALUES ('request') "
        "ON CONFLICT DO NOTHING"
    )


# -- a full disk -----------------------------------------------------------------------------------


@contextmanager
def full_disk(database: Database) -> Iterator[None]:
    """Move the database to the small disk, and fill the disk until the end of this."""
    cluster = database.cluster
    assert isinstance(cluster, ClusterWithSmallDisk)
    postgres = Database(cluster, "postgres")
    name = database.name
    postgres.execute(
        f"CREATE TABLESPACE small LOCATION '{cluster.disk}'",
        f"ALTER DATABASE {name} SET TABLESPACE small",
    )
    # Empty pages would have room for a while. The next session writes a file that all need.
    database.execute("VACUUM")
    database.execute("SELECT")
    ballast = f"COPY (SELECT repeat('x', 1000) FROM generate_series(1, {{}})) TO '{cluster.disk}/x'"
    try:
        with pytest.raises(psycopg.errors.DiskFull):
            postgres.execute(ballast.format(100000))
        yield
    finally:
        postgres.execute(
            ballast.format(0),
            f"ALTER DATABASE {name} SET TABLESPACE pg_default",
            "DROP TABLESPACE small",
        )


@pytest.mark.parametrize("is_one_transaction", [False, True])
def test_on_a_full_disk_no_change_is_lost_and_readers_go_on(
    faulty: Database, is_one_transaction: bool
) -> None:
    seen = contents(faulty)
    with full_disk(faulty):
        with closing(faulty.connect(autocommit=not is_one_transaction)) as writer:
            warnings: list[str] = []
            writer.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
            # Each finds room in the page of its row, and none in the log.
            for number in range(20):
                city = "Bello" if is_one_transaction else "Lleno"
                writer.execute(MOVE_REQUEST.format(f"{city} {number}"))
            writer.commit()
        # A transaction notes it once.
        assert len(warnings) == (1 if is_one_transaction else 20)
        assert all("could not be noted by key: could not extend" in one for one in warnings)
        assert faulty.rows("SELECT kpi_engine.changes_waiting()") == [(0,)]
        assert "could not be noted" in str(
            faulty.rows("SELECT mode_reason FROM analytics.explain_refresh()")
        )
        assert "No space left on device" in failure(faulty)
        assert contents(faulty) == seen
    faulty.execute(TICK, REFRESH)
    assert last_run(faulty) == (
        "SUCCESS",
        "full",
        "a change of a source table could not be noted by key",
    )
    assert contents(faulty) != seen
    assert differences(faulty) == []
    # Once.
    faulty.execute(TICK, REFRESH)
    assert last_run(faulty)[1] == "unchanged"


def test_the_daily_refresh_fails_by_name_on_a_full_disk_and_is_done_afterwards(
    faulty: Database,
) -> None:
    seen = contents(faulty)
    disturb(faulty, SEED + 1, 200)
    faulty.execute(
        "SELECT analytics.set_setting('refresh_retries', '100'), "
        "analytics.set_setting('refresh_retry_minutes', '0')",
        "INSERT INTO kpi_engine.refresh_jobs (triggered_by, slot_at, slot_date) "
        "VALUES ('schedule', now(), current_date)",
    )
    with full_disk(faulty):
        for _ in range(3):
            for call in (TICK, WORK):
                with suppress(psycopg.errors.DiskFull):
                    faulty.execute(call)
        assert contents(faulty) == seen
    assert "No space left on device" in faulty.cluster.log_tail(200)
    faulty.execute(TICK, WORK)
    assert faulty.rows(
        "SELECT state, error, attempts > 1 FROM kpi_engine.refresh_jobs "
        "ORDER BY job_id DESC LIMIT 1"
    ) == [("SUCCESS", None, True)]
    assert differences(faulty) == []


# -- the writer that could note its change nowhere -------------------------------------------------


@contextmanager
def no_free_lock(database: Database) -> Iterator[None]:
    """Take all that the server's table of locks has room for."""
    with closing(database.connect()) as hog:
        with pytest.raises(psycopg.errors.OutOfMemory):
            hog.execute(TAKE_ALL_LOCKS.encode())
        yield


@contextmanager
def ready_writer(database: Database) -> Iterator[psycopg.Connection]:
    """Connect a writer that has all the locks for the change of one request."""
    with closing(database.connect(autocommit=False)) as writer:
        writer.execute(MOVE_REQUEST.format("Antes").encode())
        writer.rollback()
        writer.execute("SELECT pg_current_xact_id()")
        writer.execute("LOCK TABLE public.solicitudes IN ROW EXCLUSIVE MODE")
        writer.execute(f"SELECT FROM public.solicitudes WHERE id = {REQUEST} FOR UPDATE")
        yield writer


def test_without_a_free_lock_no_change_is_lost(faulty: Database) -> None:
    with ready_writer(faulty) as writer, closing(faulty.connect()) as other:
        with no_free_lock(faulty):
            warnings: list[str] = []
            writer.add_notice_handler(lambda notice: warnings.append(str(notice.message_primary)))
            writer.execute(MOVE_REQUEST.format("Sin cerrojo").encode())
            assert any("could not be noted by key: out of shared memory" in w for w in warnings)
            for call in (REFRESH, TICK):
                with pytest.raises(psycopg.errors.OutOfMemory):
                    other.execute(call)
        # It has not committed: whoever looks now sees the sign, and not the change.
        faulty.execute(TICK, REFRESH)
        assert last_run(faulty)[:2] == ("SUCCESS", "full")
        with closing(faulty.connect()) as reader:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT count(*) FROM public.solicitudes")
            writer.commit()
            # A snapshot from before the commit settles nothing.
            reader.execute(REFRESH)
            reader.execute("COMMIT")
        assert differences(faulty) != []
        faulty.execute(REFRESH)
    assert last_run(faulty)[:2] == ("SUCCESS", "full")
    assert differences(faulty) == []
    faulty.execute(REFRESH)
    assert last_run(faulty)[:2] == ("SUCCESS", "unchanged")


def test_a_writer_that_rolls_back_what_it_could_not_note_costs_one_rebuild(
    faulty: Database,
) -> None:
    with ready_writer(faulty) as writer:
        with no_free_lock(faulty):
            writer.execute(MOVE_REQUEST.format("Nunca").encode())
        writer.rollback()
    for mode in ("full", "unchanged"):
        faulty.execute(REFRESH)
        assert last_run(faulty)[:2] == ("SUCCESS", mode)


# -- limits of time --------------------------------------------------------------------------------

LIMITS = {"lock_timeout": "lock timeout", "statement_timeout": "statement timeout"}
# The last one is the writer's.
POINTS_OF_WORK = [name for name, point in POINTS.items() if point.work != "migrate"][:-1]


@pytest.mark.parametrize("name", POINTS_OF_WORK if LONG else POINTS_OF_WORK[1::3])
def test_a_limit_of_time_at_a_named_point_hides_nothing(faulty: Database, name: str) -> None:
    """Each view shows what it showed or what is right, and the error names the limit."""
    number = POINTS_OF_WORK.index(name)
    point = POINTS[name]
    ((facts,),) = faulty.rows("SELECT kpi_engine.set_of('solicitud_facts', false)")
    for limit in LIMITS if LONG else [list(LIMITS)[number % 2]]:
        disturb(faulty, SEED + 100 + number)
        queue(faulty)
        faulty.execute(*point.before)
        seen = contents(faulty)
        with closing(faulty.connect()) as holder, closing(faulty.connect()) as worker:
            holder.execute("BEGIN")
            holder.execute(point.hold.format(facts=facts).encode())
            worker.execute(f"SET {limit} = '200ms'")
            errors = []
            try:
                worker.execute(point.work.encode())
            except psycopg.Error as error:
                errors.append(str(error))
        errors += [str(row) for row in faulty.rows(ERRORS)]
        assert any(LIMITS[limit] in error for error in errors), errors
        meanwhile = contents(faulty)
        queue(faulty)
        for work in (*point.after, TICK, WORK):
            faulty.execute(work)
        shown = zip(seen, meanwhile, contents(faulty), strict=True)
        assert all(between in (before, after) for before, between, after in shown)


def test_without_room_for_temporary_files_nothing_is_hidden(faulty: Database) -> None:
    seen = contents(faulty)
    disturb(faulty, SEED + 2, 100)
    with closing(faulty.connect()) as worker:
        worker.execute("SET temp_file_limit = 0")
        worker.execute("SET work_mem = '64kB'")
        errors = []
        try:
            worker.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
        except psycopg.Error as error:
            errors.append(str(error))
    errors += [str(row) for row in faulty.rows(ERRORS)]
    assert any("temporary file size exceeds" in error for error in errors), errors
    meanwhile = contents(faulty)
    faulty.execute(REFRESH)
    shown = zip(seen, meanwhile, contents(faulty), strict=True)
    assert all(between in (before, after) for before, between, after in shown)


# -- connections -----------------------------------------------------------------------------------


def test_a_lost_session_is_never_the_fault_of_a_token(faulty: Database) -> None:
    """PostgREST answers 400 where it lost its session, as for a role that does not exist."""
    statuses: Counter[int] = Counter()
    stop = threading.Event()
    with started(faulty, "lost", Settings(rate=100000, burst=10000, token_readers=20)) as api:
        token = api.token("analytics_lector")

        def ask() -> None:
            while not stop.is_set():
                for path in ("/health", f"{MONTHS}?limit=3", "/rest/rpc/status"):
                    with suppress(OSError):
                        statuses.update([api.get(path, token=token).status])

        with ThreadPoolExecutor(10) as pool:
            for _ in range(10):
                pool.submit(ask)
            try:
                for _ in range(6 if LONG else 3):
                    assert wait_until(lambda: api.get(MONTHS, token=token).status == 200)
                    time.sleep(0.5)
                    faulty.cluster.stop("immediate")
                    faulty.cluster.start()
            finally:
                stop.set()
    assert statuses[503], "nobody met a lost session"
    # Too many for one token, or the database is away.
    assert set(statuses) <= {200, 429, 503}, statuses


def test_without_a_free_connection_the_api_says_so_and_comes_back(faulty: Database) -> None:
    disturb(faulty, SEED + 3)
    with started(faulty, "faults", Settings(rate=100000, burst=10000)) as api:
        assert api.get(MONTHS, "analytics_lector").status == 200
        taken: list[psycopg.Connection] = []
        with closing(faulty.connect()) as keeper:
            try:
                keeper.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE usename = 'analytics_authenticator'"
                )
                with suppress(psycopg.OperationalError):
                    while True:
                        taken.append(faulty.connect())
                keeper.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE usename = 'analytics_authenticator'"
                )
                api.forget_cache()
                answer = api.get(MONTHS, "analytics_lector")
                assert "Try again" in refused(answer, 503)["hint"]
            finally:
                for connection in taken:
                    connection.close()
        assert wait_until(lambda: api.get(MONTHS, "analytics_lector").status == 200)


# -- promotion -------------------------------------------------------------------------------------


def test_a_promoted_standby_goes_on_with_what_waited(faulty: Database) -> None:
    seen = contents(faulty)
    standby = standby_of(faulty.cluster, f"{faulty.cluster.name}-standby")
    try:
        standby.start()
        promoted = Database(standby, faulty.name)
        disturb(faulty, SEED + 4)
        queue(faulty)
        ((written,),) = faulty.rows("SELECT pg_current_wal_lsn()")
        promoted.wait_until(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="standby"):
            promoted.execute(REFRESH)
        assert contents(promoted) == seen
        promoted.execute("SELECT pg_promote()")
        promoted.execute(TICK, WORK)
        assert promoted.rows(LAST_JOB) == [("SUCCESS", None)]
        assert last_run(promoted)[1] == "incremental"
        check_recovery(promoted)
    finally:
        standby.remove()
