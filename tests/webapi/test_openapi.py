"""The OpenAPI document: is it valid, complete, and what the gateway really does."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import Case, GenerationMode

from conftest import KPI_VIEWS
from gateway_testing import Api, path_of
from webapi.endpoints import ENDPOINTS, Endpoint
from webapi.http_errors import LONGEST_URL

# What takes no parameters can't be given wrong ones; unknown ones are in test_api.py.
CASES = [(endpoint, GenerationMode.POSITIVE) for endpoint in ENDPOINTS] + [
    (endpoint, GenerationMode.NEGATIVE) for endpoint in ENDPOINTS if endpoint.all_parameters
]

# A forced refresh reads everything again; beside other tests on two cores that takes its time.
SECONDS = 120

RIGHT_TARGET = {
    "view": "mv_metricas_mensuales",
    "column": "tasa_aceptacion_pct",
    "from": "2026-01",
    "better": "up",
}


def documented_path(endpoint: Endpoint) -> str:
    """Return the path that the document has for an endpoint: with a view, that of the example."""
    return path_of(endpoint).partition("?")[0]


@pytest.mark.parametrize(
    ("endpoint", "mode"), CASES, ids=[f"{endpoint.path}-{mode.name}" for endpoint, mode in CASES]
)
@pytest.mark.takes_turns(3)
def test_every_answer_is_as_documented(api: Api, endpoint: Endpoint, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    token = api.token("analytics_operador")

    operation = schema[documented_path(endpoint)][endpoint.method.lower()]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Case[Any]) -> None:
        for pair in (("start_month", "end_month"), ("from", "to")):
            first, last = (case.query.get(name, "") for name in pair)
            # Each month is right by itself; the pairs are in test_api.py and test_kpis.py.
            assume(mode.is_negative or not last or str(first) <= str(last))
        # Which moments have an answer is a matter of the data, and not each goes with the others;
        # both is in test_published.py and test_kpis.py.
        assume(mode.is_negative or "as_of" not in case.query)
        assume(mode.is_negative or not {"compare", "reported"} <= case.query.keys())
        # Which column a view has, and which period begins on a day, are not in the document: see
        # test_targets_http.py.
        if not mode.is_negative and endpoint.function in ("set_target", "remove_target"):
            case.query |= RIGHT_TARGET
        # Of restatements too: see test_published.py.
        if not mode.is_negative and endpoint.function == "restatements":
            case.query.pop("period", None)
        # Of a note too: see test_notes.py.
        if not mode.is_negative and endpoint.function == "add_note":
            case.query.pop("view", None)
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS)

    check()


def test_the_document_has_every_path_with_its_words(api: Api) -> None:
    document = api.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    paths = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert paths == {
        *((f"/materialized-views/kpis/{view}", "get") for view in KPI_VIEWS),
        *((documented_path(endpoint), endpoint.method.lower()) for endpoint in ENDPOINTS),
    }
    functions = api.database.rows(
        "SELECT proname, obj_description(oid, 'pg_proc') FROM pg_proc "
        "WHERE pronamespace = 'api'::regnamespace AND prokind = 'f'"
    )
    described = json.dumps(document["paths"], ensure_ascii=False)
    for name, comment in functions:
        assert json.dumps(comment, ensure_ascii=False)[1:-1] in described, name
    months = document["components"]["schemas"]["mv_metricas_mensuales"]["properties"]
    assert len(months) == 22
    assert all(column["description"] for column in months.values())


def test_the_document_is_valid(api: Api) -> None:
    schemathesis.openapi.from_url(f"{api.url}/openapi.json").validate()
    document = api.get("/openapi.json").json()
    for part, name, wrong in (
        (("info",), "title", None),
        (("paths", "/health", "get"), "parameters", "none"),
        (("components", "headers", "ETag"), "required", "yes"),
    ):
        broken = inner = json.loads(json.dumps(document))
        for step in part:
            inner = inner[step]
        inner[name] = wrong
        with pytest.raises(jsonschema_rs.ValidationError):
            schemathesis.openapi.from_dict(broken).validate()


def pairs(part: Any) -> Iterator[tuple[Any, Any]]:
    """Find each schema of a document that comes with an example, and the example."""
    if isinstance(part, dict):
        for example in part.get("examples", []):
            yield part, example
        if "example" in part:
            yield part["schema"], part["example"]
        for inner in part.values():
            yield from pairs(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from pairs(inner)


def test_examples_are_as_the_schemas_say(api: Api) -> None:
    document = api.get("/openapi.json").json()
    found = list(pairs(document))
    assert len(found) > 100
    for schema, example in found:
        whole = {**schema, "components": document["components"]}
        jsonschema_rs.validator_for(whole, validate_formats=True).validate(example)
    answers = [
        (path, method, status, content)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
    ]
    assert len(answers) > len(ENDPOINTS)
    for answer in answers:
        assert "example" in answer[-1], answer[:-1]


def test_nothing_of_the_data_is_in_the_document(api: Api) -> None:
    text = api.get("/openapi.json").body
    rows = api.database.rows(
        "SELECT asesor_email FROM analytics.mv_ranking_asesores WHERE asesor_email IS NOT NULL"
    )
    assert rows
    assert not any(str(email) in text for (email,) in rows)


def test_the_longest_city_is_as_documented(api: Api) -> None:
    for endpoint in ENDPOINTS:
        for parameter in endpoint.parameters:
            if parameter["name"] == "ciudad":
                most = parameter["schema"]["maxLength"]
                assert len(f"{endpoint.path}?ciudad=") + most == LONGEST_URL
                path = f"{endpoint.path}?ciudad={'x' * most}"
                assert api.get(path, "analytics_lector").status == 200
                assert api.get(f"{path}x", "analytics_lector").status == 414


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_refusals_of_the_gateway_are_as_documented(api: Api, endpoint: Endpoint) -> None:
    document = api.get("/openapi.json").json()
    documented = document["paths"][documented_path(endpoint)][endpoint.method.lower()]["responses"]
    method, path = endpoint.method, path_of(endpoint).partition("?")[0]
    other = "PATCH"
    long = f"{path}?x={'x' * LONGEST_URL}"
    token = api.token("analytics_operador")
    refusals = [
        (400, api.request(method, f"{path}?x=1", token=token)),
        (405, api.request(other, path, token=token)),
        (413, api.request(method, path, token=token, body="x" * 70000)),
        (414, api.request(method, long, token=token)),
        (431, api.request(method, path, headers={"X-Long": "x" * 33000})),
    ]
    assert ("304" in documented) == ("412" in documented)
    if "412" in documented:
        mismatch = {"If-Match": '"x"'}
        refusals += [(412, api.request(method, path, token=token, headers=mismatch))]
    for status, answer in refusals:
        assert answer.status == status
        component = documented[str(status)]["$ref"].rsplit("/", 1)[1]
        response = document["components"]["responses"][component]
        for name in response["headers"]:
            assert name.lower() in answer.headers, (status, name)


def test_the_page_to_try_it_is_served_from_here(api: Api) -> None:
    page = api.get("/docs/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.body and "https://" not in page.body
    assert api.get("/docs").status == 301
