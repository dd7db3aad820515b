"""analytics.rows_now(): each KPI view at this moment, with the changes that wait."""

import psycopg
import pytest

from conftest import Database
from golden_data import GOLDEN, NOW, load_change, load_rich, load_source, run_file
from migrate import migrate
from sequences import AT_THIS_MOMENT, KPI_VIEWS, PUBLISHED

SERVERS_TAKE_TURNS = True


@pytest.mark.parametrize(
    ("day", "now"),
    [("day_1", "2026-11-23 23:59:59-05"), ("day_2", "2026-11-24 00:00:00-05")],
)
def test_each_view_at_this_moment_is_what_the_next_refresh_publishes(
    database: Database, day: str, now: str
) -> None:
    """A day of work waits, then one that also moves the windows."""
    load_rich(database.url)
    database.rows("SELECT * FROM analytics.refresh_all_mv()", NOW)
    if day == "day_2":
        run_file(database.url, GOLDEN / "rich" / "a" / "day_1.sql")
        database.rows("SELECT * FROM analytics.refresh_all_mv()", "2026-11-23 23:59:59-05")
    run_file(database.url, GOLDEN / "rich" / "a" / f"{day}.sql")
    before = {view: database.rows(PUBLISHED.format(view)) for view in KPI_VIEWS}
    expected = {view: database.rows(AT_THIS_MOMENT.format(view), now) for view in KPI_VIEWS}
    assert {view for view in KPI_VIEWS if expected[view] == before[view]} == set()
    database.rows("SELECT * FROM analytics.refresh_all_mv()", now)
    assert expected == {view: database.rows(PUBLISHED.format(view)) for view in KPI_VIEWS}


CITIES = "SELECT ciudad, sum(ofertas_ganadoras) AS ganadas FROM {} GROUP BY ciudad"


@pytest.mark.parametrize("between", ["none", "analytics.ciudades"])
def test_a_view_that_reads_another_view_follows_it(system_database: Database, between: str) -> None:
    """The view of somebody who adds one: over the ranking, or over a plain view of it."""
    database = system_database
    load_source(database.url)
    migrate(database.url)
    ranking = "analytics.mv_ranking_asesores"
    if between == "none":
        between = ranking
    else:
        database.execute(
            f"CREATE VIEW {between} AS SELECT * FROM {ranking}",
            f"ALTER VIEW {between} OWNER TO analytics_owner",
        )
    database.execute(
        f"CREATE MATERIALIZED VIEW analytics.mv_ciudades AS {CITIES.format(between)} WITH NO DATA",
        "ALTER MATERIALIZED VIEW analytics.mv_ciudades OWNER TO analytics_owner",
    )
    database.rows("SELECT * FROM analytics.refresh_all_mv()", NOW)
    load_change(database.url)
    query, shown = AT_THIS_MOMENT.format("mv_ciudades"), PUBLISHED.format("mv_ciudades")
    before, expected = database.rows(shown), database.rows(query, NOW)
    assert expected != before
    database.rows("SELECT * FROM analytics.refresh_all_mv()", NOW)
    assert database.rows(shown) == expected


@pytest.mark.parametrize("between", ["public.ciudades", 'analytics."Ciudades"'])
def test_a_view_between_that_can_not_be_followed_is_an_error(
    system_database: Database, between: str
) -> None:
    database = system_database
    load_source(database.url)
    migrate(database.url)
    database.execute(
        f"CREATE VIEW {between} AS SELECT * FROM analytics.mv_ranking_asesores",
        f"GRANT SELECT ON {between} TO analytics_owner",
        f"CREATE MATERIALIZED VIEW analytics.mv_ciudades AS {CITIES.format(between)} WITH NO DATA",
    )
    with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
        database.rows(AT_THIS_MOMENT.format("mv_ciudades"), NOW)
    assert between.removeprefix("public.") in str(caught.value.diag.message_detail)
