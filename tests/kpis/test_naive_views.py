"""The places where a naive version of the seven views goes wrong, each shown going wrong.

On the rich golden data every naive query must differ from the right answer where ours does not.
On a harmless marketplace, with one of each thing, it must be right: so it is the trap that makes
it wrong, and not some other slip.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.rows import dict_row

from conftest import Database, Server, fresh_database
from development.demo_source import load_source_schema
from golden_data import GOLDEN, NOW, TODAY, run_file
from kpis.test_naive import HARMLESS
from migrate import migrate
from oracle import Row, read_source, same
from oracle_views import VIEWS, compute_seven, read_seven, seven_differences

NAIVE = Path(__file__).resolve().parents[1] / "naive_views"
SYSTEM_SERVER_IS_ENOUGH = True
# Evaluated when it was last changed, and accepted as a whole.
HARMLESS_TOO = """
    UPDATE solicitudes SET fecha_evaluacion = updated_at, ciudad_origen = 'X';
    UPDATE ofertas SET estado = 'ACEPTADA', created_at = '2026-11-10 12:30:00-05';
"""
# One week, two years.
NEW_YEAR = """
    INSERT INTO public.solicitudes
        (id, cliente_id, estado, ciudad_origen, departamento_origen, created_at)
    SELECT gen_random_uuid(), id, 'ABIERTA', 'Cali', 'Valle', '{day} 12:00:00-05'
    FROM public.clientes LIMIT 1
"""
# Per naive query: the view, and the columns that it must get wrong.
TRAPS = [
    ("01_whole_offer_as_awarded", "mv_finanzas_mensuales", {"valor_bruto_adjudicado"}),
    ("02_average_of_daily_medians", "mv_embudo_niveles", {"ttfo_mediana_seg"}),
    ("02_median_by_floating_point", "mv_embudo_operativo", {"ttfo_mediana_seg"}),
    ("03_time_to_award_from_updated_at", "mv_embudo_operativo", {"tta_mediana_seg"}),
    (
        "04_won_offers_over_all_offers",
        "mv_salud_marketplace",
        {"tasa_adjudicacion_promedio_pct"},
    ),
    (
        "05_growth_against_the_row_before",
        "mv_finanzas_mensuales",
        {"crecimiento_mensual_pct", "acumulado_anual"},
    ),
    (
        "06_retained_after_a_gap",
        "mv_retencion_asesores",
        {"asesores_retenidos", "asesores_reactivados"},
    ),
    ("07_city_by_its_spelling", "mv_demanda_ciudades", {"ciudad", "solicitudes"}),
    ("08_weeks_in_utc", "mv_salud_marketplace", {"solicitudes_creadas"}),
    ("08_weeks_from_sunday", "mv_salud_marketplace", {"solicitudes_creadas"}),
    ("08_weeks_of_a_year", "mv_salud_marketplace", {"solicitudes_creadas"}),
    ("09_segment_of_the_day_of_the_last_change", "mv_segmentos_asesores", {"recencia_dias"}),
]


def refresh(database: Database, now: str) -> None:
    """Refresh all views in a session whose clock is pinned."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")


@pytest.fixture(scope="module")
def rich(system_server: Server) -> Iterator[Database]:
    """The rich data of generation A on its first day; only to be read."""
    for database in fresh_database(system_server):
        run_file(database.url, GOLDEN / "rich" / "a" / "source.sql")
        database.execute(*(NEW_YEAR.format(day=day) for day in ("2025-12-31", "2026-01-01")))
        migrate(database.url)
        refresh(database, NOW)
        yield database


@pytest.fixture(scope="module")
def harmless(system_server: Server) -> Iterator[Database]:
    """A marketplace in which nothing can be multiplied, cut or lost; only to be read."""
    for database in fresh_database(system_server):
        load_source_schema(database.url)
        database.execute(HARMLESS, HARMLESS_TOO)
        migrate(database.url)
        refresh(database, NOW)
        yield database


def naive_rows(database: Database, name: str) -> list[Row]:
    """Run a naive query."""
    query = (NAIVE / f"{name}.sql").read_bytes()
    with database.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return [dict(row) for row in cursor.execute(query).fetchall()]


def wrong_columns(view: str, right: list[Row], naive: list[Row], columns: set[str]) -> set[str]:
    """Return the columns that differ in a row that both have."""
    keys = VIEWS[view].keys
    by_key = {tuple(str(row[key]) for key in keys): row for row in naive}
    pairs = [
        (row, by_key[key])
        for row in right
        if (key := tuple(str(row[name]) for name in keys)) in by_key
    ]
    assert pairs, "the naive query has none of the rows"
    return {
        column
        for column in columns
        for ours, theirs in pairs
        if not same(ours[column], theirs[column])
    }


def test_there_is_a_naive_version_for_each_trap() -> None:
    names = sorted(path.stem for path in NAIVE.iterdir())
    assert names == sorted(name for name, _, _ in TRAPS)
    assert sorted({name[:2] for name in names}) == [f"{number:02d}" for number in range(1, 10)]
    for name in names:
        text = (NAIVE / f"{name}.sql").read_text(encoding="utf-8")
        assert text.startswith("-- Naive: "), name
        assert "\n-- Wrong: " in text, name


@pytest.mark.parametrize(("name", "view", "columns"), TRAPS)
@pytest.mark.takes_turns(2)
def test_naive_query_is_wrong_where_the_view_is_right(
    rich: Database, name: str, view: str, columns: set[str]
) -> None:
    # Of the ninth: the next day begins, and nothing changes.
    today = TODAY + timedelta(days=int(name.startswith("09")))
    refresh(rich, f"{today} 12:00:00-05")
    with rich.session() as connection:
        expected = compute_seven(read_source(connection), today)
        actual = read_seven(connection)
    assert seven_differences(expected, actual) == []
    right = actual[view]
    refresh(rich, NOW)
    assert wrong_columns(view, right, naive_rows(rich, name), columns) == columns


@pytest.mark.parametrize(("name", "view", "columns"), TRAPS)
def test_naive_query_is_right_where_its_trap_is_not(
    harmless: Database, name: str, view: str, columns: set[str]
) -> None:
    with harmless.session() as connection:
        expected = compute_seven(read_source(connection), TODAY)
        actual = read_seven(connection)
    assert seven_differences(expected, actual) == []
    assert len(actual[view]) == 1
    assert wrong_columns(view, actual[view], naive_rows(harmless, name), columns) == set()
