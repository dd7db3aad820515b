"""Kills a part of a server with SIGKILL, while a lock holds the work at a known point."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

from conftest import Database

VICTIMS = ("process", "postmaster")
# What holds a refresh that has changes to apply, in their order. test_crash_matrix.py proves each.
POINTS_OF_A_REFRESH = {
    "before it takes the log": "LOCK TABLE kpi_engine.change_log_lock IN EXCLUSIVE MODE",
    "after it took the log": "LOCK TABLE kpi_engine.changed_solicitud_facts IN SHARE MODE",
    "between derived tables": "LOCK TABLE kpi_engine.changed_month_totals IN SHARE MODE",
    "before the merge of a view": "LOCK TABLE pg_catalog.pg_statistic IN SHARE MODE",
    "in the history of a view": "LOCK TABLE kpi_engine.published_rows IN SHARE MODE",
    "before its log row": "LOCK TABLE kpi_engine.audit_log IN SHARE MODE",
}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until it is true, also while the server is away."""
    deadline = time.monotonic() + 60
    while True:
        with suppress(psycopg.OperationalError):
            if condition():
                return
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def with_patience(call: Callable[[], object]) -> None:
    """Repeat a call while a server comes back."""
    deadline = time.monotonic() + 60
    while True:
        try:
            call()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class Work:
    """The work that is to be killed, in a thread, and the error that it ended with."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Do it."""
        try:
            self.call()
        except Exception as error:
            self.error = error

    def end(self) -> None:
        """Wait until it has ended."""
        self.thread.join(60)
        assert not self.thread.is_alive(), "the work does not end"


@contextmanager
def held(database: Database, statement: str) -> Iterator[Callable[[], int]]:
    """Hold the locks of a statement. What this gives waits for who waits; it returns the process.

    The server may be killed meanwhile.
    """
    with closing(database.connect(autocommit=False)) as holder:
        holder.execute(statement.encode())
        pid = holder.info.backend_pid

        def waiting() -> int:
            found: list[tuple[object, ...]] = []

            def someone() -> bool:
                found[:] = database.rows(
                    "SELECT DISTINCT pid FROM pg_locks "
                    f"WHERE NOT granted AND {pid} = ANY (pg_blocking_pids(pid)) AND pid NOT IN ("
                    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')"
                )
                return bool(found)

            wait_for(someone, f"nobody waits for {statement}")
            return int(str(found[0][0]))

        yield waiting
        with suppress(psycopg.Error):
            holder.rollback()


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_ended(connection: psycopg.Connection) -> bool:
    """Tell whether the server has ended a session."""
    try:
        connection.execute("SELECT")
    except psycopg.OperationalError:
        return True
    return False


def kill(database: Database, victim: str, pid: int) -> None:
    """Kill a process of the server, the postmaster, or all; return when the server answers again.

    A process that waits sees that the postmaster is gone. One that computes goes on, and commits:
    at a moment without a lock only a "server" ends at once.
    """
    cluster = database.cluster
    postmaster = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    if victim in ("postmaster", "server"):
        children = subprocess.run(
            ["pgrep", "-P", str(postmaster)], check=True, capture_output=True, text=True
        ).stdout.split()
        os.kill(postmaster, signal.SIGKILL)
        for child in children if victim == "server" else []:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        # They see that their parent is gone.
        wait_for(
            lambda: not any(is_alive(int(child)) for child in [*children, str(postmaster)]),
            "processes of a killed postmaster live on",
        )
        wait_for(
            lambda: not cluster.is_running, "a killed postmaster is still in the process table"
        )
        cluster.start()
    else:
        with closing(database.connect()) as witness:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not is_alive(pid), "a killed process lives on")
            wait_for(lambda: is_ended(witness), "the server did not end its other sessions")
    wait_for(
        lambda: len(database.rows("SELECT pg_postmaster_start_time()")) == 1,
        "the server did not come back",
    )
