"""Targets over HTTP: set and removed by operators, read by readers."""

import csv
import io
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from gateway_testing import Api, refused

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
PATH = "/materialized-views/targets"
MONTHS = "mv_metricas_mensuales"
WEEKS = "mv_salud_marketplace"
RIGHT = {"view": MONTHS, "column": "tasa_aceptacion_pct", "from": "2026-01", "value": "60"}


def path(**values: str | None) -> str:
    """Return the path with the right parameters, but for these."""
    asked = {name: value for name, value in (RIGHT | values).items() if value is not None}
    return f"{PATH}?" + "&".join(f"{name}={quote(value)}" for name, value in asked.items())


KEY = {"view": MONTHS, "column": "tasa_aceptacion_pct", "from": "2026-01", "value": None}


@pytest.fixture(autouse=True)
def no_targets(api: Api) -> Iterator[None]:
    api.database.execute("DELETE FROM kpi_engine.targets")
    api.forget_cache()
    yield
    api.database.execute("DELETE FROM kpi_engine.targets")


def test_an_operator_sets_and_removes_a_target_that_readers_read(api: Api) -> None:
    answer = api.post(path(), OPERADOR)
    assert answer.status == 200, answer.body
    made = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    instant = made.pop("set_at")
    assert made == {
        "success": True,
        "message": f"the target of {MONTHS}.tasa_aceptacion_pct is 60 or more from 2026-01-01 on",
        "view": MONTHS,
        "column": "tasa_aceptacion_pct",
        "from": "2026-01-01",
        "value": 60,
        "better": "up",
        "set_by": "test (analytics_operador)",
    }
    assert api.post(path(**{"from": "2026-07-01", "value": "-62.125"}), OPERADOR).status == 200
    for role in (LECTOR, OPERADOR):
        api.forget_cache()
        first, second = api.get(PATH, role).json()
        assert first == {
            "view": MONTHS,
            "column": "tasa_aceptacion_pct",
            "from": "2026-01-01",
            "next_from": "2026-07-01",
            "value": 60,
            "better": "up",
            "label_es": "Tasa de aceptación",
            "set_by": "test (analytics_operador)",
            "set_at": instant,
            "stale": None,
        }
        assert (second["from"], second["next_from"], second["value"]) == (
            "2026-07-01",
            None,
            -62.125,
        )
        assert api.get(f"{PATH}?view={WEEKS}", role).json() == []
        assert len(api.get(f"{PATH}?view={MONTHS}", role).json()) == 2
    removed = api.request("DELETE", path(**KEY), OPERADOR)
    assert removed.json() == {
        "success": True,
        "message": f"the target of {MONTHS}.tasa_aceptacion_pct from 2026-01-01 on is removed",
        "view": MONTHS,
        "column": "tasa_aceptacion_pct",
        "from": "2026-01-01",
    }
    api.forget_cache()
    assert [row["from"] for row in api.get(PATH, LECTOR).json()] == ["2026-07-01"]
    error = refused(api.request("DELETE", path(**KEY), OPERADOR), 404)
    assert error["hint"] == "GET /materialized-views/targets lists them."


def test_readers_and_strangers_write_nothing(api: Api) -> None:
    assert api.post(path(), OPERADOR).status == 200
    for method, asked in (("POST", path(value="1")), ("DELETE", path(**KEY))):
        refused(api.request(method, asked, LECTOR), 403, "42501")
        refused(api.request(method, asked), 401, "42501")
    key = {"view": MONTHS, "columna": "tasa_aceptacion_pct", "desde": "2026-01"}
    for function, arguments in (("set_target", {**key, "value": "1"}), ("remove_target", key)):
        answer = api.request(
            "POST",
            f"/rest/rpc/{function}",
            LECTOR,
            headers={"Content-Type": "application/json"},
            body=json.dumps(arguments),
        )
        assert answer.status == 403, answer.body
    refused(api.get(PATH), 401, "42501")
    api.forget_cache()
    assert [row["value"] for row in api.get(PATH, LECTOR).json()] == [60]


def test_other_methods_are_refused_and_named(api: Api) -> None:
    for method in ("PUT", "PATCH"):
        answer = api.request(method, path(), OPERADOR)
        refused(answer, 405)
        assert answer.headers["allow"] == "GET, HEAD, POST, DELETE"
    head = api.request("HEAD", PATH, LECTOR)
    assert (head.status, head.content) == (200, b"")


def test_the_etag_changes_with_the_targets_and_with_nothing_else(api: Api) -> None:
    first = api.get(PATH, LECTOR)
    tag = first.headers["etag"]
    assert first.json() == []
    api.post("/materialized-views/refresh", OPERADOR)
    api.forget_cache()
    seen = api.request("GET", PATH, LECTOR, headers={"If-None-Match": tag})
    assert (seen.status, seen.content) == (304, b"")
    api.post(path(), OPERADOR)
    api.forget_cache()
    second = api.request("GET", PATH, LECTOR, headers={"If-None-Match": tag})
    assert (second.status, len(second.json())) == (200, 1)
    api.post(path(value="61"), OPERADOR)
    api.forget_cache()
    third = api.get(PATH, LECTOR)
    assert len({tag, second.headers["etag"], third.headers["etag"]}) == 3
    api.request("DELETE", path(**KEY), OPERADOR)
    api.forget_cache()
    assert api.get(PATH, LECTOR).headers["etag"] == tag


def test_targets_of_a_view_that_a_reader_may_not_read_are_not_shown(api: Api) -> None:
    assert api.post(path(), OPERADOR).status == 200
    api.database.execute(f"REVOKE SELECT ON analytics.{MONTHS} FROM analytics_lector")
    try:
        api.forget_cache()
        for role, seen in ((LECTOR, []), (OPERADOR, [MONTHS])):
            assert [target["view"] for target in api.get(PATH, role).json()] == seen
            with api.database.session() as connection:
                connection.execute(f"SET ROLE {role}".encode())
                rows = connection.execute("SELECT view_name FROM analytics.targets")
                assert [view for (view,) in rows] == seen
        # No empty list, as if there were none.
        answer = api.get(f"{PATH}?view={MONTHS}", LECTOR)
        refused(answer, 400)
        assert MONTHS not in api.get(f"{PATH}?view=nothing", LECTOR).body
    finally:
        api.database.execute(f"GRANT SELECT ON analytics.{MONTHS} TO analytics_lector")
        api.forget_cache()


def test_csv(api: Api) -> None:
    header = "view,column,from,next_from,value,better,label_es,set_by,set_at,stale\r\n"
    assert api.get(f"{PATH}?format=csv", LECTOR).body == header
    api.post(path(), OPERADOR)
    api.forget_cache()
    (line,) = csv.DictReader(io.StringIO(api.get(f"{PATH}?format=csv", LECTOR).body))
    assert (line["from"], line["value"], line["stale"]) == ("2026-01-01", "60", "")
    # Those that write answer JSON, whatever the client likes best.
    answer = api.request("POST", path(), OPERADOR, headers={"Accept": "text/csv"})
    assert answer.json()["success"] is True


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"view": None}, "parameter view must be one of mv_demanda_ciudades, "),
        ({"view": ""}, "parameter view must be one of mv_demanda_ciudades, "),
        ({"view": "mv_x"}, "parameter view must be one of mv_demanda_ciudades, "),
        ({"view": "mv_x'; --"}, "parameter view must be one of mv_demanda_ciudades, "),
        ({"column": None}, f"parameter column must be a column of {MONTHS} that is a number: sol"),
        ({"column": "mes"}, f"parameter column must be a column of {MONTHS} that is a number: sol"),
        ({"from": None}, "parameter from must be a month as YYYY-MM"),
        ({"from": "2026-13"}, "parameter from must be a month as YYYY-MM"),
        ({"from": "2026-01-02"}, "parameter from must be a month as YYYY-MM"),
        ({"from": "enero"}, "parameter from must be a day as YYYY-MM-DD"),
        ({"from": "2026-02-30"}, "parameter from must be a day as YYYY-MM-DD"),
        (
            {"view": WEEKS, "column": "densidad_ofertas"},
            "parameter from must be the Monday of a week as YYYY-MM-DD",
        ),
        ({"value": None}, "parameter value must be a number with up to 15 digits"),
        ({"value": ""}, "parameter value must be a number with up to 15 digits"),
        ({"value": "NaN"}, "parameter value must be a number with up to 15 digits"),
        ({"value": "Infinity"}, "parameter value must be a number with up to 15 digits"),
        ({"value": "1e3"}, "parameter value must be a number with up to 15 digits"),
        ({"value": "1,5"}, "parameter value must be a number with up to 15 digits"),
        ({"value": "0.1234567"}, "parameter value must be a number with up to 15 digits"),
        ({"value": "9" * 16}, "parameter value must be a number with up to 15 digits"),
        ({"better": "higher"}, "parameter better must be up or down, or left out"),
        ({"better": "down"}, "parameter better must be up, or left out: that is the direction"),
        (
            {"view": WEEKS, "column": "ratio_oferta_demanda", "from": "2026-01-05"},
            "parameter better must be up (the value or more is right) or down",
        ),
        ({"other": "1"}, "parameter other is unknown"),
    ],
)
@pytest.mark.takes_turns(2)
def test_a_wrong_parameter_is_named_with_the_right_values(
    api: Api, wrong: dict[str, str | None], message: str
) -> None:
    error = refused(api.post(path(**wrong), OPERADOR), 400)
    assert error["message"].startswith(message)
    assert api.database.rows("SELECT * FROM analytics.targets") == []


def test_the_gateway_knows_the_parameters_of_each_method(api: Api) -> None:
    for method, right in (
        ("GET", "view, limit, format"),
        ("POST", "view, column, from, value, better"),
        ("DELETE", "view, column, from"),
    ):
        error = refused(api.request(method, f"{PATH}?other=1", OPERADOR), 400)
        assert error["hint"] == f"The parameters of this path: {right}."


@pytest.mark.parametrize("name", ["view", "column", "from"])
def test_a_target_is_removed_by_its_whole_key(api: Api, name: str) -> None:
    error = refused(api.request("DELETE", path(**{**KEY, name: None}), OPERADOR), 400)
    assert error["message"].startswith(f"parameter {name} must be ")


def test_a_target_whose_view_is_gone_is_shown_stale_and_can_be_removed(api: Api) -> None:
    api.database.execute(
        "INSERT INTO kpi_engine.targets (view_name, column_name, first_period, value, set_by, "
        "set_at, first_set_at) VALUES ('mv_gone', 'x', '2026-01-01', 5, 'ana', now(), now())"
    )
    api.forget_cache()
    (row,) = api.get(PATH, LECTOR).json()
    assert (row["stale"], row["better"]) == ("there is no KPI view mv_gone", None)
    gone = path(**{**KEY, "view": "mv_gone", "column": "x"})
    assert api.request("DELETE", gone, OPERADOR).status == 200
