"""Comparison with the period or the year before, against an independent computation in Python."""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from conftest import Database, Server, install
from database.sql_files import SQL_DIRECTORY
from gateway_testing import Api, refused
from golden_data import GOLDEN, load_rich, run_file
from migrate import migrate
from oracle import ZONE, Row, Source, Value, compute_months, local_day, number, read_source, rounded
from oracle import same as same_cell
from oracle_views import VIEWS

SERVERS_TAKE_TURNS = True
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
    "asesores_registrados",
    "asesores_perdidos",
    "acumulado_anual",
    "tasa_adjudicacion_promedio_pct",
    "tasa_adjudicacion_mediana_pct",
}
WEDNESDAY = "2026-11-25"
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
    with database.session() as connection, pytest.raises(psycopg.Error) as raised:
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
        # Rows whose part is another one than the whole, by view.
        self.parts_that_differ: Counter[str] = Counter()

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
        key = tuple(first if name == time else row[name] for name in KEYS[view])
        before = rows.get(key)
        if before is not None and before != self.views[view][key]:
            self.parts_that_differ[view] += 1
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
    with database.session() as connection:
        source = read_source(connection)
        parts: Counter[str] = Counter()
        for day in CLOCKS:
            refresh(connection, f"{day} 12:00:00-05")
            expected = Expected(source, date.fromisoformat(day))
            for view in TIMES:
                for compare in ("previous", "year"):
                    rows = call(connection, view, "limit=1000", f"compare={compare}")
                    assert len(rows) == len(expected.views[view]) > 3
                    assert list(faults(expected, view, compare, rows)) == [], day
            parts += expected.parts_that_differ
        # It would show if a part were taken for the whole, in each view whose periods have parts.
        assert set(parts) == set(TIMES) - {"mv_embudo_operativo"}


# -- with the other parameters ------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(system_server: Server) -> Iterator[Database]:
    """The golden rich data, refreshed on Wednesday, 25 November 2026."""
    name = system_server.new_name("compare")
    with system_server.janitor(name):
        database = Database(system_server.cluster, name)
        load_rich(database.url)
        with database.session() as connection:
            refresh(connection, f"{WEDNESDAY} 12:00:00-05")
        yield database


def rows_of(database: Database, view: str, *parts: str) -> list[dict[str, Any]]:
    """Call api.kpi as a reader in a session of its own."""
    with database.session() as connection:
        return call(connection, view, *parts)


def test_a_page_has_the_rows_of_the_whole(small: Database) -> None:
    """The earlier period is found outside of from, to, limit and the dimensions' selection."""
    for view, own in TIMES.items():
        whole = rows_of(small, view, "compare=previous", "limit=1000")
        keys = [tuple(row[name] for name in KEYS[view]) for row in whole]
        assert keys == [
            tuple(row[name] for name in KEYS[view]) for row in rows_of(small, view, "limit=1000")
        ]
        assert rows_of(small, view, "compare=previous", "limit=2", "offset=1") == whole[1:3]
        period = whole[4][own]
        shown = period[:7] if own == "mes" else period
        assert rows_of(
            small, view, "compare=previous", f"from={shown}", f"to={shown}", "limit=1000"
        ) == [row for row in whole if row[own] == period]
        column = next(name for name in whole[0] if name not in NAMES)
        by_column = rows_of(small, view, "compare=previous", f"order=-{column}", "limit=7")
        plain = rows_of(small, view, f"order=-{column}", "limit=7")
        assert [{name: row[name] for name in plain[0]} for row in by_column] == plain
        # Without compare nothing is added.
        assert list(whole[0])[: len(plain[0])] == list(plain[0])
    refused = error(small, "mv_metricas_mensuales", "order=incompleto", "compare=year")
    assert refused[0] == 400


def test_a_city_and_a_level_are_compared_with_themselves(small: Database) -> None:
    whole = rows_of(small, "mv_demanda_ciudades", "compare=year", "limit=1000")
    key = next(row["ciudad_key"] for row in whole if row["solicitudes_anterior"])
    rows = rows_of(small, "mv_demanda_ciudades", "compare=year", "limit=1000", f"ciudad={key}")
    assert rows == [row for row in whole if row["ciudad_key"] == key]
    assert {name for name in rows[0] if name.startswith("ciudad")} == {"ciudad", "ciudad_key"}
    levels = rows_of(small, "mv_embudo_niveles", "compare=previous", "limit=1000")
    level = levels[0]["nivel"]
    assert rows_of(
        small, "mv_embudo_niveles", "compare=previous", "limit=1000", f"nivel={level}"
    ) == [row for row in levels if row["nivel"] == level]
    assert not {name for name in levels[0] if name.startswith("nivel_")}


def test_the_first_row_has_no_earlier_one_and_a_gap_counts_as_nothing(small: Database) -> None:
    for compare in ("previous", "year"):
        first = rows_of(small, "mv_embudo_operativo", f"compare={compare}", "order=dia", "limit=1")
        added = [name for name in first[0] if name.endswith(("_anterior", "_dif_pct"))]
        assert len(added) == 36
        assert {first[0][name] for name in added} == {None}
        assert first[0]["incompleto"] is False
    days = rows_of(small, "mv_embudo_operativo", "compare=previous", "limit=1000")
    known = {row["dia"] for row in days}
    gaps = [
        row
        for row in days[:-1]
        if (date.fromisoformat(row["dia"]) - timedelta(days=1)).isoformat() not in known
        and not row["incompleto"]
    ]
    assert gaps
    for row in gaps:
        assert row["solicitudes_creadas_anterior"] == 0
        assert row["solicitudes_creadas_dif_pct"] is None
        assert row["ttfo_mediana_seg_anterior"] is None
    # The day that is filled shows the row of the day before, and -100 percent.
    filled = rows_of(
        small,
        "mv_embudo_operativo",
        "compare=previous",
        "fill=true",
        "limit=1000",
        "from=2026-11-01",
    )
    empty = [row for row in filled if row["dia"] not in known and row["dia"] <= "2026-11-24"]
    by_day = {row["dia"]: row for row in days}
    compared = 0
    for row in empty:
        before = by_day.get((date.fromisoformat(row["dia"]) - timedelta(days=1)).isoformat())
        if before is not None:
            assert row["solicitudes_creadas_anterior"] == before["solicitudes_creadas"]
            assert row["solicitudes_creadas_dif_pct"] == Decimal("-100.00")
            compared += 1
    assert compared


def test_a_part_is_computed_only_where_the_answer_has_a_period_that_is_not_over(
    system_database: Database,
) -> None:
    load_rich(system_database.url)
    with system_database.session() as connection:
        refresh(connection, f"{WEDNESDAY} 12:00:00-05")
        connection.execute(
            "CREATE OR REPLACE FUNCTION kpi_engine.rows_of_part("
            "p_relation regclass, p_first_day date, p_last_day date) "
            "RETURNS SETOF jsonb LANGUAGE plpgsql STABLE AS "
            "$$BEGIN RAISE EXCEPTION 'a part'; END$$"
        )
        for view, end in (
            ("mv_metricas_mensuales", "2026-10"),
            ("mv_demanda_ciudades", "2026-10"),
            ("mv_salud_marketplace", "2026-11-22"),
            # A day has no part.
            ("mv_embudo_operativo", "2026-11-25"),
        ):
            for compare in ("previous", "year"):
                assert call(connection, view, f"compare={compare}", f"to={end}")
        with pytest.raises(psycopg.Error):
            call(connection, "mv_metricas_mensuales", "compare=previous")
        # A period that has not begun has no part either.
        assert call(connection, "mv_metricas_mensuales", "compare=year", "from=2027-01")


def test_a_part_of_facts_that_the_view_does_not_show_yet_is_unknown(
    system_database: Database,
) -> None:
    """The gate may hold the view: its figures are not set beside those that it refused."""
    load_rich(system_database.url)
    with system_database.session() as connection:
        refresh(connection, f"{WEDNESDAY} 12:00:00-05")

        def told(column: str) -> list[object]:
            rows = rows_of(system_database, "mv_metricas_mensuales", "compare=previous")
            return [row[column] for row in rows if row["mes"] == "2026-11-01"]

        assert told("solicitudes_creadas_anterior") not in ([None], [0])
        # What is whole comes from the view itself.
        whole = rows_of(system_database, "mv_metricas_mensuales", "compare=previous", "to=2026-10")
        for name, value in (("gate_least_requests", "1"), ("breaker_pct", "off")):
            connection.execute("SELECT analytics.set_setting(%s, %s)", [name, value])
        connection.execute("DELETE FROM solicitudes WHERE created_at < '2026-11-01'")
        connection.execute(f"SET analytics.now = '{WEDNESDAY} 13:00:00-05'")
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert ("mv_metricas_mensuales",) in system_database.rows(
            "SELECT view_name FROM analytics.gate_holds"
        )
        assert told("solicitudes_creadas_anterior") == [None]
        assert told("solicitudes_creadas") != [None]
        assert (
            rows_of(system_database, "mv_metricas_mensuales", "compare=previous", "to=2026-10")
            == whole
        )
        connection.execute("SELECT analytics.set_setting('gate', 'off')")
        refresh(connection, f"{WEDNESDAY} 14:00:00-05")
        assert told("solicitudes_creadas_anterior") == [0]


def test_view_without_a_time_and_other_words_are_refused(small: Database) -> None:
    for view in ("mv_ranking_asesores", "mv_segmentos_asesores"):
        assert error(small, view, "compare=previous") == (
            400,
            f"view {view} has no time: from, to, fill and compare are not for it",
        )
    for word in ("", "last", "Previous", "true", "previous'"):
        assert error(small, "mv_metricas_mensuales", f"compare={word}") == (
            400,
            "parameter compare must be previous or year",
        )


def test_rights_are_as_without_compare(system_database: Database) -> None:
    install(system_database)
    system_database.execute(
        "REVOKE SELECT ON analytics.mv_finanzas_mensuales FROM analytics_lector",
    )
    assert error(system_database, "mv_finanzas_mensuales", "compare=previous") == (
        403,
        "permission denied for view mv_finanzas_mensuales",
    )
    # The gateway makes 503 of it.
    assert error(system_database, "mv_metricas_mensuales", "compare=previous")[0] == 533
    with system_database.session() as connection:
        connection.execute(f"SET ROLE {LECTOR}")
        for statement in (
            "SELECT kpi_engine.rows_of_part('analytics.mv_metricas_mensuales', '2026-01-01', "
            "'2026-01-02')",
            "SELECT kpi_engine.period_before('2026-01-01', 'month', 'year', '2026-01-02')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_catalogue_tells_what_a_part_lacks(small: Database) -> None:
    ((catalogue,),) = small.rows("SELECT kpi_engine.kpi_catalogue()")
    for kpi in cast(list[dict[str, Any]], catalogue):
        partial = {column["name"] for column in kpi["columns"] if column["partial"]}
        if kpi["view"] in TIMES:
            names = {column["name"] for column in kpi["columns"]}
            assert partial == names - NAMES - WHOLE.get(kpi["view"], set())
        else:
            assert partial == set()


def test_a_view_that_does_not_follow_from_days_alone_has_no_parts(
    system_database: Database, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    queries = {
        "mv_prueba_vista": "SELECT mes, solicitudes_creadas AS n FROM "
        "analytics.mv_metricas_mensuales",
        "mv_prueba_ventana": "SELECT date_trunc('month', local_day)::date AS mes, count(*) AS n "
        "FROM kpi_engine.historica_facts GROUP BY 1",
        "mv_prueba": "SELECT mes, requests AS n FROM kpi_engine.month_totals WHERE isfinite(mes)",
    }
    for view, query in queries.items():
        (directory / "views" / f"{view}.sql").write_text(
            f"CREATE MATERIALIZED VIEW {view} AS {query} WITH NO DATA;\n"
            f"CREATE UNIQUE INDEX {view}_mes ON {view} (mes);\n"
            f"COMMENT ON MATERIALIZED VIEW {view} IS\n'Prueba / Test\nes: Una.\nen: One.';\n"
            f"COMMENT ON COLUMN {view}.mes IS\n'Mes [fecha, none]\nes: Mes.\nen: Month.';\n"
            f"COMMENT ON COLUMN {view}.n IS\n'Ene [conteo, up]\nes: Ene.\nen: N.';\n"
            f"GRANT SELECT ON {view} TO analytics_lector, analytics_operador;\n"
        )
    run_file(system_database.url, RICH / "a" / "source.sql")
    migrate(system_database.url, directory=directory)
    with system_database.session() as connection:
        connection.execute(
            "SELECT set_config('analytics.now', %s, false)", [f"{WEDNESDAY} 12:00:00-05"]
        )
        connection.execute("SELECT analytics.refresh_all_mv()")
        for view in queries:
            running, over = call(
                connection, view, "compare=previous", "from=2026-10", "to=2026-11", "limit=2"
            )
            assert (running["incompleto"], over["incompleto"]) == (True, False)
            assert (running["n_anterior"] is not None) == (view == "mv_prueba"), view
            assert over["n_anterior"] > 0


def test_csv_has_the_added_columns_with_and_without_rows(small: Database) -> None:
    with small.session() as connection, connection.transaction():
        connection.execute(f"SET LOCAL ROLE {LECTOR}")
        headers = json.dumps({"accept": "text/vnd.teloo.csv"})
        connection.execute("SELECT set_config('request.headers', %s, true)", [headers])
        texts = []
        for month in ("2026-10", "2001-01"):
            row = connection.execute(
                "SELECT api.csv(answer)::text FROM api.kpi('mv_retencion_asesores', "
                "'compare=year', %s, %s) AS answer",
                [f"from={month}", f"to={month}"],
            ).fetchone()
            assert row
            texts.append(str(row[0]).split("\r\n"))
    (header, line, end), (alone, *rest) = texts
    assert header == alone
    assert (end, rest) == ("", [""])
    assert header.startswith(
        "mes,asesores_activos,asesores_retenidos,asesores_nuevos,asesores_reactivados,"
        "asesores_perdidos,tasa_retencion_pct,asesores_activos_anterior,asesores_activos_dif_pct,"
    )
    assert header.endswith(",tasa_retencion_pct_anterior,tasa_retencion_pct_dif_pct,incompleto")
    assert line.startswith("2026-10-01,") and line.endswith(",false")
    assert len(header.split(",")) == len(line.split(",")) == 20


def test_through_the_gateway(api: Api) -> None:
    path = "/materialized-views/kpis/mv_metricas_mensuales?compare=previous&limit=3"
    answer = api.get(path, LECTOR)
    rows = answer.json()
    assert (answer.status, len(rows)) == (200, 3)
    assert list(rows[0])[-3:] == [
        "ofertas_promedio_por_solicitud_anterior",
        "ofertas_promedio_por_solicitud_dif_pct",
        "incompleto",
    ]
    assert rows[1]["solicitudes_creadas_anterior"] == rows[2]["solicitudes_creadas"] > 0
    assert [row["incompleto"] for row in rows[1:]] == [False, False]
    assert api.get(path, LECTOR, headers={"If-None-Match": answer.headers["etag"]}).status == 304
    for table in (
        api.get(f"{path}&format=csv", LECTOR),
        api.get(path, LECTOR, headers={"Accept": "text/csv"}),
    ):
        assert table.headers["content-type"] == "text/csv; charset=utf-8"
        lines = list(csv.DictReader(io.StringIO(table.body)))
        assert list(lines[0]) == list(rows[0])
        assert [line["incompleto"] for line in lines[1:]] == ["false", "false"]
    told = refused(api.get(path.replace("previous", "x"), LECTOR), 400)
    assert told["message"] == "parameter compare must be previous or year"
    document = api.get("/openapi.json").json()["paths"]
    for view, names in (("mv_salud_marketplace", ["compare"]), ("mv_ranking_asesores", [])):
        parameters = document[f"/materialized-views/kpis/{view}"]["get"]["parameters"]
        assert [one["name"] for one in parameters if one["name"] == "compare"] == names


@pytest.mark.parametrize(
    ("period", "grain", "compare", "today", "expected"),
    [
        # Over: all days of the earlier one.
        ("2026-11-01", "month", "previous", "2026-12-01", ("2026-10-01", "2026-10-31", "t", "f")),
        ("2024-02-01", "month", "year", "2026-12-01", ("2023-02-01", "2023-02-28", "t", "f")),
        ("2025-02-01", "month", "year", "2026-12-01", ("2024-02-01", "2024-02-29", "t", "f")),
        ("2026-01-05", "week", "year", "2026-12-01", ("2025-01-06", "2025-01-12", "t", "f")),
        ("2026-01-05", "week", "previous", "2026-12-01", ("2025-12-29", "2026-01-04", "t", "f")),
        ("2024-02-29", "day", "year", "2026-12-01", ("2023-02-28", "2023-02-28", "t", "f")),
        ("2024-03-01", "day", "previous", "2026-12-01", ("2024-02-29", "2024-02-29", "t", "f")),
        # Not over: as many days, at most all.
        ("2026-11-01", "month", "previous", "2026-11-12", ("2026-10-01", "2026-10-12", "f", "t")),
        ("2026-11-01", "month", "previous", "2026-11-30", ("2026-10-01", "2026-10-30", "f", "t")),
        ("2026-12-01", "month", "previous", "2026-12-31", ("2026-11-01", "2026-11-30", "f", "f")),
        ("2026-03-01", "month", "previous", "2026-03-28", ("2026-02-01", "2026-02-28", "f", "f")),
        ("2026-03-01", "month", "previous", "2026-03-27", ("2026-02-01", "2026-02-27", "f", "t")),
        ("2024-02-01", "month", "year", "2024-02-29", ("2023-02-01", "2023-02-28", "f", "f")),
        ("2025-02-01", "month", "year", "2025-02-28", ("2024-02-01", "2024-02-28", "f", "t")),
        ("2026-11-23", "week", "previous", "2026-11-25", ("2026-11-16", "2026-11-18", "f", "t")),
        ("2026-11-23", "week", "year", "2026-11-29", ("2025-11-24", "2025-11-30", "f", "f")),
        ("2026-11-25", "day", "previous", "2026-11-25", ("2026-11-24", "2026-11-24", "f", "f")),
        ("2024-02-29", "day", "year", "2024-02-29", ("2023-02-28", "2023-02-28", "f", "f")),
        # Not begun: no day.
        ("2026-12-01", "month", "previous", "2026-11-25", ("2026-11-01", "2026-10-31", "f", "t")),
        ("2026-11-26", "day", "year", "2026-11-25", ("2025-11-26", "2025-11-25", "f", "t")),
        ("infinity", "month", "year", "2026-11-25", ("infinity", "infinity", "f", "t")),
        ("-infinity", "day", "year", "2026-11-25", ("-infinity", "-infinity", "t", "f")),
    ],
)
def test_days_to_compare_with(
    small: Database,
    period: str,
    grain: str,
    compare: str,
    today: str,
    expected: tuple[str, str, str, str],
) -> None:
    ((found,),) = small.rows(
        f"SELECT kpi_engine.period_before('{period}', '{grain}', '{compare}', '{today}')::text"
    )
    assert found == f"({','.join(expected)})"


def test_29_february_is_compared_with_28_february(system_database: Database) -> None:
    load_rich(system_database.url)
    for day, requests in (("2023-02-28", 2), ("2023-03-01", 7), ("2024-02-29", 5)):
        system_database.execute(
            "INSERT INTO public.solicitudes SELECT (jsonb_populate_record(source, "
            "jsonb_build_object('id', gen_random_uuid(), 'created_at', "
            f"'{day} 12:00:00-05'::timestamptz))).* FROM public.solicitudes AS source "
            f"LIMIT {requests}"
        )
    with system_database.session() as connection:
        refresh(connection, f"{WEDNESDAY} 12:00:00-05")
        (row,) = call(
            connection, "mv_embudo_operativo", "compare=year", "from=2024-02-29", "to=2024-02-29"
        )
        shown = (
            "solicitudes_creadas",
            "solicitudes_creadas_anterior",
            "solicitudes_creadas_dif_pct",
        )
        assert [row[name] for name in shown] == [5, 2, Decimal("150.00")]
        (row,) = call(
            connection, "mv_metricas_mensuales", "compare=year", "from=2024-02", "to=2024-02"
        )
        assert [row[name] for name in shown] == [5, 2, Decimal("150.00")]
