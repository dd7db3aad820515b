"""analytics.rows_now(): each KPI view at this moment, with the changes that wait."""

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
