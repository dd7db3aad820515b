"""Sends to several places at once, within a time."""

import threading
import time
from collections.abc import Callable, Iterator

Sender = Callable[[], Iterator[tuple[str, Exception | None]]]
# What is left on SIGTERM.
STOP_SECONDS = 5.0


def in_time(
    senders: list[tuple[list[str], Sender]], stop: threading.Event, seconds: float
) -> dict[str, Exception | None]:
    """Run senders at once; return for each of their places what failed.

    What a server keeps waiting longer than ``seconds`` counts as failed, and its thread is left to
    itself.
    """
    done: dict[str, Exception | None] = {}
    is_over = threading.Event()

    def send(places: list[str], sender: Sender) -> None:
        try:
            for place, error in sender():
                done[place] = error
                if is_over.is_set():
                    return
        except Exception as error:
            for place in places:
                done.setdefault(place, error)

    threads = [threading.Thread(target=send, args=one, daemon=True) for one in senders]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    while (busy := [thread for thread in threads if thread.is_alive()]) and (
        time.monotonic() < deadline
    ):
        if stop.is_set():
            deadline = min(deadline, time.monotonic() + STOP_SECONDS)
        busy[0].join(0.1)
    is_over.set()
    return {
        place: done.get(place, TimeoutError("no answer in time"))
        for places, _ in senders
        for place in places
    }
