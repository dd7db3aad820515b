"""Injections into each parameter of each endpoint of the OpenAPI document, and into each path."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from gateway_testing import Api, right_path_of
from webapi.endpoints import ENDPOINTS, Endpoint

# Each would show if it were run, or if a text of it were taken for a name, a format or a filter.
INJECTIONS = (
    "'",
    "' OR '1'='1' --",
    "'; INSERT INTO public.canary VALUES ('parameter'); --",
    "1; SELECT pg_sleep(20)",
    "') UNION SELECT pg_sleep(20)::text --",
    "$$; INSERT INTO public.canary VALUES ('dollar'); $$",
    '"; DROP TABLE public.canary; --',
    "mv_ranking_asesores; DELETE FROM public.canary",
    "pg_catalog.pg_authid",
    "(SELECT pg_sleep(20))",
    "\\'; SELECT pg_sleep(20) --",
    "%I%L%s%1$s",
    "{1,2}",
    "=cmd|' /C calc'!A0",
    "\r\nX-Evil: 1",
    "<script>alert(1)</script>",
    "${jndi:ldap://127.0.0.1/a}",
    "../../../../etc/passwd",
    "eq.x&select=*",
    "NaN",
    "1e400",
    "ʼ OR 1=1",
)
# What only an error of the database would say.
INTERNALS = ("syntax error", "unterminated", "pg_authid", "kpi_engine.", "PL/pgSQL", "line 1")


@pytest.fixture(scope="module", autouse=True)
def canary(api: Api) -> Iterator[None]:
    """A table that an injection would write to or drop, and which the roles of the API may."""
    api.database.execute(
        "CREATE TABLE public.canary (sang text)",
        "GRANT ALL ON public.canary TO public",
        "GRANT USAGE ON SCHEMA public TO public",
    )
    ((last_note,),) = api.database.rows("SELECT coalesce(max(note_id), 0) FROM analytics.notes")
    yield
    assert api.database.rows("SELECT * FROM public.canary") == []
    api.database.execute(
        "DROP TABLE public.canary", f"DELETE FROM kpi_engine.notes WHERE note_id > {last_note}"
    )
    api.forget_cache()


def injected(endpoint: Endpoint, one: dict[str, Any], text: str) -> str:
    """Return the path of an endpoint with a text as one of its parameters, the others right."""
    if one["in"] == "path":
        right = quote(str(one["example"]))
        return right_path_of(endpoint).replace(right, quote(text, safe=""), 1)
    path, _, query = right_path_of(endpoint).partition("?")
    others = [part for part in query.split("&") if part and part.split("=")[0] != one["name"]]
    return f"{path}?{'&'.join([*others, one['name'] + '=' + quote(text, safe='')])}"


WITH_PARAMETERS = [endpoint for endpoint in ENDPOINTS if endpoint.all_parameters]


@pytest.mark.parametrize(
    "endpoint", WITH_PARAMETERS, ids=[f"{one.method} {one.path}" for one in WITH_PARAMETERS]
)
def test_an_injection_into_a_parameter_is_a_text_and_nothing_else(
    api: Api, endpoint: Endpoint
) -> None:
    token = api.token("analytics_operador")
    for one in endpoint.all_parameters:
        for text in INJECTIONS:
            began = time.monotonic()
            answer = api.request(endpoint.method, injected(endpoint, one, text), token=token)
            assert time.monotonic() - began < 15, text
            # 409: a note or a target that is there already.
            assert answer.status in {200, 201, 202, 400, 404, 409}, (one["name"], text, answer)
            assert "x-evil" not in answer.headers
            if answer.status >= 400:
                said = answer.body.replace(text, "")
                assert [word for word in INTERNALS if word in said] == [], (one["name"], text)


def test_an_injection_into_a_path_is_a_path_that_is_not_there(api: Api) -> None:
    token = api.token("analytics_operador")
    for text in INJECTIONS:
        for path in ("/materialized-views/", "/materialized-views/kpis/", "/rest/rpc/", "/rest/"):
            answer = api.request("GET", path + quote(text, safe=""), token=token)
            assert answer.status in {400, 404}, (path, answer.body)
            assert "x-evil" not in answer.headers
