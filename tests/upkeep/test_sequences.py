"""Property tests of the incremental engine: whatever happens, in whatever order, it is right.

TELOO_SEQUENCES=2000 runs more; TELOO_SEED=… starts at another seed, TELOO_SEQUENCES=1 with it
repeats one. Even seeds are of generation A, odd ones of B.
"""

import os
import time

import pytest

from conftest import Database, Server
from marketplace import BASE_SEED, Generation
from sequences import Arena, Sequence, SequenceError, Totals

TAKES_MINUTES = True
SEQUENCES = int(os.environ.get("TELOO_SEQUENCES", "30"))
SEEDS = range(BASE_SEED, BASE_SEED + SEQUENCES)
GENERATIONS: tuple[Generation, ...] = ("A", "B")
# After so many failures a run stops looking for more.
ENOUGH_FAILURES = 5


def new_arena(server: Server, generation: Generation) -> tuple[Arena, str]:
    """Make a database for sequences; return it with its name."""
    name = server.new_name(f"sequences_{generation.lower()}")
    server.janitor(name).init()
    return Arena(Database(server.cluster, name), generation), name


def test_views_are_right_after_every_refresh_of_random_sequences(
    system_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = Totals()
    failures: list[str] = []
    started = time.monotonic()
    for generation in GENERATIONS:
        arena: Arena | None = None
        name = ""
        for seed in SEEDS:
            if GENERATIONS[seed % 2] != generation or len(failures) >= ENOUGH_FAILURES:
                continue
            if arena is None:
                arena, name = new_arena(system_server, generation)
            try:
                Sequence(arena, seed, totals).run()
            except SequenceError as error:
                failures.append(str(error))
                # What it left behind may be wrong: the next one gets a new database.
                arena.close()
                system_server.janitor(name).drop()
                arena = None
        if arena is not None:
            arena.close()
            system_server.janitor(name).drop()
    seconds = time.monotonic() - started
    summary = (
        f"sequences: {SEQUENCES}, seeds {SEEDS[0]}-{SEEDS[-1]}, {totals}; "
        f"differences: {len(failures)} sequences; {seconds / SEQUENCES:.2f} s each"
    )
    with capsys.disabled():
        print("\n" + summary)
    assert not failures, summary + "\n\n" + "\n\n".join(failures)
    assert totals.sequences == SEQUENCES
    refreshes = sum(totals.modes.values())
    assert totals.modes["incremental"] > refreshes / 2, "what was full proves little: " + summary
