"""What the two views must hold, computed in plain Python from the rows of the source tables.

Written from kpis.md alone, without looking at the SQL. Nothing is aggregated by PostgreSQL:
every table is read row by row. Sums, averages and roundings are exact (``Fraction``).
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from hashlib import md5
from typing import cast
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

Value = str | int | bool | date | Decimal | Fraction | None
Row = dict[str, Value]

ZONE = "America/Bogota"
# "Line breaks" are read as Unicode's: line feed, vertical tab, form feed, carriage return, next
# line, line and paragraph separator.
WHITE_SPACE = " \t\n\v\f\r\u0085\u2028\u2029\u00a0"
ACCEPTED_REQUEST = {"OFERTAS_ACEPTADAS", "ACEPTADA"}
REJECTED_REQUEST = {"OFERTAS_RECHAZADAS", "RECHAZADA"}
EXPIRED_REQUEST = {"EXPIRADA", "CERRADA_SIN_OFERTAS"}
CLOSED_REQUEST = ACCEPTED_REQUEST | REJECTED_REQUEST | EXPIRED_REQUEST
SELECTED_OFFER = {"GANADORA", "ACEPTADA"}

MONTHLY_COLUMNS = (
    "mes",
    "solicitudes_creadas",
    "solicitudes_aceptadas",
    "solicitudes_rechazadas",
    "solicitudes_expiradas",
    "solicitudes_sin_ofertas",
    "tiempo_promedio_cierre_seg",
    "ofertas_totales",
    "ofertas_ganadoras",
    "ofertas_aceptadas",
    "precio_promedio_ofertas",
    "precio_minimo_ofertas",
    "precio_maximo_ofertas",
    "tiempo_entrega_promedio",
    "garantia_promedio_meses",
    "clientes_activos",
    "asesores_activos",
    "marcas_vehiculos_solicitadas",
    "volumen_transaccional_total",
    "tasa_aceptacion_pct",
    "tasa_conversion_ofertas_pct",
    "ofertas_promedio_por_solicitud",
)
RANKING_COLUMNS = (
    "asesor_id",
    "asesor_nombre",
    "asesor_email",
    "ciudad",
    "departamento",
    "punto_venta",
    "confianza",
    "nivel_actual",
    "estado_asesor",
    "actividad_reciente_pct",
    "desempeno_historico_pct",
    "ofertas_historicas_total",
    "ofertas_ganadoras",
    "ofertas_aceptadas_cliente",
    "entregas_exitosas",
    "tiempo_promedio_respuesta_seg",
    "monto_promedio_ofertas",
    "volumen_total_ofertas",
    "confianza_auditada",
    "auditorias_realizadas",
    "ultima_auditoria",
    "notificaciones_recibidas",
    "notificaciones_respondidas",
    "tiempo_promedio_respuesta_notif_seg",
    "tasa_respuesta_pct",
    "tasa_conversion_ofertas_pct",
    "tasa_exito_completo_pct",
    "ranking_ciudad",
    "ranking_nacional",
    "percentil_ofertas_ganadoras_ciudad",
    "percentil_ofertas_ganadoras_nacional",
)


# -- the conventions ---------------------------------------------------------------------------


def rounded(value: Fraction) -> Decimal:
    """Round to 2 decimals, half away from zero."""
    hundredths = (2 * abs(value.numerator) * 100 + value.denominator) // (2 * value.denominator)
    return Decimal(f"{'-' if value < 0 else ''}{hundredths}e-2")


def average(values: Sequence[Fraction]) -> Decimal | None:
    """Average over what there is; NULL over nothing."""
    return rounded(sum(values, Fraction()) / len(values)) if values else None


def ratio(part: int, whole: int, factor: int = 1) -> Decimal:
    """Return ``factor * part / whole``, 0 over nothing."""
    return rounded(Fraction(factor * part, whole)) if whole else Decimal(0)


def percentage(part: int, whole: int) -> Decimal:
    """Return the percentage, 0 over nothing."""
    return ratio(part, whole, 100)


def exact_sum(values: Iterable[Fraction]) -> Fraction:
    """Sum exactly; 0 over nothing."""
    return sum(values, Fraction())


def upper_case(text: str) -> str:
    """Upper-case character by character, as PostgreSQL does: 'ß' stays as it is."""
    return "".join(
        character.upper() if len(character.upper()) == 1 else character for character in text
    )


def city_key(text: str) -> str:
    """Return what two spellings of one city have in common."""
    for character in WHITE_SPACE[1:]:
        text = text.replace(character, " ")
    collapsed = " ".join(word for word in text.split(" ") if word)
    decomposed = unicodedata.normalize("NFD", collapsed)
    return upper_case("".join(c for c in decomposed if not "\u0300" <= c <= "\u036f"))


def brand_key(text: str) -> str:
    """Return a vehicle brand as it is counted: only the ends are trimmed."""
    return upper_case(text.strip(WHITE_SPACE))


@lru_cache(maxsize=200_000)
def local_day(instant: Fraction | None, zone: str) -> date | None:
    """Return the local date of an instant; the first or last date there is for one beyond."""
    if instant is None:
        return None
    microseconds = instant * 1_000_000
    assert microseconds.denominator == 1
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))
        return moment.astimezone(ZoneInfo(zone)).date()
    except OverflowError:
        return date.min if instant < 0 else date.max


# -- reading the source ------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """All rows of the source tables. Instants are seconds since 1970, numbers ``Fraction``."""

    schema: str
    tables: dict[str, list[Row]]
    types: dict[str, dict[str, str]]


SHARED_TABLES = (
    "usuarios",
    "clientes",
    "asesores",
    "solicitudes",
    "repuestos_solicitados",
    "ofertas",
    "ofertas_detalle",
    "adjudicaciones_repuesto",
    "ofertas_historicas",
    "historial_respuestas_ofertas",
)
INSTANTS = {"timestamp with time zone", "timestamp without time zone", "date"}
NUMBERS = {"numeric", "integer", "bigint", "smallint", "double precision", "real"}


def finite(text: str | None) -> Fraction | None:
    """Return a number as it came from PostgreSQL; NaN and infinite count as NULL."""
    if text is None or text in {"NaN", "Infinity", "-Infinity"}:
        return None
    whole, _, part = text.partition(".")
    try:
        # Faster than Fraction(text), which looks for more forms than PostgreSQL writes.
        return Fraction(int(whole + part), 10 ** len(part))
    except ValueError:
        return Fraction(text)


# Values beyond count as NULL: what no real row holds (docs/source.md).
WHOLE_NUMBERS = {
    "nivel_actual",
    "cantidad",
    "garantia_meses",
    "tiempo_entrega_dias",
    "tiempo_respuesta_seg",
}
KEYS = {"ciudad", "ciudad_origen", "marca_vehiculo"}


def countable(text: str | None, column: str) -> Fraction | None:
    """Return a number of the source; what is out of range counts as NULL."""
    if text is None or len(text.partition(".")[0]) > 4000:
        return None
    value = finite(text)
    if value is None:
        return None
    if column in WHOLE_NUMBERS:
        return value if -(2**31) <= value < 2**31 else None
    return value if abs(value) < 10**15 else None


def cut(text: str | None, column: str) -> str | None:
    """Return a text of the source; one that is too long is cut, with its digest."""
    if text is None or column == "estado":
        return text
    if len(text.encode()) <= (500 if column in KEYS else 2000):
        return text
    return f"{text[:100]}… {md5(text.encode(), usedforsecurity=False).hexdigest()}"


def read_table(
    connection: psycopg.Connection, schema: str, table: str, types: dict[str, str]
) -> list[Row]:
    """Read all rows of a table, every column as text but for booleans."""
    parts: list[sql.Composable] = []
    for column, kind in types.items():
        name = sql.Identifier(column)
        if kind in INSTANTS:
            # A timestamp without zone is to be read as UTC: that is what epoch does with it.
            parts.append(sql.SQL("extract(epoch FROM {})::text").format(name))
        elif kind == "boolean":
            parts.append(name)
        else:
            parts.append(sql.SQL("{}::text").format(name))
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(parts), sql.Identifier(schema, table)
    )
    rows: list[Row] = []
    for values in connection.execute(query):
        row: Row = {}
        for (column, kind), value in zip(types.items(), values, strict=True):
            if kind in INSTANTS:
                row[column] = finite(value)
            elif kind in NUMBERS:
                row[column] = countable(value, column)
            elif kind == "boolean":
                row[column] = value
            else:
                row[column] = cut(value, column)
        rows.append(row)
    return rows


def read_source(connection: psycopg.Connection) -> Source:
    """Read the source: generation A in schema public, or B in schema teloo."""
    found = connection.execute(
        "SELECT table_schema::text, table_name::text FROM information_schema.tables "
        "WHERE table_schema IN ('public', 'teloo')"
    ).fetchall()
    present = {(schema, table) for schema, table in found}
    if ("public", "solicitudes") in present:
        return read_schema(connection, "public")
    if ("teloo", "solicitudes") in present:
        return read_schema(connection, "teloo")
    raise LookupError("there is no source schema of either generation")


def read_schema(connection: psycopg.Connection, schema: str) -> Source:
    """Read the source in one schema, of the generation that its table of audits shows."""
    found = connection.execute(
        "SELECT table_name::text, column_name::text, data_type::text "
        "FROM information_schema.columns WHERE table_schema = %s ORDER BY ordinal_position",
        [schema],
    ).fetchall()
    names = {table for table, _, _ in found}
    audits = "auditorias_tiendas" if "auditorias_tiendas" in names else "auditoria_tiendas"
    types: dict[str, dict[str, str]] = {}
    tables: dict[str, list[Row]] = {}
    for table in (*SHARED_TABLES, audits):
        name = "auditorias" if table == audits else table
        types[name] = {column: kind for its_table, column, kind in found if its_table == table}
        tables[name] = read_table(connection, schema, table, types[name])
    return Source(schema, tables, types)


# -- the monthly view --------------------------------------------------------------------------


def number(row: Row, column: str) -> Fraction | None:
    """Return a numeric value or an instant of a row."""
    return cast(Fraction | None, row[column])


def numbers(rows: Iterable[Row], column: str) -> list[Fraction]:
    """Return the values that are not NULL."""
    return [cast(Fraction, row[column]) for row in rows if row[column] is not None]


def children(rows: Iterable[Row], column: str) -> dict[Value, list[Row]]:
    """Group rows by the id of their parent; a row without it belongs to nothing."""
    grouped: dict[Value, list[Row]] = defaultdict(list)
    for row in rows:
        if row[column] is not None:
            grouped[row[column]].append(row)
    return grouped


def is_accepted(request: Row) -> bool:
    """Tell whether the client accepted the request's offers."""
    answer = request.get("cliente_acepto")
    return request["estado"] in ACCEPTED_REQUEST if answer is None else answer is True


def is_rejected(request: Row) -> bool:
    """Tell whether the client rejected the request's offers."""
    answer = request.get("cliente_acepto")
    return request["estado"] in REJECTED_REQUEST if answer is None else answer is False


def closing_seconds(request: Row) -> Fraction | None:
    """Return the seconds from creation to closing, NULL where the request is not closed."""
    created = number(request, "created_at")
    closed = cast(Fraction | None, request.get("fecha_respuesta_cliente"))
    if closed is None:
        closed = number(request, "updated_at")
    if request["estado"] not in CLOSED_REQUEST or created is None or closed is None:
        return None
    return closed - created


def month_of(request: Row, zone: str) -> date | None:
    """Return the first day of the local month a request belongs to."""
    day = local_day(number(request, "created_at"), zone)
    return day.replace(day=1) if day is not None and 2000 <= day.year <= 2099 else None


def months_between(first: date, last: date) -> list[date]:
    """Return all months from the first to the last."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    start = first.year * 12 + first.month - 1
    return [date((start + i) // 12, (start + i) % 12 + 1, 1) for i in range(count)]


def compute_months(source: Source, zone: str) -> list[Row]:
    """Compute mv_metricas_mensuales."""
    tables = source.tables
    offers_of = children(tables["ofertas"], "solicitud_id")
    lines_of = children(tables["ofertas_detalle"], "oferta_id")
    parts_of = children(tables["repuestos_solicitados"], "solicitud_id")
    adjudicated = {row["oferta_id"] for row in tables["adjudicaciones_repuesto"]} - {None}
    requests_of: dict[date, list[Row]] = defaultdict(list)
    for request in tables["solicitudes"]:
        month = month_of(request, zone)
        if month is not None:
            requests_of[month].append(request)
    if not requests_of:
        return []
    rows: list[Row] = []
    for month in months_between(min(requests_of), max(requests_of)):
        requests = requests_of.get(month, [])
        offers = [offer for request in requests for offer in offers_of.get(request["id"], [])]
        lines = [line for offer in offers for line in lines_of.get(offer["id"], [])]
        parts = [part for request in requests for part in parts_of.get(request["id"], [])]
        won = sum(o["estado"] in SELECTED_OFFER or o["id"] in adjudicated for o in offers)
        accepted = sum(map(is_accepted, requests))
        prices = numbers(lines, "precio_unitario")
        durations = [closing_seconds(request) for request in requests]
        brands = {brand_key(str(p["marca_vehiculo"])) for p in parts if p["marca_vehiculo"]}
        rows.append(
            {
                "mes": month,
                "solicitudes_creadas": len(requests),
                "solicitudes_aceptadas": accepted,
                "solicitudes_rechazadas": sum(map(is_rejected, requests)),
                "solicitudes_expiradas": sum(r["estado"] in EXPIRED_REQUEST for r in requests),
                "solicitudes_sin_ofertas": sum(
                    r["estado"] == "CERRADA_SIN_OFERTAS" for r in requests
                ),
                "tiempo_promedio_cierre_seg": average([d for d in durations if d is not None]),
                "ofertas_totales": len(offers),
                "ofertas_ganadoras": won,
                "ofertas_aceptadas": sum(offer["estado"] == "ACEPTADA" for offer in offers),
                "precio_promedio_ofertas": average(prices),
                "precio_minimo_ofertas": min(prices, default=None),
                "precio_maximo_ofertas": max(prices, default=None),
                "tiempo_entrega_promedio": average(numbers(offers, "tiempo_entrega_dias")),
                "garantia_promedio_meses": average(numbers(lines, "garantia_meses")),
                "clientes_activos": len({r["cliente_id"] for r in requests} - {None}),
                "asesores_activos": len({offer["asesor_id"] for offer in offers} - {None}),
                "marcas_vehiculos_solicitadas": len(brands - {""}),
                "volumen_transaccional_total": exact_sum(
                    cast(Fraction, line["precio_unitario"]) * cast(Fraction, line["cantidad"])
                    for offer in offers
                    if offer["estado"] == "ACEPTADA"
                    for line in lines_of.get(offer["id"], [])
                    if line["precio_unitario"] is not None and line["cantidad"] is not None
                ),
                "tasa_aceptacion_pct": percentage(accepted, len(requests)),
                "tasa_conversion_ofertas_pct": percentage(won, len(offers)),
                "ofertas_promedio_por_solicitud": ratio(len(offers), len(requests)),
            }
        )
    return rows


# -- the ranking -------------------------------------------------------------------------------


def full_name(user: Row) -> str:
    """Join the parts of a name that are there, each as stored."""
    parts = [user["nombre"], user.get("apellido")]
    return " ".join(str(part) for part in parts if part)


def in_window(day: date | None, today: date, days: int) -> bool:
    """Tell whether a day is one of the last ``days`` days, today included."""
    return day is not None and today - timedelta(days=days - 1) <= day <= today


def ranks(keys: Sequence[tuple[Fraction, ...]]) -> list[int]:
    """Return SQL's rank() of each key in ascending order."""
    first: dict[tuple[Fraction, ...], int] = {}
    for position, key in enumerate(sorted(keys), start=1):
        first.setdefault(key, position)
    return [first[key] for key in keys]


def rank_key(row: Row) -> tuple[Fraction, ...]:
    """Return the key by which an advisor is ranked, the best first."""
    seconds = cast(Decimal | None, row["tiempo_promedio_respuesta_seg"])
    trust = cast(Fraction | None, row["confianza"])
    return (
        -Fraction(cast(int, row["ofertas_ganadoras"])),
        Fraction(seconds is None),
        Fraction(seconds or 0),
        Fraction(trust is None),
        -(trust or Fraction()),
    )


def add_ranks(rows: list[Row], suffix: str) -> None:
    """Add rank and percentile within a group of advisors."""
    wins = [(Fraction(cast(int, row["ofertas_ganadoras"])),) for row in rows]
    places = ranks([rank_key(row) for row in rows])
    for row, place, ascending in zip(rows, places, ranks(wins), strict=True):
        row[f"ranking_{suffix}"] = place
        row[f"percentil_ofertas_ganadoras_{suffix}"] = percentage(ascending - 1, len(rows) - 1)


def compute_ranking(source: Source, today: date, zone: str) -> list[Row]:
    """Compute mv_ranking_asesores, without calculado_at."""
    tables = source.tables
    users = {row["id"]: row for row in tables["usuarios"]}
    history_of = children(tables["ofertas_historicas"], "asesor_id")
    notices_of = children(tables["historial_respuestas_ofertas"], "asesor_id")
    audits_of = children(tables["auditorias"], "asesor_id")
    # A date is taken as it is stored; its epoch is midnight in UTC.
    stored_zone = "UTC" if source.types["ofertas_historicas"]["fecha"] == "date" else zone
    rows: list[Row] = []
    for advisor in tables["asesores"]:
        if advisor["estado"] != "ACTIVO" or advisor["usuario_id"] not in users:
            continue
        user = users[advisor["usuario_id"]]
        history = [
            row
            for row in history_of.get(advisor["id"], [])
            if in_window(local_day(number(row, "fecha"), stored_zone), today, 30)
        ]
        notices = [
            row
            for row in notices_of.get(advisor["id"], [])
            if in_window(local_day(number(row, "fecha_envio"), zone), today, 30)
        ]
        audits = audits_of.get(advisor["id"], [])
        recent_audits = [
            row
            for row in audits
            if in_window(local_day(number(row, "fecha_revision"), zone), today, 90)
        ]
        past_audits = [
            instant
            for instant in numbers(audits, "fecha_revision")
            if (local_day(instant, zone) or date.max) <= today
        ]
        answered = [row for row in notices if row["respondio"] is True]
        won = sum(row["adjudicada"] is True for row in history)
        complete = sum(
            row["adjudicada"] is row["aceptada_cliente"] is row["entrega_exitosa"] is True
            for row in history
        )
        audited = average(numbers(recent_audits, "puntaje_confianza"))
        level = cast(Fraction | None, advisor.get("nivel_actual"))
        rows.append(
            {
                "asesor_id": advisor["id"],
                "asesor_nombre": full_name(user),
                "asesor_email": user["email"],
                "ciudad": advisor["ciudad"],
                "departamento": advisor["departamento"],
                "punto_venta": advisor["punto_venta"],
                "confianza": advisor["confianza"],
                "nivel_actual": level,
                "estado_asesor": advisor["estado"],
                "actividad_reciente_pct": advisor["actividad_reciente_pct"],
                "desempeno_historico_pct": advisor["desempeno_historico_pct"],
                "ofertas_historicas_total": len(history),
                "ofertas_ganadoras": won,
                "ofertas_aceptadas_cliente": sum(
                    row["aceptada_cliente"] is True for row in history
                ),
                "entregas_exitosas": sum(row["entrega_exitosa"] is True for row in history),
                "tiempo_promedio_respuesta_seg": average(
                    [value for value in numbers(history, "tiempo_respuesta_seg") if value != 0]
                ),
                "monto_promedio_ofertas": average(numbers(history, "monto_total")),
                "volumen_total_ofertas": exact_sum(numbers(history, "monto_total")),
                "confianza_auditada": advisor["confianza"] if audited is None else audited,
                "auditorias_realizadas": len(recent_audits),
                "ultima_auditoria": max(past_audits, default=None),
                "notificaciones_recibidas": len(notices),
                "notificaciones_respondidas": len(answered),
                "tiempo_promedio_respuesta_notif_seg": average(
                    numbers(answered, "tiempo_respuesta_seg")
                ),
                "tasa_respuesta_pct": percentage(len(answered), len(notices)),
                "tasa_conversion_ofertas_pct": percentage(won, len(history)),
                "tasa_exito_completo_pct": percentage(complete, len(history)),
                "ranking_ciudad": None,
                "ranking_nacional": None,
                "percentil_ofertas_ganadoras_ciudad": None,
                "percentil_ofertas_ganadoras_nacional": None,
            }
        )
    add_ranks(rows, "nacional")
    by_city: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_city[city_key(str(row["ciudad"]))].append(row)
    for group in by_city.values():
        add_ranks(group, "ciudad")
    return sorted(rows, key=lambda row: (cast(int, row["ranking_nacional"]), str(row["asesor_id"])))


def compute(
    connection: psycopg.Connection, today: date, zone: str = ZONE
) -> tuple[list[Row], list[Row]]:
    """Compute both views: months by ``mes``; advisors by ``ranking_nacional``, ``asesor_id``."""
    source = read_source(connection)
    return compute_months(source, zone), compute_ranking(source, today, zone)


# -- reading the views, and comparing ----------------------------------------------------------


def read_view(
    connection: psycopg.Connection, view: str, key: str, origin: str | None = None
) -> list[Row]:
    """Read one view in the order of its key; instants as seconds since 1970.

    With an origin: the rows of this one of several, which are computed from its facts.
    """
    name: sql.Composable = sql.Identifier("analytics", view)
    described = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name)).description
    if origin is not None:
        name = sql.SQL(
            "(SELECT kpi.* FROM analytics.rows_of_origin({}, {}) AS object "
            "CROSS JOIN LATERAL jsonb_populate_record(NULL::{}, object) AS kpi) AS shown"
        ).format(sql.Literal(view), sql.Literal(origin), name)
    assert described is not None
    timestamptz = psycopg.postgres.types["timestamptz"].oid
    parts = [
        sql.SQL("extract(epoch FROM {})" if column.type_code == timestamptz else "{}").format(
            sql.Identifier(column.name)
        )
        for column in described
        if column.name != "calculado_at"
    ]
    names = [column.name for column in described if column.name != "calculado_at"]
    query = sql.SQL("SELECT {} FROM {} ORDER BY " + key).format(sql.SQL(", ").join(parts), name)
    rows = []
    for values in connection.execute(query):
        row = dict(zip(names, values, strict=True))
        if "asesor_id" in row:
            row["asesor_id"] = str(row["asesor_id"])
        rows.append(row)
    return rows


def read_views(
    connection: psycopg.Connection, origin: str | None = None
) -> tuple[list[Row], list[Row]]:
    """Read both views in the shape of ``compute``."""
    return (
        read_view(connection, "mv_metricas_mensuales", "mes", origin),
        read_view(connection, "mv_ranking_asesores", "ranking_nacional, asesor_id", origin),
    )


def same(expected: Value, actual: Value) -> bool:
    """Tell whether two cells are the same: numbers as numbers, no tolerance, NaN never."""
    if isinstance(expected, bool | str | date) or isinstance(actual, bool | str | date):
        return type(expected) is type(actual) and expected == actual
    if expected is None or actual is None:
        return expected is actual
    if isinstance(actual, Decimal) and not actual.is_finite():
        return False
    return Fraction(expected) == Fraction(actual)


def shown(value: Value) -> str:
    """Return a cell as it reads best."""
    if isinstance(value, Fraction):
        return str(value.numerator) if value.denominator == 1 else str(float(value))
    return "NULL" if value is None else str(value) if not isinstance(value, str) else repr(value)


def differences(expected: list[Row], actual: list[Row], key: str | None = None) -> list[str]:
    """List all differences, cell by cell; rows are matched by their key, then their order."""
    if key is None:
        key = "asesor_id" if any("asesor_id" in row for row in [*expected, *actual]) else "mes"
    found: list[str] = []
    if expected and actual and list(expected[0]) != list(actual[0]):
        found.append(f"columns: expected {list(expected[0])}, got {list(actual[0])}")
    got = {row[key]: row for row in actual}
    for row in expected:
        other = got.pop(row[key], None)
        if other is None:
            found.append(f"{row[key]}: the row is missing")
            continue
        found += [
            f"{row[key]} {column}: expected {shown(row[column])}, got {shown(other[column])}"
            for column in row
            if column in other and not same(row[column], other[column])
        ]
    found += [f"{value}: a row that should not be there" for value in got]
    if len(actual) != len({row[key] for row in actual}):
        found.append(f"{key} is not unique")
    if not found and [row[key] for row in expected] != [row[key] for row in actual]:
        found.append("the order of the rows differs")
    return found


def all_differences(
    expected: tuple[list[Row], list[Row]], actual: tuple[list[Row], list[Row]]
) -> list[str]:
    """List the differences of both views."""
    return [f"monthly: {line}" for line in differences(expected[0], actual[0])] + [
        f"ranking: {line}" for line in differences(expected[1], actual[1])
    ]
