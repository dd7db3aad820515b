"""Behind a real PgBouncer that gives its one connection to anybody: nothing of ours stays in it."""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import doctor
import migrate as migrate_script
import notifier
import scheduler
import source_indexes
import uninstall
from cluster import SERVER_USER_UNDER_ROOT, SUPERUSER, Cluster, free_port
from conftest import Database, Server
from development.demo_source import load_source_schema
from gateway import AUTHENTICATOR, Gateway, Settings, configuration, wait_until
from gateway_testing import Api
from marketplace import change, fill
from migrate import migrate

TAKES_MINUTES = True
TODAY = datetime.now(UTC).date()
LECTOR = "analytics_lector"
OPERATOR = "analytics_operador"
# What PgBouncer itself carries over from one client to the next.
CARRIED = (
    "application_name",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "standard_conforming_strings",
)
# PostgREST's database library sets it in each new connection.
OF_POSTGREST = ("client_min_messages",)
# SET TRANSACTION sets these: PostgreSQL gives each new transaction the session's defaults again.
OF_A_TRANSACTION = ("transaction_isolation", "transaction_read_only", "transaction_deferrable")


class Pooler:
    """A PgBouncer over one database, with so many connections, under another name of it."""

    def __init__(self, cluster: Cluster, database: str, size: int) -> None:
        self.cluster = cluster
        self.database = database
        self.port = free_port()
        self.directory = cluster.location / f"pgbouncer-{self.port}"
        self.users = {SUPERUSER: cluster.password}
        self.size = size

    def write(self) -> None:
        """Write configuration and passwords where the server's user can read them."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        files = {
            "pgbouncer.ini": (
                f"[databases]\nteloo_pool = host=127.0.0.1 port={self.cluster.port} "
                f"dbname={self.database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
                f"auth_file = {self.directory}/users.txt\npool_mode = transaction\n"
                f"default_pool_size = {self.size}\nlogfile = {self.directory}/log\n"
                f"pidfile = {self.directory}/pid\nquery_wait_timeout = 60\n"
            ),
            "users.txt": "".join(f'"{name}" "{word}"\n' for name, word in self.users.items()),
        }
        for name, text in files.items():
            path = self.directory / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        if self.cluster.under_root:
            for path in (self.directory, *self.directory.iterdir()):
                shutil.chown(path, SERVER_USER_UNDER_ROOT, SERVER_USER_UNDER_ROOT)

    def start(self) -> None:
        """Start it as the server's user and wait until it answers."""
        self.write()
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "PgBouncer is missing: scripts/install.sh --test"
        self.cluster.must("pgbouncer", program, "-q", "-d", self.directory / "pgbouncer.ini")
        assert wait_until(self.answers)

    def answers(self) -> bool:
        """Tell whether it lets somebody in."""
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End the process that start() began."""
        os.kill(int((self.directory / "pid").read_text(encoding="utf-8")), signal.SIGTERM)
        assert wait_until(lambda: not self.answers())

    def url(self, user: str = SUPERUSER, password: str = "") -> str:
        """Return a connection string through it."""
        direct = self.cluster.url("teloo_pool", user, password)
        return direct.replace(f":{self.cluster.port}/", f":{self.port}/")


@contextmanager
def pooled(database: Database, size: int = 1) -> Iterator[Pooler]:
    pooler = Pooler(database.cluster, database.name, size)
    pooler.start()
    try:
        yield pooler
    finally:
        pooler.stop()


@pytest.fixture
def source(system_server: Server) -> Iterator[Database]:
    """A marketplace without the package."""
    name = system_server.new_name("pooled")
    with system_server.janitor(name):
        database = Database(system_server.cluster, name)
        load_source_schema(database.url)
        with database.session() as connection:
            fill(connection, 7, "A", TODAY)
        yield database


def left_behind(pooler: Pooler, user: str = SUPERUSER, password: str = "") -> dict[str, object]:
    """Return what the pool's one connection has that a new one has not."""
    with psycopg.connect(pooler.url(user, password), prepare_threshold=None) as connection:
        queries = {
            "settings": "SELECT array_agg(name || ' = ' || setting ORDER BY name) FROM pg_settings "
            f"WHERE source = 'session' AND name NOT IN {OF_A_TRANSACTION} AND name <> ALL (%s)",
            "analytics.now": "SELECT nullif(current_setting('analytics.now', true), '')",
            "prepared": "SELECT array_agg(statement) FROM pg_prepared_statements",
            "cursors": "SELECT array_agg(name) FROM pg_cursors WHERE name <> ''",
            "locks": "SELECT array_agg(locktype || ' ' || mode) FROM pg_locks "
            "WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
            "channels": "SELECT array_agg(channel) FROM pg_listening_channels() AS channel",
            "temporary": "SELECT array_agg(relname) FROM pg_class "
            "WHERE relnamespace = pg_my_temp_schema()",
            "role": "SELECT nullif(current_user, session_user)",
        }
        ignored = [*CARRIED, "search_path"]
        found = {
            what: connection.execute(
                query.encode(), [ignored] if what == "settings" else None
            ).fetchone()
            for what, query in queries.items()
        }
    return {what: row[0] for what, row in found.items() if row and row[0] is not None}


def application_works(pooler: Pooler) -> None:
    """Write as the application does, right after us over the same connection."""
    with psycopg.connect(pooler.url()) as connection:
        changed = connection.execute("UPDATE ofertas SET updated_at = updated_at").rowcount
        assert changed > 0


def check_one_backend(database: Database) -> None:
    """Others have one connection to the database; one that was closed may be there for a moment."""
    database.wait_until(
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


def test_no_script_leaves_anything_in_a_pooled_session(
    source: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the installation to the removal, all over one connection of one pool."""
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "http://127.0.0.1:9/nobody")
    with pooled(source) as pooler:
        given = ["--database-url", pooler.url()]

        def run(main: object, *arguments: str) -> int:
            code = main([*arguments, *given])  # type: ignore[operator]
            assert left_behind(pooler) == {}, f"{main} {arguments}"
            application_works(pooler)
            return int(code)

        assert run(migrate_script.main, "--dry-run") == 0
        assert run(migrate_script.main) == 0
        assert run(migrate_script.main, "status") == 0
        assert run(source_indexes.main) == 0
        assert run(scheduler.main, "--once") == 0
        run(doctor.main)
        run(doctor.main, "--json")
        run(notifier.main, "--once")
        source.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert run(scheduler.main, "--once") == 0
        run(doctor.main, "--strict")
        assert run(migrate_script.main) == 0
        assert run(uninstall.main, "--dry-run") == 0
        assert run(uninstall.main) == 0
        check_one_backend(source)


def test_statements_name_the_database_not_its_name_in_the_pool(
    source: Database, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    with pooled(source, 2) as pooler:
        migrate(pooler.url())
        uninstall.uninstall(pooler.url())
    said = " ".join(caplog.messages)
    assert f"teloo-analytics tick: {source.name}" in said
    assert "teloo_pool" not in said


def test_the_doctor_sees_through_a_pool_what_it_sees_without_one(source: Database) -> None:
    migrate(source.url)
    with pooled(source) as pooler:
        direct = [
            (check.name, status)
            for check, status, _ in doctor.diagnose(source.url, with_counts=True, timeout=120)
        ]
        through = [
            (check.name, status)
            for check, status, _ in doctor.diagnose(pooler.url(), with_counts=True, timeout=120)
        ]
    assert len(direct) > 20
    # Another database of the server is another name that the pool may not have.
    assert {name for name, _ in set(through) ^ set(direct)} <= {"pg_cron"}


def test_no_refresh_leaves_anything_in_a_pooled_session(source: Database) -> None:
    migrate(source.url)
    with pooled(source) as pooler:
        for statement in (
            "CALL analytics.tick()",
            "SELECT * FROM analytics.refresh_all_mv()",
            "SELECT * FROM analytics.refresh_all_mv(true)",
            "CALL analytics.rebuild()",
            "SELECT kpi_engine.queue_refresh(true, 'ana')",
            "CALL analytics.work()",
            "SELECT analytics.audit()",
            "SELECT * FROM analytics.v_metricas_mensuales_tiempo_real",
            "SELECT * FROM analytics.explain_refresh()",
            "CALL analytics.apply_change_capture()",
            "SELECT analytics.set_setting('rebuild_batch_requests', '100')",
            "CALL analytics.rebuild(true)",
        ):
            with psycopg.connect(pooler.url(), autocommit=True) as connection:
                connection.execute(statement.encode())
            assert left_behind(pooler) == {}, statement
            application_works(pooler)
        check_one_backend(source)


def test_a_refresh_that_fails_or_is_cancelled_leaves_nothing_in_a_pooled_session(
    source: Database,
) -> None:
    migrate(source.url)
    source.execute(
        "SELECT * FROM analytics.refresh_all_mv()",
        "SELECT analytics.set_setting('rebuild_batch_requests', '100')",
    )
    met_a_commit = 0
    with pooled(source) as pooler:
        for number in range(24):
            statement = (
                "CALL analytics.rebuild(true)",
                "CALL analytics.work()",
                "SELECT * FROM analytics.refresh_all_mv(true)",
            )[number % 3]
            with psycopg.connect(pooler.url(), autocommit=True) as connection:
                milliseconds = 10 + 17 * number
                pid = connection.execute("SELECT pg_backend_pid()").fetchone()
                assert pid
                canceller = threading.Thread(
                    target=source.execute,
                    args=(f"SELECT pg_sleep({milliseconds / 1000}), pg_cancel_backend({pid[0]})",),
                )
                canceller.start()
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    assert error.sqlstate == "57014", str(error)
                canceller.join()
            try:
                found = left_behind(pooler)
            except psycopg.errors.QueryCanceled:
                found = left_behind(pooler)
            if set(found) == {"locks"} and statement.startswith("CALL"):
                # The cancel met a COMMIT, which no handler can span. The session keeps the lock
                # until it ends; the health names it.
                met_a_commit += 1
                source.execute(f"SELECT pg_terminate_backend({pid[0]})")
                source.wait_until_gone(pid[0])
                continue
            assert found == {}, f"{statement}, {milliseconds} ms"
        assert met_a_commit <= 1
        with psycopg.connect(pooler.url(), autocommit=True) as connection:
            with pytest.raises(psycopg.errors.Error):
                connection.execute("BEGIN; CALL analytics.rebuild();")
            connection.execute("ROLLBACK")
        source.execute("ALTER TABLE ofertas RENAME COLUMN solicitud_id TO request_id")
        source.execute("ALTER VIEW kpi_engine.src_ofertas RENAME TO src_gone")
        for statement in ("CALL analytics.rebuild(true)", "CALL analytics.tick()"):
            with psycopg.connect(pooler.url(), autocommit=True) as connection:
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    assert error.sqlstate
            assert left_behind(pooler) == {}
    assert source.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


class Pooled(Gateway):
    """A gateway whose PostgREST goes through PgBouncer."""

    pooler: Pooler

    def database_uri(self, password: str) -> str:
        self.pooler.users[AUTHENTICATOR] = password
        return self.pooler.url(AUTHENTICATOR, password)


def test_the_api_works_through_a_pool_and_leaves_nothing_in_it(source: Database) -> None:
    migrate(source.url)
    source.execute("CALL analytics.tick()", "SELECT * FROM refresh_all_mv()")
    pooler = Pooler(source.cluster, source.name, 1)
    gateway = Pooled(source.cluster, source.name, "pooled", Settings(pooler="transaction"))
    gateway.pooler = pooler
    password = gateway.set_password()
    pooler.users[AUTHENTICATOR] = password
    pooler.start()
    try:
        gateway.start()
        api = Api(gateway, source)
        for _ in range(12):
            months = api.get("/materialized-views/monthly-metrics?limit=3", LECTOR)
            assert months.status == 200, months.body
            assert api.get("/rest/mv_ranking_asesores?limit=2", LECTOR).status == 200
            assert api.get("/health").status == 200
            assert api.get("/materialized-views/status", OPERATOR).status == 200
            assert api.get("/materialized-views/monthly-metrics?limit=x", LECTOR).status == 400
            assert api.get("/materialized-views/monthly-metrics").status == 401
            assert api.post("/materialized-views/refresh", LECTOR).status == 403
        with source.session() as connection:
            change(connection, 8, "A", TODAY, count=20)
        answer = api.post("/materialized-views/refresh", OPERATOR)
        assert answer.status == 200
        assert answer.json()["success"] is True
        assert api.post("/materialized-views/refresh?force=true", OPERATOR).status in (200, 202)
        assert api.get("/metrics", LECTOR).status == 200
        gateway.restart("postgrest")
        assert api.get("/materialized-views/city-summary", LECTOR).status == 200
        found = left_behind(pooler, AUTHENTICATOR, password)
        settings = [
            setting
            for setting in found.pop("settings", [])  # type: ignore[attr-defined]
            if setting.partition(" ")[0] not in OF_POSTGREST
        ]
        assert (settings, found) == ([], {})
        assert "error" not in gateway.log_tail("postgrest").lower()
    finally:
        gateway.stop()
        pooler.stop()


def test_rendering_for_a_pool_turns_prepared_statements_and_the_channel_off() -> None:
    ports = {"gateway": 1, "postgrest": 2, "admin": 3, "inner": 4}
    names = ("db-prepared-statements", "db-channel-enabled")
    for pooler, value in (("transaction", "false"), ("session", "true"), ("", "true")):
        text = configuration(Path("/x"), ports, Settings(pooler=pooler))["postgrest.conf"]
        for name in names:
            assert f"\n{name} = {value}\n" in text
    with pytest.raises(Exception, match="API_POOLER must be transaction or session"):
        configuration(Path("/x"), ports, Settings(pooler="statement"))
