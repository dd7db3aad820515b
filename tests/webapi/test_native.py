"""PostgREST itself at /rest/: its statuses as docs/api.md lists them, and free querying."""

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest

from cluster import PROJECT
from gateway import Settings, wait_until
from gateway_testing import ERROR_KEYS, Api, locked, patient_roles, refused, started, waiting

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
MONTHS = "/rest/mv_metricas_mensuales"
ADVISORS = "/rest/mv_ranking_asesores"


@dataclass(frozen=True)
class Case:
    """A request and the error that PostgREST answers."""

    path: str
    status: int
    code: str
    role: str | None = LECTOR
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


def json_body(path: str, status: int, code: str, body: str) -> Case:
    """Return a call of a function by POST."""
    headers = {"Content-Type": "application/json"}
    return Case(path, status, code, method="POST", headers=headers, body=body)


# By the rows of the table in docs/api.md.
CASES = {
    "unknown function, missing or unknown argument": [
        Case("/rest/rpc/nope", 404, "PGRST202"),
        Case("/rest/rpc/monthly_metrics?nope=1", 404, "PGRST202"),
        json_body("/rest/rpc/monthly_metrics", 404, "PGRST202", '{"nope": "1"}'),
    ],
    "unknown view": [Case("/rest/nope", 404, "42P01")],
    "unknown column in a filter": [Case(f"{MONTHS}?nope=eq.1", 400, "42703")],
    "a value that isn't of the column's type": [
        Case(f"{ADVISORS}?ranking_nacional=eq.x", 400, "22P02"),
        Case(f"{MONTHS}?mes=eq.x", 400, "22007"),
    ],
    "a query that can't be parsed": [
        Case(f"{MONTHS}?mes=nope.1", 400, "PGRST100"),
        Case(f"{MONTHS}?order=mes.sideways", 400, "PGRST100"),
    ],
    "a body that isn't JSON": [json_body("/rest/rpc/monthly_metrics", 400, "PGRST102", "{")],
    "an `Accept` that it can't serve": [
        Case(MONTHS, 415, "PGRST107", headers={"Accept": "image/png"})
    ],
    "a schema other than `api` (`Accept-Profile`, `Content-Profile`)": [
        Case(MONTHS, 406, "PGRST106", headers={"Accept-Profile": "analytics"}),
        Case(
            "/rest/rpc/status",
            406,
            "PGRST106",
            method="POST",
            headers={"Content-Profile": "analytics"},
        ),
    ],
    "one object asked for (`application/vnd.pgrst.object+json`), and it isn't one": [
        Case(MONTHS, 406, "PGRST116", headers={"Accept": "application/vnd.pgrst.object+json"})
    ],
    "a range that begins after the last row, counted (`Prefer: count=exact`), or after its end": [
        Case(MONTHS, 416, "PGRST103", headers={"Range": "5000-5009", "Prefer": "count=exact"}),
        Case(MONTHS, 416, "PGRST103", headers={"Range": "5-2"}),
    ],
    "GET of a function that writes": [
        Case("/rest/rpc/scheduler_trigger_refresh", 405, "25006", role=OPERADOR)
    ],
    "no right": [
        Case("/rest/rpc/refresh", 403, "42501", method="POST"),
        Case("/rest/rpc/scheduler_trigger_refresh", 403, "42501", method="POST"),
    ],
    "no token": [
        Case(MONTHS, 401, "42501", role=None),
        Case("/rest/rpc/status", 401, "42501", role=None),
    ],
}
# Rows of the table with a test of their own.
OTHERS = {
    "a role in the token that does not exist",  # test_abuse.py
    "a parameter of a function given twice",
    "a reader's time limit",
    "a view that was never populated",
    "no connection of the pool within 4 s",
}


def documented() -> dict[str, str]:
    """Return the table of docs/api.md: what a row is about, and what it says."""
    text = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    table = text.partition("| PostgREST's own, at `/rest/` | status |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", table, re.MULTILINE)
    return dict(rows)


def checked(api: Api, case: Case) -> None:
    """Check one answer of PostgREST's."""
    answer = api.request(
        case.method,
        case.path,
        case.role,
        headers=case.headers,
        body=case.body,
    )
    assert (answer.status, answer.json()["code"]) == (case.status, case.code), answer.body
    assert answer.json().keys() == ERROR_KEYS
    assert "json" in answer.headers["content-type"]


@pytest.mark.parametrize("row", CASES)
def test_statuses_are_as_documented(api: Api, row: str) -> None:
    said = documented()[row]
    assert {str(case.status) for case in CASES[row]} == set(re.findall(r"\b[1-5]\d\d\b", said))
    assert {case.code for case in CASES[row]} == set(re.findall(r"`(\w+)`", said))
    for case in CASES[row]:
        checked(api, case)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/rest/rpc/monthly_metrics?limit=2", {}),
        ("/rest/rpc/advisor_rankings?ciudad=Cali&offset=5", {}),
        ("/rest/rpc/advisor_rankings?limit=0&ciudad=Cali", {}),
        ("/rest/rpc/monthly_metrics", {"Range": "5-9"}),
        ("/rest/rpc/monthly_metrics?limite=3", {"Range": "5-9"}),
    ],
)
def test_pages_of_a_function_are_refused(api: Api, path: str, headers: dict[str, str]) -> None:
    """PostgREST would take a page of the one value that it gives: all of it, or null."""
    for method in ("GET", "HEAD", "POST"):
        answer = api.request(method, path, LECTOR, headers=headers)
        assert answer.status == 400
        if method != "HEAD":
            assert answer.json()["message"] == "limit, offset and Range are not for functions"
            assert "limite" in answer.json()["hint"]
    # A number that is none is told first.
    answer = api.get("/rest/rpc/monthly_metrics?limit=1e9", LECTOR)
    assert (answer.status, "10 digits" in answer.json()["message"]) == (400, True)
    assert api.get(f"{MONTHS}?limit=2&offset=1", LECTOR).status == 200
    assert len(api.get(MONTHS, LECTOR, headers={"Range": "0-1"}).json()) == 2


def test_every_row_of_the_table_has_a_test() -> None:
    assert documented().keys() == CASES.keys() | OTHERS


def test_of_a_functions_parameter_given_twice_the_last_counts(api: Api) -> None:
    assert documented()["a parameter of a function given twice"] == "the last counts"
    answer = api.get("/rest/rpc/monthly_metrics?limite=1&limite=2", LECTOR)
    assert (answer.status, len(answer.json())) == (200, 2)


def test_a_readers_time_limit_is_500_from_a_view_and_504_from_a_function(api: Api) -> None:
    said = documented()["a reader's time limit"]
    assert said == "500 `57014` from a view, 504 `TELOO504` from a function"
    cases = [
        Case(MONTHS, 500, "57014"),
        Case("/rest/rpc/monthly_metrics", 504, "TELOO504"),
    ]
    with locked(api, "mv_metricas_mensuales"), ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(checked, api, case) for case in cases]:
            done.result()


def test_a_view_that_was_never_populated_is_500_itself_and_503_from_a_function(api: Api) -> None:
    said = documented()["a view that was never populated"]
    assert said == "500 `55000` from the view, 503 `TELOO503` from a function"
    api.database.execute("REFRESH MATERIALIZED VIEW analytics.mv_metricas_mensuales WITH NO DATA")
    try:
        checked(api, Case(MONTHS, 500, "55000"))
        checked(api, Case("/rest/rpc/monthly_metrics", 503, "TELOO503"))
    finally:
        api.database.execute("SELECT * FROM refresh_all_mv()")
    assert api.get(MONTHS, LECTOR).status == 200


def test_without_a_connection_of_the_pool_it_is_504(api: Api) -> None:
    assert documented()["no connection of the pool within 4 s"] == "504 `TELOO504`"
    trigger = "/rest/rpc/scheduler_trigger_refresh"
    settings = Settings(rate=100000, burst=10000, pool=4, readers=1, workers="1", read_seconds=600)
    # The writers keep their connections until they are let go.
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        with patient_roles(api.database):
            full = stack.enter_context(started(api.database, "full", settings))
        with locked(api, "refresh_jobs"):
            writers = [pool.submit(full.post, trigger, OPERADOR) for _ in range(4)]
            assert wait_until(lambda: waiting(full) == 4)
            checked(full, Case(MONTHS, 504, "TELOO504"))
        assert {writer.result().status for writer in writers} <= {202, 504}
        checked(full, Case("/rest/nope", 404, "42P01"))
    api.database.execute("CALL analytics.work()")


# -- free querying -------------------------------------------------------------------------


def test_filters_order_paging_and_select(api: Api) -> None:
    answer = api.get(
        f"{ADVISORS}?select=asesor_id,ranking_nacional&ranking_nacional=lte.20"
        "&order=ranking_nacional.desc,asesor_id&limit=3&offset=2",
        LECTOR,
    )
    expected = api.database.rows(
        "SELECT asesor_id::text, ranking_nacional FROM analytics.mv_ranking_asesores "
        "WHERE ranking_nacional <= 20 ORDER BY ranking_nacional DESC, asesor_id LIMIT 3 OFFSET 2"
    )
    assert answer.status == 200
    assert [tuple(row.values()) for row in answer.json()] == expected
    assert len(expected) == 3


def test_ranges_and_counts_go_through(api: Api) -> None:
    headers = {"Range-Unit": "items", "Range": "2-4", "Prefer": "count=exact"}
    answer = api.get(f"{MONTHS}?select=mes&order=mes.desc", LECTOR, headers=headers)
    months = api.database.rows(
        "SELECT mes::text FROM analytics.mv_metricas_mensuales ORDER BY mes DESC"
    )
    assert answer.status == 206
    assert answer.headers["content-range"] == f"2-4/{len(months)}"
    assert [(row["mes"],) for row in answer.json()] == months[2:5]


def test_csv_and_functions_by_post(api: Api) -> None:
    answer = api.get(f"{MONTHS}?order=mes&limit=2", LECTOR, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.body)))
    assert len(lines) == 2
    assert len(lines[0]) == 22
    answer = api.request(
        "POST",
        "/rest/rpc/monthly_metrics",
        LECTOR,
        headers={"Content-Type": "application/json"},
        body='{"limite": "2"}',
    )
    assert (answer.status, len(answer.json())) == (200, 2)


def test_the_generated_description_shows_what_a_token_may_call(api: Api) -> None:
    reader = api.get("/rest/", LECTOR).json()
    assert "/rpc/status" in reader["paths"]
    assert "/rpc/refresh" not in reader["paths"]
    assert "/rpc/refresh" in api.get("/rest/", OPERADOR).json()["paths"]
    assert reader["basePath"] == "/rest"


def test_the_methods_of_a_path_are_told_once(api: Api) -> None:
    answer = httpx.options(
        f"{api.url}{MONTHS}",
        headers={"Authorization": f"Bearer {api.token(LECTOR)}"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.headers.get_list("allow") == ["OPTIONS,GET,HEAD"]


# -- what the gateway keeps from PostgREST -------------------------------------------------


@pytest.mark.parametrize("path", ["/rest/a/b", "/rest/rpc/", "/rest/%ff", "/rest/x.y"])
def test_paths_that_no_view_or_function_has_are_404(api: Api, path: str) -> None:
    refused(api.get(path, LECTOR), 404)


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "Text/CSV", "text/csv; charset=utf-8"]
)
def test_a_body_that_is_no_json_is_415(api: Api, kind: str) -> None:
    answer = api.request(
        "POST",
        "/rest/rpc/monthly_metrics",
        LECTOR,
        headers={"Content-Type": kind},
        body="limite=%ff",
    )
    refused(answer, 415)


def test_a_view_has_the_marks_that_its_product_path_has(api: Api) -> None:
    """Nothing that is known against a figure depends on the path by which somebody reads it."""
    marks = ("x-data-version", "x-calculated-at", "x-refreshed-at", "x-stale")
    product = api.get("/materialized-views/kpis/mv_metricas_mensuales", LECTOR)
    view = api.get(MONTHS, LECTOR)
    assert view.status == 200
    assert {name: view.headers[name] for name in marks} == {
        name: product.headers[name] for name in marks
    }
    # PostgREST answers a part, as the query says: one tag for all would be wrong.
    assert "etag" not in view.headers
    with api.database.session() as connection:
        connection.execute(
            "UPDATE kpi_engine.view_state SET last_success_at = last_success_at - interval '3 days'"
        )
    try:
        assert api.get(MONTHS, LECTOR).headers["x-stale"] == "true"
        assert api.request("HEAD", MONTHS, LECTOR).headers["x-stale"] == "true"
    finally:
        with api.database.session() as connection:
            connection.execute(
                "UPDATE kpi_engine.view_state "
                "SET last_success_at = last_success_at + interval '3 days'"
            )
    assert "x-stale" not in api.get("/rest/", LECTOR).headers
