"""SIGKILL at named points of a refresh, a rebuild, an audit, a migrate, a writer: nothing is lost.

Another session holds a lock that the work needs at the point. The work is killed while it waits
there: its process alone, or the postmaster. pg_locks proves the point: what the work has behind it,
and what it has still ahead. After the restart the views are as before, the next tick completes the
work, and all nine views equal the independent computation.

TELOO_KILLS=25 kills that often at each point in both ways, and at random moments in either
(make test-long does). TELOO_SEED=… takes other rows. fsync is off: the kill of a process does
not lose what the operating system holds. So this says nothing about a loss of power.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest

import oracle
from cluster import Cluster
from commandline.console import UserError
from conftest import TEST_SETTINGS, Database, wait_for_the_new_day
from development.demo_source import load_source_schema
from faults.killing import VICTIMS, Work, kill
from marketplace import BASE_SEED, Size, changes_of, fill, start
from migrate import migrate
from oracle_views import VIEWS, compute_seven, read_seven, seven_differences
from source_indexes import build_missing

TAKES_MINUTES = True
KILLS = int(os.environ.get("TELOO_KILLS", "1"))
SEED = int(os.environ.get("TELOO_SEED", str(BASE_SEED)))
ZONE = "America/Bogota"
SIZE = Size(5, 2, 6, 220, 2, 40, 30, 20)
GATE = 4712
ALL_VIEWS = ["mv_metricas_mensuales", "mv_ranking_asesores", *VIEWS]
REQUEST = "(SELECT min(id::text)::uuid FROM public.solicitudes)"
SEEN = "SELECT md5(string_agg(v::text, ',' ORDER BY v::text)) FROM analytics.{} AS v"
# Rows of the history that the view has not, and the other way round.
LAST_OF_HISTORY = """
WITH last AS (
    SELECT contents FROM (
        SELECT DISTINCT ON (row_key) contents FROM kpi_engine.reported_rows
        WHERE view_name = '{0}' ORDER BY row_key, run_id DESC
    ) AS version WHERE contents IS NOT NULL
),
shown AS (SELECT to_jsonb(kpi) - 'calculado_at' AS contents FROM analytics.{0} AS kpi)
SELECT count(*) FROM (
    (TABLE last EXCEPT ALL TABLE shown) UNION ALL (TABLE shown EXCEPT ALL TABLE last)
) AS differs
"""
JOBS = "SELECT count(*) FROM kpi_engine.refresh_jobs WHERE state IN ('QUEUED', 'RUNNING')"
WORK = "CALL analytics.work()"
REBUILD = "CALL analytics.rebuild()"
# The gate takes a batch after the first one, in whichever set is filled.
GATE_OF_BATCHES = (
    "CREATE FUNCTION public.wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN IF EXISTS (SELECT FROM kpi_engine.rebuild_batches WHERE finished_at IS NOT NULL) "
    f"THEN PERFORM pg_advisory_xact_lock({GATE}); END IF; RETURN NULL; END $$",
    *(
        f"CREATE TRIGGER gate BEFORE INSERT ON kpi_engine.solicitud_facts_{name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.wait_at_the_gate()"
        for name in "ab"
    ),
)
# One view is built anew.
VIEW_CHANGED = (
    "UPDATE kpi_engine.migration_ledger SET checksum = 'x' "
    "WHERE name LIKE '%mv_retencion_asesores%'"
)


@dataclass(frozen=True)
class Point:
    """Where the work stops: what holds it, and how it shows in pg_locks."""

    work: str
    hold: str
    # The relation, or the kind of lock, that the work waits for.
    waits_for: str
    # Relations that it has a writer's lock on by now, and those that it has none on yet.
    behind: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    # What the work changed is committed before its kill, as between the batches of a rebuild.
    progress: str | None = None


def share(relation: str) -> str:
    """Return what lets nobody write a relation, but read it."""
    return f"LOCK TABLE {relation} IN SHARE MODE"


LOG = "kpi_engine.change_log"
FACTS = "kpi_engine.changed_solicitud_facts"
MONTHS = "kpi_engine.changed_month_totals"
RUNS = "kpi_engine.refresh_log"
HISTORY = "kpi_engine.published_rows"
PUBLICATIONS = "kpi_engine.publications"
# A materialized view that is refreshed, and the table that takes its new rows.
A_VIEW = "a materialized view"
A_NEW_TABLE = "a table that nobody else sees yet"
POINTS = {
    "refresh, before it takes the log": Point(
        WORK,
        "LOCK TABLE kpi_engine.change_log_lock IN EXCLUSIVE MODE",
        "kpi_engine.change_log_lock",
        ahead=(LOG, FACTS, RUNS),
    ),
    "refresh, after it took the log": Point(
        WORK, share(FACTS), FACTS, behind=(LOG,), ahead=(MONTHS, RUNS)
    ),
    "refresh, in the middle of the facts": Point(
        WORK,
        f"SELECT FROM kpi_engine.{{facts}} WHERE solicitud_id = {REQUEST} FOR UPDATE",
        "transactionid",
        behind=(LOG, FACTS),
        ahead=(MONTHS, RUNS),
    ),
    "refresh, between derived tables": Point(
        WORK, share(MONTHS), MONTHS, behind=(LOG, FACTS), ahead=(HISTORY, RUNS)
    ),
    "refresh, in REFRESH CONCURRENTLY, before the new rows": Point(
        WORK,
        share("pg_catalog.pg_attribute"),
        "pg_catalog.pg_attribute",
        behind=(LOG, FACTS, MONTHS, A_VIEW),
        ahead=("kpi_engine.audit_log",),
    ),
    "refresh, in REFRESH CONCURRENTLY, before the merge": Point(
        WORK,
        share("pg_catalog.pg_statistic"),
        "pg_catalog.pg_statistic",
        behind=(LOG, FACTS, MONTHS, A_VIEW, A_NEW_TABLE),
        ahead=("kpi_engine.audit_log",),
    ),
    "refresh, in the history of a view": Point(
        WORK, share(HISTORY), HISTORY, behind=(LOG, MONTHS), ahead=(RUNS,)
    ),
    "refresh, between the history of a view and its restatements": Point(
        WORK,
        share("kpi_engine.restatements"),
        "kpi_engine.restatements",
        behind=(LOG, MONTHS, HISTORY, PUBLICATIONS),
        ahead=("kpi_engine.audit_log",),
    ),
    "refresh, after its first view": Point(
        WORK,
        share(RUNS),
        RUNS,
        behind=(LOG, MONTHS, HISTORY, PUBLICATIONS),
        ahead=("kpi_engine.audit_log",),
    ),
    "refresh, before its last view": Point(
        WORK,
        "SELECT FROM kpi_engine.view_state WHERE view_name = 'mv_segmentos_asesores' FOR UPDATE",
        "transactionid",
        behind=(LOG, MONTHS, HISTORY, RUNS),
        ahead=("kpi_engine.audit_log",),
        # Its row of a view that shows nothing new is written before the first view.
        before=(
            "UPDATE kpi_engine.view_state SET today = today - 1 "
            "WHERE view_name = 'mv_segmentos_asesores'",
        ),
    ),
    "refresh, before the log row of the run": Point(
        WORK,
        share("kpi_engine.audit_log"),
        "kpi_engine.audit_log",
        behind=(LOG, MONTHS, HISTORY, RUNS),
    ),
    "rebuild, between batches": Point(
        REBUILD,
        f"SELECT pg_advisory_lock({GATE})",
        "advisory",
        ahead=("kpi_engine.derived_tables", RUNS),
        before=GATE_OF_BATCHES,
        after=("DROP FUNCTION public.wait_at_the_gate() CASCADE", REBUILD),
        progress="SELECT count(finished_at) > 0 FROM kpi_engine.rebuild_batches",
    ),
    "rebuild, in the middle of the swap": Point(
        REBUILD,
        "SELECT FROM kpi_engine.solicitud_facts LIMIT 1",
        "kpi_engine.solicitud_facts",
        behind=("kpi_engine.month_totals",),
        ahead=(RUNS,),
        after=(REBUILD,),
        progress="SELECT count(finished_at) > 1 FROM kpi_engine.rebuild_batches",
    ),
    "audit, before it notes what it found": Point(
        "SELECT analytics.audit()",
        share("kpi_engine.audit_log"),
        "kpi_engine.audit_log",
        before=("UPDATE kpi_engine.month_totals SET offers = offers + 1",),
        # Wrong cells are there again after the kill: the next audit finds them.
        after=("DO $$ BEGIN ASSERT analytics.audit() > 0; END $$",),
    ),
    "migrate, before it notes what it applied": Point(
        "migrate",
        share("kpi_engine.migration_ledger"),
        "kpi_engine.migration_ledger",
        behind=(A_NEW_TABLE,),
        before=(VIEW_CHANGED,),
        after=("migrate",),
    ),
    "migrate, at the swap of a view": Point(
        "migrate",
        "SELECT FROM analytics.mv_retencion_asesores LIMIT 1",
        "analytics.mv_retencion_asesores",
        behind=(A_NEW_TABLE,),
        before=(VIEW_CHANGED,),
        after=("migrate",),
    ),
    "writer, inside its transaction": Point(
        f"BEGIN; UPDATE public.solicitudes SET ciudad_origen = 'Nunca' WHERE id = {REQUEST}; "
        f"SELECT pg_advisory_lock({GATE})",
        f"SELECT pg_advisory_lock({GATE})",
        "advisory",
        behind=("public.solicitudes", LOG),
    ),
}


def today() -> date:
    return datetime.now(ZoneInfo(ZONE)).date()


def refreshed_market(cluster: Cluster, name: str) -> Database:
    """Make a refreshed marketplace in a cluster that runs."""
    cluster.make_database(name)
    database = Database(cluster, name)
    load_source_schema(database.url)
    with database.connect() as connection:
        fill(connection, SEED, "A", today(), size=SIZE)
    migrate(database.url)
    build_missing(database.url)
    database.execute(
        "SELECT analytics.set_setting('rebuild_batch_requests', '100'), "
        "analytics.set_setting('gate', 'off'), analytics.set_setting('breaker_pct', 'off')",
        "SELECT * FROM analytics.refresh_all_mv()",
        "CALL analytics.tick()",
        WORK,
    )
    assert differences(database) == []
    return database


@pytest.fixture(scope="module")
def crashing() -> Iterator[Database]:
    """A refreshed marketplace in a cluster that may be killed, where nothing ticks by itself."""
    cluster = Cluster(f"test-matrix-{os.getpid()}", database="cron", settings=TEST_SETTINGS)
    try:
        wait_for_the_new_day()
        cluster.start()
        yield refreshed_market(cluster, "matrix")
    finally:
        cluster.remove()


# -- writing and reading ---------------------------------------------------------------------------


def disturb(database: Database, seed: int, count: int = 12) -> None:
    """Change random rows of the source, and those by which a refresh passes every point."""
    marketplace = start(seed, "A", today())
    changes = list(changes_of(marketplace).items())
    with database.session() as connection:
        for _ in range(count):
            (table, column), value = marketplace.random.choice(changes)
            made = value()
            connection.execute(
                psycopg.sql.SQL(
                    "UPDATE public.{} SET {} = {} WHERE id = (SELECT id FROM public.{} "
                    "ORDER BY md5(id::text || {}) LIMIT 1)"
                ).format(
                    psycopg.sql.Identifier(table),
                    psycopg.sql.Identifier(column),
                    psycopg.sql.Literal(None if made is None else str(made)),
                    psycopg.sql.Identifier(table),
                    psycopg.sql.Literal(str(marketplace.random.random())),
                )
            )
        write_one(connection, seed)


def write_one(connection: psycopg.Connection, seed: int) -> None:
    """Commit one change that months, levels and cities show, and a request that comes and stays."""
    connection.execute(
        "UPDATE public.solicitudes SET ciudad_origen = %s, nivel_actual = 1 + %s %% 3, "
        f"created_at = %s::timestamptz WHERE id = {REQUEST}",
        [f"Ciudad {seed}", seed, f"2026-0{1 + seed % 8}-11 12:00:00-05"],
    )


def contents(database: Database) -> list[object]:
    """Return what each of the nine views shows."""
    return [database.rows(SEEN.format(view))[0][0] for view in ALL_VIEWS]


def differences(database: Database) -> list[str]:
    """Compare the nine views with the independent computation."""
    day = today()
    with database.session() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        source = oracle.read_source(connection)
        return oracle.all_differences(
            (oracle.compute_months(source, ZONE), oracle.compute_ranking(source, day, ZONE)),
            oracle.read_views(connection),
        ) + seven_differences(compute_seven(source, day), read_seven(connection))


# -- stopping, killing, starting again -------------------------------------------------------------


def do(database: Database, work: str) -> None:
    """Run a statement, or a migrate."""
    if work == "migrate":
        migrate(database.url)
    else:
        with database.session() as connection:
            connection.execute(work.encode())


def reached(observer: psycopg.Connection, point: Point, holder: int, work: Work) -> int:
    """Return the process that waits at the point; fail if it ended, or waits elsewhere."""
    is_kind = "." not in point.waits_for
    waiting = (
        "SELECT DISTINCT pid FROM pg_locks "
        f"WHERE NOT granted AND {holder} = ANY (pg_blocking_pids(pid)) "
        + (
            f"AND locktype = '{point.waits_for}'"
            if is_kind
            else f"AND relation = '{point.waits_for}'::regclass"
        )
    )
    deadline = time.monotonic() + 60
    while not (found := observer.execute(waiting.encode()).fetchall()):
        assert work.thread.is_alive(), f"the work ended before the point: {work.error}"
        assert time.monotonic() < deadline, (
            "the work waits elsewhere",
            observer.execute(
                "SELECT pid, query, wait_event, pg_blocking_pids(pid) FROM pg_stat_activity "
                "WHERE state = 'active'"
            ).fetchall(),
        )
    ((pid,),) = found
    return int(pid)


def writes(observer: psycopg.Connection, pid: int, relation: str) -> bool:
    """Tell whether a process holds a writer's lock, or a stronger one, on a relation."""
    condition = {
        A_VIEW: "relation IN (SELECT oid FROM pg_class WHERE relkind = 'm') "
        "AND mode = 'ExclusiveLock'",
        A_NEW_TABLE: "relation NOT IN (SELECT oid FROM pg_class)",
    }.get(relation, f"relation = '{relation}'::regclass")
    row = observer.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE granted AND mode <> 'AccessShareLock' "
        f"AND pid = {pid} AND {condition})".encode()
    ).fetchone()
    assert row is not None
    return bool(row[0])


def stop_and_kill(database: Database, point: Point, victim: str, seed: int) -> None:
    """Bring the work to its point, prove it, commit another change, and kill."""
    ((facts,),) = database.rows("SELECT kpi_engine.set_of('solicitud_facts', false)")
    with ExitStack() as ending:
        holder = ending.enter_context(closing(database.connect()))
        observer = ending.enter_context(closing(database.connect()))
        holder.execute("BEGIN")
        holder.execute(point.hold.format(facts=facts).encode())
        work = Work(lambda: do(database, point.work))
        # What a failed test leaves at work ends with it.
        ending.callback(work.thread.join, 60)
        ending.callback(holder.close)
        pid = reached(observer, point, holder.info.backend_pid, work)
        for relation in point.behind:
            assert writes(observer, pid, relation), f"{relation} is not yet behind"
        for relation in point.ahead:
            assert not writes(observer, pid, relation), f"{relation} is behind already"
        if point.progress:
            assert database.rows(point.progress) == [(True,)], "no batch is behind"
        if point.work.startswith("BEGIN"):
            assert writes(observer, pid, "public.solicitudes")
        else:
            # While a refresh is in the middle, writers go on.
            with database.session() as writer:
                write_one(writer, seed + 1)
        kill(database, victim, pid)
        work.thread.join(60)
        assert isinstance(work.error, psycopg.OperationalError | UserError), work.error


def check(database: Database, point: Point, seen: list[object]) -> None:
    """Check: last good data readable, the next tick completes, nothing is lost."""
    assert contents(database) == seen, "readers see something else than before the kill"
    for work in point.after:
        do(database, work)
    database.execute("CALL analytics.tick()", WORK)
    assert database.rows(JOBS) == [(0,)], "the tick did not complete the work"
    assert database.rows(
        "SELECT state FROM kpi_engine.refresh_jobs ORDER BY job_id DESC LIMIT 1"
    ) == [("SUCCESS",)]
    assert differences(database) == []
    assert database.rows("SELECT kpi_engine.changes_waiting()") == [(0,)]
    assert database.rows("SELECT analytics.audit()") == [(0,)], "a derived table is wrong"
    assert database.rows("SELECT pid FROM analytics.running_refresh() WHERE pid IS NOT NULL") == []
    assert database.rows("SELECT count(*) FROM kpi_engine.rebuild_batches") == [(0,)]
    for view in ALL_VIEWS:
        assert database.rows(LAST_OF_HISTORY.format(view)) == [(0,)], f"the history of {view}"
    # As a tick of the next minute sees it.
    database.execute("CALL analytics.tick()")
    assert database.rows("SELECT problem FROM analytics.health_problems()") == []


def queue(database: Database) -> None:
    database.execute("INSERT INTO kpi_engine.refresh_jobs (triggered_by) VALUES ('request')")


# -- the tests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POINTS)
def test_kill_at_a_named_point_loses_nothing(crashing: Database, name: str) -> None:
    wait_for_the_new_day()
    number = list(POINTS).index(name)
    point = POINTS[name]
    for kills in range(KILLS):
        for victim in VICTIMS if KILLS > 1 else VICTIMS[number % 2 :][:1]:
            seed = SEED + 1000 * number + 2 * kills + VICTIMS.index(victim) * 500
            disturb(crashing, seed)
            queue(crashing)
            crashing.execute(*point.before)
            seen = contents(crashing)
            stop_and_kill(crashing, point, victim, seed)
            check(crashing, point, seen)


@pytest.mark.parametrize("work", [WORK, REBUILD])
def test_kill_at_a_random_moment_loses_nothing(crashing: Database, work: str) -> None:
    """What lies between the named points. The work may be over by then: views are old or new."""
    wait_for_the_new_day()
    generator = random.Random(SEED)  # noqa: S311
    disturb(crashing, SEED + 49999)
    queue(crashing)
    begin = time.monotonic()
    do(crashing, work)
    longest = time.monotonic() - begin
    check(crashing, Point(work, "", "", after=(REBUILD,)), contents(crashing))
    killed = 0
    for kills in range(KILLS):
        seed = SEED + 50000 + kills
        disturb(crashing, seed)
        queue(crashing)
        seen = contents(crashing)
        with closing(crashing.connect()) as connection:
            pid = connection.info.backend_pid
            thread = threading.Thread(target=run_until_killed, args=[connection, work])
            thread.start()
            time.sleep(generator.uniform(0, longest))
            killed += thread.is_alive()
            kill(crashing, ("process", "server")[kills % 2], pid)
            thread.join(60)
        if contents(crashing) != seen:
            # It had committed: views are right, whatever else is left to do.
            assert differences(crashing) == []
            seen = contents(crashing)
        check(crashing, Point(work, "", "", after=(REBUILD,)), seen)
    print(f"{killed} of {KILLS} kills came before the end of {work}")


def run_until_killed(connection: psycopg.Connection, work: str) -> None:
    with suppress(psycopg.OperationalError):
        connection.execute(work.encode())


def test_the_check_sees_a_lost_change_and_a_point_that_was_not_reached(crashing: Database) -> None:
    point = POINTS["refresh, after it took the log"]
    disturb(crashing, SEED + 90001)
    queue(crashing)
    crashing.execute("DELETE FROM kpi_engine.change_log")
    with pytest.raises(AssertionError, match=r"monthly: .*expected .*, got"):
        check(crashing, point, contents(crashing))
    with pytest.raises(AssertionError, match="readers see something else"):
        check(crashing, point, [])
    # Without a change there is nothing to compute: the refresh ends and never comes to the point.
    crashing.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
    queue(crashing)
    with pytest.raises(AssertionError, match="ended before the point"):
        stop_and_kill(crashing, point, "process", SEED)
    check(crashing, point, contents(crashing))
