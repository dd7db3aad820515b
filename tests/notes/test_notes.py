"""Dated notes, by SQL and over HTTP."""

import csv
import io
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from conftest import Database
from gateway_testing import Api, refused

SYSTEM_SERVER_IS_ENOUGH = True

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
PATH = "/materialized-views/notes"
MONTHS = "mv_metricas_mensuales"
MARKUP = '<b onclick="x()">\'; DROP TABLE notes; -- é 😀 {{x}} %0A'


def path(**values: str) -> str:
    return f"{PATH}?" + "&".join(
        f"{name}={quote(value, safe='')}" for name, value in values.items()
    )


# -- by SQL ------------------------------------------------------------------------------------


def test_a_note_has_its_author_and_is_removed_by_its_number(migrated: Database) -> None:
    with migrated.session() as connection:
        connection.execute("SET ROLE analytics_operador")
        row = connection.execute(
            "SELECT analytics.add_note('2026-03-12', E' nuevos precios\u00a0')"
        ).fetchone()
    assert row == (1,)
    assert migrated.rows(
        "SELECT note_id, day::text, note, view_name, author FROM analytics.notes"
    ) == [(1, "2026-03-12", "nuevos precios", None, "postgres")]
    migrated.execute("SELECT analytics.remove_note(1)")
    assert migrated.rows("SELECT * FROM analytics.notes") == []
    for number in ("1", "NULL"):
        with pytest.raises(psycopg.errors.NoDataFound, match="there is no note"):
            migrated.execute(f"SELECT analytics.remove_note({number})")


@pytest.mark.parametrize(
    ("day", "note", "view", "message"),
    [
        (None, "x", None, "p_day must be a day"),
        ("infinity", "x", None, "p_day must be a day"),
        ("0001-01-01 BC", "x", None, "p_day must be a day"),
        ("10000-01-01", "x", None, "p_day must be a day"),
        ("2026-01-01", None, None, "p_note must be 1 to 200"),
        ("2026-01-01", "", None, "p_note must be 1 to 200"),
        ("2026-01-01", " \u00a0", None, "p_note must be 1 to 200"),
        ("2026-01-01", "x" * 201, None, "p_note must be 1 to 200"),
        *(
            ("2026-01-01", f"a{character}b", None, "p_note must be 1 to 200")
            for character in "\n\r\t\x01\x1b\x7f\x85\x9f\u2028\u202e\u2066"
        ),
        ("2026-01-01", "x", "mv_x", "p_view_name must be left out, or one of mv_demanda"),
    ],
)
def test_a_wrong_note_names_the_parameter(
    migrated: Database, day: str | None, note: str | None, view: str | None, message: str
) -> None:
    with (
        migrated.session() as connection,
        pytest.raises(psycopg.errors.InvalidParameterValue, match=message),
    ):
        connection.execute("SELECT analytics.add_note(%s, %s, %s)", [day, note, view])
    assert migrated.rows("SELECT * FROM analytics.notes") == []


def test_readers_write_no_notes(migrated: Database) -> None:
    migrated.execute("SELECT analytics.add_note('2026-03-12', 'nuevos precios')")
    with migrated.session() as connection:
        for role in (LECTOR, "analytics_anon", "analytics_scheduler"):
            connection.execute(f"SET ROLE {role}")
            for statement in (
                "SELECT analytics.add_note('2026-03-12', 'x')",
                "SELECT analytics.remove_note(1)",
                "DELETE FROM analytics.notes",
                "UPDATE analytics.notes SET note = 'x'",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    assert migrated.rows("SELECT note FROM analytics.notes") == [("nuevos precios",)]


# -- over HTTP ---------------------------------------------------------------------------------


@pytest.fixture
def notes(api: Api) -> Iterator[Api]:
    api.database.execute("DELETE FROM kpi_engine.notes")
    api.forget_cache()
    yield api
    api.database.execute("DELETE FROM kpi_engine.notes")


def add(api: Api, **values: str) -> int:
    answer = api.post(path(**values), OPERADOR)
    assert answer.status == 200, answer.body
    return int(answer.json()["id"])


def test_an_operator_writes_a_note_and_readers_read_it(notes: Api) -> None:
    answer = notes.post(path(day="2026-03-12", text=MARKUP, view=MONTHS), OPERADOR)
    made = answer.json()
    assert (made.pop("success"), made.pop("message")) == (True, f"note {made['id']} is written")
    assert made.pop("written_at")
    assert made == {
        "id": made["id"],
        "day": "2026-03-12",
        "text": MARKUP,
        "view": MONTHS,
        "author": "test (analytics_operador)",
    }
    for role in (LECTOR, OPERADOR):
        (row,) = notes.get(PATH, role).json()
        assert row.pop("written_at")
        assert row == made
    removed = notes.request("DELETE", path(id=str(made["id"])), OPERADOR)
    assert removed.json() == {
        "success": True,
        "message": f"note {made['id']} is removed",
        "id": made["id"],
    }
    error = refused(notes.request("DELETE", path(id=str(made["id"])), OPERADOR), 404)
    assert error["message"] == f"there is no note {made['id']}"
    notes.forget_cache()
    assert notes.get(PATH, LECTOR).json() == []


def test_notes_of_some_days_and_of_a_view(notes: Api) -> None:
    first = add(notes, day="2026-03-12", text="nuevos precios")
    second = add(notes, day="2026-03-12", text="app caída", view=MONTHS)
    third = add(notes, day="2026-02-01", text="otra", view="mv_finanzas_mensuales")
    notes.forget_cache()
    for query, expected in (
        ({}, [second, first, third]),
        ({"from": "2026-03-12"}, [second, first]),
        ({"to": "2026-03-11"}, [third]),
        ({"from": "2026-02-01", "to": "2026-02-01"}, [third]),
        ({"from": "2026-03-13"}, []),
        ({"view": MONTHS}, [second, first]),
        ({"view": "mv_ranking_asesores"}, [first]),
        ({"limit": "1"}, [second]),
    ):
        assert [row["id"] for row in notes.get(path(**query), LECTOR).json()] == expected, query
    lines = csv.DictReader(io.StringIO(notes.get(path(format="csv"), LECTOR).body))
    assert [line["text"] for line in lines] == ["app caída", "nuevos precios", "otra"]


def test_notes_of_a_view_that_a_reader_may_not_read_are_not_shown(notes: Api) -> None:
    add(notes, day="2026-03-12", text="of a view", view=MONTHS)
    add(notes, day="2026-03-13", text="of all")
    notes.database.execute(f"REVOKE SELECT ON analytics.{MONTHS} FROM analytics_lector")
    try:
        notes.forget_cache()
        for role, seen in ((LECTOR, ["of all"]), (OPERADOR, ["of all", "of a view"])):
            assert [note["text"] for note in notes.get(PATH, role).json()] == seen
            with notes.database.session() as connection:
                connection.execute(f"SET ROLE {role}".encode())
                rows = connection.execute("SELECT note FROM analytics.notes ORDER BY day DESC")
                assert [note for (note,) in rows] == seen
        answer = notes.get(path(view=MONTHS), LECTOR)
        refused(answer, 400)
        assert MONTHS not in notes.get(path(view="nothing"), LECTOR).body
    finally:
        notes.database.execute(f"GRANT SELECT ON analytics.{MONTHS} TO analytics_lector")
        notes.forget_cache()


def test_a_note_that_looks_like_a_formula_does_not_run_in_a_spreadsheet(notes: Api) -> None:
    add(notes, day="2026-03-12", text="=1+1")
    assert notes.get(PATH, LECTOR).json()[0]["text"] == "=1+1"
    (line,) = csv.DictReader(io.StringIO(notes.get(path(format="csv"), LECTOR).body))
    assert line["text"] == "'=1+1"


def test_the_etag_changes_with_the_notes(notes: Api) -> None:
    empty = notes.get(PATH, LECTOR)
    assert (empty.status, empty.json()) == (200, [])
    tag = empty.headers["etag"]
    number = add(notes, day="2026-03-12", text="nuevos precios")
    notes.forget_cache()
    full = notes.request("GET", PATH, LECTOR, headers={"If-None-Match": tag})
    assert (full.status, len(full.json())) == (200, 1)
    again = {"If-None-Match": full.headers["etag"]}
    assert notes.request("GET", PATH, LECTOR, headers=again).status == 304
    notes.request("DELETE", path(id=str(number)), OPERADOR)
    notes.forget_cache()
    assert notes.get(PATH, LECTOR).headers["etag"] == tag


def test_readers_and_strangers_write_nothing_over_http(notes: Api) -> None:
    number = add(notes, day="2026-03-12", text="nuevos precios")
    for method, asked in (
        ("POST", path(day="2026-03-12", text="x")),
        ("DELETE", path(id=str(number))),
    ):
        refused(notes.request(method, asked, LECTOR), 403, "42501")
        refused(notes.request(method, asked), 401, "42501")
    refused(notes.get(PATH), 401, "42501")
    assert notes.database.rows("SELECT note FROM analytics.notes") == [("nuevos precios",)]


@pytest.mark.parametrize(
    ("method", "query", "message"),
    [
        ("POST", {"text": "x"}, "parameter day must be a day as YYYY-MM-DD"),
        ("POST", {"day": "2026-02-30", "text": "x"}, "parameter day must be a day as YYYY-MM-DD"),
        ("POST", {"day": "2026-02-01"}, "parameter text must be 1 to 200 characters"),
        ("POST", {"day": "2026-02-01", "text": ""}, "parameter text must be 1 to 200 characters"),
        ("POST", {"day": "2026-02-01", "text": "á" * 201}, "parameter text must be 1 to 200"),
        ("POST", {"day": "2026-02-01", "text": "a\nb"}, "parameter text must be 1 to 200"),
        ("POST", {"day": "2026-02-01", "text": "a\u202eb"}, "parameter text must be 1 to 200"),
        ("POST", {"day": "2026-02-01", "text": "x", "view": "x"}, "parameter view must be left"),
        ("DELETE", {}, "parameter id must be a whole number from 1"),
        ("DELETE", {"id": "x"}, "parameter id must be a whole number from 1"),
        ("GET", {"from": "2026-02"}, "parameter from must be a day as YYYY-MM-DD"),
        ("GET", {"to": "hoy"}, "parameter to must be a day as YYYY-MM-DD"),
        ("GET", {"from": "2026-02-02", "to": "2026-02-01"}, "parameter to must be a day not bef"),
        ("GET", {"limit": "1001"}, "parameter limit must be a whole number from 1 to 1000"),
        ("GET", {"view": "a-b"}, "parameter view must be mv_"),
    ],
)
@pytest.mark.takes_turns(2)
def test_a_wrong_parameter_is_named(
    notes: Api, method: str, query: dict[str, str], message: str
) -> None:
    error = refused(notes.request(method, path(**query), OPERADOR), 400)
    assert error["message"].startswith(message)
    assert notes.database.rows("SELECT * FROM analytics.notes") == []


def test_200_characters_are_a_note(notes: Api) -> None:
    add(notes, day="2026-03-12", text="á" * 200)
    assert notes.get(PATH, LECTOR).json()[0]["text"] == "á" * 200
