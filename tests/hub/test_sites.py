"""A hub and three sites on servers of their own, of which one is away, hangs, dies or differs."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime

import psycopg
import pytest

import hub as tool
import oracle
from cluster import Cluster, system_binaries
from conftest import TEST_SETTINGS, Database
from development.demo_source import load_source_schema
from federation import differences
from hub_sites import PASSWORD, ROLE, add_site, make_hub, serve
from marketplace import SMALL, fill
from migrate import migrate
from oracle import Source
from sequences import refresh

NOW = "2026-11-23 12:00:00-05"
SITES = ("bogota", "cali", "medellin")


class Field:
    """The servers, and what each site had at its last refresh that the hub could take."""

    def __init__(self, clusters: list[Cluster]) -> None:
        self.clusters = dict(zip(("hub", *SITES), clusters, strict=True))
        self.hub = Database(clusters[0], "teloo")
        self.sites = {
            name: Database(cluster, "teloo")
            for name, cluster in zip(SITES, clusters[1:], strict=True)
        }
        self.shown: dict[str, Source] = {}

    def begin(self) -> None:
        """Fill the sites, and add them to the hub."""
        for seed, (name, site) in enumerate(self.sites.items(), 1):
            load_source_schema(site.url)
            migrate(site.url)
            serve(site)
            with site.connect() as connection:
                fill(connection, seed, "A", date(2026, 11, 23), size=SMALL)
            self.refresh_site(name)
        make_hub(self.hub)
        for name, site in self.sites.items():
            add_site(self.hub, name, site)
        self.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '2')")
        self.check()

    def refresh_site(self, name: str) -> None:
        """Refresh a site; the hub shows this from its next refresh on."""
        refresh(self.sites[name], NOW)
        with self.sites[name].connect() as connection:
            self.shown[name] = oracle.read_source(connection)

    def write(self, name: str, seed: int) -> None:
        """Write more rows at a site, and refresh it."""
        with self.sites[name].connect() as connection:
            fill(connection, seed, "A", date(2026, 11, 23), size=SMALL)
        self.refresh_site(name)

    def refresh(self, *, force: bool = False) -> None:
        """Refresh the hub."""
        with self.hub.connect() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            rows = connection.execute(
                "SELECT * FROM analytics.refresh_all_mv(%s)", [force]
            ).fetchall()
        assert [row[1] for row in rows] == ["SUCCESS"] * len(rows), rows

    def check(self, **states: str) -> None:
        """Refresh the hub and compare: all sites are ok but those that are named."""
        self.refresh()
        wanted = {name: states.get(name, "ok") for name in self.shown}
        sites = self.hub.rows("SELECT site, state, message FROM analytics.hub_sites")
        assert {site: state for site, state, _ in sites} == wanted, sites
        self.compare()
        told = self.hub.rows("SELECT kpi_engine.partial_sites()")[0][0]
        assert [part.split("=")[0] for part in str(told or "").split(", ") if part] == sorted(
            states
        )

    def compare(self) -> None:
        """Compare the views of the hub with the rows that it has to show."""
        with self.hub.connect() as connection:
            found = differences(connection, list(self.shown.values()), datetime.fromisoformat(NOW))
        assert not found, "\n".join(found[:40])

    def message(self, name: str) -> str:
        """Return what the hub says of a site."""
        return str(
            self.hub.rows(f"SELECT message FROM analytics.hub_sites WHERE site = '{name}'")[0][0]
        )


@pytest.fixture(scope="module")
def field() -> Iterator[Field]:
    """Four servers: a hub and three sites."""
    clusters = [
        Cluster(
            f"test-hub-{name}-{os.getpid()}",
            binaries=system_binaries(),
            settings=TEST_SETTINGS + "shared_buffers = 64MB\n",
        )
        for name in ("hub", *SITES)
    ]
    try:
        for cluster in clusters:
            cluster.start()
        made = Field(clusters)
        made.begin()
        yield made
    finally:
        for cluster in clusters:
            cluster.remove()


@contextmanager
def stuck(site: Database) -> Iterator[None]:
    """Hold what a hub wants to read at a site."""
    connection = site.connect(autocommit=False)
    connection.execute("LOCK TABLE kpi_engine.hub_changes IN ACCESS EXCLUSIVE MODE")
    try:
        yield
    finally:
        # The server may be gone.
        with suppress(psycopg.Error):
            connection.rollback()
        connection.close()


def while_it_pulls(field: Field, site: Database, act: Callable[[], object]) -> list[BaseException]:
    """Refresh the hub; act while it waits for an answer of the site."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            field.refresh()
        except BaseException as error:
            failed.append(error)

    with stuck(site):
        thread = threading.Thread(target=run)
        thread.start()
        site.wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = "
            f"'{ROLE}' AND wait_event_type = 'Lock')"
        )
        act()
        thread.join()
    return failed


def test_a_site_that_is_away_keeps_its_last_known_figures(field: Field) -> None:
    """Also in a full refresh and in the audit; it catches up by itself."""
    field.clusters["cali"].stop("immediate")
    field.write("bogota", 11)
    field.check(cali="away")
    ((told,),) = field.hub.rows("SELECT kpi_engine.hub_problem()", "2026-11-23 12:30:00-05")
    assert "site cali: " in str(told)
    assert "Connection refused" in str(told)
    assert "site bogota" not in str(told)
    assert "as of 2026-11-23T17:00:00.000Z" in str(told)
    field.refresh(force=True)
    field.compare()
    assert field.hub.rows("SELECT analytics.audit()") == [(0,)]
    field.clusters["cali"].start()
    add_address(field, "cali")
    field.write("cali", 12)
    field.check()


def add_address(field: Field, name: str) -> None:
    """Tell the hub the port of a site, which may be another one after a start."""
    field.hub.execute(
        f"ALTER SERVER teloo_site_{name} OPTIONS (SET port '{field.clusters[name].port}')"
    )


def test_a_site_that_hangs_holds_the_others_for_its_time_limit(field: Field) -> None:
    """It is away; the others are taken."""
    field.write("bogota", 21)
    before = dict(field.shown)
    field.write("cali", 22)
    with stuck(field.sites["cali"]):
        now, field.shown["cali"] = field.shown["cali"], before["cali"]
        field.check(cali="away")
    field.shown["cali"] = now
    field.check()


def test_a_site_whose_server_is_frozen(field: Field) -> None:
    """A connection that nobody answers ends by connect_timeout."""
    field.hub.execute("ALTER SERVER teloo_site_cali OPTIONS (SET connect_timeout '2')")
    pid = int((field.clusters["cali"].data / "postmaster.pid").read_text().split("\n")[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        field.write("bogota", 31)
        field.check(cali="away")
    finally:
        os.kill(pid, signal.SIGCONT)
    field.check()


def test_a_site_killed_in_the_middle(field: Field) -> None:
    """The refresh goes on with the other sites, and commits."""
    field.write("medellin", 41)
    before = field.shown["cali"]
    field.write("cali", 42)
    now, field.shown["cali"] = field.shown["cali"], before
    assert not while_it_pulls(
        field, field.sites["cali"], lambda: field.clusters["cali"].stop("immediate")
    )
    field.compare()
    field.check(cali="away")
    field.clusters["cali"].start()
    add_address(field, "cali")
    field.shown["cali"] = now
    field.check()


def test_the_hub_killed_in_the_middle(field: Field) -> None:
    """Nothing of the refresh stays; the next one takes all of it."""
    field.write("bogota", 51)
    field.write("cali", 52)
    assert while_it_pulls(
        field, field.sites["cali"], lambda: field.clusters["hub"].stop("immediate")
    )
    field.clusters["hub"].start()
    field.check()


def test_other_rules_or_another_zone_are_refused(field: Field) -> None:
    """By name; what the site gave last stays."""
    cali = field.sites["cali"]
    cali.execute("UPDATE kpi_engine.installation SET facts_version = 'older'")
    field.check(cali="refused")
    assert "other rules" in field.message("cali")
    migrate(cali.url)
    field.check()

    cali.execute("SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')")
    refresh(cali, NOW)
    field.check(cali="refused")
    assert "time_zone is Asia/Tokyo" in field.message("cali")
    cali.execute("SELECT analytics.set_setting('time_zone', 'America/Bogota')")
    refresh(cali, NOW)
    field.check()

    cali.execute("SELECT analytics.set_setting('hub_days', '0')")
    field.check(cali="refused")
    cali.execute("SELECT analytics.set_setting('hub_days', '30')")
    field.refresh_site("cali")
    field.check()


def test_a_site_of_a_later_day_is_refused(field: Field) -> None:
    """It has given up rows that the windows of the hub still count."""
    refresh(field.sites["cali"], "2026-11-25 12:00:00-05")
    field.check(cali="refused")
    assert "its local day is 2026-11-25" in field.message("cali")
    field.refresh_site("cali")
    field.check()


def test_a_clash_of_ids_is_told_and_a_row_may_move(field: Field) -> None:
    """A request at two sites is no request twice."""
    bogota, cali = field.sites["bogota"], field.sites["cali"]
    with cali.connect() as reader, bogota.connect() as writer:
        key = reader.execute(
            "SELECT id, to_jsonb(s)::text FROM solicitudes AS s LIMIT 1"
        ).fetchone()
        assert key
        writer.execute(
            "INSERT INTO solicitudes SELECT copied.* FROM "
            "(SELECT cliente_id FROM solicitudes LIMIT 1) AS one "
            "CROSS JOIN LATERAL jsonb_populate_record(NULL::solicitudes, %s::jsonb "
            "|| jsonb_build_object('cliente_id', one.cliente_id)) AS copied",
            [key[1]],
        )
    before = field.shown["bogota"]
    field.refresh_site("bogota")
    now, field.shown["bogota"] = field.shown["bogota"], before
    field.check(bogota="clash")
    assert f"solicitud_id {key[0]} is at site cali, too" in field.message("bogota")
    field.shown["bogota"] = now
    cali.execute(f"DELETE FROM solicitudes WHERE id = '{key[0]}'")
    field.refresh_site("cali")
    field.check()


def test_the_tool(
    field: Field, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists, checks, removes and adds, and prints no password."""
    monkeypatch.setenv("DATABASE_URL", field.hub.url)
    assert tool.main(["list"]) == 0
    assert tool.main(["check"]) == 0
    field.hub.execute(
        "UPDATE kpi_engine.hub_solicitud_facts SET offers = offers + 1 WHERE site = 'cali'"
    )
    assert tool.main(["check", "cali"]) == 3
    assert "WRONG" in capsys.readouterr().out
    shown = field.shown.pop("cali")
    assert tool.main(["remove", "cali"]) == 0
    field.check()
    address = field.clusters["cali"]
    command = ["add", "cali", "--host", "127.0.0.1", "--port", str(address.port)]
    command += ["--dbname", "teloo", "--user", ROLE]
    assert tool.main(command) == 1
    monkeypatch.setenv("TELOO_HUB_PASSWORD", PASSWORD)
    assert tool.main(command) == 0
    assert tool.main(command) == 1
    field.shown["cali"] = shown
    field.check()
    assert tool.main(["check"]) == 0
    output = capsys.readouterr()
    assert PASSWORD not in output.out + output.err
