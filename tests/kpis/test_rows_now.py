"""analytics.rows_now(): each KPI view at this moment, with the changes that wait."""

import psycopg
import pytest

from conftest import Database
from golden_data import NOW, load_change, load_source
from migrate import migrate

VIEWS = ("mv_metricas_mensuales", "mv_ranking_asesores")
AT_THIS_MOMENT = (
    "SELECT object - 'calculado_at' FROM analytics.rows_now('{}') AS now (object) ORDER BY 1"
)
PUBLISHED = "SELECT to_jsonb(shown) - 'calculado_at' FROM analytics.{} AS shown ORDER BY 1"


@pytest.mark.parametrize("now", [NOW, "2026-12-05 12:00:00-05"])
@pytest.mark.parametrize("generation", ["A", "B"])
def test_each_view_at_this_moment_is_what_the_next_refresh_publishes(
    database: Database, generation: str, now: str
) -> None:
    """Changes wait, and on another day the windows move, too."""
    load_source(database.url, generation)
    migrate(database.url)
    database.rows("SELECT * FROM analytics.refresh_all_mv()", NOW)
    load_change(database.url, generation)
    before = {view: database.rows(PUBLISHED.format(view)) for view in VIEWS}
    expected = {view: database.rows(AT_THIS_MOMENT.format(view), now) for view in VIEWS}
    assert {view for view in VIEWS if expected[view] == before[view]} == set()
    database.rows("SELECT * FROM analytics.refresh_all_mv()", now)
    assert expected == {view: database.rows(PUBLISHED.format(view)) for view in VIEWS}


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
