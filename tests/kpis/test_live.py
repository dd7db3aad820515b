"""The views that are computed at the moment of the query: what they show, and to whom."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import cast
from zoneinfo import ZoneInfo

import psycopg
import pytest

import oracle
from conftest import Database, Server, fresh_database, install
from marketplace import BASE_SEED, SMALL, Generation, Size, change, start
from oracle import Source, Value
from sequences import REAL_TIME_VIEW, refresh

ZONE = "America/Bogota"
NOW = "2026-11-23 12:00:00-05"
SIZE = Size(6, 2, 8, 60, 4, 20, 20, 10)
# Noon, both sides of the ends of a month and of a year, a leap day; here and far away.
MOMENTS = (
    (ZONE, "2026-11-23 12:00:00-05"),
    (ZONE, "2026-11-30 23:59:59.999999-05"),
    (ZONE, "2026-12-01 00:00:00-05"),
    (ZONE, "2027-01-01 04:59:59.999999+00"),
    (ZONE, "2028-02-29 23:30:00-05"),
    ("Pacific/Kiritimati", "2026-11-30 10:00:00+00"),
    ("Pacific/Kiritimati", "2026-11-30 09:59:59.999999+00"),
    ("America/Adak", "2026-12-01 09:30:00+00"),
    ("America/Sao_Paulo", "2018-11-04 03:00:00+00"),
)


@pytest.fixture(scope="module")
def templates(system_server: Server) -> Iterator[dict[Generation, str]]:
    """The empty source of each generation, migrated; to be copied."""
    names: dict[Generation, str] = {
        "A": system_server.new_name("live_a"),
        "B": system_server.new_name("live_b"),
    }
    with system_server.janitor(names["A"]), system_server.janitor(names["B"]):
        for generation, name in names.items():
            install(Database(system_server.cluster, name), generation)
        yield names


@pytest.fixture(params=["A", "B"])
def generation(request: pytest.FixtureRequest) -> Generation:
    """Each generation of the source schema."""
    return "A" if request.param == "A" else "B"


@pytest.fixture
def empty(
    system_server: Server, templates: dict[Generation, str], generation: Generation
) -> Iterator[Database]:
    """An empty marketplace of a generation, migrated."""
    yield from fresh_database(system_server, templates[generation])


def reader_of(database: Database, now: str, role: str = "analytics_lector") -> psycopg.Connection:
    """Connect with a role and a pinned clock."""
    connection = database.connect()
    connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
    connection.execute(f"SET ROLE {role}")
    return connection


def committed(database: Database) -> Source:
    """Read the source."""
    with database.session() as connection:
        return oracle.read_source(connection)


# -- v_kpis_en_vivo -------------------------------------------------------------------------------


def live_kpis(source: Source, now: str, zone: str) -> dict[str, Value]:
    """Compute the live KPIs by what kpis.md says."""
    moment = datetime.fromisoformat(now)
    today = moment.astimezone(ZoneInfo(zone)).date()

    def created_on(row: oracle.Row) -> date | None:
        return oracle.local_day(cast(Fraction | None, row["created_at"]), zone)

    def in_month(row: oracle.Row) -> bool:
        day = created_on(row)
        return day is not None and (day.year, day.month) == (today.year, today.month)

    requests = source.tables["solicitudes"]
    known = {row["id"] for row in requests}
    offers = [row for row in source.tables["ofertas"] if row["solicitud_id"] in known]
    requests_today = [row for row in requests if created_on(row) == today]
    requests_of_month = {row["id"] for row in requests if in_month(row)}
    accepted_offers = {
        row["id"]
        for row in offers
        if row["estado"] == "ACEPTADA" and row["solicitud_id"] in requests_of_month
    }
    amount = Fraction()
    for line in source.tables["ofertas_detalle"]:
        price, quantity = line["precio_unitario"], line["cantidad"]
        if line["oferta_id"] in accepted_offers and price is not None and quantity is not None:
            amount += cast(Fraction, price) * cast(Fraction, quantity)
    accepted = 0
    for row in requests_today:
        answer = row.get("cliente_acepto")
        by_state = row["estado"] in {"OFERTAS_ACEPTADAS", "ACEPTADA"}
        accepted += by_state if answer is None else bool(answer)
    return {
        "solicitudes_abiertas": sum(row["estado"] == "ABIERTA" for row in requests),
        "ofertas_pendientes_evaluacion": sum(row["estado"] == "ENVIADA" for row in offers),
        "solicitudes_hoy": len(requests_today),
        "ofertas_hoy": sum(created_on(row) == today for row in offers),
        "ofertas_mes_actual": sum(map(in_month, offers)),
        "monto_aceptado_mes": amount,
        "tasa_conversion_hoy_pct": oracle.percentage(accepted, len(requests_today)),
        "calculado_at": Fraction(int(moment.timestamp())) + Fraction(moment.microsecond, 1_000_000),
    }


def live_differences(database: Database, now: str, zone: str) -> list[str]:
    """Compare the view, as a reader sees it, with what is right."""
    expected = live_kpis(committed(database), now, zone)
    with reader_of(database, now) as connection:
        cursor = connection.execute(
            "SELECT solicitudes_abiertas, ofertas_pendientes_evaluacion, solicitudes_hoy, "
            "ofertas_hoy, ofertas_mes_actual, monto_aceptado_mes, tasa_conversion_hoy_pct, "
            "extract(epoch FROM calculado_at) AS calculado_at FROM analytics.v_kpis_en_vivo"
        )
        names = [column.name for column in cursor.description or []]
        rows = cursor.fetchall()
    assert len(rows) == 1
    return [
        f"{name}: expected {oracle.shown(expected[name])}, got {oracle.shown(value)}"
        for name, value in zip(names, rows[0], strict=True)
        if not oracle.same(expected[name], value)
    ]


def fill_around(database: Database, generation: Generation, seed: int, now: str, zone: str) -> None:
    """Make a marketplace with requests and offers at the edges of the local day and month."""
    moment = datetime.fromisoformat(now)
    today = moment.astimezone(ZoneInfo(zone)).date()
    market = start(seed, generation, today, zone)
    market.make(SIZE)
    clients = [str(row["id"]) for row in market.rows["clientes"]]
    advisors = [str(row["id"]) for row in market.rows["asesores"]]
    month = today.replace(day=1)
    edges = [moment]
    for day in (
        today,
        today + timedelta(days=1),
        month,
        (month + timedelta(days=32)).replace(day=1),
    ):
        for of_zone in (zone, "UTC"):
            begin = datetime.combine(day, datetime.min.time(), ZoneInfo(of_zone))
            edges += [begin, begin.astimezone(ZoneInfo("UTC")) - timedelta(microseconds=1)]
    for edge in edges:
        request = market.request(market.parent(clients), edge.isoformat())
        market.make_trade(request, advisors, 3)
        for offer in market.rows["ofertas"][-3:]:
            offer["created_at"] = market.random.choice(edges).isoformat()
            offer["estado"] = market.random.choice(("ACEPTADA", "ENVIADA", offer["estado"]))
    with database.session() as connection, connection.transaction():
        market.insert(connection)


@pytest.mark.parametrize(("zone", "now"), MOMENTS)
@pytest.mark.takes_turns(2)
def test_live_kpis_are_right_at_every_moment(
    empty: Database, generation: Generation, zone: str, now: str
) -> None:
    empty.execute(f"SELECT analytics.set_setting('time_zone', '{zone}')")
    fill_around(empty, generation, BASE_SEED + MOMENTS.index((zone, now)), now, zone)
    # Before the first refresh, after it, and with changes that wait.
    assert live_differences(empty, now, zone) == []
    refresh(empty, now)
    assert live_differences(empty, now, zone) == []
    later = (datetime.fromisoformat(now) + timedelta(hours=20)).isoformat()
    assert live_differences(empty, later, zone) == []
    with empty.session() as connection:
        today = datetime.fromisoformat(now).astimezone(ZoneInfo(zone)).date()
        change(connection, BASE_SEED + 99, generation, today, zone=zone)
    assert live_differences(empty, now, zone) == []


def test_live_kpis_of_an_empty_marketplace_are_zeros(migrated: Database) -> None:
    assert live_differences(migrated, NOW, ZONE) == []
    assert migrated.rows(
        "SELECT solicitudes_abiertas, monto_aceptado_mes, tasa_conversion_hoy_pct "
        "FROM analytics.v_kpis_en_vivo"
    ) == [(0, 0, 0)]


@pytest.mark.parametrize("generation", ["B"], indirect=True)
def test_offer_of_no_request_is_in_no_live_kpi(empty: Database) -> None:
    fill_around(empty, "B", BASE_SEED, NOW, ZONE)
    with reader_of(empty, NOW) as reader:
        before = reader.execute("SELECT * FROM analytics.v_kpis_en_vivo").fetchall()
        empty.execute(
            "INSERT INTO teloo.ofertas (tiempo_entrega_dias, created_at) "
            f"SELECT 1, timestamptz '{NOW}' FROM generate_series(1, 3)"
        )
        assert reader.execute("SELECT * FROM analytics.v_kpis_en_vivo").fetchall() == before


# -- v_metricas_mensuales_tiempo_real -------------------------------------------------------------


def real_time_differences(database: Database, role: str, zone: str = ZONE) -> list[str]:
    """Compare the real-time view, as a role sees it, with what is right."""
    months = oracle.compute_months(committed(database), zone)
    with reader_of(database, NOW, role) as connection:
        connection.execute("SET TIME ZONE 'Asia/Tokyo'")
        actual = oracle.read_view(connection, REAL_TIME_VIEW, "mes")
    return oracle.differences(months, actual, "mes")


def test_real_time_view_has_the_columns_of_the_materialized_one(migrated: Database) -> None:
    columns = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'analytics.{view}'::regclass AND attnum > 0 AND NOT attisdropped "
        "ORDER BY attnum"
    )
    published = migrated.rows(columns.format(view="mv_metricas_mensuales"))
    assert len(published) == 22
    assert migrated.rows(columns.format(view=REAL_TIME_VIEW)) == published


def test_real_time_view_is_right_whatever_waits(empty: Database, generation: Generation) -> None:
    schema = "public" if generation == "A" else "teloo"
    roles = ("analytics_lector", "analytics_operador")

    def check() -> None:
        for role in roles:
            assert real_time_differences(empty, role) == []

    def disturb(seed: int) -> None:
        with empty.session() as connection:
            change(connection, seed, generation, date(2026, 11, 23))

    # Nothing, then never built.
    check()
    fill_around(empty, generation, BASE_SEED, NOW, ZONE)
    check()
    refresh(empty, NOW)
    check()
    for seed in range(5):
        disturb(seed)
        check()
        empty.execute("SELECT kpi_engine.compact_change_log()")
        check()
        if seed % 2:
            refresh(empty, NOW)
    empty.execute(f"DELETE FROM {schema}.solicitudes WHERE id::text < '4'")
    check()
    refresh(empty, NOW)
    empty.execute(f"TRUNCATE {schema}.repuestos_solicitados CASCADE")
    check()
    disturb(10)
    check()
    empty.execute("SELECT kpi_engine.compact_change_log()")
    check()
    refresh(empty, NOW)
    empty.execute(
        "SELECT analytics.set_setting('change_capture', 'off')",
        "CALL analytics.apply_change_capture()",
    )
    disturb(11)
    check()
    refresh(empty, NOW)
    disturb(12)
    check()
    empty.execute(
        "SELECT analytics.set_setting('change_capture', 'on')",
        "CALL analytics.apply_change_capture()",
        "SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')",
    )
    assert real_time_differences(empty, roles[0], "Asia/Tokyo") == []
    empty.execute(f"TRUNCATE {schema}.solicitudes CASCADE")
    assert real_time_differences(empty, roles[0], "Asia/Tokyo") == []
    with empty.session() as connection:
        assert oracle.read_view(connection, REAL_TIME_VIEW, "mes") == []


def test_real_time_view_does_not_see_what_is_not_committed(migrated: Database) -> None:
    with migrated.session() as connection:
        market = start(BASE_SEED, "A", date(2026, 11, 23))
        market.make(SMALL)
        market.insert(connection)
    refresh(migrated, NOW)
    with migrated.connect(autocommit=False) as writer:
        writer.execute("UPDATE public.ofertas_detalle SET precio_unitario = 5")
        # The writer sees its own change, nobody else does.
        months = oracle.compute_months(oracle.read_source(writer), ZONE)
        assert oracle.differences(months, oracle.read_view(writer, REAL_TIME_VIEW, "mes")) == []
        assert real_time_differences(migrated, "analytics_lector") == []
        writer.rollback()
    assert real_time_differences(migrated, "analytics_lector") == []
