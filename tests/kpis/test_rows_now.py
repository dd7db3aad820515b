"""analytics.rows_now(): each KPI view at this moment, with the changes that wait."""

import pytest

from conftest import Database
from golden_data import GOLDEN, NOW, run_file
from migrate import migrate
from sequences import AT_THIS_MOMENT, KPI_VIEWS, PUBLISHED


@pytest.mark.parametrize(
    ("day", "now"),
    [("day_1", "2026-11-23 23:59:59-05"), ("day_2", "2026-11-24 00:00:00-05")],
)
def test_each_view_at_this_moment_is_what_the_next_refresh_publishes(
    database: Database, day: str, now: str
) -> None:
    """A day of work waits, then one that also moves the windows."""
    run_file(database.url, GOLDEN / "rich" / "a" / "source.sql")
    migrate(database.url)
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
