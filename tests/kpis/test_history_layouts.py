"""The history of publishes in its two forms: what was kept as objects is kept as values now."""

import pytest

from conftest import Database
from database.sql_files import SQL_DIRECTORY

BEFORE = """
CREATE SCHEMA kpi_engine;
CREATE TABLE kpi_engine.published_rows (
    view_name text NOT NULL, row_key jsonb NOT NULL, run_id bigint NOT NULL, period date,
    contents jsonb, PRIMARY KEY (view_name, row_key, run_id)
);
CREATE TABLE kpi_engine.published_hashes (
    view_name text NOT NULL, row_key jsonb NOT NULL, row_hash bigint NOT NULL,
    PRIMARY KEY (view_name, row_key)
)
"""
ROWS = """
INSERT INTO kpi_engine.published_rows (view_name, row_key, run_id, period, contents) VALUES
    ('mv_a', '["2026-04-01"]', 1, '2026-04-01', '{"mes": "2026-04-01", "n": 1.50, "text": "null"}'),
    ('mv_a', '["2026-05-01"]', 1, '2026-05-01',
     '{"mes": "2026-05-01", "n": null, "text": "a\\"b"}'),
    ('mv_a', '["2026-04-01"]', 2, '2026-04-01', '{"mes": "2026-04-01", "n": -1.50, "text": ""}'),
    ('mv_a', '["2026-05-01"]', 3, '2026-05-01', NULL),
    -- The view has another column from here on.
    ('mv_a', '["2026-04-01"]', 4, '2026-04-01',
     '{"mes": "2026-04-01", "n": 2, "text": "x", "more": [1, {"b": true}]}'),
    ('mv_b', '["Cali", 3]', 2, NULL, '{"ciudad": "Cali", "nivel": 3, "ok": false}')
"""
HASHES = """
INSERT INTO kpi_engine.published_hashes
SELECT 'mv_b', jsonb_build_array('key', n), n FROM generate_series(1, 1000) AS n
"""
SHOWN = "SELECT view_name, row_key, run_id, period, contents FROM kpi_engine.{} ORDER BY 1, 2, 3"


@pytest.fixture
def upgraded(system_database: Database) -> tuple[Database, list[tuple[object, ...]]]:
    """A history as it was, upgraded, and what it held before."""
    system_database.execute(BEFORE, ROWS, HASHES)
    before = system_database.rows(SHOWN.format("published_rows"))
    for path in ("migrations/0010_history_layouts.sql", "views/records/reported_rows.sql"):
        system_database.execute((SQL_DIRECTORY / path).read_text(encoding="utf-8"))
    return system_database, before


def test_an_upgraded_history_says_the_same(
    upgraded: tuple[Database, list[tuple[object, ...]]],
) -> None:
    database, before = upgraded
    assert database.rows(SHOWN.format("reported_rows")) == before
    # 1.50 is not 1.5 for who reads the digits.
    assert database.rows(
        "SELECT contents ->> 'n' FROM kpi_engine.reported_rows WHERE view_name = 'mv_a' "
        "AND run_id = 2"
    ) == [("-1.50",)]
    assert database.rows(
        "SELECT view_name, run_id FROM kpi_engine.published_layouts ORDER BY 1, 2"
    ) == [("mv_a", 1), ("mv_a", 4), ("mv_b", 2)]


def test_no_key_is_lost_and_each_row_counts_as_changed_once_more(
    upgraded: tuple[Database, list[tuple[object, ...]]],
) -> None:
    database, _ = upgraded
    assert database.rows(
        "SELECT count(*), count(DISTINCT listed.key), bool_and(listed.hash = 0), "
        "count(DISTINCT bucket) <= 256 FROM kpi_engine.published_hashes "
        "CROSS JOIN unnest(row_keys, row_hashes) AS listed (key, hash)"
    ) == [(1000, 1000, True, True)]


def test_values_without_their_layout_are_an_error(
    upgraded: tuple[Database, list[tuple[object, ...]]],
) -> None:
    """Never a row without contents, which would mean that it was gone."""
    database, _ = upgraded
    database.execute("DELETE FROM kpi_engine.published_layouts WHERE view_name = 'mv_b'")
    with pytest.raises(Exception, match="field name must not be null"):
        database.rows("SELECT contents FROM kpi_engine.reported_rows WHERE view_name = 'mv_b'")
