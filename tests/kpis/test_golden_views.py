"""The golden data of the seven further views: the views, and the oracle, against the answers."""

from datetime import date
from pathlib import Path

import psycopg
import pytest

from conftest import Database
from golden_data import GOLDEN, NOW, SUFFIXES, TODAY, load_change, load_source, read_csv, run_file
from migrate import migrate
from oracle import Row, read_source
from oracle_views import VIEWS, compute_seven, read_seven, seven_differences

RICH = GOLDEN / "rich"
STAGES = (
    ("source", NOW, TODAY),
    ("day_1", "2026-11-23 23:59:59-05", TODAY),
    ("day_2", "2026-11-24 00:00:00-05", date(2026, 11, 24)),
)


def refresh(connection: psycopg.Connection, now: str) -> str:
    """Refresh all views in a session whose clock is pinned; return the mode of the run."""
    connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
    rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
    assert len(rows) == 9
    assert {row[1] for row in rows} == {"SUCCESS"}, rows
    row = connection.execute(
        "SELECT mode FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY log_id DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    return str(row[0])


def answers(folder: Path, suffix: str) -> dict[str, list[Row]]:
    """Read the right contents of the seven views."""
    return {
        view: read_csv(folder / f"expected_{view.removeprefix('mv_')}{suffix}.csv")
        for view in VIEWS
    }


@pytest.mark.parametrize("generation", ["A", "B"])
def test_seven_views_and_oracle_equal_the_golden_answers_before_and_after_the_change(
    database: Database, generation: str
) -> None:
    load_source(database.url, generation)
    migrate(database.url)
    with database.session() as connection:
        refresh(connection, NOW)
        expected = answers(GOLDEN, SUFFIXES[generation])
        assert seven_differences(expected, compute_seven(read_source(connection), TODAY)) == []
        assert seven_differences(expected, read_seven(connection)) == []
    load_change(database.url, generation)
    with database.session() as connection:
        expected = answers(GOLDEN, "_after_change" + SUFFIXES[generation])
        assert seven_differences(expected, compute_seven(read_source(connection), TODAY)) == []
        stale = seven_differences(expected, read_seven(connection))
        assert {line.split(":")[0] for line in stale} == set(VIEWS), "the change must be visible"
        assert refresh(connection, NOW) == "incremental"
        assert seven_differences(expected, read_seven(connection)) == []


@pytest.mark.parametrize("generation", ["A", "B"])
def test_seven_views_equal_the_rich_golden_answers_after_each_day(
    database: Database, generation: str
) -> None:
    folder = RICH / generation.lower()
    for stage, now, today in STAGES:
        run_file(database.url, folder / f"{stage}.sql")
        if stage == "source":
            migrate(database.url)
        with database.session() as connection:
            mode = refresh(connection, now)
            assert mode == ("full" if stage == "source" else "incremental")
            expected = answers(folder, f"_{stage}")
            computed = compute_seven(read_source(connection), today)
            assert seven_differences(expected, computed) == [], stage
            assert seven_differences(expected, read_seven(connection)) == [], stage


@pytest.mark.parametrize("generation", ["A", "B"])
def test_seven_views_hold_the_rich_answers_when_all_is_computed_again(
    system_database: Database, generation: str
) -> None:
    folder = RICH / generation.lower()
    for stage, _, _ in STAGES:
        run_file(system_database.url, folder / f"{stage}.sql")
    migrate(system_database.url)
    with system_database.session() as connection:
        assert refresh(connection, STAGES[-1][1]) == "full"
        assert seven_differences(answers(folder, "_day_2"), read_seven(connection)) == []
        assert connection.execute("SELECT analytics.audit()").fetchone() == (0,)
