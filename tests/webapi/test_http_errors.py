"""Errors that no client is to see as they are: nginx's, PostgREST's, the database's."""

import os
import re
import signal
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gateway import Settings, wait_until
from gateway_testing import (
    Api,
    locked,
    native_path_of,
    path_of,
    raw,
    refused,
    started,
    waiting,
)
from webapi.endpoints import ENDPOINTS, Endpoint

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
MONTHS = "/materialized-views/monthly-metrics"
STATUS = "/materialized-views/status"
REFRESH = "/materialized-views/refresh"
NATIVE = "/rest/mv_metricas_mensuales"

# -- what nginx answers by itself ------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET / HTTP/2.0", "", 400),
        ("GET /health HTTP/3.1", "", 400),
        ("GET /health HTTP/1.x", "", 400),
        ("GET /health HTTP/1.1", "", 400),
        ("GET /health HTTP/1.1", "Host: a\r\nHost: b", 400),
        ("GET /health HTTP/1.1", "Host: a/b", 400),
        ("GET health HTTP/1.0", "", 400),
        ("get /health HTTP/1.0", "", 400),
        ("CONNECT a:1 HTTP/1.1", "Host: a", 400),
        ("TRACE /health HTTP/1.0", "", 405),
        ("PRI /health HTTP/1.0", "", 405),
        (f"POST {REFRESH} HTTP/1.1", "Host: a\r\nTransfer-Encoding: gzip", 400),
        (f"GET {MONTHS} HTTP/1.1", "Host: a\r\nTransfer-Encoding: gzip", 400),
        (f"POST {REFRESH} HTTP/1.1", "Host: a\r\nContent-Length: x", 400),
        (
            f"POST {REFRESH} HTTP/1.1",
            "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
            400,
        ),
        (f"POST {REFRESH} HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        (f"GET {MONTHS} HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        (f"GET {NATIVE} HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        ("POST /rest/rpc/status HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        ("GET /openapi.json HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz", 400),
        ("GET /nope HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz", 404),
        (f"GET {MONTHS} HTTP/1.0", 'If-Match: "x"', 412),
        (f"GET {MONTHS} HTTP/1.0", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", 412),
        ("GET /openapi.json HTTP/1.0", 'If-Match: "x"', 412),
        ("GET /docs/ HTTP/1.0", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", 412),
        ("GET /openapi.json HTTP/1.0", "Range: bytes=9999999-", 200),
        ("GET /health HTTP/1.0", "Expect: nonsense", 200),
    ],
)
def test_what_nginx_refuses_is_json(api: Api, request_line: str, headers: str, status: int) -> None:
    lines = [request_line, f"Authorization: Bearer {api.token(LECTOR)}", "Connection: close"]
    lines += [headers] if headers else []
    answer = raw(api, "\r\n".join([*lines, "", ""]).encode())
    if status == 200:
        assert answer.status == 200
        answer.json()
    else:
        refused(answer, status)


def test_a_slow_body_is_never_answered_in_html(api: Api) -> None:
    """nginx closes the connection after 10 seconds, without a word."""
    with pytest.raises((IndexError, TimeoutError)):
        raw(api, f"POST {REFRESH} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n".encode())


def test_a_body_that_is_too_large_is_413_with_get_too(api: Api) -> None:
    chunk = "11170\r\n" + "x" * 70000 + "\r\n0\r\n\r\n"
    for path in (MONTHS, "/health", "/metrics", NATIVE):
        refused(api.request("GET", path, LECTOR, body="x" * 70000), 413)
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        refused(raw(api, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunk}".encode()), 413)
    refused(api.request("GET", "/openapi.json", body="x" * 70000), 413)
    assert api.request("GET", MONTHS, LECTOR, body="x" * 60000).status == 200


# -- headers that PostgREST would answer 500 to ----------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("Accept", "Accept-Profile", "Content-Profile", "Content-Type"),
        *("Prefer", "Range", "Range-Unit"),
    ],
)
def test_a_header_that_goes_on_to_postgrest_is_ascii(api: Api, name: str) -> None:
    head = f"Authorization: Bearer {api.token(LECTOR)}\r\n{name}: ".encode()
    for value in (b"\xff", b"\xc3\xb1", b"a\x7fb"):
        answer = raw(api, f"GET {NATIVE} HTTP/1.0\r\n".encode() + head + value + b"\r\n\r\n")
        assert "not ASCII" in refused(answer, 400)["message"]
        # On a product path it plays no part.
        answer = raw(api, f"GET {MONTHS} HTTP/1.0\r\n".encode() + head + value + b"\r\n\r\n")
        assert answer.status == 200


def test_other_headers_do_not_reach_postgrest(api: Api) -> None:
    head = f"GET {NATIVE}?limit=1 HTTP/1.0\r\nAuthorization: Bearer {api.token(LECTOR)}\r\n"
    for name in (
        "User-Agent",
        "Referer",
        "Cookie",
        "Origin",
        "X-Request-Id",
        "X-Other",
        "If-Match",
    ):
        answer = raw(api, head.encode() + name.encode() + b": \xff\r\n\r\n")
        assert (answer.status, len(answer.json())) == (200, 1), name


# -- what PostgREST answers where something is broken ----------------------------------------

INTERNALS = ("secret", "base/", "SELECT", "analytics.", "plpgsql", "schema cache", "api.", "<html")


@contextmanager
def failing(api: Api, function: str, sqlstate: str, *, once: bool = False) -> Iterator[None]:
    """Let a function of schema api raise an error, with words that nobody is to see.

    ``once``: at the first call. At the next one its time is over where it says so itself.
    """
    ((definition,),) = api.database.rows(
        "SELECT pg_get_functiondef(oid) FROM pg_proc "
        f"WHERE pronamespace = 'api'::regnamespace AND proname = '{function}'"
    )
    body = (
        f"BEGIN RAISE EXCEPTION 'secret in file base/1/2' USING ERRCODE = '{sqlstate}', "
        "DETAIL = 'secret', HINT = 'secret'; END;"
    )
    if once:
        # A lock of the session outlives the error; no other function has this one.
        lock = zlib.crc32(function.encode())
        body = (
            "BEGIN IF EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' "
            f"AND objid = {lock}) THEN PERFORM kpi_engine.raise_timeout(); END IF; "
            f"PERFORM pg_advisory_lock({lock}); {body.removeprefix('BEGIN')}"
        )
    broken = re.sub(
        r"AS (\$\w+\$).*\1",
        lambda match: f"AS {match[1]}{body}{match[1]}",
        str(definition),
        flags=re.S,
    )
    api.database.execute(broken)
    try:
        yield
    finally:
        api.database.execute(str(definition))


def ask(api: Api, endpoint: Endpoint) -> tuple[int, str, dict[str, str]]:
    """Return status, body and error of an endpoint asked as it should be."""
    answer = api.request(endpoint.method, path_of(endpoint), OPERADOR)
    return answer.status, answer.body, refused(answer, answer.status)


def test_a_time_limit_beside_the_work_of_a_function_is_504_to_who_reads(api: Api) -> None:
    """PostgREST makes 500 of it: a soak of two hours met that twice among 123 times 504."""
    asked = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"]
    for endpoint in asked:
        api.forget_cache()
        with failing(api, endpoint.function, "57014", once=True):
            answered, _, error = ask(api, endpoint)
        assert (answered, error["code"]) == (504, "TELOO504"), endpoint.path


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        *(("XX001", 500), ("58030", 500), ("55000", 500), ("25006", 500), ("P0004", 500)),
        *(("42703", 500), ("22012", 500), ("22023", 500), ("P0001", 500), ("23505", 500)),
        *(("42P01", 404), ("42883", 404), ("53100", 503), ("57P03", 500)),
    ],
)
@pytest.mark.takes_turns(2)
def test_a_function_that_fails_shows_nothing_of_the_database(
    api: Api, sqlstate: str, status: int
) -> None:
    api.forget_cache()
    for endpoint in ENDPOINTS:
        with failing(api, endpoint.function, sqlstate):
            answered, body, error = ask(api, endpoint)
        assert (answered, error["code"]) == (status, f"TELOO{status}"), endpoint.path
        assert not [word for word in INTERNALS if word in body], body


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
@pytest.mark.takes_turns(3)
def test_a_function_that_is_missing_shows_nothing_of_the_database(
    api: Api, endpoint: Endpoint
) -> None:
    """As where the gateway is newer than the schema."""
    rename = f"ALTER FUNCTION api.{endpoint.function} RENAME TO away"
    reload = "NOTIFY pgrst, 'reload schema'"
    name = native_path_of(endpoint)
    api.database.execute(rename, reload)
    try:
        assert wait_until(lambda: api.request("HEAD", name, OPERADOR).status == 404)
        api.forget_cache()
        status, body, error = ask(api, endpoint)
        assert (status, error["message"]) == (404, "the database lacks what this path needs")
        assert not [word for word in INTERNALS if word in body], body
    finally:
        api.database.execute(f"ALTER FUNCTION api.away RENAME TO {endpoint.function}", reload)
    assert wait_until(lambda: api.request("HEAD", name, OPERADOR).status != 404)


def test_a_view_that_lost_a_column_shows_nothing_of_the_database(api: Api) -> None:
    view = "analytics.mv_ranking_asesores"
    path = "/materialized-views/advisor-rankings"
    api.database.execute(f"ALTER MATERIALIZED VIEW {view} RENAME ranking_nacional TO away")
    try:
        api.forget_cache()
        answer = api.get(path, LECTOR)
        refused(answer, 500)
        assert not [word for word in INTERNALS if word in answer.body], answer.body
    finally:
        api.database.execute(f"ALTER MATERIALIZED VIEW {view} RENAME away TO ranking_nacional")
    assert api.get(path, LECTOR).status == 200


# -- time-outs of the gateway itself ---------------------------------------------------------


def test_a_postgrest_that_does_not_answer_is_504(api: Api) -> None:
    settings = Settings(rate=100000, burst=10000, read_seconds=1, workers="1")
    with started(api.database, "slow", settings) as slow:
        pid = slow.gateway.pid("postgrest")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        try:
            for path in (MONTHS, STATUS, "/health", "/metrics", NATIVE, "/rest/rpc/health"):
                refused(slow.get(path, LECTOR), 504)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert wait_until(lambda: slow.get(MONTHS, LECTOR).status == 200)


def test_a_refresh_has_longer_than_any_other_request(api: Api) -> None:
    """Longer than the time limit of its role, and than both of those of the gateway for reading."""
    settings = Settings(rate=100000, burst=10000, read_seconds=1, workers="1")
    limit = "ALTER ROLE analytics_operador SET statement_timeout = '{}'"
    # PostgREST reads it when it starts.
    api.database.execute(limit.format("500ms"))
    try:
        with started(api.database, "long", settings) as long, ThreadPoolExecutor(1) as pool:
            with locked(api, "change_log"):
                began = time.monotonic()
                answer = pool.submit(long.post, REFRESH, OPERADOR)
                assert wait_until(lambda: waiting(long) == 1)
                time.sleep(max(0.0, began + settings.read_seconds + 5 + 1.5 - time.monotonic()))
                assert not answer.done()
            assert answer.result().json()["success"] is True
    finally:
        api.database.execute(limit.format("10s"))


# -- request ids -----------------------------------------------------------------------------


def test_the_id_of_a_request_is_in_the_session_of_the_database(api: Api) -> None:
    given = {path: f"{'i' * 49}{number}" for number, path in enumerate((MONTHS, NATIVE))}

    def names() -> set[object]:
        rows = api.database.rows(
            "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        return {name for (name,) in rows}

    with ThreadPoolExecutor(2) as pool:
        with locked(api, "mv_metricas_mensuales"):
            answers = [
                pool.submit(api.get, f"{path}?limit=9", LECTOR, headers={"X-Request-Id": asked})
                for path, asked in given.items()
            ]
            assert wait_until(lambda: names() == {f"teloo-api {asked}" for asked in given.values()})
        for answer, asked in zip(answers, given.values(), strict=True):
            assert answer.result().status == 200
            assert answer.result().headers["x-request-id"] == asked
