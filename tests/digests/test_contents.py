"""What a digest says: the API's figures, of the period and of the cities alone."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from conftest import Database
from digests.test_due import filled
from kpis.test_published import refresh

__all__ = ["filled"]

SYSTEM_SERVER_IS_ENOUGH = True

NOW = "2026-11-25 12:00:00-05"
DEMAND = "mv_demanda_ciudades"
MONTHS = "mv_metricas_mensuales"
ZONE = "AT TIME ZONE 'America/Bogota'"


def contents(
    database: Database,
    frequency: str,
    cities: list[str] | None = None,
    day: str | None = None,
    *,
    now: str = NOW,
    role: str = "analytics_scheduler",
) -> dict[str, Any]:
    """Ask as the notifier's role, which may read no view."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        connection.execute(f"SET ROLE {role}")
        row = connection.execute(
            "SELECT kpi_engine.digest_contents(%s, %s, %s)::text", [frequency, cities, day]
        ).fetchone()
        assert row
        return dict(json.loads(row[0], parse_float=Decimal))


def api(database: Database, view: str, *parts: str) -> list[dict[str, Any]]:
    """Ask as the HTTP API does, for a reader."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SET ROLE analytics_lector")
        row = connection.execute(
            "SELECT api.kpi(%s, VARIADIC %s::text[])::text", [view, list(parts)]
        ).fetchone()
        assert row
        return list(json.loads(row[0], parse_float=Decimal))


def compared(section: dict[str, Any], previous: dict[str, Any], year: dict[str, Any]) -> None:
    """Compare the figures of a section with two answers of the API."""
    assert len(section["figures"]) == 6
    for figure in section["figures"]:
        column = figure["column"]
        assert figure["value"] == previous[column], column
        assert figure["previous"] == previous[f"{column}_anterior"], column
        assert figure["previous_pct"] == previous[f"{column}_dif_pct"], column
        assert figure["year"] == year[f"{column}_anterior"], column
        assert figure["year_pct"] == year[f"{column}_dif_pct"], column
    assert section["is_incomplete"] is previous["incompleto"]


@pytest.mark.parametrize(
    ("frequency", "day", "view", "period", "parts"),
    [
        ("daily", "2026-11-20", "mv_embudo_operativo", "2026-11-20", 0),
        ("weekly", "2026-11-18", "mv_salud_marketplace", "2026-11-16", 0),
        ("daily", "2026-11-20", MONTHS, "2026-11-01", 1),
        ("weekly", "2026-11-18", MONTHS, "2026-11-01", 1),
        ("daily", "2026-10-31", MONTHS, "2026-10-01", 1),
    ],
)
def test_the_figures_are_those_of_the_api(
    filled: Database, frequency: str, day: str, view: str, period: str, parts: int
) -> None:
    section = contents(filled, frequency, day=day)["sections"][parts]
    assert (section["view"], section["period"]) == (view, period)
    at = period[:7] if view == MONTHS else period
    [previous] = api(filled, view, f"from={at}", f"to={at}", "compare=previous")
    [year] = api(filled, view, f"from={at}", f"to={at}", "compare=year")
    compared(section, previous, year)
    line = api(filled, view, f"to={at}", "limit=13", "fill=true")
    assert len(line) == 13
    for figure in section["figures"]:
        assert figure["line"] == [row[figure["column"]] for row in reversed(line)]
    # At least one is a number, and one a difference.
    assert any(figure["previous_pct"] for figure in section["figures"])


def test_yesterday_is_counted_in_the_source(filled: Database) -> None:
    answer = contents(filled, "daily")
    assert (answer["period"], answer["last_day"]) == ("2026-11-24", "2026-11-24")
    for day in ("2026-11-20", "2026-11-19"):
        section = contents(filled, "daily", day=day)["sections"][0]
        ((count,),) = filled.rows(
            f"SELECT count(*) FROM solicitudes WHERE (created_at {ZONE})::date = '{day}'"
        )
        assert count
        assert section["figures"][0]["value"] == count


def test_a_day_without_requests_is_zero_and_its_medians_are_null(filled: Database) -> None:
    section = contents(filled, "daily", day="2026-11-18")["sections"][0]
    values = {figure["column"]: figure["value"] for figure in section["figures"]}
    assert (values["solicitudes_creadas"], values["ttfo_mediana_seg"]) == (0, None)
    assert all(figure["has_row"] for figure in section["figures"])


def test_a_month_has_its_reported_figures_also_after_a_restatement(filled: Database) -> None:
    before = contents(filled, "monthly", role="analytics_operador")
    assert (before["period"], before["last_day"]) == ("2026-10-01", "2026-10-31")
    filled.execute(
        "DELETE FROM solicitudes WHERE id IN (SELECT id FROM solicitudes "
        f"WHERE date_trunc('month', created_at {ZONE}) = '2026-10-01' ORDER BY id LIMIT 5)"
    )
    refresh(filled, "2026-11-25 11:00:00-05")
    [now] = api(filled, MONTHS, "from=2026-10", "to=2026-10")
    [section] = contents(filled, "monthly")["sections"]
    [was] = before["sections"]
    assert section["figures"] == was["figures"]
    assert section["figures"][0]["value"] == now["solicitudes_creadas"] + 5
    reported = api(filled, MONTHS, "to=2026-10", "limit=13", "reported=true", "fill=true")
    for figure in section["figures"]:
        column = figure["column"]
        assert figure["value"] == reported[0][column]
        assert figure["previous"] == reported[1][column]
        assert figure["year"] == reported[12][column]
    # Worked out by hand: 38 requests after 39.
    assert section["figures"][0]["previous_pct"] == Decimal("-2.56")


@pytest.mark.parametrize("frequency", ["daily", "weekly", "monthly"])
def test_a_digest_of_cities_has_these_cities_and_nothing_else(
    filled: Database, frequency: str
) -> None:
    filled.execute(
        "SELECT analytics.add_note('2026-11-24', 'secreto')",
        "SELECT analytics.set_target('mv_demanda_ciudades', 'tasa_aceptacion_pct', "
        "'2026-01-01', 60)",
    )
    answer = contents(filled, frequency, ["cali", " BOGOTÁ", "Cali"])
    assert [(one["view"], one["city_key"]) for one in answer["sections"]] == [
        (DEMAND, "BOGOTA"),
        (DEMAND, "CALI"),
    ]
    assert {row["ciudad_key"] for one in answer["sections"] for row in one["rows"]} == {
        "BOGOTA",
        "CALI",
    }
    assert [file["name"] for file in answer["csv"]] == [DEMAND]
    rows = list(csv.DictReader(io.StringIO(answer["csv"][0]["text"])))
    assert {row["ciudad_key"] for row in rows} == {"BOGOTA", "CALI"}
    assert (answer["notes"], answer["problems"], answer["partial"]) == (None, None, None)
    assert [one["targets"] for one in answer["sections"]] == [None, None]
    if frequency != "monthly":
        for section in answer["sections"]:
            city = f"ciudad={section['city_key']}"
            [previous] = api(filled, DEMAND, "from=2026-11", "to=2026-11", city, "compare=previous")
            [year] = api(filled, DEMAND, "from=2026-11", "to=2026-11", city, "compare=year")
            compared(section, previous, year)


def test_a_city_without_requests_has_no_figures(filled: Database) -> None:
    [section] = contents(filled, "daily", ["Nowhere"])["sections"]
    assert {figure["value"] for figure in section["figures"]} == {None}
    assert not any(figure["has_row"] for figure in section["figures"])
    [file] = contents(filled, "daily", ["Nowhere"])["csv"]
    assert file["text"].startswith("mes,ciudad_key,ciudad,")
    assert file["text"].count("\r\n") == 1


def test_csv_is_that_of_the_api(filled: Database) -> None:
    answer = contents(filled, "daily", day="2026-11-20")
    names = [file["name"] for file in answer["csv"]]
    assert names == ["mv_embudo_operativo", MONTHS]
    with filled.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        for file, at in zip(answer["csv"], ("2026-11-20", "2026-11"), strict=True):
            row = connection.execute(
                "SELECT api.csv(answer)::text FROM api.kpi(%s, %s, 'limit=13', 'fill=true') "
                "AS answer",
                [file["name"], f"to={at}"],
            ).fetchone()
            # Which row is of a period that is not over, the API says with compare.
            header, *lines = file["text"].splitlines()
            assert header.endswith(",incompleto") and len(lines) == 13
            assert [line.rpartition(",")[2] for line in lines] == [
                "true" if file["name"] == MONTHS else "false",
                *["false"] * 12,
            ]
            plain = "".join(f"{line.rpartition(',')[0]}\r\n" for line in (header, *lines))
            assert row == (plain,)


def test_a_formula_in_a_city_is_no_formula_in_csv(filled: Database) -> None:
    filled.execute(
        "UPDATE solicitudes SET ciudad_origen = '=HYPERLINK(\"http://eve\")' WHERE id IN "
        "(SELECT id FROM solicitudes WHERE created_at > '2026-11-10' ORDER BY id LIMIT 3)"
    )
    refresh(filled, "2026-11-25 11:00:00-05")
    [file] = contents(filled, "daily", ['=HYPERLINK("http://eve")'])["csv"]
    [row, *_] = csv.DictReader(io.StringIO(file["text"]))
    assert row["ciudad"] == '\'=HYPERLINK("http://eve")'
    assert row["ciudad_key"].startswith("'=HYPERLINK")


def test_targets_notes_and_problems_of_the_period(filled: Database) -> None:
    filled.execute(
        "SELECT analytics.set_target('mv_embudo_operativo', 'solicitudes_creadas', "
        "'2026-11-01', 4)",
        "SELECT analytics.set_target('mv_embudo_operativo', 'tasa_llenado_pct', '2026-11-01', 60)",
        "SELECT analytics.set_target('mv_embudo_operativo', 'tasa_llenado_pct', '2026-11-21', 1)",
        "SELECT analytics.set_target('mv_metricas_mensuales', 'asesores_activos', "
        "'2026-11-01', 1000)",
        "SELECT analytics.add_note('2026-11-19', 'antes')",
        "SELECT analytics.add_note('2026-11-20', 'nuevos precios', 'mv_metricas_mensuales')",
        "SELECT analytics.add_note('2026-11-21', 'después')",
    )
    answer = contents(filled, "daily", day="2026-11-20")
    day, month = answer["sections"]
    assert [(one["column"], one["value"], one["is_missed"]) for one in day["targets"]] == [
        ("solicitudes_creadas", 4, False),
        ("tasa_llenado_pct", Decimal("50.00"), True),
    ]
    # The month is not over.
    assert [(one["column"], one["is_missed"]) for one in month["targets"]] == [
        ("asesores_activos", None)
    ]
    (note,) = answer["notes"]
    assert (note["day"], note["text"]) == ("2026-11-20", "nuevos precios")
    (title,) = filled.rows(
        "SELECT title_es, title_en FROM kpi_engine.notes "
        "LEFT JOIN kpi_engine.kpi_views() USING (view_name) WHERE note = 'nuevos precios'"
    )
    assert (note["title_es"], note["title_en"]) == title
    found = filled.rows("SELECT DISTINCT problem FROM analytics.health_problems() ORDER BY 1", NOW)
    assert [one["problem"] for one in answer["problems"]] == [problem for (problem,) in found]
    assert found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("yearly", None), "p_frequency must be daily, weekly or monthly"),
        (("daily", []), "p_cities must be NULL"),
        (("daily", [" "]), "p_cities must be NULL"),
        (("daily", None, "-infinity"), "p_period must be a day from 0001"),
        (("daily", None, "5000000-01-01"), "p_period must be a day from 0001"),
    ],
)
def test_a_wrong_parameter_is_named(
    filled: Database, values: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        contents(filled, *values)


@pytest.mark.parametrize("role", ["analytics_lector", "analytics_anon"])
def test_readers_have_the_api_and_no_digest(filled: Database, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        contents(filled, "daily", role=role)


def test_the_notifiers_role_reads_no_view_by_itself(filled: Database) -> None:
    with filled.session() as connection:
        connection.execute("SET ROLE analytics_scheduler")
        for statement in (
            "SELECT * FROM analytics.mv_metricas_mensuales",
            "SELECT kpi_engine.kpi_rows('mv_metricas_mensuales', '{}', 'analytics_owner')",
            "SELECT * FROM analytics.digest_subscriptions",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
