"""A table is written anew as a whole: figures stay right, and what it costs is as documented."""

import pytest

from conftest import Database
from sequences import audited, refresh, small_marketplace, view_differences

NOON = "2026-11-23 12:00:00-05"
WRITE = """
UPDATE public.ofertas SET monto_total = monto_total + 1
WHERE id IN (SELECT id FROM public.ofertas ORDER BY id LIMIT 3)
"""


@pytest.mark.parametrize(
    ("table", "mode"),
    [
        ("public.ofertas", "incremental"),
        ("public.solicitudes", "incremental"),
        ("kpi_engine.change_log", "full"),
        ("kpi_engine.lost_changes", "full"),
    ],
)
def test_a_table_that_is_rewritten_loses_no_change(
    system_database: Database, table: str, mode: str
) -> None:
    """A write before it and one after it count; docs/source.md says what is computed again."""
    small_marketplace(system_database, "A")
    system_database.execute(WRITE, f"VACUUM FULL {table}", WRITE)
    assert refresh(system_database, NOON)[0] == mode
    assert view_differences(system_database, NOON) == []
    assert audited(system_database) == 0
    system_database.execute(WRITE)
    assert refresh(system_database, NOON)[0] == "incremental"
    assert view_differences(system_database, NOON) == []
