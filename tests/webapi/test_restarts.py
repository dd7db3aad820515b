"""Parts that are restarted while readers ask: everything reconnects by itself."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway import wait_until
from gateway_testing import Api
from jwt_token import AUDIENCE

READERS = 16
ALLOWED = {0, 200, 503, 504}
MONTHLY = "/materialized-views/monthly-metrics"


@contextmanager
def load(api: Api) -> Iterator[list[tuple[float, int, int]]]:
    """Let readers ask all the time; hand out when each answer came, its reader and its status."""
    stop = threading.Event()
    answers: list[tuple[float, int, int]] = []
    # One token may not take all places.
    tokens = [
        api.mint(
            {
                "role": "analytics_lector",
                "aud": AUDIENCE,
                "sub": f"reader {number}",
                "exp": int(time.time()) + 3600,
            }
        )
        for number in range(READERS)
    ]

    def read(number: int) -> None:
        while not stop.is_set():
            try:
                # Other URLs share no answer.
                status = api.get(f"{MONTHLY}?limit={number + 1}", token=tokens[number]).status
            except OSError:
                status = 0
                time.sleep(0.02)
            answers.append((time.monotonic(), number, status))

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
def test_everything_reconnects_by_itself(
    api: Api, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """How soon is a matter of the machine, and printed; scripts/bench_api.py measures it."""

    def all_are_right(since: float, seconds: float) -> bool:
        """Tell whether nothing failed for so long, and each reader had three answers meanwhile."""
        seen = list(answers)
        since = max([since, *(when for when, _, status in seen if status != 200)])
        readers = Counter(number for when, number, _ in seen if when > since)
        return (
            time.monotonic() - since > seconds
            and len(readers) == READERS
            and min(readers.values()) >= 3
        )

    with load(api) as answers:
        begun = time.monotonic()
        assert wait_until(lambda: all_are_right(begun, 1))
        assert {status for _, _, status in answers} == {200}
        PARTS[part](api)
        up = time.monotonic()
        assert wait_until(lambda: all_are_right(up, 5))
    # Nothing but what a part that is away leads to.
    assert {status for _, _, status in answers} <= ALLOWED
    back = max([0.0, *(when - up for when, _, status in answers if status != 200)])
    with capsys.disabled():
        print(f"\n{part} restarted under load: all answers right again after {back:.2f} s")
