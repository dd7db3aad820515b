"""The micro-cache and the limits of the gateway, in front of the real PostgREST.

An answer of status() says when it was made (checked_at): two answers with the same instant are
one answer that was kept.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from gateway import Settings, wait_until
from gateway_testing import Api, Response, locked, patient_roles, started, waiting

READER = "analytics_lector"
STATUS = "/materialized-views/status"
MONTHLY = "/materialized-views/monthly-metrics"


def at_the_beginning_of_a_second() -> None:
    """Wait: an answer is kept for the rest of a second."""
    time.sleep(1.02 - time.time() % 1)


def made_at(api: Api, token: str, path: str = STATUS) -> str:
    """Return when the answer was made."""
    answer = api.get(path, token=token)
    assert answer.status == 200
    return str(answer.json()["checked_at"])


def in_one_second(ask: Callable[[], str]) -> list[str]:
    """Ask twice within one second, on a busy machine by trying again; return the answers."""
    for _ in range(60):
        at_the_beginning_of_a_second()
        second = int(time.time())
        answers = [ask() for _ in range(2)]
        if int(time.time()) == second:
            return answers
    pytest.fail("two requests never were in one second")


def test_an_answer_is_kept_for_a_second_at_most(api: Api) -> None:
    token = api.token(READER)
    first, second = in_one_second(lambda: made_at(api, token))
    assert first == second
    for _ in range(20):
        asked = time.time()
        made = datetime.fromisoformat(made_at(api, token)).timestamp()
        # At most a second (and a bit) before it was asked for.
        assert asked - 1.1 < made < time.time() + 0.1
        time.sleep(0.11)
    assert made_at(api, token) != first


def test_two_tokens_never_share_an_answer(api: Api) -> None:
    one, other = api.token(READER), api.token("analytics_operador")
    at_the_beginning_of_a_second()
    assert made_at(api, one) != made_at(api, other)
    first, second = in_one_second(lambda: made_at(api, one))
    assert first == second
    # What was kept for a token is not for who has none, nor for one that is wrong.
    assert api.get(STATUS).status == 401
    assert api.get(STATUS, token=one + "x").status == 401


def test_other_accept_headers_never_share_an_answer(api: Api) -> None:
    token = api.token(READER)
    at_the_beginning_of_a_second()
    bodies = [
        api.get(STATUS, token=token, headers={"Accept": accept}).json()["checked_at"]
        for accept in ("application/json", "text/csv")
    ]
    assert bodies[0] != bodies[1]


def test_errors_are_never_kept(api: Api) -> None:
    token = api.token(READER)
    assert api.get(f"{MONTHLY}?limit=61", token=token).status == 400
    api.database.execute("ALTER FUNCTION api.status() RENAME TO status_away")
    try:
        api.database.execute("NOTIFY pgrst, 'reload schema'")
        api.forget_cache()
        assert api.get(STATUS, token=token).status == 404
    finally:
        api.database.execute("ALTER FUNCTION api.status_away() RENAME TO status")
        api.database.execute("NOTIFY pgrst, 'reload schema'")
    assert wait_until(lambda: api.get(STATUS, token=token).status == 200)


def test_states_are_never_kept(api: Api) -> None:
    token = api.token(READER)
    path = "/materialized-views/scheduler/status"
    at_the_beginning_of_a_second()
    assert made_at(api, token, path) != made_at(api, token, path)


def test_a_kept_answer_is_revalidated_too(api: Api) -> None:
    token = api.token(READER)
    at_the_beginning_of_a_second()
    tag = api.get(MONTHLY, token=token).headers["etag"]
    for _ in range(3):
        assert api.get(MONTHLY, token=token, headers={"If-None-Match": tag}).status == 304


@pytest.fixture(scope="module")
def narrow(api: Api) -> Iterator[Api]:
    """Another gateway over the same database, with little room."""
    # One token may take two of the three places.
    settings = Settings(
        rate=5, burst=10, readers=3, retry_rate=1, retry_burst=1, workers="1", read_seconds=600
    )
    with ExitStack() as stack:
        with patient_roles(api.database):
            other = stack.enter_context(started(api.database, "narrow", settings))
        yield other


def test_too_many_requests_of_a_client_are_429(narrow: Api) -> None:
    def ask_forty_times() -> int:
        """Return how many were refused: none where they took eight seconds."""
        with ThreadPoolExecutor(8) as pool:
            answers.extend(pool.map(lambda _: narrow.get("/openapi.json"), range(40)))
        return sum(answer.status == 429 for answer in answers)

    answers: list[Response] = []
    assert wait_until(lambda: ask_forty_times() >= 10)
    refused = [answer for answer in answers if answer.status == 429]
    assert all(answer.json()["code"] == "TELOO429" for answer in refused)
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert {answer.status for answer in answers} == {200, 429}


def test_readers_leave_room_for_a_refresh(narrow: Api) -> None:
    time.sleep(2.5)
    token = narrow.token(READER)
    with narrow.database.connect(autocommit=False) as other, ThreadPoolExecutor(6) as pool:
        other.execute("ALTER MATERIALIZED VIEW analytics.mv_metricas_mensuales RENAME TO busy")
        waiting = [
            pool.submit(narrow.get, f"{MONTHLY}?limit={limit}", token=token)
            for limit in range(1, 7)
        ]
        # Two wait in the database and no more come; what writes and what watches has room.
        sessions = "SELECT count(*) = 2 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
        narrow.database.wait_until(sessions)
        time.sleep(2)
        assert narrow.database.rows(sessions) == [(True,)]
        assert narrow.get("/health").status in (200, 503)
        path = "/materialized-views/scheduler/trigger-refresh"
        assert narrow.post(path, "analytics_operador").status == 202
        other.rollback()
        statuses = [future.result().status for future in waiting]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 2
    assert statuses.count(429) >= 1
    narrow.database.execute("CALL analytics.work()")


@pytest.fixture(scope="module")
def cramped(api: Api) -> Iterator[Api]:
    """Another gateway, with 6 connections, 3 of them for readers, 2 for those of one token."""
    settings = Settings(
        rate=100000,
        burst=10000,
        readers=3,
        pool=6,
        retry_rate=1,
        retry_burst=1,
        workers="1",
        read_seconds=600,
    )
    with ExitStack() as stack:
        with patient_roles(api.database):
            other = stack.enter_context(started(api.database, "cramped", settings))
        yield other


@pytest.mark.parametrize(
    ("path", "relation"),
    [
        ("/rest/mv_ranking_asesores", "mv_ranking_asesores"),
        ("/rest/rpc/scheduler_status", "scheduler_state"),
        ("/materialized-views/scheduler/status", "scheduler_state"),
        ("/metrics", "scheduler_state"),
        ("/health", "scheduler_state"),
        ("/rest/rpc/health", "scheduler_state"),
    ],
)
@pytest.mark.takes_turns(2)
def test_readers_that_hang_up_leave_room_for_a_refresh(
    cramped: Api, path: str, relation: str
) -> None:
    """PostgREST goes on with a request whose client is gone, and keeps its connection for it."""
    address = urlsplit(cramped.url)
    token = cramped.token(READER)
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"

    def ask_and_hang_up() -> None:
        before = waiting(cramped)
        with socket.create_connection((address.hostname, address.port or 0)) as connection:
            connection.sendall(request.encode())

            def has_arrived() -> bool:
                answered = bool(select.select([connection], [], [], 0)[0])
                return answered or waiting(cramped) > before

            assert wait_until(has_arrived)

    with locked(cramped, relation):
        for _ in range(6):
            ask_and_hang_up()
        assert waiting(cramped) == 2
        # Without a connection of the pool it would be 504 after 4 seconds: the readers stay.
        path = "/materialized-views/scheduler/trigger-refresh"
        assert cramped.post(path, "analytics_operador").status == 202
        assert waiting(cramped) == 2
    assert wait_until(lambda: waiting(cramped) == 0)
    cramped.database.execute("CALL analytics.work()")
