"""The OpenAPI document: is it valid, complete, and what the gateway really does."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import Case, GenerationMode

from gateway_testing import Api
from openapi import ENDPOINTS, Endpoint

# What takes no parameters can't be given wrong ones; unknown ones are in test_api.py.
CASES = [(endpoint, GenerationMode.POSITIVE) for endpoint in ENDPOINTS] + [
    (endpoint, GenerationMode.NEGATIVE) for endpoint in ENDPOINTS if endpoint.parameters
]


@pytest.mark.parametrize(
    ("endpoint", "mode"), CASES, ids=[f"{endpoint.path}-{mode.name}" for endpoint, mode in CASES]
)
def test_every_answer_is_as_documented(api: Api, endpoint: Endpoint, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    token = api.token("analytics_operador")

    @given(case=schema[endpoint.path][endpoint.method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Case[Any]) -> None:
        first, last = (case.query.get(name, "") for name in ("start_month", "end_month"))
        # Each month is right by itself; the pair is in test_api.py.
        assume(mode.is_negative or not last or str(first) <= str(last))
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    check()


def test_the_document_has_every_path_with_its_words(api: Api) -> None:
    document = api.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    paths = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert paths == {(endpoint.path, endpoint.method) for endpoint in ENDPOINTS}
    functions = api.database.rows(
        "SELECT proname, obj_description(oid, 'pg_proc') FROM pg_proc "
        "WHERE pronamespace = 'api'::regnamespace"
    )
    described = json.dumps(document["paths"], ensure_ascii=False)
    for name, comment in functions:
        assert json.dumps(comment, ensure_ascii=False)[1:-1] in described, name
    months = document["components"]["schemas"]["mv_metricas_mensuales"]["properties"]
    assert len(months) == 22
    assert all(column["description"] for column in months.values())


def test_the_page_to_try_it_is_served_from_here(api: Api) -> None:
    page = api.get("/docs/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.body and "https://" not in page.body
    assert api.get("/docs").status == 301
