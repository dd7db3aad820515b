"""What a hub says of a site follows from what the site knows of its own figures."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date

import psycopg
import pytest

import hub as tool
from capture.origins import ORIGINS, install_origins
from capture.subscriber import Pair, make_publisher, publishing_cluster
from capture.test_origins import fill_origin
from conftest import Database, Server, fresh_database, install
from hub_sites import add_site, add_site_over, make_hub, make_site, partial_header, serve
from marketplace import BASE_SEED, SMALL, fill
from sequences import refresh

TAKES_MINUTES = True
NOW = "2026-11-23 12:00:00-05"
LATER = "2026-11-26 12:00:00-05"
TODAY = date(2026, 11, 23)
# Of 0.1.1, too: a hub of either version asks sites of either.
OFFERED = [
    ("refusal",),
    ("facts_version",),
    ("time_zone",),
    ("today",),
    ("as_of",),
    ("version",),
    ("mark",),
    ("is_everything",),
]
database_of = contextmanager(fresh_database)


@pytest.fixture
def hub(system_server: Server) -> Iterator[Database]:
    with database_of(system_server) as database:
        make_hub(database)
        yield database


@pytest.fixture
def site(system_server: Server) -> Iterator[Database]:
    """A site with a small marketplace, refreshed."""
    with database_of(system_server) as database:
        make_site(database)
        with database.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        refresh(database, NOW)
        yield database


def told(hub: Database, now: str = NOW) -> str:
    """Return what health says of the sites; an empty text: nothing."""
    rows = hub.rows(
        "SELECT message FROM analytics.health_problems() WHERE problem = 'hub_site'", now
    )
    return str(rows[0][0]) if rows else ""


def test_a_site_whose_own_figures_lack_rows_is_partial_at_the_hub(
    hub: Database, system_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its refresh counts what came meanwhile."""
    with ExitStack() as stack:
        cluster = stack.enter_context(publishing_cluster())
        site = stack.enter_context(database_of(system_server))
        install(site)
        pair = Pair(make_publisher(cluster, site.name, "A"), site)
        with pair.publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        stack.callback(pair.unsubscribe)
        pair.subscribe()
        site.execute("CALL analytics.apply_change_capture()")
        serve(site)
        # It takes a second word of the publisher to know until when its changes are here.
        site.execute("CALL analytics.tick()")
        pair.catch_up()
        site.wait_until("SELECT as_of IS NOT NULL FROM analytics.replication()")
        refresh(site, NOW)
        add_site(hub, "bogota", site)
        refresh(hub, NOW)
        assert (partial_header(hub), told(hub)) == (None, "")
        site.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
        site.wait_until("SELECT NOT is_running FROM analytics.replication()")
        pair.publisher.execute("DELETE FROM ofertas_detalle; DELETE FROM ofertas")
        refresh(site, NOW)
        refresh(hub, NOW)
        assert partial_header(hub) == "bogota=2026-11-23T17:00:00.000Z"
        assert "site bogota: its own figures are not whole: subscription" in told(hub)
        assert "its publishers are counted until 20" in told(hub)
        monkeypatch.setenv("DATABASE_URL", hub.url)
        assert tool.main(["list"]) == 3
        # What counts is the refresh that the figures are of.
        site.execute(f"ALTER SUBSCRIPTION {pair.name} ENABLE")
        pair.catch_up()
        site.wait_until("SELECT NOT EXISTS (SELECT FROM kpi_engine.replica_problem())")
        refresh(hub, NOW)
        assert "its own figures are not whole" in told(hub)
        refresh(site, NOW)
        refresh(hub, NOW)
        assert (partial_header(hub), told(hub)) == (None, "")


@pytest.mark.parametrize(("setting", "last"), [("5 minutes", "2026-11-22"), ("off", "2026-11-23")])
def test_a_hub_leaves_a_day_open_that_its_site_leaves_open(
    hub: Database, site: Database, setting: str, last: str
) -> None:
    """At midnight the publisher is three minutes behind: no problem, and no whole day."""
    closed = (
        "SELECT max(period)::text FROM kpi_engine.closings WHERE view_name = 'mv_embudo_operativo'"
    )
    after_midnight, later = "2026-11-24 00:01:00-05", "2026-11-24 00:20:00-05"
    add_site(hub, "bogota", site)
    for database in (hub, site):
        database.execute("SELECT analytics.set_setting('closing_days', '0')")
    site.execute(f"SELECT analytics.set_setting('replica_lag', '{setting}')")
    refresh(hub, NOW)
    # A change, so that the hub publishes.
    site.execute("UPDATE solicitudes SET created_at = created_at - interval '1 hour'")
    refresh(site, after_midnight)
    site.execute(
        "UPDATE kpi_engine.engine_state SET facts_counted_as_of = '2026-11-23 23:58:00-05'"
    )
    refresh(hub, after_midnight)
    assert (partial_header(hub), told(hub)) == (None, "")
    assert hub.rows(closed) == [(last,)]
    # What the site counts itself, by its own clock.
    assert site.rows("SELECT kpi_engine.facts_counted_until() < '2026-11-24 00:00:00-05'") == [
        (setting != "off",)
    ]
    site.execute("UPDATE solicitudes SET created_at = created_at - interval '1 hour'")
    refresh(site, later)
    site.execute(
        "UPDATE kpi_engine.engine_state SET facts_counted_as_of = '2026-11-24 00:19:00-05'"
    )
    refresh(hub, later)
    assert hub.rows(closed) == [("2026-11-23",)]


def test_a_site_whose_gate_holds_views_is_partial_at_the_hub(hub: Database, site: Database) -> None:
    """The hub takes its facts, which are those that the gate there refuses."""
    for name in ("gate_least_requests", "gate_least_count"):
        site.execute(f"SELECT analytics.set_setting('{name}', '1')")
    refresh(site, NOW)
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    assert (partial_header(hub), told(hub)) == (None, "")
    with pytest.raises(psycopg.Error, match="it has no figures by site"):
        hub.rows("SELECT api.kpi('mv_metricas_mensuales', 'origen=bogota')")
    site.execute(
        "SELECT analytics.set_setting('breaker_pct', 'off')",
        "UPDATE solicitudes SET created_at = created_at - interval '60 years' "
        "WHERE created_at < '2026-06-01'",
    )
    site.rows("SELECT * FROM analytics.refresh_all_mv()", NOW)
    assert site.rows("SELECT count(*) > 0 FROM analytics.gate_holds") == [(True,)]
    refresh(hub, NOW)
    assert partial_header(hub) == "bogota"
    assert "site bogota: its own figures are not whole: its gate holds back mv_" in told(hub)
    assert hub.rows(
        "SELECT site ->> 'state', site ->> 'is_partial', site ->> 'is_old' "
        "FROM json_array_elements(api.status() -> 'sites') AS listed (site)",
        LATER,
    ) == [("ok", "true", "true")]
    site.execute(
        "SELECT analytics.accept_gate(view_name, 'once', 'meant') "
        "FROM (SELECT DISTINCT view_name FROM analytics.gate_holds) AS held"
    )
    refresh(site, NOW)
    refresh(hub, NOW)
    assert (partial_header(hub), told(hub)) == (None, "")


def test_figures_of_a_site_with_other_rules_report_no_period(hub: Database, site: Database) -> None:
    """The hub was upgraded first: what the site gave may lack columns that its figures need now."""
    first = "2026-11-03 12:00:00-05"
    refresh(site, first)
    add_site(hub, "bogota", site)
    refresh(hub, first)
    closed = (
        "SELECT period::text FROM kpi_engine.closings "
        "WHERE period = '2026-10-01' AND view_name = 'mv_metricas_mensuales'"
    )
    hub.execute("UPDATE kpi_engine.installation SET facts_version = 'newer'")
    refresh(hub, NOW)
    assert "it computes its facts by other rules" in told(hub)
    assert partial_header(hub) == "bogota"
    assert hub.rows(closed) == []
    hub.execute(
        "UPDATE kpi_engine.installation SET facts_version = "
        f"'{site.rows('SELECT facts_version FROM kpi_engine.installation')[0][0]}'"
    )
    site.execute(
        "UPDATE solicitudes SET created_at = created_at - interval '60 days' "
        "WHERE created_at >= '2026-11-01'"
    )
    refresh(site, LATER)
    refresh(hub, LATER)
    assert partial_header(hub) is None
    assert hub.rows(closed) == [("2026-10-01",)]


def test_days_by_other_rules_of_the_zone_are_not_added_up(hub: Database, site: Database) -> None:
    """As if the server of the site had other time zone data than that of the hub."""
    rules = "kpi_engine.zone_rules(text, date, date)"
    definition = str(site.rows(f"SELECT pg_get_functiondef('{rules}'::regprocedure)")[0][0])
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    assert told(hub) == ""
    site.rewrite(rules, "AT TIME ZONE p_time_zone", "AT TIME ZONE 'Asia/Tokyo'")
    refresh(hub, NOW)
    assert "its server got other time zone data, and it was not refreshed since" in told(hub)
    assert partial_header(hub) == "bogota"
    refresh(site, NOW)
    refresh(hub, NOW)
    assert "other time zone data of America/Bogota than the one here" in told(hub)
    assert partial_header(hub) == "bogota"
    # It gets the data of the hub.
    site.execute(definition)
    refresh(site, NOW)
    refresh(hub, NOW)
    assert told(hub) == ""
    # A site of an older version does not say it.
    site.execute("DROP FUNCTION kpi_engine.hub_zone_rules(date, date)")
    refresh(hub, NOW)
    assert told(hub) == ""


def test_a_site_whose_zone_was_set_and_that_was_not_refreshed_is_taken(
    hub: Database, site: Database
) -> None:
    """Its facts are still those of the zone of the hub. Its time zone data is not to blame."""
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    site.execute("SELECT analytics.set_setting('time_zone', 'America/Caracas')")
    refresh(hub, NOW)
    assert (partial_header(hub), told(hub)) == (None, "")
    refresh(site, NOW)
    refresh(hub, NOW)
    assert "its time_zone is America/Caracas, and here it is America/Bogota" in told(hub)
    # The zone of the hub follows: its own facts are still of the old one when it asks the site.
    hub.execute(
        "SELECT analytics.set_setting('time_zone', 'America/Caracas')",
        "SELECT analytics.set_setting('gate', 'off')",
        "SELECT analytics.set_setting('breaker_pct', 'off')",
    )
    refresh(hub, NOW)
    assert (partial_header(hub), told(hub)) == (None, "")


def test_a_site_that_can_not_say_whether_its_figures_lack_rows_is_taken(
    hub: Database, site: Database
) -> None:
    """One of 0.1.1. And it offers what a hub of 0.1.1 reads."""
    assert (
        site.rows(
            "SELECT unnest(proargnames[3:]) FROM pg_proc "
            "WHERE oid = 'kpi_engine.hub_offer(bigint, uuid)'::regprocedure"
        )
        == OFFERED
    )
    site.execute("DROP FUNCTION kpi_engine.hub_lag()")
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    assert hub.rows("SELECT state, behind FROM analytics.hub_sites") == [("ok", None)]


def test_a_site_is_as_old_as_its_facts(hub: Database, site: Database) -> None:
    """Not as a view that reads no facts."""
    site.execute(
        "CREATE TABLE public.other (a integer)",
        "GRANT SELECT ON public.other TO analytics_owner",
        "SET ROLE analytics_owner; CREATE MATERIALIZED VIEW analytics.mv_other AS "
        "SELECT count(*) AS n FROM public.other; CREATE UNIQUE INDEX ON analytics.mv_other (n); "
        "RESET ROLE",
        "ALTER TABLE public.ofertas RENAME TO offers",
    )
    add_site(hub, "bogota", site)
    results = site.rows(
        "SELECT refresh_status, count(*) FROM analytics.refresh_all_mv() GROUP BY 1 ORDER BY 1",
        LATER,
    )
    assert results == [("ERROR", 9), ("SUCCESS", 1)]
    hub.execute("SELECT analytics.set_setting('closing_days', '0')")
    refresh(hub, LATER)
    # Nor is a later day closed by these figures.
    assert hub.rows(
        "SELECT max(period)::text FROM kpi_engine.closings WHERE view_name = 'mv_embudo_operativo'"
    ) == [("2026-11-22",)]
    assert "over 26 hours old; the figures have what it gave as of 2026-11-23T17" in told(
        hub, LATER
    )


def test_a_site_over_several_origins_is_checked(hub: Database, system_server: Server) -> None:
    with database_of(system_server) as site:
        install_origins(site, dict.fromkeys(ORIGINS, "A"))
        serve(site)
        for place, schema in enumerate(ORIGINS):
            fill_origin(site, schema, BASE_SEED + place)
        refresh(site, NOW)
        add_site(hub, "both", site)
        refresh(hub, NOW)
        with hub.connect() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            connection.execute("SET ROLE analytics_owner")
            checked = connection.execute(
                "SELECT subject, is_right FROM kpi_engine.check_hub_site('both')"
            ).fetchall()
        assert len(checked) == 6
        assert [subject for subject, is_right in checked if not is_right] == []


def test_a_site_whose_server_was_dropped_is_named_and_removed(
    hub: Database, site: Database
) -> None:
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    hub.execute("DROP SERVER teloo_site_bogota CASCADE")
    refresh(hub, NOW)
    assert "site bogota: its server teloo_site_bogota is gone: somebody dropped it" in told(hub)
    hub.execute("SET ROLE analytics_owner; SELECT kpi_engine.remove_hub_site('bogota')")
    assert hub.rows("SELECT count(*) FROM kpi_engine.hub_solicitud_facts") == [(0,)]
    add_site(hub, "bogota", site)
    hub.execute("SELECT analytics.set_setting('gate', 'off')")
    refresh(hub, NOW)
    assert told(hub) == ""


def partial_of(hub: Database, now: str, call: str) -> str | None:
    """Return the header X-Partial of an answer; None without it."""
    with hub.session() as connection, connection.transaction():
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        connection.execute(f"SELECT {call}".encode())
        row = connection.execute(
            "SELECT item ->> 'X-Partial' FROM json_array_elements("
            "current_setting('response.headers')::json) AS listed (item) "
            "WHERE item ->> 'X-Partial' IS NOT NULL"
        ).fetchone()
        return str(row[0]) if row else None


def test_a_view_that_the_gate_holds_goes_on_to_lack_what_it_lacked(
    hub: Database, site: Database
) -> None:
    """The facts have the rows of the site that came back. The view was not published with them."""
    for name in ("gate_least_requests", "gate_least_count"):
        hub.execute(f"SELECT analytics.set_setting('{name}', '1')")
    hub.execute("SELECT analytics.set_setting('breaker_pct', 'off')")
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    port = hub.rows("SELECT current_setting('port')")[0][0]
    hub.execute("ALTER SERVER teloo_site_bogota OPTIONS (SET port '1')")
    away, back, seen = (f"2026-11-23 {hour}:00:00-05" for hour in (13, 14, 15))
    refresh(hub, away)
    held, kept = "mv_metricas_mensuales", "mv_ranking_asesores"
    lacks = "bogota=2026-11-23T17:00:00.000Z"
    for view in (held, kept):
        assert partial_of(hub, away, f"kpi_engine.begin_reading('{view}')") == lacks
    site.execute("DELETE FROM solicitudes WHERE created_at < '2026-10-01'")
    site.execute("SELECT analytics.set_setting('gate', 'off')")
    refresh(site, away)
    hub.execute(f"ALTER SERVER teloo_site_bogota OPTIONS (SET port '{port}')")
    hub.rows("SELECT * FROM analytics.refresh_all_mv()", back)
    views = [view for (view,) in hub.rows("SELECT DISTINCT view_name FROM analytics.gate_holds")]
    assert held in views
    assert kept not in views
    for call, wanted in (
        (f"kpi_engine.begin_reading('{held}')", lacks),
        (f"kpi_engine.mark_view('/{held}')", lacks),
        (f"kpi_engine.kpi_rows('{held}', ARRAY['as_of=2026-11-23T14:30-05'])", lacks),
        (f"kpi_engine.kpi_rows('{held}', ARRAY['as_of=2026-11-23T12:30-05'])", None),
        ("kpi_engine.begin_reading_all('tag')", lacks),
        (f"kpi_engine.begin_reading('{kept}')", None),
        (f"kpi_engine.kpi_rows('{kept}', ARRAY['as_of=2026-11-23T14:30-05'])", None),
        ("kpi_engine.set_reading_headers('tag', 1, NULL, NULL, false, p_is_live => true)", None),
    ):
        assert (call, partial_of(hub, seen, call)) == (call, wanted)
    said = "SELECT kpi_engine.digest_contents('{}') -> 'partial' -> 0 ->> 'origen'"
    assert hub.rows(said.format("monthly"), seen) == [("bogota",)]
    assert hub.rows("SELECT origen FROM analytics.partial_at('2026-11-23T14:30-05')", seen) == [
        ("bogota",)
    ]
    hub.execute("SELECT analytics.set_setting('gate', 'off')")
    refresh(hub, seen)
    assert partial_of(hub, seen, f"kpi_engine.begin_reading('{held}')") is None
    assert partial_of(hub, seen, "kpi_engine.begin_reading_all('tag')") is None
    assert hub.rows(said.format("monthly"), seen) == [(None,)]
    past = f"kpi_engine.kpi_rows('{held}', ARRAY['as_of=2026-11-23T14:30-05'])"
    assert partial_of(hub, "2026-11-23 16:00:00-05", past) == lacks


def test_a_view_that_the_gate_holds_when_a_site_is_added_goes_on_to_lack_it(
    hub: Database, site: Database, system_server: Server
) -> None:
    """A new site makes sums of closed periods jump. Its rows are missing until that is accepted."""
    for name in ("gate_least_requests", "gate_least_count"):
        hub.execute(f"SELECT analytics.set_setting('{name}', '1')")
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    added, counted, seen = (f"2026-11-23 {hour}:00:00-05" for hour in (13, 14, 15))
    held, kept = "mv_metricas_mensuales", "mv_ranking_asesores"
    with ExitStack() as stack:
        other = stack.enter_context(database_of(system_server))
        make_site(other)
        with other.session() as connection:
            fill(connection, BASE_SEED + 1, "A", TODAY, size=SMALL)
        refresh(other, NOW)
        with hub.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [added])
            add_site_over(connection, "cali", other)
        assert partial_of(hub, added, f"kpi_engine.begin_reading('{held}')") == "cali"
        hub.rows("SELECT * FROM analytics.refresh_all_mv()", counted)
        assert (held,) in hub.rows("SELECT view_name FROM analytics.gate_holds")
        assert (kept,) not in hub.rows("SELECT view_name FROM analytics.gate_holds")
        for call, wanted in (
            (f"kpi_engine.begin_reading('{held}')", "cali"),
            ("kpi_engine.begin_reading_all('tag')", "cali"),
            (f"kpi_engine.kpi_rows('{held}', ARRAY['as_of=2026-11-23T14:30-05'])", "cali"),
            (f"kpi_engine.kpi_rows('{held}', ARRAY['as_of=2026-11-23T13:30-05'])", "cali"),
            (f"kpi_engine.kpi_rows('{held}', ARRAY['as_of=2026-11-23T12:30-05'])", None),
            (f"kpi_engine.begin_reading('{kept}')", None),
        ):
            assert (call, partial_of(hub, seen, call)) == (call, wanted)
        for (view,) in hub.rows("SELECT DISTINCT view_name FROM analytics.gate_holds"):
            hub.execute(f"SELECT analytics.accept_gate('{view}', 'once', 'cali is new here')")
        refresh(hub, seen)
        for call in (f"kpi_engine.begin_reading('{held}')", "kpi_engine.begin_reading_all('tag')"):
            assert partial_of(hub, "2026-11-23 16:00:00-05", call) is None


def test_what_a_hub_said_of_a_site_before_it_was_read_is_known_later(
    hub: Database, site: Database
) -> None:
    """From the moment at which it was added. A refresh a day later ends that."""
    add_site(hub, "bogota", site)
    refresh(hub, NOW)
    with hub.session() as connection:
        connection.execute("SELECT set_config('analytics.now', '2026-11-23 13:00-05', false)")
        connection.execute("SET ROLE analytics_owner")
        for name in ("cali", "pasto"):
            connection.execute(
                "SELECT kpi_engine.add_hub_site(%s, '{\"port\": \"1\"}', 'reader', 'word')", [name]
            )
        connection.execute("SELECT set_config('analytics.now', '2026-11-23 14:00-05', false)")
        connection.execute("SELECT kpi_engine.remove_hub_site('pasto')")
    past = "kpi_engine.kpi_rows('mv_metricas_mensuales', ARRAY['as_of=2026-11-23T{}-05'])"
    assert [
        partial_of(hub, "2026-11-23 15:00:00-05", past.format(time))
        for time in ("12:30", "13:30", "14:30")
    ] == [None, "cali, pasto", "cali"]
