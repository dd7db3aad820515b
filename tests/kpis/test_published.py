"""What was published stays known: the history, closed periods, restatements."""

from collections.abc import Iterator

import psycopg
import pytest

from conftest import Database
from golden_data import GOLDEN, NOW, run_file
from migrate import migrate
from sequences import KPI_VIEWS, PUBLISHED

HISTORY = (
    "SELECT object - 'calculado_at' FROM analytics.as_reported('{}', '{}') AS past (object) "
    "ORDER BY 1"
)
STAGES = (
    ("source", NOW),
    ("day_1", "2026-11-23 23:59:59-05"),
    ("day_2", "2026-11-24 00:00:00-05"),
)


def refresh(database: Database, now: str, *, force: bool = False) -> None:
    rows = database.rows(f"SELECT * FROM analytics.refresh_all_mv({str(force).lower()})", now)
    assert {row[1] for row in rows} == {"SUCCESS"}, rows


@pytest.mark.parametrize("generation", ["a", "b"])
def test_each_view_as_it_was_published_at_each_moment(
    database: Database, generation: str
) -> None:
    shown: dict[str, dict[str, list[object]]] = {}
    for stage, now in STAGES:
        run_file(database.url, GOLDEN / "rich" / generation / f"{stage}.sql")
        if stage == "source":
            migrate(database.url)
        refresh(database, now)
        shown[now] = {view: list(database.rows(PUBLISHED.format(view))) for view in KPI_VIEWS}
    assert len({str(rows) for rows in shown.values()}) == 3
    late = "2026-11-25 00:00:00-05"
    for now, views in shown.items():
        for view, rows in views.items():
            assert list(database.rows(HISTORY.format(view, now), late)) == rows, (view, now)
    # Just before the second, and at the end of a day.
    for view in KPI_VIEWS:
        moment = "2026-11-23T23:59:58.999999-05:00"
        assert list(database.rows(HISTORY.format(view, moment), late)) == shown[NOW][view]
        assert (
            list(database.rows(HISTORY.format(view, "2026-11-23"), late))
            == shown["2026-11-23 23:59:59-05"][view]
        )
