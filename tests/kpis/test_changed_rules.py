"""A rule of a view changes with an upgrade: no view keeps the old one, or shows no figures."""

import re
import shutil
from datetime import date
from pathlib import Path

import psycopg
import pytest

from commandline.console import UserError
from conftest import KPI_VIEWS, Database, install, made_once
from database.sql_files import SQL_DIRECTORY
from marketplace import fill
from migrate import migrate
from sequences import refresh

SYSTEM_SERVER_IS_ENOUGH = True

TODAY = date(2026, 11, 23)
NOW = "2026-11-23 12:00:00-05"
OLD_RULES = "SELECT message FROM analytics.health_problems() WHERE problem = 'old_rules'"
MONTHS = (
    "SELECT mes::text, solicitudes_rechazadas FROM analytics.mv_metricas_mensuales ORDER BY mes"
)


@pytest.fixture
def market(system_database: Database) -> Database:
    made_once(system_database, "market of rules", make_market)
    return system_database


def make_market(database: Database) -> None:
    install(database)
    with database.session() as connection:
        fill(connection, 7, "A", TODAY)
    refresh(database, NOW)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the SQL files, to change a rule in."""
    return Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))


def change(tree: Path, file: str, old: str, new: str) -> None:
    path = tree / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def off(database: Database) -> dict[str, object]:
    """Return of each view how many rows its own definition does not give now."""
    found = {}
    for view in KPI_VIEWS:
        ((definition,),) = database.rows(f"SELECT pg_get_viewdef('analytics.{view}'::regclass)")
        ((rows,),) = database.rows(
            f"SELECT count(*) FROM (({str(definition).rstrip(';')}) "
            f"EXCEPT ALL SELECT * FROM analytics.{view}) AS lacking"
        )
        if rows:
            found[view] = rows
    return found


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("functions/kpis/percentage.sql", "100 * p_part", "1000 * p_part"),
        (
            "functions/kpis/rounded_quotient.sql",
            "nullif(p_denominator, 0), 2",
            "nullif(p_denominator, 0), 1",
        ),
        (
            "views/kpis/mv_ranking_asesores_base.sql",
            "coalesce(asesor_totals.offers_won, 0)",
            "coalesce(asesor_totals.offers_won, 0) + 1",
        ),
    ],
)
def test_the_next_refresh_publishes_what_follows_from_a_changed_rule(
    market: Database, tree: Path, file: str, old: str, new: str
) -> None:
    change(tree, file, old, new)
    migrate(market.url, directory=tree)
    assert off(market)
    reasons = market.rows(
        "SELECT DISTINCT reason FROM analytics.explain_refresh() WHERE reason IS NOT NULL", NOW
    )
    assert ("a rule that it follows changed",) in reasons
    ((text,),) = market.rows(OLD_RULES, NOW)
    assert set(off(market)) <= set(re.findall(r"mv_\w+", str(text)))
    ahead = "SELECT array_agg(kpi_engine.facts_are_ahead(view)) FROM unnest(%s::text[]) AS view"
    with market.session() as connection:
        assert connection.execute(ahead, [list(off(market))]).fetchone() == (
            [True] * len(off(market)),
        )
    refresh(market, NOW)
    assert off(market) == {}
    assert refresh(market, NOW)[0] == "unchanged"
    assert market.rows(OLD_RULES, NOW) == []
    # Nothing changed since, so nothing is void.
    migrate(market.url, directory=tree)
    assert refresh(market, NOW)[0] == "unchanged"
    assert market.rows("SELECT count(*) FROM kpi_engine.view_state WHERE is_void") == [(0,)]


def test_what_the_gate_refuses_is_refused_by_migrate_too(market: Database, tree: Path) -> None:
    """Of a view's own file: it is built anew, and no refresh looks at it first."""
    for name in ("gate_least_requests", "gate_least_count"):
        market.execute(f"SELECT analytics.set_setting('{name}', '1')")
    before = market.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes")
    change(
        tree,
        "views/kpis/mv_metricas_mensuales.sql",
        "coalesce(month_totals.requests, 0) AS",
        "3 * coalesce(month_totals.requests, 0) AS",
    )
    with pytest.raises(UserError) as caught:
        migrate(market.url, directory=tree)
    assert "view mv_metricas_mensuales would show by its new definition" in str(caught.value)
    assert "nothing was changed" in str(caught.value)
    assert market.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes") == before
    # The cure that it names.
    market.execute("SELECT analytics.set_setting('gate', 'off')")
    migrate(market.url, directory=tree)
    market.execute("SELECT analytics.set_setting('gate', 'on')")
    assert market.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes") != before


def test_a_rank_by_a_key_that_is_not_shown_follows_its_rule(market: Database, tree: Path) -> None:
    """Santa-Marta and Santa Marta become one city. No column of the view but the rank changes."""
    market.execute(
        "UPDATE asesores SET ciudad = CASE WHEN left(id::text, 1) < '8' THEN 'Santa-Marta' "
        "ELSE 'Santa Marta' END"
    )
    refresh(market, NOW)
    wrong = "SELECT count(*) FROM mv_ranking_asesores WHERE ranking_ciudad <> ranking_nacional"
    assert market.rows(wrong) != [(0,)]
    change(
        tree,
        "functions/facts/trim_white_space.sql",
        "RETURN btrim(p_text,",
        "RETURN btrim(replace(p_text, '-', ' '),",
    )
    migrate(market.url, directory=tree)
    refresh(market, NOW)
    assert market.rows(wrong) == [(0,)]


def test_a_view_that_is_built_anew_shows_no_column_that_nothing_filled(
    market: Database, tree: Path
) -> None:
    before = market.rows(MONTHS)
    totals = "views/totals/recomputed_month_totals.sql"
    change(
        tree,
        totals,
        ") AS price_maximum\nFROM",
        ") AS price_maximum,\n"
        "    count(*) FILTER (WHERE solicitud_facts.is_rejected) AS requests_refused\nFROM",
    )
    change(
        tree,
        totals,
        "REVOKE ALL ON kpi_engine.recomputed_month_totals",
        "COMMENT ON COLUMN kpi_engine.recomputed_month_totals.requests_refused IS 'Refused.';\n"
        "REVOKE ALL ON kpi_engine.recomputed_month_totals",
    )
    change(
        tree,
        "views/kpis/mv_metricas_mensuales.sql",
        "coalesce(month_totals.requests_rejected, 0)",
        "coalesce(month_totals.requests_refused, 0)",
    )
    migrate(market.url, directory=tree)
    assert market.rows(MONTHS) == before
    refresh(market, NOW)
    assert market.rows(MONTHS) == before
    assert market.rows("SELECT count(*) FROM analytics.restatements") == [(0,)]


def test_a_view_that_the_gate_holds_is_not_built_anew(market: Database, tree: Path) -> None:
    """It would show what the gate refused."""
    market.execute(
        "SELECT analytics.set_setting('gate_least_requests', '0'), "
        "analytics.set_setting('gate_least_count', '0')",
        "DELETE FROM solicitudes WHERE created_at < '2026-10-30' AND id::text < '8' "
        "AND created_at > '2026-01-02'",
    )
    before = market.rows(MONTHS)
    with market.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
    held = "SELECT count(*) > 0 FROM analytics.gate_holds WHERE view_name = 'mv_metricas_mensuales'"
    assert market.rows(held) == [(True,)]
    change(
        tree,
        "views/kpis/mv_metricas_mensuales.sql",
        "coalesce(month_totals.offers_won, 0) AS",
        "coalesce(month_totals.offers_won, 0) + 0 AS",
    )
    with pytest.raises(UserError, match="the gate holds view mv_metricas_mensuales back"):
        migrate(market.url, directory=tree)
    assert market.rows(MONTHS) == before
    market.execute("SELECT analytics.set_setting('gate', 'off')")
    refresh(market, NOW)
    migrate(market.url, directory=tree)
    assert market.rows(MONTHS) != before


@pytest.mark.parametrize("seen", [True, False])
def test_an_upgrade_publishes_nothing_that_the_breaker_holds(
    market: Database, tree: Path, seen: bool
) -> None:
    """Rules of facts changed, and a view over them is built anew."""
    demand = "SELECT * FROM analytics.mv_demanda_ciudades ORDER BY ciudad"
    market.execute(
        "SELECT analytics.set_setting('gate_least_requests', '0')",
        "UPDATE solicitudes SET ciudad_origen = 'Leticia'",
    )
    before = market.rows(demand)
    run = "SELECT DISTINCT refresh_status FROM analytics.refresh_all_mv()"
    if seen:
        assert market.rows(run, NOW) == [("ERROR",)]
    held = "SELECT view_name FROM analytics.gate_holds"
    change(
        tree,
        "functions/facts/trim_white_space.sql",
        "RETURN btrim(p_text,",
        "RETURN btrim(replace(p_text, '-', ' '),",
    )
    # The facts are stale; no view is built anew.
    migrate(market.url, directory=tree)
    with (
        market.session() as connection,
        pytest.raises(psycopg.Error, match="known requests changed at once"),
    ):
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("CALL analytics.rebuild()")
    assert market.rows(demand) == before
    change(tree, "views/kpis/mv_demanda_ciudades.sql", "WITH NO DATA;", "LIMIT 9999\nWITH NO DATA;")
    with pytest.raises(UserError, match="known requests changed at once") as caught:
        migrate(market.url, directory=tree)
    assert "nothing was changed" in str(caught.value)
    assert "accept_gate('changes'" in str(caught.value.hint)
    assert market.rows(demand) == before
    assert market.rows(held) == [("changes",)]
    market.execute(
        "SELECT analytics.accept_gate('changes', 'once', 'meant'), "
        "analytics.set_setting('gate', 'off')"
    )
    assert market.rows(run, NOW) == [("SUCCESS",)]
    migrate(market.url, directory=tree)
    assert market.rows(demand) != before
    assert market.rows(held) == []
