"""The golden data: the views, and the oracle itself, against the answers that came with it."""

import psycopg
import pytest

from conftest import Database
from golden_data import NOW, TODAY, expected_views, load_change, load_source
from migrate import migrate
from oracle import MONTHLY_COLUMNS, RANKING_COLUMNS, all_differences, compute, read_views

TEXT = {"text", "character varying"}
INSTANT = {"timestamp with time zone"}
COUNTS = {
    "solicitudes_creadas",
    "solicitudes_aceptadas",
    "solicitudes_rechazadas",
    "solicitudes_expiradas",
    "solicitudes_sin_ofertas",
    "ofertas_totales",
    "ofertas_ganadoras",
    "ofertas_aceptadas",
    "clientes_activos",
    "asesores_activos",
    "marcas_vehiculos_solicitadas",
    "ofertas_historicas_total",
    "ofertas_aceptadas_cliente",
    "entregas_exitosas",
    "auditorias_realizadas",
    "notificaciones_recibidas",
    "notificaciones_respondidas",
    "ranking_ciudad",
    "ranking_nacional",
}
OTHER_TYPES = {
    "mes": {"date"},
    "asesor_id": {"uuid"},
    "asesor_nombre": TEXT,
    "asesor_email": TEXT,
    "ciudad": TEXT,
    "departamento": TEXT,
    "punto_venta": TEXT,
    "estado_asesor": TEXT,
    "nivel_actual": {"integer"},
    "ultima_auditoria": INSTANT,
    "calculado_at": INSTANT,
}


def refresh(connection: psycopg.Connection) -> None:
    """Refresh both views in a session whose clock is pinned to the golden today."""
    connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
    connection.execute("SELECT * FROM analytics.refresh_all_mv()")


@pytest.mark.parametrize("generation", ["A", "B"])
def test_views_and_oracle_equal_the_golden_answers_before_and_after_the_change(
    database: Database, generation: str
) -> None:
    load_source(database.url, generation)
    migrate(database.url)
    with database.session() as connection:
        refresh(connection)
        expected = expected_views(generation, changed=False)
        assert all_differences(expected, compute(connection, TODAY)) == []
        assert all_differences(expected, read_views(connection)) == []
    load_change(database.url, generation)
    with database.session() as connection:
        expected = expected_views(generation, changed=True)
        assert all_differences(expected, compute(connection, TODAY)) == []
        stale = all_differences(expected, read_views(connection))
        assert stale, "the change must be visible, or the comparison after it proves nothing"
        refresh(connection)
        assert all_differences(expected, read_views(connection)) == []


@pytest.mark.parametrize("generation", ["A", "B"])
def test_views_have_the_columns_of_the_contract_in_its_order_and_with_its_types(
    system_database: Database, generation: str
) -> None:
    load_source(system_database.url, generation)
    migrate(system_database.url)
    contract = {
        "mv_metricas_mensuales": MONTHLY_COLUMNS,
        "mv_ranking_asesores": (*RANKING_COLUMNS, "calculado_at"),
    }
    for view, columns in contract.items():
        rows = system_database.rows(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute "
            f"WHERE attrelid = 'analytics.{view}'::regclass AND attnum > 0 AND NOT attisdropped "
            "ORDER BY attnum"
        )
        assert [row[0] for row in rows] == list(columns)
        for name, kind in rows:
            usual = {"bigint"} if name in COUNTS else {"numeric"}
            assert kind in OTHER_TYPES.get(str(name), usual), (view, name)


def test_refreshing_twice_after_the_change_gives_what_one_refresh_gives(
    system_database: Database,
) -> None:
    load_source(system_database.url, "A")
    migrate(system_database.url)
    load_change(system_database.url, "A")
    with system_database.session() as connection:
        refresh(connection)
        refresh(connection)
        expected = expected_views("A", changed=True)
        assert all_differences(expected, read_views(connection)) == []


def test_every_advisor_of_the_ranking_was_computed_at_the_pinned_instant(
    system_database: Database,
) -> None:
    load_source(system_database.url, "A")
    migrate(system_database.url)
    with system_database.session() as connection:
        refresh(connection)
        row = connection.execute(
            "SELECT count(*), count(calculado_at), count(DISTINCT calculado_at) "
            "FROM analytics.mv_ranking_asesores"
        ).fetchone()
    assert row == (10, 10, 1)
