"""Comparison with the period or the year before, against an independent computation in Python."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import psycopg
import pytest

from conftest import Database, install
from golden_data import GOLDEN, run_file
from migrate import migrate
from oracle import ZONE, Row, Source, Value, compute_months, local_day, number, read_source, rounded
from oracle import same as same_cell
from oracle_views import VIEWS

LECTOR = "analytics_lector"
RICH = GOLDEN / "rich"
TIMES = {
    "mv_metricas_mensuales": "mes",
    "mv_embudo_operativo": "dia",
    "mv_embudo_niveles": "mes",
    "mv_salud_marketplace": "semana",
    "mv_finanzas_mensuales": "mes",
    "mv_retencion_asesores": "mes",
    "mv_demanda_ciudades": "mes",
}
KEYS = {view: ("mes",) if view not in VIEWS else VIEWS[view].keys for view in TIMES}
NAMES = {"mes", "semana", "dia", "nivel", "ciudad_key", "ciudad"}
# What the requests of some days alone can't tell.
WHOLE = {
    "mv_finanzas_mensuales": {"crecimiento_mensual_pct", "acumulado_anual"},
    "mv_retencion_asesores": {
        "asesores_retenidos",
        "asesores_nuevos",
        "asesores_reactivados",
        "asesores_perdidos",
        "tasa_retencion_pct",
    },
    "mv_salud_marketplace": {"asesores_registrados", "tasa_participacion_pct"},
}
NULL_OVER_NOTHING = {
    "tiempo_promedio_cierre_seg",
    "precio_promedio_ofertas",
    "precio_minimo_ofertas",
    "precio_maximo_ofertas",
    "tiempo_entrega_promedio",
    "garantia_promedio_meses",
    "ttfo_promedio_seg",
    "ttfo_mediana_seg",
    "tta_mediana_seg",
    "ttcd_mediana_seg",
    "ticket_promedio",
    "crecimiento_mensual_pct",
    "acumulado_anual",
    "tasa_adjudicacion_promedio_pct",
    "tasa_adjudicacion_mediana_pct",
}
# The running week has one day, three and seven; the month 23, 25, 29 and 30 (October has 31).
CLOCKS = ("2026-11-23", "2026-11-25", "2026-11-29", "2026-11-30")


def call(connection: psycopg.Connection, view: str, *parts: str) -> list[dict[str, Any]]:
    """Call api.kpi as a reader; return the rows."""
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {LECTOR}")
        row = connection.execute(
            "SELECT api.kpi(%s, VARIADIC %s::text[])::text", [view, list(parts)]
        ).fetchone()
        assert row
        return cast(list[dict[str, Any]], json.loads(row[0], parse_float=Decimal))


def error(database: Database, view: str, *parts: str) -> tuple[int, str]:
    """Call api.kpi as a reader, to be refused; return status and message."""
    with database.connect() as connection, pytest.raises(psycopg.Error) as raised:
        call(connection, view, *parts)
    assert raised.value.sqlstate == "PGRST", raised.value
    status = json.loads(str(raised.value.diag.message_detail))["status"]
    return status, str(json.loads(str(raised.value.diag.message_primary))["message"])


def refresh(connection: psycopg.Connection, now: str) -> None:
    """Refresh all views in a session whose clock is pinned; then let the clock go on."""
    connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
    rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
    assert {row[1] for row in rows} == {"SUCCESS"}, rows
    # The answer is of the day of the refresh, not of the day of the request.
    connection.execute("SELECT set_config('analytics.now', '2027-05-05 12:00:00-05', false)")


# -- the independent computation ----------------------------------------------------------------


def compute(view: str, source: Source) -> dict[tuple[Value, ...], Row]:
    """Compute a view from rows of the source, by key."""
    today = date(2026, 11, 23)
    rows = (
        VIEWS[view].compute(source, today, ZONE) if view in VIEWS else compute_months(source, ZONE)
    )
    return {tuple(row[key] for key in KEYS[view]): row for row in rows}


def cut(source: Source, first: date, last: date) -> Source:
    """Return the source with the requests of some local days only."""
    days = (
        (row, local_day(number(row, "created_at"), ZONE)) for row in source.tables["solicitudes"]
    )
    kept = [row for row, day in days if day is not None and first <= day <= last]
    return replace(source, tables={**source.tables, "solicitudes": kept})


def month_before(month: date, months: int) -> date:
    """Return the first day of an earlier month."""
    count = month.year * 12 + month.month - 1 - months
    return date(count // 12, count % 12 + 1, 1)


def last_day(time: str, period: date) -> date:
    """Return the last day of a period."""
    if time == "mes":
        return month_before(period, -1) - timedelta(days=1)
    return period + timedelta(days=6 if time == "semana" else 0)


def earlier(time: str, period: date, compare: str) -> date:
    """Return the first day of the period to compare with."""
    if time == "mes":
        return month_before(period, 1 if compare == "previous" else 12)
    if time == "semana":
        return period - timedelta(weeks=1 if compare == "previous" else 52)
    if compare == "previous":
        return period - timedelta(days=1)
    if (period.month, period.day) == (2, 29):
        return date(period.year - 1, 2, 28)
    return period.replace(year=period.year - 1)


def exact(value: object) -> Fraction:
    """Return a number exactly."""
    return Fraction(cast(Decimal, value))


class Expected:
    """What compare must answer, by the rows of the source."""

    def __init__(self, source: Source, today: date) -> None:
        self.source = source
        self.today = today
        self.views = {view: compute(view, source) for view in TIMES}
        self.parts: dict[tuple[str, date, date], dict[tuple[Value, ...], Row]] = {}
        self.compared_with_parts: dict[str, int] = dict.fromkeys(TIMES, 0)

    def part(self, view: str, first: date, last: date) -> dict[tuple[Value, ...], Row]:
        """Compute a view from the requests of some days."""
        found = self.parts.get((view, first, last))
        if found is None:
            found = compute(view, cut(self.source, first, last))
            self.parts[view, first, last] = found
        return found

    def added(self, view: str, row: Row, compare: str) -> Row:
        """Return the columns that compare adds to a row of a view."""
        time = TIMES[view]
        period = cast(date, row[time])
        first = earlier(time, period, compare)
        last = last_day(time, first)
        is_over = last_day(time, period) < self.today
        rows = self.views[view]
        without: set[str] = set()
        if not is_over and first + (self.today - period) < last:
            last = first + (self.today - period)
            rows = self.part(view, first, last)
            without = WHOLE.get(view, set())
            self.compared_with_parts[view] += 1
        key = tuple(first if name == time else row[name] for name in KEYS[view])
        before = rows.get(key)
        is_known = last >= first >= min(cast(date, one[time]) for one in self.views[view].values())
        result: Row = {}
        for column, value in row.items():
            if column in NAMES:
                continue
            if column in without:
                was: Value = None
            elif before is not None:
                was = before[column]
            else:
                was = 0 if is_known and column not in NULL_OVER_NOTHING else None
            result[f"{column}_anterior"] = was
            result[f"{column}_dif_pct"] = (
                None
                if value is None or was is None or not exact(was)
                else rounded(100 * (exact(value) - exact(was)) / abs(exact(was)))
            )
        result["incompleto"] = not is_over
        return result


def as_source(row: dict[str, Any], time: str) -> Row:
    """Return a row of an answer in the shape of the oracle."""
    return {**row, time: date.fromisoformat(row[time])}


def faults(
    expected: Expected, view: str, compare: str, rows: Iterable[dict[str, Any]]
) -> Iterator[str]:
    """List the cells that compare should have answered otherwise."""
    for row in rows:
        shown = as_source(row, TIMES[view])
        key = tuple(shown[name] for name in KEYS[view])
        own = expected.views[view][key]
        right = {**own, **expected.added(view, own, compare)}
        if list(right) != list(shown):
            yield f"{view} {key}: columns {list(shown)}"
            continue
        for column, value in right.items():
            if not same_cell(value, shown[column]):
                yield f"{view} {compare} {key} {column}: {value} expected, {shown[column]} found"


@pytest.mark.parametrize("generation", ["A", "B"])
def test_rich_data_compared_with_the_same_days_before(database: Database, generation: str) -> None:
    run_file(database.url, RICH / generation.lower() / "source.sql")
    migrate(database.url)
    with database.connect() as connection:
        source = read_source(connection)
        for day in CLOCKS:
            refresh(connection, f"{day} 12:00:00-05")
            expected = Expected(source, date.fromisoformat(day))
            for view in TIMES:
                for compare in ("previous", "year"):
                    rows = call(connection, view, "limit=1000", f"compare={compare}")
                    assert len(rows) == min(len(expected.views[view]), 1000) > 3
                    assert list(faults(expected, view, compare, rows)) == [], day
            compared = {view for view, count in expected.compared_with_parts.items() if count}
            print(day, expected.compared_with_parts, compared)
