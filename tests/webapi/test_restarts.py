"""Parts that are restarted while readers ask: everything reconnects by itself."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from gateway_testing import Api
from jwt_token import AUDIENCE

READERS = 16
MONTHLY = "/materialized-views/monthly-metrics"


@contextmanager
def load(api: Api) -> Iterator[list[tuple[float, int]]]:
    """Let readers ask all the time; hand out when each answer came and its status."""
    stop = threading.Event()
    answers: list[tuple[float, int]] = []
    # One token may not take all places.
    tokens = [
        api.mint(
            {
                "role": "analytics_lector",
                "aud": AUDIENCE,
                "sub": f"reader {number}",
                "exp": int(time.time()) + 300,
            }
        )
        for number in range(READERS)
    ]

    def read(number: int) -> None:
        while not stop.is_set():
            try:
                # Other URLs share no answer.
                status = api.get(f"{MONTHLY}?limit={number + 1}", token=tokens[number]).status
            except (OSError, HTTPException):
                # Also an answer that was cut off.
                status = 0
                time.sleep(0.02)
            answers.append((time.monotonic(), status))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def restart_database(api: Api) -> None:
    """Stop the server at once, as a crash does, and start it."""
    api.database.cluster.stop("immediate")
    api.database.cluster.start()


PARTS: dict[str, Callable[[Api], None]] = {
    "PostgreSQL": restart_database,
    "PostgREST": lambda api: api.gateway.restart("postgrest"),
    "nginx": lambda api: api.gateway.restart("nginx"),
}


@pytest.mark.parametrize("part", PARTS)
def test_everything_reconnects_within_ten_seconds(
    api: Api, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with load(api) as answers:
        time.sleep(1)
        assert {status for _, status in answers} == {200}
        PARTS[part](api)
        up = time.monotonic()
        time.sleep(10)
        ended = time.monotonic()
    failures = [when for when, status in answers if status != 200]
    # Nothing but what a part that is away leads to.
    assert {status for _, status in answers} <= {0, 200, 503, 504}
    assert [status for when, status in answers if when > ended - 1]
    back = max([0.0, *(when - up for when in failures)])
    assert back < 9
    with capsys.disabled():
        print(f"\n{part} restarted under load: all answers right again after {back:.2f} s")
