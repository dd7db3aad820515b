"""The demo's marketplace: plausible, the same for the same seed, and counted right."""

from datetime import datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest

import demo
import oracle
from conftest import KPI_VIEWS, Database
from development.overview import figures
from migrate import migrate

TAKES_MINUTES = True
MOMENT = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("America/Bogota"))


@pytest.fixture
def marketplace(system_database: Database) -> Database:
    """A sixth of the small demo data as of 23 November 2026, migrated."""
    few = demo.Scale(5_000, 600)
    demo.load(system_database.url, "small", demo.DEFAULT_SEED, MOMENT, few)
    migrate(system_database.url)
    return system_database


def test_demo_data_is_plausible_and_both_views_are_right(marketplace: Database) -> None:
    assert marketplace.rows("SELECT count(*) FROM public.solicitudes") == [(5_000,)]
    [(offers, lines)] = marketplace.rows(
        "SELECT (SELECT count(*) FROM public.ofertas), "
        "(SELECT count(*) FROM public.ofertas_detalle)"
    )
    assert 15_000 < int(str(offers)) < 18_500
    assert 30_000 < int(str(lines)) < 37_000
    assert marketplace.rows(
        f"SELECT count(*) FROM public.solicitudes WHERE created_at > '{MOMENT.isoformat()}'"
    ) == [(0,)]
    # States agree: a request that was closed without offers has none that is still alive.
    assert marketplace.rows(
        "SELECT count(*) FROM public.solicitudes AS s WHERE (estado = 'CERRADA_SIN_OFERTAS') "
        "AND EXISTS (SELECT FROM public.ofertas WHERE solicitud_id = s.id "
        "AND estado IN ('ENVIADA', 'GANADORA', 'ACEPTADA'))"
    ) == [(0,)]
    with marketplace.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [MOMENT.isoformat()])
        connection.execute("SELECT * FROM refresh_all_mv()")
        check_screen(connection)
        months, advisors = oracle.read_views(connection)
        expected_months, expected_advisors = oracle.compute(connection, MOMENT.date())
    assert len(months) == 36
    assert len(advisors) > 500
    assert oracle.differences(expected_months, months) == []
    assert oracle.differences(expected_advisors, advisors) == []


def check_screen(connection: psycopg.Connection) -> None:
    """The screen has a line with figures for each view, and they are those of the view."""
    lines = {view: (row, shown) for view, row, shown in figures(connection)}
    assert sorted(lines) == sorted(KPI_VIEWS)
    assert "-" not in {part for line in lines.values() for part in line}
    assert lines["mv_metricas_mensuales"][0] == "2026-10"
    last = connection.execute(
        "SELECT solicitudes_creadas, tasa_aceptacion_pct FROM analytics.mv_metricas_mensuales "
        "WHERE mes = '2026-10-01'"
    ).fetchone()
    assert last is not None
    assert lines["mv_metricas_mensuales"][1].startswith(
        f"Solicitudes creadas {last[0]:,} · Tasa de aceptación {last[1]} % · "
    )
    segments = connection.execute(
        "SELECT segmento, count(*) FROM analytics.mv_segmentos_asesores GROUP BY 1"
    ).fetchall()
    assert sorted(lines["mv_segmentos_asesores"][1].split(" · ")) == sorted(
        f"{name} {count:,}" for name, count in segments
    )
