"""What shares the database with us: dumps, publications. Neither keeps the other from working."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import pytest

from conftest import Database, Server, install, made_once
from database.test_restore import program
from marketplace import change, fill
from sequences import refresh, view_differences
from source_indexes import build_missing

SERVERS_TAKE_TURNS = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
MANY = """
UPDATE ofertas SET tiempo_entrega_dias = coalesce(tiempo_entrega_dias, 0) % 30 + 1;
UPDATE solicitudes SET updated_at = updated_at
"""
# As many changes leave it.
LARGE = """
ALTER TABLE kpi_engine.changed_solicitud_facts SET (autovacuum_enabled = off);
INSERT INTO kpi_engine.changed_solicitud_facts
SELECT 1, fact.* FROM kpi_engine.solicitud_facts AS fact CROSS JOIN generate_series(1, 200);
DELETE FROM kpi_engine.changed_solicitud_facts
"""
DUMPED = """
SELECT pg_locks.relation::regclass::text, pg_locks.mode
FROM pg_locks INNER JOIN pg_class ON pg_class.oid = pg_locks.relation
INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE
    pg_locks.pid = pg_backend_pid() AND pg_locks.mode = 'AccessExclusiveLock'
    AND relkind IN ('r', 'p', 'S', 'v') AND relpersistence <> 't'
    AND nspname NOT LIKE 'pg\\_%'
"""


def filled(database: Database) -> Database:
    """A refreshed marketplace."""
    with database.session() as connection:
        fill(connection, 7, "A", TODAY)
    build_missing(database.url)
    refresh(database, NOW)
    return database


@pytest.fixture
def working(database: Database) -> Database:
    def make(made: Database) -> None:
        install(made)
        filled(made)

    made_once(database, "neighbours", make)
    return database


@contextmanager
def dump_at_work(database: Database) -> Iterator[None]:
    """Hold what pg_dump holds to its end: every table, and the views that others read."""
    with database.connect(autocommit=False) as dump:
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        names = dump.execute(
            "SELECT relkind = 'r', oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v') "
            "AND relnamespace = ANY ('{analytics, kpi_engine, api, public}'::regnamespace[])"
        ).fetchall()
        for is_table, name in names:
            dump.execute(f"LOCK TABLE {name} IN ACCESS SHARE MODE".encode())
            assert is_table or name
        yield
        dump.rollback()


def call(database: Database, statement: str, seconds: int = 20) -> list[tuple[object, ...]]:
    """Run a statement that must not wait for anybody."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute(f"SET lock_timeout = '{seconds}s'".encode())
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


# -- backups --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "statement"),
    [
        ("SELECT 1", "SELECT * FROM analytics.refresh_all_mv(true)"),
        (f"{LARGE}; {MANY}", "SELECT * FROM analytics.refresh_all_mv()"),
        ("UPDATE kpi_engine.engine_state SET today = today - 9", "SELECT * FROM refresh_all_mv()"),
        ("DELETE FROM kpi_engine.month_totals", "SELECT analytics.audit()"),
        ("TRUNCATE ofertas CASCADE", "SELECT * FROM analytics.refresh_all_mv()"),
        ("SELECT 1", "SELECT kpi_engine.trim_logs()"),
    ],
    ids=["forced", "large", "another day", "audit", "truncated source", "trims"],
)
def test_no_refresh_locks_what_is_dumped(working: Database, before: str, statement: str) -> None:
    """A lock is held to the end of the transaction: what was taken on the way is still there."""
    working.execute("SELECT analytics.set_setting('rebuild_threshold_pct', '100')")
    working.execute(*before.split(";"))
    with working.connect(autocommit=False) as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SET LOCAL search_path = analytics, public")
        connection.execute(statement.encode())
        assert connection.execute(DUMPED.encode()).fetchall() == []


def test_the_first_refresh_locks_nothing_that_is_dumped(migrated: Database) -> None:
    with migrated.session() as connection:
        fill(connection, 7, "A", TODAY)
    with migrated.connect(autocommit=False) as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert connection.execute(DUMPED.encode()).fetchall() == []
    assert view_differences(migrated, NOW) == []


def test_a_dump_that_takes_hours_holds_up_no_refresh(working: Database) -> None:
    """Forced, in steps, large, small, audit and tick, while a dump holds its locks."""
    with dump_at_work(working):
        results = call(working, "SELECT * FROM analytics.refresh_all_mv(true)")
        assert {row[1] for row in results} == {"SUCCESS"}
        working.execute("DELETE FROM ofertas_detalle WHERE precio_unitario > 100000")
        call(working, "CALL analytics.rebuild(true)")
        assert view_differences(working, NOW) == []
        working.execute(*MANY.split(";"))
        assert refresh(working, NOW)[0] in ("incremental", "full")
        with working.session() as connection:
            change(connection, 8, "A", TODAY, count=20)
        assert refresh(working, NOW)[0] == "incremental"
        call(working, "CALL analytics.tick()")
        assert call(working, "SELECT analytics.audit()") == [(0,)]
    assert view_differences(working, NOW) == []
    assert working.rows(
        "SELECT DISTINCT refresh_status FROM analytics.refresh_log WHERE view_name IS NULL"
    ) == [("SUCCESS",)]


def test_a_session_idle_after_reading_the_real_time_view_holds_up_no_rebuild(
    working: Database,
) -> None:
    with working.connect(autocommit=False) as reader:
        reader.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        query = "SELECT count(*) FROM analytics.v_metricas_mensuales_tiempo_real"
        before = reader.execute(query.encode()).fetchall()
        working.execute("DELETE FROM ofertas_detalle WHERE precio_unitario > 100000")
        call(working, "CALL analytics.rebuild(true)")
        assert reader.execute(query.encode()).fetchall() == before
        reader.rollback()
    assert view_differences(working, NOW) == []


def test_parallel_dumps_and_refreshes_at_the_same_time_all_succeed(working: Database) -> None:
    over = threading.Event()
    errors: list[BaseException] = []
    dumps = 0

    def dump_again_and_again() -> None:
        nonlocal dumps
        while not over.is_set() or dumps == 0:
            path = working.cluster.location / f"{working.name}-{dumps}.dir"
            try:
                program(working.cluster, working.url, "pg_dump", "-Fd", "-j3", "-f", path)
            except BaseException as error:
                errors.append(error)
                return
            finally:
                working.cluster.as_server_user("rm", "-rf", path)
            dumps += 1

    dumper = threading.Thread(target=dump_again_and_again)
    dumper.start()
    try:
        for _ in range(4):
            call(working, "SELECT * FROM analytics.refresh_all_mv(true)")
            call(working, "CALL analytics.rebuild(true)")
            working.execute(*MANY.split(";"))
            call(working, "SELECT * FROM analytics.refresh_all_mv()")
            call(working, "CALL analytics.tick()")
    finally:
        over.set()
        dumper.join()
    assert errors == []
    assert working.rows(
        "SELECT DISTINCT refresh_status FROM analytics.refresh_log WHERE view_name IS NULL"
    ) == [("SUCCESS",)]
    assert view_differences(working, NOW) == []


def test_a_rebuild_leaves_the_set_that_is_read_no_more_empty(working: Database) -> None:
    call(working, "CALL analytics.rebuild(true)")
    other = working.rows("SELECT kpi_engine.set_of('solicitud_facts', true)")[0][0]
    assert working.rows(f"SELECT count(*) FROM kpi_engine.{other}") == [(0,)]
    assert working.rows("SELECT count(*) > 0 FROM kpi_engine.solicitud_facts") == [(True,)]


def test_a_small_refresh_after_a_large_one_reads_no_whole_table(working: Database) -> None:
    """The work table's file is large by then: it must not be taken for as many rows."""
    working.execute(*LARGE.split(";"))
    working.execute(
        "UPDATE ofertas SET tiempo_entrega_dias = 7 "
        "WHERE id = (SELECT min(id::text)::uuid FROM ofertas)"
    )
    refresh(working, NOW)
    assert working.rows(
        "SELECT reltuples < 100 FROM pg_class "
        "WHERE oid = 'kpi_engine.changed_solicitud_facts'::regclass"
    ) == [(True,)]


# -- publications ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logical_server() -> Iterator[Server]:
    """The system's server, with what logical replication needs."""
    server = Server("system")
    server.cluster.settings += "wal_level = logical\nmax_wal_senders = 4\n"
    server.cluster.start()
    try:
        yield server
    finally:
        server.cluster.remove()


@pytest.mark.parametrize("tables", ["ALL TABLES", "TABLES IN SCHEMA kpi_engine, api, public"])
def test_a_publication_of_all_tables_keeps_nothing_from_working(
    logical_server: Server, tables: str
) -> None:
    """With a slot that decodes all of it."""
    name = logical_server.new_name("published")
    with logical_server.janitor(name):
        database = Database(logical_server.cluster, name)
        install(database)
        filled(database)
        database.execute(
            f"CREATE PUBLICATION everything FOR {tables}",
            f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
        )
        try:
            for seed in (8, 9):
                with database.session() as connection:
                    change(connection, seed, "A", TODAY, count=20)
                assert refresh(database, NOW)[0] == "incremental"
            for statement in (
                "SELECT * FROM analytics.refresh_all_mv(true)",
                "CALL analytics.rebuild(true)",
                *MANY.split(";"),
                "CALL analytics.tick()",
                "CALL analytics.work()",
                "SELECT analytics.audit()",
                "SELECT kpi_engine.trim_logs()",
                "SELECT * FROM analytics.refresh_all_mv()",
                "SELECT kpi_engine.watch_usage()",
            ):
                call(database, statement)
            assert view_differences(database, NOW) == []
            assert database.rows("SELECT DISTINCT refresh_status FROM analytics.refresh_log") == [
                ("SUCCESS",)
            ]
            decoded = database.rows(
                "SELECT count(*) > 1000 FROM pg_logical_slot_get_binary_changes("
                f"'{name}', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')"
            )
            assert decoded == [(True,)]
        finally:
            database.execute(f"SELECT pg_drop_replication_slot('{name}')")
