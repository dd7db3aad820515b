"""The nine places where a naive version goes wrong, each shown going wrong beside ours.

On the golden data every naive query must differ from the golden answer where ours does not.
On a harmless marketplace, with one of each thing, the first five must be right: so it is the
trap that makes them wrong, and not some other slip.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from conftest import Database, Server, fresh_database, install
from development.demo_source import load_source_schema
from golden_data import NOW, TODAY, expected_views, load_source
from migrate import migrate
from oracle import Row, compute, differences, read_views

NAIVE = Path(__file__).resolve().parents[1] / "naive"
HARMLESS = """
    INSERT INTO usuarios (id, nombre, apellido, telefono) VALUES
        ('00000000-0000-4000-8000-000000000001', 'Ana', 'Gómez', '1'),
        ('00000000-0000-4000-8000-000000000002', 'Luis', 'Ruiz', '2');
    INSERT INTO clientes (id, usuario_id, ciudad, departamento) VALUES
        ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000001', 'x', 'x');
    INSERT INTO asesores (id, usuario_id, ciudad, departamento, punto_venta) VALUES
        ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000002',
         'x', 'x', 'x');
    INSERT INTO solicitudes
        (id, cliente_id, estado, ciudad_origen, departamento_origen, created_at, updated_at)
    VALUES
        ('00000000-0000-4000-8000-000000000005', '00000000-0000-4000-8000-000000000003',
         'OFERTAS_RECHAZADAS', 'x', 'x', '2026-11-10 12:00:00-05', '2026-11-10 13:00:00-05');
    INSERT INTO repuestos_solicitados
        (id, solicitud_id, nombre, marca_vehiculo, linea_vehiculo, anio_vehiculo)
    VALUES
        ('00000000-0000-4000-8000-000000000006', '00000000-0000-4000-8000-000000000005',
         'x', 'Kia', 'x', 2020);
    INSERT INTO ofertas (id, solicitud_id, asesor_id, tiempo_entrega_dias, estado) VALUES
        ('00000000-0000-4000-8000-000000000007', '00000000-0000-4000-8000-000000000005',
         '00000000-0000-4000-8000-000000000004', 1, 'GANADORA');
    INSERT INTO ofertas_detalle
        (id, oferta_id, repuesto_solicitado_id, precio_unitario, garantia_meses,
         tiempo_entrega_dias)
    VALUES
        ('00000000-0000-4000-8000-000000000008', '00000000-0000-4000-8000-000000000007',
         '00000000-0000-4000-8000-000000000006', 1000, 1, 1);
    INSERT INTO ofertas_historicas
        (id, asesor_id, solicitud_id, fecha, monto_total, cantidad_repuestos,
         tiempo_respuesta_seg, adjudicada)
    VALUES
        ('00000000-0000-4000-8000-000000000009', '00000000-0000-4000-8000-000000000004',
         '00000000-0000-4000-8000-000000000005', '2026-11-10', 1000, 1, 60, true);
    INSERT INTO historial_respuestas_ofertas (id, asesor_id, solicitud_id, fecha_envio) VALUES
        ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000004',
         '00000000-0000-4000-8000-000000000005', '2026-11-10 12:00:00-05');
    INSERT INTO auditorias_tiendas (id, asesor_id, fecha_revision, estado, puntaje_confianza)
    VALUES
        ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-000000000004',
         '2026-11-10 12:00:00-05', 'APROBADA', 4.0);
"""
# Per trap: the naive query's file, the view, and the columns that it must get wrong.
WRONG_NUMBERS = [
    (
        "01_request_fan_out.sql",
        "mes",
        {"solicitudes_creadas", "ofertas_totales", "volumen_transaccional_total"},
    ),
    (
        "02_advisor_fan_out.sql",
        "asesor_id",
        {
            "ofertas_historicas_total",
            "ofertas_ganadoras",
            "volumen_total_ofertas",
            "auditorias_realizadas",
            "notificaciones_recibidas",
        },
    ),
    ("03_months_in_utc.sql", "mes", {"solicitudes_creadas", "clientes_activos"}),
    ("04_closing_time_of_open_requests.sql", "mes", {"tiempo_promedio_cierre_seg"}),
    ("05_wins_lost_when_answered.sql", "mes", {"ofertas_ganadoras"}),
]


def refresh(connection: psycopg.Connection) -> None:
    """Refresh both views in a session whose clock is pinned to the golden today."""
    connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
    connection.execute("SELECT * FROM analytics.refresh_all_mv()")


@pytest.fixture(scope="module")
def golden(system_server: Server) -> Iterator[Database]:
    """The golden data of generation A, migrated and refreshed; only to be read."""
    for database in fresh_database(system_server):
        load_source(database.url, "A")
        migrate(database.url)
        with database.session() as connection:
            refresh(connection)
        yield database


@pytest.fixture(scope="module")
def harmless(system_server: Server) -> Iterator[Database]:
    """A marketplace in which nothing can be multiplied, cut or lost; only to be read."""
    for database in fresh_database(system_server):
        load_source_schema(database.url)
        database.execute(HARMLESS)
        migrate(database.url)
        with database.session() as connection:
            refresh(connection)
        yield database


def naive(name: str) -> bytes:
    """Return the text of a naive version."""
    return (NAIVE / name).read_bytes()


def naive_rows(database: Database, name: str) -> list[Row]:
    """Run a naive query."""
    with database.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows: list[Row] = [dict(row) for row in cursor.execute(naive(name)).fetchall()]
    for row in rows:
        if "asesor_id" in row:
            row["asesor_id"] = str(row["asesor_id"])
    return rows


def only(rows: list[Row], columns: set[str], keys: set[object], key: str) -> list[Row]:
    """Return some columns of the rows that have one of the keys."""
    return [
        {column: value for column, value in row.items() if column in {key, *columns}}
        for row in sorted(rows, key=lambda row: str(row[key]))
        if row[key] in keys
    ]


def test_there_is_one_naive_version_for_each_trap() -> None:
    names = sorted(path.name for path in NAIVE.iterdir())
    assert [name[:3] for name in names] == [f"{number:02d}_" for number in range(1, 10)]
    for name in names:
        text = naive(name).decode()
        assert text.startswith("-- Naive: "), name
        assert "\n-- Wrong: " in text, name


@pytest.mark.parametrize(("name", "key", "columns"), WRONG_NUMBERS)
def test_naive_query_is_wrong_where_the_view_is_right(
    golden: Database, name: str, key: str, columns: set[str]
) -> None:
    view = 0 if key == "mes" else 1
    right = expected_views("A", changed=False)[view]
    with golden.session() as connection:
        ours = read_views(connection)[view]
    assert differences(right, ours) == []
    rows = naive_rows(golden, name)
    keys: set[object] = {row[key] for row in rows}
    keys &= {row[key] for row in right}
    wrong = {
        column
        for column in columns
        if differences(only(right, {column}, keys, key), only(rows, {column}, keys, key))
    }
    assert wrong == columns, "the golden data must show every one of these going wrong"


@pytest.mark.parametrize(("name", "key", "columns"), WRONG_NUMBERS)
def test_naive_query_is_right_where_its_trap_is_not(
    harmless: Database, name: str, key: str, columns: set[str]
) -> None:
    view = 0 if key == "mes" else 1
    with harmless.session() as connection:
        right = compute(connection, TODAY)[view]
        assert differences(right, read_views(connection)[view]) == []
    keys: set[object] = {row[key] for row in right}
    expected = only(right, columns, keys, key)
    assert expected
    assert differences(expected, naive_rows(harmless, name)) == []


def test_postgresql_refuses_to_refresh_concurrently_without_a_plain_unique_index(
    golden: Database,
) -> None:
    with golden.connect(autocommit=False) as connection:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
            connection.execute(naive("06_refresh_concurrently_without_plain_unique_index.sql"))
        assert caught.value.sqlstate == "55000"
        assert "concurrently" in str(caught.value)


@pytest.mark.parametrize(
    ("view", "key"), [("mv_metricas_mensuales", "mes"), ("mv_ranking_asesores", "asesor_id")]
)
def test_each_view_has_a_plain_unique_index_and_refreshes_concurrently(
    golden: Database, view: str, key: str
) -> None:
    plain = golden.rows(
        "SELECT attname::text FROM pg_index JOIN pg_attribute "
        "ON attrelid = indrelid AND attnum = indkey[0] "
        f"WHERE indrelid = 'analytics.{view}'::regclass AND indisunique AND indisvalid "
        "AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = 1"
    )
    assert plain == [(key,)]
    with golden.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.{view}".encode())


def test_a_schedule_read_in_utc_fires_in_the_evening_before(golden: Database) -> None:
    (naive_row,) = naive_rows(golden, "07_cron_clock_in_utc.sql")
    assert str(naive_row["in_bogota"]) == "2026-11-22 20:00:00"
    (ours,) = golden.rows("SELECT kpi_engine.slot_instant('2026-11-23', '01:00', 'America/Bogota')")
    assert ours == (datetime.fromisoformat("2026-11-23 06:00:00+00:00"),)
    assert ours[0] != naive_row["fires_at"]


def test_the_schedule_follows_a_zone_with_summer_time(system_database: Database) -> None:
    """One o'clock is one o'clock: 06:00 UTC in winter and 05:00 UTC in summer in New York."""
    install(system_database)
    system_database.execute("SELECT analytics.set_schedule('01:00', 'America/New_York')")
    slots = system_database.rows(
        "SELECT (kpi_engine.slot_instant(day, '01:00', value) AT TIME ZONE 'UTC')::text "
        "FROM analytics.settings, unnest(ARRAY['2026-01-15'::date, '2026-07-15']) AS day "
        "WHERE name = 'schedule_time_zone'"
    )
    assert slots == [("2026-01-15 06:00:00",), ("2026-07-15 05:00:00",)]


def top_by_volume(rows: list[Row], count: int) -> list[object]:
    """Return who trades most, over all advisors."""
    ordered = sorted(
        rows, key=lambda row: (-Decimal(str(row["volumen_total_ofertas"])), str(row["asesor_id"]))
    )
    return [row["asesor_id"] for row in ordered[:count]]


def test_sorting_only_the_first_page_misses_whoever_trades_most(golden: Database) -> None:
    right = top_by_volume(expected_views("A", changed=False)[1], 5)
    of_first_page = [
        row["asesor_id"] for row in naive_rows(golden, "08_sorting_only_the_first_page.sql")
    ]
    assert len(of_first_page) == 5
    assert of_first_page != right
    assert right[0] not in of_first_page
    ours = golden.rows(
        "SELECT asesor_id::text FROM analytics.mv_ranking_asesores "
        "ORDER BY volumen_total_ofertas DESC, asesor_id LIMIT 5"
    )
    assert [row[0] for row in ours] == right


def test_a_view_that_was_never_filled_is_an_error_and_not_an_empty_list(
    system_database: Database,
) -> None:
    load_source(system_database.url, "A")
    migrate(system_database.url)
    with system_database.session() as connection:
        connection.execute(naive("09_swallowed_error.sql"))
        assert connection.execute("SELECT * FROM public.naive_ranking()").fetchall() == []
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
            connection.execute("SELECT * FROM analytics.mv_ranking_asesores")
        assert caught.value.sqlstate == "55000"
        # Filled, both answer: the naive one's empty list was a lie.
        refresh(connection)
        assert len(connection.execute("SELECT * FROM public.naive_ranking()").fetchall()) == 10


def test_the_golden_today_is_the_naive_queries_today() -> None:
    """The second naive query writes its windows out."""
    assert date(2026, 11, 23) == TODAY
