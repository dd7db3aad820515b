"""Facts of one's own at a hub: the copy of the sites goes with the file, and has its types."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from commandline.console import UserError
from conftest import Database, Server, fresh_database
from database.sql_files import SQL_DIRECTORY
from hub_sites import add_site, make_hub, make_site
from marketplace import BASE_SEED, SMALL, fill
from migrate import migrate
from sequences import refresh

TAKES_MINUTES = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
MIRROR = "SELECT to_regclass('kpi_engine.hub_{}') IS NOT NULL"
PRICES = "SELECT historica_id, precio FROM kpi_engine.historica_prices ORDER BY 1"
FACTS = """
CREATE OR REPLACE VIEW kpi_engine.recomputed_{name} AS
SELECT
    src_ofertas_historicas.id AS historica_id,
    CASE
        WHEN abs(src_ofertas_historicas.monto_total) < 1000000000
            THEN src_ofertas_historicas.monto_total / 7
    END::{type} AS precio
FROM kpi_engine.src_ofertas_historicas;

COMMENT ON VIEW kpi_engine.recomputed_{name} IS 'Prices.';
COMMENT ON COLUMN kpi_engine.recomputed_{name}.historica_id IS 'The offer.';
COMMENT ON COLUMN kpi_engine.recomputed_{name}.precio IS 'A seventh of it.';

REVOKE ALL ON kpi_engine.recomputed_{name} FROM public;

SELECT kpi_engine.declare_derived_table(
    '{name}', 'key', ARRAY['historica_id'],
    p_source_view => 'src_ofertas_historicas',
    p_entities => '{{"historica": "historica_id"}}'
);
"""
database_of = contextmanager(fresh_database)


@pytest.fixture
def hub(system_server: Server) -> Iterator[Database]:
    with database_of(system_server) as database:
        make_hub(database)
        yield database


@pytest.fixture
def site(system_server: Server) -> Iterator[Database]:
    with database_of(system_server) as database:
        make_site(database)
        with database.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        yield database


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the SQL files."""
    shutil.copytree(SQL_DIRECTORY, tmp_path / "sql")
    return tmp_path / "sql"


def write(tree: Path, kind: str, name: str = "historica_prices") -> None:
    """Write the file of the facts, with a column of this type."""
    (tree / "views" / f"recomputed_{name}.sql").write_text(
        FACTS.format(name=name, type=kind), encoding="utf-8"
    )


def take_away(tree: Path) -> None:
    """Take the file away."""
    (tree / "views" / "recomputed_historica_prices.sql").unlink()


def refresh_both(site: Database, hub: Database) -> None:
    """Refresh the site, then the hub; the hub took all of it."""
    refresh(site, NOW)
    refresh(hub, NOW)
    assert hub.rows("SELECT state, message FROM analytics.hub_sites") == [("ok", None)]


@pytest.fixture
def pair(hub: Database, site: Database, tree: Path) -> tuple[Database, Database]:
    """A site and a hub that have the facts, with rounded prices."""
    write(tree, "numeric(12,0)")
    for database in (site, hub):
        migrate(database.url, directory=tree)
        # Nothing here is about what is held back.
        for name in ("gate", "breaker_pct"):
            database.execute(f"SELECT analytics.set_setting('{name}', 'off')")
    add_site(hub, "bogota", site)
    refresh_both(site, hub)
    assert hub.rows(PRICES) == site.rows(PRICES) != []
    return site, hub


@pytest.mark.parametrize("is_refreshed", [True, False], ids=["refreshed", "at once"])
def test_facts_that_come_back_with_another_type_are_not_rounded(
    pair: tuple[Database, Database], tree: Path, is_refreshed: bool
) -> None:
    site, hub = pair
    take_away(tree)
    for database in pair:
        migrate(database.url, directory=tree)
    kept = hub.rows(MIRROR.format("historica_prices"))
    if is_refreshed:
        refresh_both(site, hub)
    write(tree, "numeric(12,2)")
    for database in pair:
        migrate(database.url, directory=tree)
    refresh_both(site, hub)
    prices = site.rows(PRICES)
    assert hub.rows(PRICES) == prices
    assert any(price != round(Decimal(str(price))) for _, price in prices if price is not None)
    # It holds rows of the sites.
    assert kept == [(False,)]


def test_facts_that_go_and_come_back_at_the_hub_alone_are_whole(
    pair: tuple[Database, Database], tree: Path
) -> None:
    """The site notes no change: its version is the one that the hub had taken."""
    site, hub = pair
    take_away(tree)
    migrate(hub.url, directory=tree)
    write(tree, "numeric(12,0)")
    migrate(hub.url, directory=tree)
    refresh(hub, NOW)
    assert hub.rows("SELECT state FROM analytics.hub_sites") == [("ok",)]
    assert hub.rows(PRICES) == site.rows(PRICES) != []


def test_a_column_of_another_type_is_refused_at_the_hub(
    pair: tuple[Database, Database], tree: Path
) -> None:
    _, hub = pair
    write(tree, "numeric(12,2)")
    with pytest.raises(
        UserError, match=r"column precio is numeric\(12,2\), and was numeric\(12,0\) before"
    ) as refused:
        migrate(hub.url, directory=tree)
    assert "put them back" in str(refused.value.hint)
    write(tree, "numeric(12,0)")
    assert migrate(hub.url, directory=tree) == []


def test_a_copy_that_an_earlier_version_left_behind_goes(hub: Database, tree: Path) -> None:
    """By itself, or when its facts come back with other types."""
    for name in ("gone", "historica_prices"):
        hub.execute(
            f"SET ROLE analytics_owner; CREATE TABLE kpi_engine.hub_{name} "
            "(id uuid PRIMARY KEY, site text NOT NULL, precio numeric(12,0))"
        )
    write(tree, "numeric(12,2)")
    migrate(hub.url, directory=tree)
    assert hub.rows(MIRROR.format("gone")) == [(False,)]
    assert hub.rows(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'kpi_engine.hub_historica_prices'::regclass AND attname = 'precio'"
    ) == [("numeric(12,2)",)]
    assert hub.rows(MIRROR.format("sites")) == [(True,)]
    assert hub.rows(MIRROR.format("solicitud_facts")) == [(True,)]


def test_facts_whose_copy_would_have_a_name_of_the_engine_are_refused(
    hub: Database, tree: Path
) -> None:
    write(tree, "numeric(12,2)", "sites")
    with pytest.raises(UserError, match=r"the name kpi_engine\.hub_sites is taken"):
        migrate(hub.url, directory=tree)
