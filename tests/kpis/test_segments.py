"""Segments of advisors: they follow the date alone, and their settings."""

from datetime import date

import psycopg
import pytest

from conftest import Database, made_once
from golden_data import NOW, TODAY, load_rich
from oracle import read_source
from oracle_views import LIMITS, compute_seven, read_seven, seven_differences

SYSTEM_SERVER_IS_ENOUGH = True
VIEW = "mv_segmentos_asesores"


@pytest.fixture
def rich(system_database: Database) -> Database:
    """The rich data of generation A, refreshed on its first day."""
    made_once(system_database, "rich", make_rich)
    return system_database


def make_rich(database: Database) -> None:
    load_rich(database.url)
    refresh(database, NOW)


def refresh(database: Database, now: str) -> str:
    """Refresh; return why the view of segments was published, or that it was not."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
        assert {row[1] for row in rows} == {"SUCCESS"}, rows
        row = connection.execute(
            "SELECT mode, reason FROM analytics.refresh_log WHERE view_name = %s "
            "ORDER BY log_id DESC LIMIT 1",
            [VIEW],
        ).fetchone()
    assert row is not None
    return f"{row[0]}: {row[1]}"


def differences(database: Database, today: date, **limits: int) -> list[str]:
    """Compare the seven views with the oracle."""
    with database.session() as connection:
        expected = compute_seven(read_source(connection), today, limits={**LIMITS, **limits})
        return seven_differences(expected, read_seven(connection))


def test_segments_follow_the_date_when_nothing_else_changed(rich: Database) -> None:
    assert differences(rich, TODAY) == []
    assert differences(rich, date(2026, 11, 24)) != [], "the next day must show"
    refresh(rich, "2026-11-24 00:00:00-05")
    assert differences(rich, date(2026, 11, 24)) == []
    refresh(rich, "2027-03-01 12:00:00-05")
    assert differences(rich, date(2027, 3, 1)) == []


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.takes_turns(3)
def test_a_changed_limit_shows_in_the_next_refresh(rich: Database, name: str) -> None:
    at_rest = refresh(rich, NOW)
    assert at_rest.startswith("unchanged: "), at_rest
    limit = 1_000 if "value" in name else 1 if LIMITS[name] > 4 else 30
    rich.execute(f"SELECT analytics.set_setting('{name}', '{limit}')")
    assert differences(rich, TODAY, **{name: limit}) != [], "the data must show it"
    assert refresh(rich, NOW) == "incremental: a setting changed"
    assert differences(rich, TODAY, **{name: limit}) == []
    assert refresh(rich, NOW).startswith("unchanged: ")


def test_a_setting_that_changes_no_segment_publishes_nothing(rich: Database) -> None:
    published = "SELECT calculated_at FROM analytics.view_state WHERE view_name = '" + VIEW + "'"
    before = rich.rows(published)
    rich.execute("SELECT analytics.set_setting('segment_new_days', '30')")
    rich.execute("SELECT analytics.set_setting('log_retention_days', '77')")
    assert refresh(rich, "2026-11-23 13:00:00-05") == "unchanged: a setting changed"
    assert rich.rows(published) == before


@pytest.mark.parametrize("value", ["-1", "1.5", "", "x", "01", "1000000000000000"])
def test_a_limit_is_a_whole_number_from_0(rich: Database, value: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        rich.execute(f"SELECT analytics.set_setting('segment_new_days', '{value}')")
    assert caught.value.diag.message_hint == "Take a whole number from 0 to 999999999999999."


def test_rows_of_this_moment_follow_the_date_and_the_settings(rich: Database) -> None:
    rich.execute("SELECT analytics.set_setting('segment_steady_offers', '0')")
    now = "2026-11-24 12:00:00-05"
    query = (
        "SELECT object ->> 'asesor_id', object ->> 'recencia_dias', object ->> 'segmento' "
        f"FROM analytics.rows_now('{VIEW}') AS now (object) ORDER BY 1"
    )
    shown = (
        f"SELECT asesor_id::text, recencia_dias::text, segmento FROM analytics.{VIEW} ORDER BY 1"
    )
    before = rich.rows(query, now)
    assert before != rich.rows(shown)
    refresh(rich, now)
    assert before == rich.rows(shown)
