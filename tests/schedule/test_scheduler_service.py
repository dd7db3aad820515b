"""scripts/scheduler.py, the schedule without pg_cron, over real servers."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from cluster import PROJECT, Cluster
from conftest import TEST_SETTINGS, Database
from development.demo_source import load_source_schema
from migrate import migrate
from scheduler import catch_up
from services.service import connect

SYSTEM_SERVER_IS_ENOUGH = True

SCRIPT = PROJECT / "scripts" / "scheduler.py"
LAST_TICK = "SELECT last_tick_at FROM analytics.scheduler_state"


def command(url: str, *options: str) -> list[str]:
    return [sys.executable, str(SCRIPT), "--database-url", url, *options]


@contextmanager
def service(url: str, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service; its messages go to a file."""
    with (
        log.open("wb") as messages,
        subprocess.Popen(command(url, "--interval", "0.5", *options), stderr=messages) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def as_scheduler(database: Database) -> str:
    database.execute("ALTER ROLE analytics_scheduler PASSWORD 'secret'")
    return database.url_as("analytics_scheduler", "secret")


def keepalive_seconds(pid: int, port: int) -> list[float]:
    """Return when the kernel will ask the other side of each connection whether it is alive."""
    own = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            own.add(str(path.readlink()))
    seconds = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, _, timer, _, _, _, inode, *_ = line.split()
        kind, _, left = timer.partition(":")
        if (
            f"socket:[{inode}]" in own
            and int(remote.partition(":")[2], 16) == port
            and (state, kind) == ("01", "02")
        ):
            seconds.append(int(left, 16) / os.sysconf("SC_CLK_TCK"))
    return seconds


class Line:
    """A way to a server that lets so many connections through, and holds all later ones."""

    def __init__(self, port: int, through: int) -> None:
        self.is_open = threading.Event()
        self.held = threading.Event()
        self.left = through
        self.server_port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.left -= 1
            threading.Thread(target=self.join, args=(client, self.left >= 0), daemon=True).start()

    def join(self, client: socket.socket, goes_through: bool) -> None:
        if not goes_through:
            self.held.set()
            self.is_open.wait()
        server = socket.create_connection(("127.0.0.1", self.server_port))
        threading.Thread(target=self.copy, args=(client, server), daemon=True).start()
        self.copy(server, client)

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            target.close()


def test_it_ticks_runs_what_is_queued_and_stops_on_sigterm(
    migrated: Database, tmp_path: Path
) -> None:
    migrated.execute("SELECT kpi_engine.queue_refresh(false, 'ana')")
    with service(as_scheduler(migrated), tmp_path / "log") as process:
        wait_for(
            lambda: migrated.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]
        )
        first = migrated.rows(LAST_TICK)
        wait_for(lambda: migrated.rows(LAST_TICK) != first)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
    assert "stopped" in (tmp_path / "log").read_text()
    assert "ERROR" not in (tmp_path / "log").read_text()


def test_ticks_go_on_while_a_refresh_runs_which_sigterm_cancels(
    migrated: Database, tmp_path: Path
) -> None:
    migrated.execute("SELECT kpi_engine.queue_refresh(false, 'ana')")
    url = as_scheduler(migrated)
    with migrated.session() as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE public.asesores IN ACCESS EXCLUSIVE MODE")
        with service(url, tmp_path / "log", "--stop-seconds", "0.5") as process:
            wait_for(
                lambda: migrated.rows("SELECT state FROM analytics.refresh_jobs") == [("RUNNING",)]
            )
            first = migrated.rows(LAST_TICK)
            wait_for(lambda: migrated.rows(LAST_TICK) != first)
            # The database's host may vanish now.
            port = migrated.cluster.port
            wait_for(lambda: 0 < max(keepalive_seconds(process.pid, port), default=0) <= 30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
    assert "analytics.work() is still running: cancelled" in (tmp_path / "log").read_text()
    assert migrated.rows("SELECT state FROM analytics.refresh_jobs") == [("ERROR",)]


def test_what_still_connects_on_sigterm_calls_nothing(migrated: Database, tmp_path: Path) -> None:
    # The check gets through, the calls wait for their connections.
    line = Line(migrated.cluster.port, through=1)
    url = psycopg.conninfo.make_conninfo(as_scheduler(migrated), port=line.port)
    with service(url, tmp_path / "log") as process:
        wait_for(line.held.is_set)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in (tmp_path / "log").read_text())
        line.is_open.set()
        assert process.wait(timeout=120) == 0
    line.listener.close()
    assert migrated.rows(LAST_TICK) == [(None,)]


def test_a_host_that_vanished_is_noticed_unless_the_connection_string_says_otherwise(
    database: Database,
) -> None:
    options = {
        "keepalives": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        "keepalives_idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        "keepalives_interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        "keepalives_count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        "tcp_user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    }

    def in_force(**given: int) -> tuple[dict[str, int], str]:
        url = psycopg.conninfo.make_conninfo(database.url, **given)
        with (
            connect(url, "test") as connection,
            socket.socket(fileno=os.dup(connection.fileno())) as copy,
        ):
            values = {name: copy.getsockopt(*option) for name, option in options.items()}
            return values, connection.info.get_parameters()["connect_timeout"]

    assert in_force() == (
        {
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        },
        "10",
    )
    own = {
        "keepalives": 1,
        "keepalives_idle": 7,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 9_000,
    }
    assert in_force(**own, connect_timeout=4) == (own, "4")
    assert in_force(keepalives=0)[0]["keepalives"] == 0


@pytest.mark.parametrize(
    ("unit", "page"), [("teloo-scheduler", "scheduling.md"), ("teloo-notifier", "alerts.md")]
)
def test_the_docs_install_the_unit_as_it_is(unit: str, page: str) -> None:
    text = (PROJECT / "config" / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
    docs = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    user, file, script = (
        re.findall(pattern, text, re.MULTILINE)[0]
        for pattern in (
            r"^User=(\S+)$",
            r"^EnvironmentFile=(\S+)$",
            r"^ExecStart=/opt/teloo-analytics/\S+ /opt/teloo-analytics/(\S+)$",
        )
    )
    assert f"nologin {user}\n" in docs
    assert f"cat > {file} <<'END'\nDATABASE_URL=" in docs
    assert f"cp /opt/teloo-analytics/config/systemd/{unit}.service /etc/systemd/system/\n" in docs
    assert f"systemctl enable --now {unit}\n" in docs
    assert f"docs/{page}" in text
    assert (PROJECT / script).is_file()


def test_calls_go_on_after_the_clock_was_set_back() -> None:
    """APScheduler waited until the clock had come to the same moment again, for hours."""
    called = threading.Event()
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_job(
        called.set,
        "interval",
        seconds=60,
        misfire_grace_time=None,
        next_run_time=datetime.now(UTC) + timedelta(hours=6),
    )
    scheduler.start()
    try:
        catch_up(scheduler, 60)
        assert called.wait(10)
        # The next one is due in time: nothing is moved.
        (job,) = scheduler.get_jobs()
        due = job.next_run_time
        catch_up(scheduler, 60)
        assert job.next_run_time == due
    finally:
        scheduler.shutdown()


def test_two_of_them_run_a_slot_once(migrated: Database, tmp_path: Path) -> None:
    migrated.execute(
        "UPDATE analytics.scheduler_state SET scheduled_since = now() - interval '25 hours'"
    )
    url = as_scheduler(migrated)
    jobs = (
        "SELECT count(*), min(state), max(attempts) FROM analytics.refresh_jobs "
        "WHERE state <> 'MISSED'"
    )
    with service(url, tmp_path / "1"), service(url, tmp_path / "2"):
        wait_for(lambda: migrated.rows(jobs) == [(1, "SUCCESS", 1)])
        time.sleep(3)
    assert migrated.rows(jobs) == [(1, "SUCCESS", 1)]
    assert migrated.rows("SELECT count(*) FROM analytics.refresh_log WHERE view_name IS NULL") == [
        (1,)
    ]


def test_once_and_what_it_refuses(database: Database) -> None:
    def run(url: str) -> tuple[int, str]:
        ended = subprocess.run(
            command(url, "--once"), check=False, capture_output=True, text=True, timeout=300
        )
        return ended.returncode, ended.stderr

    code, said = run(database.url)
    assert (code, "make migrate" in said) == (1, True)
    load_source_schema(database.url)
    migrate(database.url)
    assert run(database.url)[0] == 0
    assert database.rows("SELECT last_tick_at IS NOT NULL FROM analytics.scheduler_state") == [
        (True,)
    ]
    database.execute("ALTER ROLE analytics_lector LOGIN PASSWORD 'secret'")
    try:
        code, said = run(database.url_as("analytics_lector", "secret"))
    finally:
        database.execute("ALTER ROLE analytics_lector NOLOGIN")
    assert (code, "GRANT analytics_scheduler TO analytics_lector" in said) == (1, True)
    code, said = run("postgresql://127.0.0.1:1/teloo")
    assert code == 1
    assert "analytics.tick() failed" in said


def test_it_survives_a_restart_of_the_database_and_hides_no_error(tmp_path: Path) -> None:
    cluster = Cluster(f"test-scheduler-{os.getpid()}", settings=TEST_SETTINGS)
    try:
        cluster.start()
        url = cluster.url()
        load_source_schema(url)
        migrate(url)

        def last_tick() -> object:
            with psycopg.connect(url) as connection:
                return connection.execute(LAST_TICK).fetchone()

        with service(url, tmp_path / "log") as process:
            wait_for(lambda: last_tick() != (None,))
            cluster.stop()
            wait_for(lambda: "ERROR: analytics.tick() failed" in (tmp_path / "log").read_text())
            assert process.poll() is None
            cluster.start()
            before = last_tick()
            wait_for(lambda: last_tick() != before)
    finally:
        cluster.remove()
