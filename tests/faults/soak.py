"""A soak: writers, readers over HTTP, a page, refreshes, rebuilds, other schedules, restarts.

`make test-soak` runs it for 10 minutes, or MINUTES=… At its end the nine views equal the
independent computation. What it printed is in docs/reliability.md, with the bounds.
"""

import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from cluster import LOCAL, Cluster
from conftest import TEST_SETTINGS, Database, let_superuser_in
from development.demo_source import load_source_schema
from faults.test_crash_matrix import ALL_VIEWS, differences
from gateway import Settings
from gateway_testing import Api, right_path_of, started
from jwt_token import AUDIENCE
from marketplace import BASE_SEED, Size, changes_of, fill, start
from migrate import migrate
from source_indexes import build_missing
from webapi.endpoints import ENDPOINTS

MINUTES = float(os.environ.get("MINUTES", "10"))
SEED = int(os.environ.get("TELOO_SEED", str(BASE_SEED)))
WRITERS = 8
READERS = 3
KEPT_LOGS = LOCAL / "soak-logs"
# In steady work nothing of these may grow for ever. Sizes in MB.
MEMORY_OF = {"a session of PostgreSQL": 400, "PostgREST": 400, "nginx": 100}
LOG_A_MINUTE = {"server.log": 3.0, "postgrest": 3.0}
SMALL = 8
BLOAT = 12
# What a session may be answered while others work, and while the server restarts.
EXPECTED = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
)
SIZES = (
    "SELECT oid::regclass::text, pg_relation_size(oid) / 1048576.0 FROM pg_class "
    "WHERE relnamespace IN ('kpi_engine'::regnamespace, 'analytics'::regnamespace) "
    "AND relkind IN ('r', 'm', 'i')"
)


def today() -> date:
    """Return the local day."""
    return datetime.now(ZoneInfo("America/Bogota")).date()


class Soak:
    """All that works at the same time, and what it met."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.database = api.database
        self.stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.memory: dict[str, list[float]] = {name: [] for name in MEMORY_OF}
        self.numbers = count(1)
        self.writers: set[int] = set()

    def often(self, name: str, pause: float, step: Callable[[random.Random], None]) -> None:
        """Repeat a step until the end, and keep each error that nobody expects."""
        generator = random.Random(f"{SEED} {name} {next(self.numbers)}")  # noqa: S311
        while not self.stop.is_set():
            try:
                step(generator)
                self.done[name] += 1
            except EXPECTED as error:
                self.done[f"{name}: {type(error).__name__}"] += 1
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                self.done[f"{name}: {type(error).__name__}"] += 1
                pids = {int(pid) for pid in re.findall(r"[Pp]rocess (\d+)", str(error))}
                # Between writers it is their own.
                if isinstance(error, psycopg.errors.DeadlockDetected) and pids - self.writers:
                    self.faults.append(f"{name}: {error}")
                time.sleep(0.2)
            except (psycopg.Error, AssertionError) as error:
                self.faults.append(f"{name}: {type(error).__name__}: {error}")
            self.stop.wait(generator.uniform(0.5, 1.5) * pause)

    # -- what works ------------------------------------------------------------------------

    def write(self, generator: random.Random) -> None:
        """Commit or roll back some changes, with new requests and offers, and old ones that go."""
        market = start(generator.randrange(10**9), "A", today())
        changes = list(changes_of(market).items())
        level = generator.choice(("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ"))
        with self.database.connect() as connection:
            self.writers.add(connection.info.backend_pid)
            ids = connection.execute("SELECT id::text FROM public.asesores LIMIT 50").fetchall()
            client = connection.execute("SELECT cliente_id FROM public.solicitudes LIMIT 1")
            ((cliente,),) = client.fetchall()
            connection.execute(f"BEGIN ISOLATION LEVEL {level}")
            for _ in range(generator.randrange(1, 6)):
                (table, column), value = generator.choice(changes)
                made = value()
                connection.execute(
                    psycopg.sql.SQL(
                        "UPDATE public.{} SET {} = {} WHERE id = (SELECT id FROM public.{} "
                        "WHERE id::text >= {} ORDER BY id::text LIMIT 1)"
                    ).format(
                        psycopg.sql.Identifier(table),
                        psycopg.sql.Identifier(column),
                        psycopg.sql.Literal(None if made is None else str(made)),
                        psycopg.sql.Identifier(table),
                        psycopg.sql.Literal(f"{generator.randrange(16**8):08x}"),
                    )
                )
            if generator.random() < 0.3:
                request = market.request(str(cliente), market.request_instant())
                market.make_trade(request, [str(row[0]) for row in ids], 3)
                market.insert(connection)
                connection.execute(
                    "DELETE FROM public.solicitudes WHERE id = (SELECT id FROM public.solicitudes "
                    f"WHERE id::text >= '{generator.randrange(16**8):08x}' "
                    "ORDER BY id::text LIMIT 1)"
                )
            connection.execute("COMMIT" if generator.random() < 0.9 else "ROLLBACK")

    def ask(self, path: str, role: str, method: str = "GET") -> None:
        """Ask over HTTP, as somebody of his own."""
        token = self.api.mint(
            {
                "role": role,
                "aud": AUDIENCE,
                "sub": threading.current_thread().name,
                "exp": int(time.time()) + 300,
            }
        )
        answer = self.api.request(method, path, token=token)
        self.statuses[answer.status] += 1
        # A refresh runs, a limit is reached, or a part is away.
        assert answer.status in {200, 202, 304, 409, 429, 503, 504}, (path, answer.body)
        if answer.status == 200 and "json" in answer.headers["content-type"]:
            answer.json()

    def read(self, generator: random.Random) -> None:
        """Ask for an endpoint that reads."""
        endpoint = generator.choice([one for one in ENDPOINTS if one.method == "GET"])
        role = "analytics_lector"
        self.ask(right_path_of(endpoint), role)

    def poll(self, _: random.Random) -> None:
        """Ask what an open page asks for."""
        for path in ("/", "/materialized-views/kpis", "/materialized-views/live", "/health"):
            self.ask(path, "analytics_lector")

    def refresh(self, generator: random.Random) -> None:
        """Refresh, rebuild or audit by hand."""
        statement = generator.choices(
            (
                "SELECT * FROM analytics.refresh_all_mv()",
                "SELECT * FROM analytics.refresh_all_mv(force => true)",
                "CALL analytics.rebuild()",
                "SELECT analytics.audit()",
            ),
            (10, 1, 1, 2),
        )[0]
        with self.database.connect() as connection:
            rows = connection.execute(statement)
            if "audit" in statement:
                assert rows.fetchall() == [(0,)], "the audit found a wrong cell"
            elif "SELECT" in statement:
                assert {row[1] for row in rows.fetchall()} == {"SUCCESS"}

    def schedule(self, _: random.Random) -> None:
        """Do what pg_cron does, more often."""
        self.database.execute("CALL analytics.tick()")
        self.database.execute("CALL analytics.work()")

    def reschedule(self, generator: random.Random) -> None:
        """Set another time for the daily refresh, or ask for one."""
        path, method = generator.choice(
            (
                (f"scheduler/reschedule?hour={generator.randrange(24)}&minute=7", "PUT"),
                ("scheduler/trigger-refresh", "POST"),
                ("refresh", "POST"),
            )
        )
        self.ask(f"/materialized-views/{path}", "analytics_operador", method)

    def restart(self, generator: random.Random) -> None:
        """Restart the server of the database, as a crash does or in order."""
        self.stop.wait(MINUTES * 60 / 6)
        if not self.stop.is_set():
            self.database.cluster.stop(generator.choice(("immediate", "fast")))
            self.database.cluster.start()

    # -- what is measured ------------------------------------------------------------------

    def measure(self, _: random.Random) -> None:
        """Note the memory of each part."""
        postmaster = (self.database.cluster.data / "postmaster.pid").read_text().split()[0]
        children = subprocess.run(
            ["pgrep", "-P", postmaster], check=False, capture_output=True, text=True
        ).stdout.split()
        self.memory["a session of PostgreSQL"].append(max(map(own_memory, children), default=0))
        for name in ("postgrest", "nginx"):
            pid = self.api.gateway.pid(name)
            shown = "PostgREST" if name == "postgrest" else name
            self.memory[shown].append(own_memory(str(pid)) if pid else 0)

    def run(self) -> None:
        """Work for all the minutes."""
        jobs: list[tuple[str, float, Callable[[random.Random], None]]] = [
            *[("writer", 0.1, self.write)] * WRITERS,
            *[("reader", 0.1, self.read)] * READERS,
            ("page", 1, self.poll),
            ("refresh", 3, self.refresh),
            ("tick and work", 5, self.schedule),
            ("operator", 10, self.reschedule),
            ("restart", 0.1, self.restart),
            ("measure", 1, self.measure),
        ]
        threads = [threading.Thread(target=self.often, args=job, name=job[0]) for job in jobs]
        for thread in threads:
            thread.start()
        time.sleep(MINUTES * 60)
        self.stop.set()
        for thread in threads:
            thread.join()


def own_memory(pid: str) -> float:
    """Return the memory that a process does not share, in MB."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0


@pytest.fixture
def soaked() -> Iterator[Api]:
    """A marketplace behind a gateway, with a real pg_cron and an eager autovacuum."""
    cluster = Cluster(
        f"test-soak-{os.getpid()}",
        database="soak",
        settings=TEST_SETTINGS + "\nautovacuum_naptime = 5s\n",
    )
    try:
        cluster.start()
        let_superuser_in(cluster)
        database = Database(cluster, "soak")
        load_source_schema(database.url)
        with database.connect() as connection:
            fill(connection, SEED, "A", today(), size=Size(20, 2, 20, 1500, 2, 300, 200, 60))
        migrate(database.url)
        build_missing(database.url)
        database.execute(
            "SELECT analytics.set_setting('gate', 'off'), "
            "analytics.set_setting('breaker_pct', 'off'), "
            "analytics.set_setting('target_lag', '1 minute'), "
            "analytics.set_setting('slow_refresh_least_ms', '3600000'), "
            "analytics.set_setting('restatement_alert_pct', 'off')",
            "SELECT * FROM analytics.refresh_all_mv()",
        )
        with started(database, "soak", Settings(rate=100000, burst=10000)) as api:
            yield api
    finally:
        cluster.remove()


def sizes_of(database: Database) -> dict[str, float]:
    """Return the sizes of our tables and indexes in MB."""
    return {str(name): float(str(size)) for name, size in database.rows(SIZES)}


def bloat_of(database: Database) -> dict[str, tuple[float, float]]:
    """Return the sizes of tables and indexes, and those after they were written anew."""
    before = sizes_of(database)
    for (table,) in database.rows(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm') AND "
        "relnamespace IN ('kpi_engine'::regnamespace, 'analytics'::regnamespace)"
    ):
        database.execute(f"VACUUM FULL {table}")
    after = sizes_of(database)
    return {name: (size, after[name]) for name, size in before.items()}


def when_free(database: Database, query: str) -> list[tuple[object, ...]]:
    """Run what needs the refresh lock; pg_cron goes on refreshing for target_lag."""
    deadline = time.monotonic() + 600
    while True:
        try:
            return database.rows(query)
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_soak(soaked: Api) -> None:
    database = soaked.database
    soak = Soak(soaked)
    soak.run()
    # What happens after this must not cost what was counted for hours.
    print(f"\n{MINUTES:g} minutes: {dict(sorted(soak.done.items()))}; {soak.faults}", flush=True)
    database.execute("CALL analytics.tick()", "CALL analytics.work()")
    ((error,),) = when_free(
        database, "SELECT string_agg(error_message, '; ') FROM analytics.refresh_all_mv()"
    )
    assert error is None
    wrong = differences(database)
    audited = when_free(database, "SELECT analytics.audit()")
    waiting = database.rows("SELECT kpi_engine.changes_waiting()")
    database.execute("CALL analytics.tick()")
    problems = database.rows("SELECT problem, message FROM analytics.health_problems()")
    sizes = bloat_of(database)
    logs = {
        "server.log": database.cluster.log,
        **{name: Path(path) for name, path in soaked.gateway.logs.items()},
    }
    print(f"\n{MINUTES:g} minutes, {len(ALL_VIEWS)} views compared: {len(wrong)} wrong cells")
    for name, times in sorted(soak.done.items()):
        print(f"  {name}: {times}")
    print(f"  answers over HTTP: {dict(soak.statuses)}")
    for name, values in soak.memory.items():
        half = len(values) // 2
        print(
            f"  memory of {name}: at most {max(values[:half]):.0f} MB in the first half, "
            f"{max(values[half:]):.0f} MB in the second"
        )
    for name, path in logs.items():
        print(f"  {name}: {path.stat().st_size / 1048576 / MINUTES:.2f} MB a minute")
    print(f"  all of the package: {sum(size for size, _ in sizes.values()):.0f} MB")
    largest = sorted(sizes.items(), key=lambda item: -item[1][0])[:12]
    for name, (size, least) in largest:
        print(f"  {name}: {size:.1f} MB, written anew {least:.1f} MB")
    if soak.faults:
        # The cluster and its logs go with the test; a fault has the instant of its answer.
        shutil.rmtree(KEPT_LOGS, ignore_errors=True)
        KEPT_LOGS.mkdir(parents=True)
        for name, path in logs.items():
            shutil.copy(path, KEPT_LOGS / name)
        print(f"  the logs are in {KEPT_LOGS}")
    assert soak.faults == []
    assert wrong == []
    assert (audited, waiting) == ([(0,)], [(0,)])
    assert problems == []
    for name, values in soak.memory.items():
        assert max(values) < MEMORY_OF[name], name
        half = len(values) // 2
        assert max(values[half:]) < 1.5 * max(values[:half]) + 30, f"memory of {name} grows"
    for name, limit in LOG_A_MINUTE.items():
        assert logs[name].stat().st_size / 1048576 < limit * MINUTES + 1, name
    assert [
        name for name, (size, least) in sizes.items() if size > SMALL and size > BLOAT * least
    ] == []
