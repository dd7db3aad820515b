"""One poisoned row: whatever a column's type allows, it stops nothing, and is named."""

from datetime import date
from hashlib import sha256

import pytest

from conftest import Database, made_once
from development.demo_source import load_source_schema
from doctor import diagnose
from marketplace import Size, fill
from migrate import migrate
from upkeep.test_engine import NOW, differences, session

SYSTEM_SERVER_IS_ENOUGH = True


def noise(first: int, last: int, length: int) -> str:
    """Return characters that can't be compressed, the same each time."""
    numbers = (int(sha256(f"{number}".encode()).hexdigest(), 16) for number in range(length))
    return "".join(chr(first + number % (last - first)) for number in numbers)


NOISE = noise(0x4E00, 0x9FFF, 3200)
HANGUL = noise(0xAC00, 0xD7A3, 166)
# What the columns' types are widened to, as a source may have them.
WIDER = {
    "asesores": {
        "ciudad": "text",
        "departamento": "text",
        "punto_venta": "text",
        "confianza": "numeric",
        "actividad_reciente_pct": "double precision",
    },
    "usuarios": {"nombre": "text", "email": "text"},
    "solicitudes": {"ciudad_origen": "text", "nivel_actual": "bigint"},
    "repuestos_solicitados": {"marca_vehiculo": "text"},
    "ofertas": {"tiempo_entrega_dias": "bigint"},
    "ofertas_detalle": {
        "precio_unitario": "numeric",
        "cantidad": "bigint",
        "garantia_meses": "bigint",
    },
    "ofertas_historicas": {"monto_total": "numeric", "tiempo_respuesta_seg": "bigint"},
    "historial_respuestas_ofertas": {"tiempo_respuesta_seg": "bigint"},
    "auditorias_tiendas": {"puntaje_confianza": "real"},
}
HUGE = "9" * 131000
POISON = [
    ("asesores", "ciudad", f"'{NOISE}'"),
    ("asesores", "ciudad", f"'  {NOISE}'"),
    ("asesores", "departamento", f"'{NOISE}'"),
    ("asesores", "punto_venta", f"'{NOISE}'"),
    ("asesores", "confianza", HUGE),
    ("asesores", "actividad_reciente_pct", "'1e308'"),
    ("usuarios", "nombre", f"'{NOISE}'"),
    ("usuarios", "email", f"'{NOISE}'"),
    ("solicitudes", "ciudad_origen", f"'{NOISE}'"),
    ("solicitudes", "nivel_actual", "1099511627776"),
    ("repuestos_solicitados", "marca_vehiculo", f"'{NOISE}'"),
    ("repuestos_solicitados", "marca_vehiculo", f"repeat('{NOISE}', 1000)"),
    ("ofertas", "tiempo_entrega_dias", "9223372036854775807"),
    ("ofertas_detalle", "precio_unitario", HUGE),
    ("ofertas_detalle", "precio_unitario", "-1e15"),
    ("ofertas_detalle", "cantidad", "9223372036854775807"),
    ("ofertas_detalle", "garantia_meses", "-9223372036854775808"),
    ("ofertas_historicas", "monto_total", HUGE),
    ("ofertas_historicas", "tiempo_respuesta_seg", "9223372036854775807"),
    ("historial_respuestas_ofertas", "tiempo_respuesta_seg", "9223372036854775807"),
    ("auditorias_tiendas", "puntaje_confianza", "'3.4e38'"),
]


@pytest.fixture
def wide(database: Database) -> Database:
    """A marketplace whose columns are as wide as the contract with the source allows."""
    made_once(database, "wide", make_wide)
    return database


def make_wide(database: Database) -> None:
    load_source_schema(database.url)
    database.execute(
        *(
            f"ALTER TABLE public.{table} ALTER COLUMN {column} TYPE {kind}"
            for table, columns in WIDER.items()
            for column, kind in columns.items()
        )
    )
    # Its own index would refuse what an e-mail may be without one.
    unique = database.rows(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) "
        "FROM pg_constraint WHERE conrelid = 'public.usuarios'::regclass AND contype = 'u' "
        "UNION ALL SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index "
        "WHERE indrelid = 'public.usuarios'::regclass AND NOT indisprimary "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"
    )
    database.execute(*(str(statement) for (statement,) in unique))
    with database.session() as connection:
        fill(connection, 25, "A", date(2026, 11, 23), size=Size(requests=60))
    migrate(database.url)
    refresh(database)


def refresh(database: Database, *, force: bool = False) -> list[tuple[object, ...]]:
    with session(database) as connection:
        rows = connection.execute(
            "SELECT view_name, refresh_status, error_message FROM refresh_all_mv(%s)", [force]
        ).fetchall()
    assert {row[1] for row in rows} == {"SUCCESS"}, rows
    return rows


def poison(database: Database, table: str, column: str, value: str) -> str:
    """Poison the row that the next refresh has to look at, and return its id."""
    joined = {
        "ofertas_detalle": "JOIN public.ofertas o ON o.id = oferta_id WHERE o.estado = 'ACEPTADA'",
        "usuarios": "JOIN public.asesores a ON a.usuario_id = p.id WHERE a.estado = 'ACTIVO'",
        "asesores": "WHERE p.estado = 'ACTIVO'",
        "historial_respuestas_ofertas": "WHERE p.respondio",
    }.get(table, "")
    ((row_id,),) = database.rows(
        f"SELECT p.id FROM public.{table} p {joined} ORDER BY p.id LIMIT 1"
    )
    database.execute(f"UPDATE public.{table} SET {column} = {value} WHERE id = '{row_id}'")
    return str(row_id)


def told(database: Database) -> str:
    rows = database.rows(
        "SELECT severity || ': ' || message FROM analytics.health_problems() "
        "WHERE problem = 'uncountable_rows'"
    )
    return str(rows[0][0]) if rows else ""


@pytest.mark.parametrize(("table", "column", "value"), POISON)
@pytest.mark.takes_turns(3)
def test_poisoned_row_is_left_out_counted_and_named(
    wide: Database, table: str, column: str, value: str
) -> None:
    wide.execute(
        f"CREATE TABLE public.kept AS SELECT id AS kept_id, {column} AS kept FROM public.{table}"
    )
    row_id = poison(wide, table, column, value)
    refresh(wide)
    assert differences(wide, NOW) == []
    assert told(wide).startswith("degraded: 1 row")
    assert row_id in told(wide) and table in told(wide) and column in told(wide)
    refresh(wide, force=True)
    assert differences(wide, NOW) == []
    assert wide.rows("SELECT analytics.audit()") == [(0,)]
    wide.execute("CALL analytics.rebuild()")
    assert row_id in told(wide)
    wide.execute(
        f"UPDATE public.{table} SET {column} = kept FROM public.kept "
        f"WHERE id = kept_id AND id = '{row_id}'"
    )
    refresh(wide)
    assert told(wide) == ""
    assert differences(wide, NOW) == []


def test_audit_marks_amounts_as_far_back_as_they_count(wide: Database) -> None:
    """Too many at once for the refresh to look at: the audit does, for all 90 days."""
    wide.execute(
        "INSERT INTO public.ofertas_historicas (id, asesor_id, solicitud_id, fecha, monto_total, "
        "cantidad_repuestos, tiempo_respuesta_seg, aceptada_cliente) "
        "SELECT gen_random_uuid(), kept.asesor_id, kept.solicitud_id, '2026-11-23'::date - day, "
        "CASE WHEN number = 1 THEN 1e16 ELSE 10 END, 1, 5, true "
        "FROM (SELECT * FROM public.ofertas_historicas WHERE asesor_id IS NOT NULL LIMIT 1) "
        "AS kept "
        "CROSS JOIN generate_series(0, 100) AS day CROSS JOIN generate_series(1, 11) AS number"
    )
    refresh(wide)
    assert told(wide) == ""
    with session(wide) as connection:
        assert connection.execute("SELECT analytics.audit(30, 30)").fetchall() == [(0,)]
    assert wide.rows(
        "SELECT count(*), min(fecha)::text, max(fecha)::text FROM public.ofertas_historicas "
        "INNER JOIN analytics.uncountable_rows ON row_id = id"
    ) == [(90, "2026-08-26", "2026-11-23")]
    assert differences(wide, NOW) == []


def test_two_long_cities_and_brands_are_two_and_long_korean_ones_are_no_fault(
    wide: Database,
) -> None:
    wide.execute(
        "UPDATE public.repuestos_solicitados SET marca_vehiculo = 'OTRA'",
        f"UPDATE public.repuestos_solicitados SET marca_vehiculo = '{NOISE}' || 'x' || "
        "substr(id::text, 1, 1)",
        f"UPDATE public.asesores SET ciudad = '{HANGUL}' || substr(id::text, 1, 1)",
    )
    refresh(wide)
    assert differences(wide, NOW) == []
    ((brands,),) = wide.rows("SELECT max(marcas_vehiculos_solicitadas) FROM mv_metricas_mensuales")
    assert int(str(brands)) > 3
    assert "repuestos_solicitados" in told(wide) and "asesores" not in told(wide)


def test_city_that_is_shown_cut_is_found_by_itself(wide: Database) -> None:
    row_id = poison(wide, "asesores", "ciudad", f"'{NOISE}'")
    refresh(wide)
    assert wide.rows(
        "SELECT asesor_id::text FROM mv_ranking_asesores AS shown WHERE "
        "analytics.city_key(ciudad) = analytics.city_key((SELECT ciudad FROM mv_ranking_asesores "
        f"WHERE asesor_id = '{row_id}'))"
    ) == [(row_id,)]


def test_doctor_names_poisoned_rows_without_a_refresh(wide: Database) -> None:
    row_id = poison(wide, "ofertas_detalle", "precio_unitario", HUGE)
    said = {
        with_counts: next(
            " ".join(finding.message for finding in findings)
            for check, _, findings in diagnose(wide.url, with_counts=with_counts, timeout=60)
            if check.name == "values that can't be counted"
        )
        for with_counts in (True, False)
    }
    assert "1 row(s) of ofertas_detalle" in said[True] and row_id in said[True]
    assert "--no-counts" in said[False]


def test_row_that_was_deleted_is_no_longer_told(wide: Database) -> None:
    row_id = poison(wide, "ofertas_historicas", "monto_total", HUGE)
    refresh(wide)
    assert row_id in told(wide)
    wide.execute(f"DELETE FROM public.ofertas_historicas WHERE id = '{row_id}'")
    refresh(wide)
    assert told(wide) == ""
