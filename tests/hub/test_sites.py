"""A hub and three sites on servers of their own, of which one is away, hangs, dies or differs."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, datetime
from functools import partial
from random import Random

import psycopg
import pytest

import hub as tool
import oracle
from cluster import Cluster, system_binaries
from conftest import TEST_SETTINGS, Database
from development.demo_source import load_source_schema
from faults.killing import POINTS_OF_A_REFRESH, Work, held, kill
from federation import differences
from gateway import Settings
from gateway_testing import started
from hub_sites import PASSWORD, ROLE, add_site, make_hub, partial_header, serve
from marketplace import BASE_SEED, SMALL, change, fill
from migrate import migrate
from oracle import Source
from sequences import audited, refresh

TAKES_MINUTES = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
SITES = ("bogota", "cali", "medellin")
# Of the hub, and of a site.
KILLS = int(os.environ.get("TELOO_KILLS", "1"))
# Ids follow from the seed: those of the other tests are below.
SEED = 100_000 + BASE_SEED


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
                fill(connection, seed, "A", TODAY, size=SMALL)
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
            fill(connection, seed, "A", TODAY, size=SMALL)
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
        told = partial_header(self.hub) or ""
        assert [part.split("=")[0] for part in told.split(", ") if part] == sorted(states)

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


# What a hub wants to read at a site.
CHANGES = "LOCK TABLE kpi_engine.hub_changes IN ACCESS EXCLUSIVE MODE"


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
    told_by_http(field)
    field.clusters["cali"].start()
    add_address(field, "cali")
    field.write("cali", 12)
    field.check()


def told_by_http(field: Field) -> None:
    """All answers say that cali is away; none has the password of the way there."""
    with started(field.hub, "hub-away", Settings(rate=100000, burst=10000)) as api:
        answer = api.get("/materialized-views/kpis/mv_metricas_mensuales", "analytics_lector")
        assert answer.headers["x-partial"] == "cali=2026-11-23T17:00:00.000Z"
        sites = api.get("/materialized-views/status", "analytics_operador").json()["sites"]
        assert [(one["site"], one["state"], one["as_of"]) for one in sites] == [
            ("bogota", "ok", "2026-11-23T17:00:00.000Z"),
            ("cali", "away", "2026-11-23T17:00:00.000Z"),
            ("medellin", "ok", "2026-11-23T17:00:00.000Z"),
        ]
        health = api.get("/health", "analytics_operador")
        assert "hub_site" in health.body
        assert (
            'teloo_analytics_problem{name="hub_site"} 1'
            in api.get("/metrics", "analytics_operador").body
        )
        assert api.get("/materialized-views/live", "analytics_lector").status == 404
        for one in (answer, health):
            assert PASSWORD not in one.body


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
    with held(field.sites["cali"], CHANGES):
        now, field.shown["cali"] = field.shown["cali"], before["cali"]
        field.check(cali="away")
    field.shown["cali"] = now
    field.check()


def test_sites_compute_their_answers_at_the_same_time(field: Field) -> None:
    """Each has its question before any of them has answered."""
    field.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '60')")
    for number, name in enumerate(SITES):
        field.write(name, 23 + number)
    with ExitStack() as locks:
        waits = [locks.enter_context(held(site, CHANGES)) for site in field.sites.values()]
        work = Work(field.refresh)
        for waiting in waits:
            waiting()
    work.end()
    assert work.error is None, work.error
    field.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '2')")
    field.compare()
    field.check()


def test_sites_that_hang_together_are_away_and_the_third_is_taken(field: Field) -> None:
    field.write("bogota", 26)
    with held(field.sites["cali"], CHANGES), held(field.sites["medellin"], CHANGES):
        field.check(cali="away", medellin="away")
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


def test_a_version_that_a_wrong_clock_stamped_is_not_lost(field: Field) -> None:
    """A site forgets versions from the oldest on, whatever their stamps say."""
    site = field.sites["cali"]
    site.execute("SELECT analytics.set_setting('hub_days', '1')")
    field.check()
    field.write("cali", 41)
    site.execute(
        "UPDATE kpi_engine.hub_versions SET noted_at = now() - interval '25 hours' "
        "WHERE version = (SELECT max(version) FROM kpi_engine.hub_versions)"
    )
    field.write("cali", 42)
    field.write("cali", 43)
    field.check()
    # What is old goes.
    site.execute("UPDATE kpi_engine.hub_versions SET noted_at = now() - interval '25 hours'")
    field.write("cali", 44)
    ((versions,),) = site.rows("SELECT count(*) FROM kpi_engine.hub_versions")
    assert versions == 2
    field.check()


def test_a_cancelled_refresh_leaves_no_transaction_at_a_site(field: Field) -> None:
    field.write("cali", 51)
    field.write("medellin", 52)
    field.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '60')")
    at_site = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'teloo-analytics hub'"
    with (
        held(field.sites["cali"], CHANGES) as cali_waits,
        held(field.sites["medellin"], CHANGES) as medellin_waits,
        field.hub.connect() as session,
        ThreadPoolExecutor(1) as pool,
    ):
        call = pool.submit(session.execute, "SELECT * FROM analytics.refresh_all_mv()")
        cali_waits()
        medellin_waits()
        assert field.sites["medellin"].rows(at_site) == [(1,)]
        session.cancel()
        with pytest.raises(psycopg.errors.QueryCanceled):
            call.result(timeout=60)
        # The session lives on.
        for name in SITES:
            field.sites[name].wait_until(at_site.replace("count(*)", "count(*) = 0"))
        assert session.execute("SELECT 1").fetchone() == (1,)
    field.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '2')")
    field.check()


class Killing:
    """Kills the hub, or a site, at one moment after another."""

    def __init__(self, field: Field, whom: str) -> None:
        self.field = field
        self.whom = whom
        self.at = field.hub if whom == "hub" else field.sites["cali"]
        self.dice = Random(SEED)  # noqa: S311
        self.kills = 0
        self.seeds = itertools.count(SEED + 10_000 * (whom == "hub"))
        # So many random changes look like a fault, and the gate would keep views as they are.
        for database in (field.hub, *field.sites.values()):
            database.execute(
                "SELECT analytics.set_setting('gate', 'off'), "
                "analytics.set_setting('breaker_pct', 'off')"
            )
        # How long a refresh of the hub takes that has rows to take.
        self.longest = 0.0
        self.over_before_the_kill = 0
        waits_for_the_site = partial(self.while_the_hub_refreshes, field.sites["cali"], CHANGES)
        at_hub: dict[str, Callable[[], None]] = {
            "waits for a site": waits_for_the_site,
            "takes rows of a site": self.at_the_hub(share("hub_solicitud_facts")),
            "takes the first rows of a site": self.at_the_hub(share("hub_asesor_facts")),
            "at random": self.at_a_random_moment,
            **{name: self.at_the_hub(held) for name, held in POINTS_OF_A_REFRESH.items()},
        }
        at_site: dict[str, Callable[[], None]] = {
            "the hub waits for it": waits_for_the_site,
            "before it notes for the hub": partial(
                self.while_the_site_refreshes, share("hub_changes")
            ),
            "the hub has its rows": at_hub["between derived tables"],
            "at random": self.at_a_random_moment,
            **{
                name: partial(self.while_the_site_refreshes, held)
                for name, held in POINTS_OF_A_REFRESH.items()
            },
        }
        self.moments = at_hub if whom == "hub" else at_site

    def at_the_hub(self, statement: str) -> Callable[[], None]:
        """Return the moment at which a lock at the hub holds its refresh."""
        return partial(self.while_the_hub_refreshes, self.field.hub, statement)

    def kill(self, pid: int, other: str = "postmaster") -> None:
        """Kill the process, or the other; by turns. 0: always the other."""
        self.kills += 1
        kill(self.at, "process" if pid and self.kills % 2 else other, pid)
        if self.whom == "site":
            add_address(self.field, "cali")

    def write(self, *names: str) -> None:
        """Add and change rows at sites."""
        for name in names:
            with self.field.sites[name].connect() as connection:
                fill(connection, next(self.seeds), "A", TODAY, size=SMALL)
                change(connection, next(self.seeds), "A", TODAY)

    def news(self) -> dict[str, Source]:
        """Write at two sites and refresh them; return what all sites had before."""
        before = dict(self.field.shown)
        self.write("bogota", "cali")
        for name in ("bogota", "cali"):
            self.field.refresh_site(name)
        return before

    def while_the_hub_refreshes(self, held_at: Database, statement: str) -> None:
        """A lock holds the refresh of the hub, at the hub or at the site that it asks."""
        before = self.news()
        with held(held_at, statement) as waiting:
            work = Work(self.field.refresh)
            pid = waiting()
            self.kill(pid if held_at is self.at else self.backend())
        work.end()
        # Without a site it goes on.
        assert (work.error is None) == (self.whom == "site"), work.error
        self.is_whole(before)

    def backend(self) -> int:
        """Return the process that serves the other server, or that refreshes; 0: there is none."""
        rows = self.at.rows(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            f"AND (usename = '{ROLE}' OR query LIKE '%refresh_all_mv(%')"
        )
        return int(str(rows[0][0])) if rows else 0

    def while_the_site_refreshes(self, statement: str) -> None:
        """A lock holds the refresh of the site; the hub has what the refresh before it gave."""
        site = self.field.sites["cali"]
        self.write("cali")
        with held(site, statement) as waiting:
            work = Work(lambda: refresh(site, NOW))
            self.kill(waiting())
        work.end()
        assert work.error is not None
        self.field.check()
        self.field.refresh_site("cali")

    def at_a_random_moment(self) -> None:
        """It may be before the site gave its rows, after that, or after the refresh."""
        if not self.longest:
            self.news()
            began = time.monotonic()
            self.field.refresh()
            self.longest = time.monotonic() - began
        before = self.news()
        work = Work(self.field.refresh)
        time.sleep(self.dice.uniform(0, self.longest))
        self.kill(0, "server")
        work.end()
        self.over_before_the_kill += work.error is None and self.whom == "hub"
        self.is_whole(before)

    def is_whole(self, before: dict[str, Source]) -> None:
        """The hub shows what it had before, or all; of a site that was killed either."""
        now = self.field.shown
        either = [before, now] if self.whom == "hub" else [now, {**now, "cali": before["cali"]}]
        with self.field.hub.connect() as connection:
            instant = datetime.fromisoformat(NOW)
            found = [differences(connection, list(shown.values()), instant) for shown in either]
        assert [] in found, "\n".join(line for lines in found for line in lines[:20])

    def check(self) -> None:
        """The next refresh of the hub has all rows of all sites, and counts each once."""
        self.field.check()
        assert audited(self.field.hub) == 0
        for name in SITES:
            answers = tool.rows_of(
                self.field.hub.url, "SELECT * FROM kpi_engine.check_hub_site(%s)", name
            )
            assert {right for _, right, _ in answers} == {True}, answers


def share(table: str) -> str:
    """Return what lets nobody write a table of the engine."""
    return f"LOCK TABLE kpi_engine.{table} IN SHARE MODE"


@pytest.mark.parametrize("whom", ["hub", "site"])
def test_nothing_is_lost_or_counted_twice_when_a_part_is_killed(field: Field, whom: str) -> None:
    """By turns at each moment; TELOO_KILLS=10 kills ten times (make test-long does 25)."""
    # None of the moments may be over by then.
    field.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '60')")
    killing = Killing(field, whom)
    for number in range(KILLS):
        list(killing.moments.values())[number % len(killing.moments)]()
        killing.check()
    field.hub.execute("SELECT analytics.set_setting('hub_timeout_seconds', '2')")
    print(
        f"\nkilled, the {whom}: {killing.kills} times, {len(killing.moments)} moments by turns, "
        f"{killing.over_before_the_kill} too late"
    )


def test_the_check_sees_rows_that_were_not_taken(field: Field) -> None:
    """Lose them on purpose: the hub believes that it has the site's version."""
    killing = Killing(field, "hub")
    killing.seeds = itertools.count(SEED + 20_000)
    killing.news()
    ((version, mark),) = field.sites["cali"].rows(
        "SELECT version, mark::text FROM kpi_engine.hub_versions ORDER BY version DESC LIMIT 1"
    )
    field.hub.execute(
        f"UPDATE kpi_engine.hub_sites SET version = {version}, mark = '{mark}' WHERE site = 'cali'"
    )
    with pytest.raises(AssertionError):
        killing.check()
    field.hub.execute("UPDATE kpi_engine.hub_sites SET mark = gen_random_uuid()")
    killing.check()


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


def test_a_rebuild_at_a_site_beside_a_pull_loses_nothing(field: Field) -> None:
    """The tables that it puts in place of the old ones are empty in the snapshot of the hub."""
    site = field.sites["bogota"]
    field.write("bogota", 61)
    lag = ("kpi_engine.hub_lag()", "BEGIN\n", "BEGIN\n    PERFORM pg_sleep(1);\n")
    site.rewrite(*lag)
    try:
        with ThreadPoolExecutor(1) as threads:
            pulling = threads.submit(field.check)
            site.wait_until(
                "SELECT EXISTS (SELECT FROM pg_stat_activity "
                "WHERE wait_event = 'PgSleep' AND query LIKE '%hub_lag%')"
            )
            with site.connect() as connection:
                connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
                connection.execute("CALL analytics.rebuild()")
            pulling.result()
    finally:
        site.rewrite(lag[0], lag[2], lag[1])
    field.check()


def test_the_settings_of_a_site_do_not_change_what_it_gives(field: Field) -> None:
    site = field.sites["cali"]
    site.execute(
        f"ALTER DATABASE {site.name} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {site.name} SET timezone = 'Asia/Shanghai'",
    )
    field.write("cali", 62)
    field.hub.execute("UPDATE kpi_engine.hub_sites SET mark = gen_random_uuid()")
    field.check()
    site.execute(f"ALTER DATABASE {site.name} RESET ALL")


def copy_request(giver: Database, taker: Database) -> str:
    """Give a request of one site to another one, too; return its id."""
    with giver.connect() as reader, taker.connect() as writer:
        row = reader.execute(
            "SELECT id, to_jsonb(s)::text FROM solicitudes AS s LIMIT 1"
        ).fetchone()
        assert row
        writer.execute(
            "INSERT INTO solicitudes SELECT copied.* FROM "
            "(SELECT cliente_id FROM solicitudes LIMIT 1) AS one "
            "CROSS JOIN LATERAL jsonb_populate_record(NULL::solicitudes, %s::jsonb "
            "|| jsonb_build_object('cliente_id', one.cliente_id)) AS copied",
            [row[1]],
        )
    return str(row[0])


def test_a_clash_of_ids_is_told_and_a_row_may_move(field: Field) -> None:
    """A request at two sites is no request twice."""
    bogota, cali = field.sites["bogota"], field.sites["cali"]
    key = copy_request(cali, bogota)
    before = field.shown["bogota"]
    field.refresh_site("bogota")
    now, field.shown["bogota"] = field.shown["bogota"], before
    field.check(bogota="clash")
    assert f"solicitud_id {key} is at site cali, too" in field.message("bogota")
    field.shown["bogota"] = now
    cali.execute(f"DELETE FROM solicitudes WHERE id = '{key}'")
    field.refresh_site("cali")
    field.check()


def test_rows_that_crossed_need_one_of_both_sites_anew(field: Field) -> None:
    """Each site waits for the other one to give a row up."""
    bogota, cali = field.sites["bogota"], field.sites["cali"]
    before = {name: field.shown[name] for name in ("bogota", "cali")}
    to_bogota, to_cali = copy_request(cali, bogota), copy_request(bogota, cali)
    assert to_bogota != to_cali
    cali.execute(f"DELETE FROM solicitudes WHERE id = '{to_bogota}'")
    bogota.execute(f"DELETE FROM solicitudes WHERE id = '{to_cali}'")
    for name in before:
        field.refresh_site(name)
    now = {name: field.shown[name] for name in before}
    field.shown.update(before)
    field.check(bogota="clash", cali="clash")
    field.shown.update(now)
    bogota_now = field.shown.pop("bogota")
    field.hub.execute("SELECT kpi_engine.remove_hub_site('bogota')")
    field.check()
    add_site(field.hub, "bogota", bogota)
    field.shown["bogota"] = bogota_now
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
    talkative = f"ALTER DATABASE {field.hub.name} SET {{}}"
    field.hub.execute(talkative.format("log_statement = 'all'"))
    field.hub.execute(talkative.format("log_min_duration_statement = 0"))
    assert tool.main([*command[:-4], "--dbname", "te'loo", "--user", "x" * 70]) in (0, 1)
    assert tool.main(["remove", "cali"]) in (0, 1)
    assert tool.main(command) == 0
    assert tool.main(command) == 1
    tool.main(["check", "cali"])
    told = capsys.readouterr()
    assert "it has nothing yet: the next refresh takes all" in told.out
    assert PASSWORD not in told.out + told.err
    log = field.hub.cluster.as_server_user("cat", field.hub.cluster.log).stdout
    assert "dblink_fdw" in log and PASSWORD not in log
    field.hub.execute(f"ALTER DATABASE {field.hub.name} RESET ALL")
    field.shown["cali"] = shown
    field.check()
    assert tool.main(["check"]) == 0
    output = capsys.readouterr()
    assert PASSWORD not in output.out + output.err
