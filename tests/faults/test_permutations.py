"""Permutations of writers, refreshes, audits, rebuilds, a migrate and readers, step by step.

One thread drives all sessions: it sends a step, and goes on when the step ended or waits for a lock
(pg_blocking_pids). So each order is made as it was drawn, and its seed repeats it.
TELOO_PERMUTATIONS=500 tries more of them, TELOO_SEED=… begins at another seed.
"""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg.pq import ExecStatus

from conftest import Database, Server, fresh_database
from faults.killing import Work
from faults.test_crash_matrix import VIEW_CHANGED
from marketplace import BASE_SEED
from migrate import migrate
from sequences import audited, small_marketplace, view_differences

TAKES_MINUTES = True
SYSTEM_SERVER_IS_ENOUGH = True
PERMUTATIONS = int(os.environ.get("TELOO_PERMUTATIONS", "4"))
SEED = int(os.environ.get("TELOO_SEED", str(BASE_SEED)))
NOW = "2026-11-23 12:00:00-05"
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
# All that readers may see, as one value; a refresh stamps calculado_at.
SEEN = (
    "SELECT md5(string_agg(part, ',')) FROM ("
    "SELECT string_agg(v::text, ',' ORDER BY v::text) AS part FROM analytics.{0} AS v "
    "UNION ALL SELECT string_agg((now - 'calculado_at')::text, ',' ORDER BY now::text) "
    "FROM analytics.rows_now('{0}') AS now) AS shown"
)
VIEWS = ("mv_metricas_mensuales", "mv_finanzas_mensuales", "mv_retencion_asesores")
WRITES = (
    "UPDATE public.ofertas SET estado = '{estado}' WHERE id = "
    "(SELECT id FROM public.ofertas ORDER BY md5(id::text || '{salt}') LIMIT 1)",
    "UPDATE public.solicitudes SET created_at = created_at + interval '31 days' WHERE id = "
    "(SELECT id FROM public.solicitudes ORDER BY md5(id::text || '{salt}') LIMIT 1)",
    "UPDATE public.ofertas_detalle SET precio_unitario = mod(precio_unitario, 1000000) + 1",
    "DELETE FROM public.ofertas WHERE id = "
    "(SELECT id FROM public.ofertas ORDER BY md5(id::text || '{salt}') LIMIT 1)",
    "UPDATE public.asesores SET ciudad = 'Ciudad {salt}' WHERE id = "
    "(SELECT id FROM public.asesores ORDER BY md5(id::text || '{salt}') LIMIT 1)",
)
# What a session may be answered. A deadlock is right between writers alone.
RUNNING = "55P03"
NOT_SERIALIZABLE = "40001"
MAY_FAIL = {
    "writer": {NOT_SERIALIZABLE},
    "refresh": {RUNNING, NOT_SERIALIZABLE, "55000"},
    "audit": {RUNNING, NOT_SERIALIZABLE, "55000"},
    "rebuild": {RUNNING},
    "reader": set[str](),
}


@dataclass
class Session:
    """A connection and the steps that are left for it."""

    kind: str
    steps: list[str]
    connection: psycopg.Connection | None = None
    answers: list[object] = field(default_factory=list)
    is_waiting: bool = False
    is_broken: bool = False
    # A migrate is no statement.
    work: Work | None = None


class Stage:
    """Drives the sessions of one order."""

    def __init__(self, database: Database, observer: psycopg.Connection) -> None:
        self.database = database
        self.observer = observer
        self.transcript: list[str] = []
        self.writers: set[int] = set()

    def begin(self, session: Session) -> None:
        """Send the next step."""
        step = session.steps.pop(0)
        self.transcript.append(f"{session.kind}: {step}")
        if session.is_broken and step != "COMMIT":
            return
        if step == "migrate":
            session.work = Work(lambda: migrate(self.database.url))
        else:
            assert session.connection is not None
            session.connection.pgconn.send_query(step.encode())
        session.is_waiting = True

    def proceed(self, session: Session) -> bool:
        """Take what arrived; tell whether the step is over."""
        if not session.is_waiting:
            return True
        if session.work:
            if session.work.thread.is_alive():
                return False
            session.work.end()
            if session.work.error:
                raise session.work.error
        else:
            assert session.connection is not None
            pgconn = session.connection.pgconn
            pgconn.consume_input()
            if pgconn.is_busy():
                return False
            while result := pgconn.get_result():
                self.note(session, result)
        session.is_waiting = False
        return True

    def note(self, session: Session, result: psycopg.pq.abc.PGresult) -> None:
        """Keep an answer; fail at an error that this session may not get."""
        if result.status == ExecStatus.FATAL_ERROR:
            code = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
            self.transcript.append(f"--   {session.kind}: {code}")
            assert code in MAY_FAIL[session.kind] or self.is_of_writers(result), (
                code,
                result.error_message,
            )
            session.is_broken = True
        elif result.status == ExecStatus.TUPLES_OK and session.kind == "reader":
            session.answers.append(result.get_value(0, 0))

    def is_of_writers(self, result: psycopg.pq.abc.PGresult) -> bool:
        """Tell whether an error is a deadlock of writers alone: that is between them."""
        message = (result.error_message or b"").decode()
        pids = {int(pid) for pid in re.findall(r"[Pp]rocess (\d+)", message)}
        return "deadlock detected" in message and pids <= self.writers

    def blockers(self, session: Session) -> set[int]:
        """Return the processes that a session waits for."""
        if session.work:
            rows = self.observer.execute(
                "SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity "
                "WHERE application_name LIKE 'teloo-analytics%' AND pid <> pg_backend_pid()"
            ).fetchall()
        else:
            assert session.connection is not None
            rows = self.observer.execute(
                "SELECT unnest(pg_blocking_pids(%s))", [session.connection.info.backend_pid]
            ).fetchall()
        return {int(str(pid)) for (pid,) in rows}

    def settle(self, sessions: list[Session]) -> None:
        """Wait until each session that is at a step has ended it, or waits for a lock."""
        deadline = time.monotonic() + 60
        while waiting := [one for one in sessions if not self.proceed(one)]:
            blocked = [self.blockers(one) for one in waiting]
            if all(blocked) and self.may_wait(waiting, blocked, sessions):
                return
            assert time.monotonic() < deadline, [one.kind for one in waiting]
            time.sleep(0.002)

    def may_wait(
        self, waiting: list[Session], blocked: list[set[int]], sessions: list[Session]
    ) -> bool:
        """Check that nobody waits for who has no right to make him wait."""
        kinds = {one.connection.info.backend_pid: one.kind for one in sessions if one.connection}
        for session, pids in zip(waiting, blocked, strict=True):
            for kind in (kinds.get(pid, "migrate") for pid in pids):
                # Readers wait for nobody, but the moment of a migrate, and writers for writers.
                assert (session.kind, kind) not in {
                    ("writer", "refresh"),
                    ("writer", "audit"),
                    ("writer", "rebuild"),
                    ("writer", "reader"),
                    ("writer", "migrate"),
                    ("reader", "refresh"),
                    ("reader", "audit"),
                    ("reader", "rebuild"),
                    ("reader", "writer"),
                }, f"a {session.kind} waits for a {kind}"
        return True

    def play(self, sessions: list[Session], choose: Callable[[list[Session]], Session]) -> None:
        """Play all steps in the order that is chosen."""
        while any(one.steps or one.is_waiting for one in sessions):
            ready = [one for one in sessions if one.steps and not one.is_waiting]
            if ready:
                self.begin(choose(ready))
            self.settle(sessions)


def cast_of(generator: random.Random) -> list[Session]:
    """Draw two writers, a refresh, and three others, with what they do."""

    def level(*levels: str) -> str:
        return f"BEGIN ISOLATION LEVEL {generator.choice(levels or LEVELS)}"

    def write() -> str:
        return generator.choice(WRITES).format(
            salt=generator.randrange(10**6),
            estado=generator.choice(("ACEPTADA", "GANADORA", "RECHAZADA")),
        )

    refresh = "SELECT count(*) FROM analytics.refresh_all_mv({})"
    makers = {
        "writer": lambda: [level(), write(), write(), generator.choice(("COMMIT", "ROLLBACK"))],
        "refresh": lambda: generator.choice(
            (
                [refresh.format("")],
                [refresh.format("force => true")],
                [level(), "SELECT count(*) FROM public.asesores", refresh.format(""), "COMMIT"],
            )
        ),
        "audit": lambda: generator.choice(
            (["SELECT analytics.audit()"], [level(), "SELECT analytics.audit()", "COMMIT"])
        ),
        "rebuild": lambda: ["CALL analytics.rebuild()"],
        "reader": lambda: [
            level("REPEATABLE READ", "SERIALIZABLE"),
            *(SEEN.format(view) for view in (VIEWS * 2)),
            "COMMIT",
        ],
        "migrate": lambda: ["migrate"],
    }
    kinds = ["writer", "writer", "refresh", "reader"]
    kinds += generator.sample(["refresh", "audit", "rebuild", "reader", "migrate"], 2)
    return [Session(kind, makers[kind]()) for kind in kinds]


@pytest.fixture(scope="module")
def market(system_server: Server) -> Iterator[Database]:
    """A small marketplace for all orders."""
    for database in fresh_database(system_server):
        small_marketplace(database, "A")
        database.execute(
            "SELECT analytics.set_setting('gate', 'off'), "
            "analytics.set_setting('breaker_pct', 'off')"
        )
        yield database


@pytest.mark.parametrize("seed", range(SEED, SEED + PERMUTATIONS))
def test_no_order_of_steps_loses_a_change_or_shows_half_of_it(market: Database, seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311
    sessions = cast_of(generator)
    if any(one.kind == "migrate" for one in sessions):
        market.execute(VIEW_CHANGED)
    with market.connect() as observer:
        stage = Stage(market, observer)
        try:
            for session in sessions:
                if session.kind != "migrate":
                    session.connection = market.connect()
                    session.connection.execute(
                        "SELECT set_config('analytics.now', %s, false)", [NOW]
                    )
                    if session.kind == "writer":
                        stage.writers.add(session.connection.info.backend_pid)
            stage.play(sessions, generator.choice)
        except BaseException:
            print("\n".join(stage.transcript))
            raise
        finally:
            for session in sessions:
                if session.connection:
                    session.connection.close()
    print("\n".join(stage.transcript))
    for session in sessions:
        if session.kind == "reader":
            # One snapshot: what was seen first is seen again.
            assert len(session.answers) == 2 * len(VIEWS)
            assert session.answers[: len(VIEWS)] == session.answers[len(VIEWS) :]
    check(market)


def check(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        rows = connection.execute("SELECT refresh_status FROM analytics.refresh_all_mv()")
        assert Counter(status for (status,) in rows.fetchall()) == {"SUCCESS": 9}
    assert view_differences(market, NOW) == []
    assert audited(market) == 0
    assert market.rows("SELECT kpi_engine.changes_waiting()") == [(0,)]
