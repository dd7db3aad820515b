"""The history of publishes keeps values, and the names of the columns once for all rows."""

import pytest

from conftest import Database

LAYOUTS = """
INSERT INTO kpi_engine.published_layouts (view_name, run_id, column_names, column_kinds) VALUES
    ('mv_a', 1, '{mes,n,text}', '{text,number,text}'),
    -- The view has another column from here on.
    ('mv_a', 4, '{mes,n,text,more}', '{text,number,text,json}'),
    ('mv_b', 2, '{ciudad,nivel,ok}', '{text,number,boolean}')
"""
ROWS = """
INSERT INTO kpi_engine.published_rows (view_name, row_key, run_id, period, row_values) VALUES
    ('mv_a', '["2026-04-01"]', 1, '2026-04-01', '{2026-04-01,1.50,"null"}'),
    ('mv_a', '["2026-05-01"]', 1, '2026-05-01', ARRAY['2026-05-01', NULL, 'a"b']),
    ('mv_a', '["2026-04-01"]', 2, '2026-04-01', '{2026-04-01,-1.50,""}'),
    ('mv_a', '["2026-05-01"]', 3, '2026-05-01', NULL),
    ('mv_a', '["2026-04-01"]', 4, '2026-04-01',
     ARRAY['2026-04-01', '2', 'x', '[1, {"b": true}]']),
    ('mv_b', '["Cali", 3]', 2, NULL, '{Cali,3,false}')
"""


@pytest.fixture
def history(migrated: Database) -> Database:
    """A history of two views, one of which got a column."""
    migrated.execute(LAYOUTS, ROWS)
    return migrated


def test_each_row_has_the_columns_of_its_layout(history: Database) -> None:
    assert history.rows(
        "SELECT view_name, row_key::text, run_id, contents FROM kpi_engine.reported_rows "
        "ORDER BY view_name, run_id, row_key"
    ) == [
        ("mv_a", '["2026-04-01"]', 1, {"mes": "2026-04-01", "n": 1.5, "text": "null"}),
        ("mv_a", '["2026-05-01"]', 1, {"mes": "2026-05-01", "n": None, "text": 'a"b'}),
        ("mv_a", '["2026-04-01"]', 2, {"mes": "2026-04-01", "n": -1.5, "text": ""}),
        ("mv_a", '["2026-05-01"]', 3, None),
        (
            "mv_a",
            '["2026-04-01"]',
            4,
            {"mes": "2026-04-01", "n": 2, "text": "x", "more": [1, {"b": True}]},
        ),
        ("mv_b", '["Cali", 3]', 2, {"ciudad": "Cali", "nivel": 3, "ok": False}),
    ]
    # 1.50 is not 1.5 for who reads the digits.
    assert history.rows(
        "SELECT contents ->> 'n' FROM kpi_engine.reported_rows WHERE view_name = 'mv_a' "
        "AND run_id = 2"
    ) == [("-1.50",)]


def test_values_without_their_layout_are_an_error(history: Database) -> None:
    """Never a row without contents, which would mean that it was gone."""
    history.execute("DELETE FROM kpi_engine.published_layouts WHERE view_name = 'mv_b'")
    with pytest.raises(Exception, match="field name must not be null"):
        history.rows("SELECT contents FROM kpi_engine.reported_rows WHERE view_name = 'mv_b'")
