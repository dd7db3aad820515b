"""Measures the setting target_lag: how old is what readers see, and what that costs."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from development.bench_data import Connection, connect

MINUTE = 60.0
# A month of which the marketplace has nothing: its count of requests is the number of probes.
PROBE_MONTH = "2001-01-01"
PROBE_INTERVAL = 0.2
READ_INTERVAL = 0.5


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """Return the median, the 95th percentile and the largest value."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return (
        ordered[(len(ordered) - 1) // 2],
        ordered[-(-95 * len(ordered) // 100) - 1],
        ordered[-1],
    )


def pgbench_latencies(directory: Path) -> list[float]:
    """Read the milliseconds of each transaction from the logs of pgbench in a directory.

    With a rate pgbench counts from the moment at which a transaction was due. So a stall of the
    database counts for all transactions that it keeps waiting.
    """
    return [
        int(line.split()[2]) / 1000
        for path in sorted(directory.iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


@dataclass
class Probes:
    """Requests of a month of their own, inserted one after the other, and who sees them.

    The age of what readers see is the age of the oldest probe that the view does not show yet. It
    is measured from outside: nothing that the package says about itself is used.
    """

    url: str
    written: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    def write(self, connection: Connection) -> None:
        """Insert one more probe."""
        started = time.monotonic()
        connection.execute(
            "INSERT INTO public.solicitudes "
            "(id, cliente_id, ciudad_origen, departamento_origen, created_at) "
            "SELECT %s, md5('cliente 0')::uuid, 'Bogotá', 'Cundinamarca', "
            "%s::date + interval '14 days'",
            [uuid.uuid4(), PROBE_MONTH],
        )
        self.written.append(started)

    def read(self, connection: Connection) -> None:
        """Note how old the oldest probe is that the view does not show."""
        row = connection.execute(
            "SELECT solicitudes_creadas FROM analytics.mv_metricas_mensuales WHERE mes = %s",
            [PROBE_MONTH],
        ).fetchone()
        visible = int(row[0]) if row else 0
        now = time.monotonic()
        written = list(self.written)
        self.ages.append(now - written[visible] if visible < len(written) else 0.0)


def repeat(
    url: str, interval: float, stopped: threading.Event, call: Callable[[Connection], object]
) -> None:
    """Call something each so many seconds, in a session of its own, until told to stop.

    As with pg_cron, a call that is due while the last one runs is left out.
    """
    with connect(url) as connection:
        due = time.monotonic()
        while not stopped.wait(max(0.0, due - time.monotonic())):
            call(connection)
            due += interval
            late = time.monotonic() - due
            if late > 0:
                due += interval * (late // interval + 1)


@contextmanager
def in_background(url: str, *calls: tuple[float, Callable[[Connection], object]]) -> Iterator[None]:
    """Repeat calls, each in a thread, while the block runs; raise what one of them raised."""
    stopped = threading.Event()
    errors: list[psycopg.Error] = []

    def run(interval: float, call: Callable[[Connection], object]) -> None:
        try:
            repeat(url, interval, stopped, call)
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=call) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def schedule() -> tuple[tuple[float, Callable[[Connection], object]], ...]:
    """Return the two jobs of pg_cron: both at the same second of each minute."""
    return (
        (MINUTE, lambda connection: connection.execute("CALL analytics.tick()")),
        (MINUTE, lambda connection: connection.execute("CALL analytics.work()")),
    )
