"""A hub over several sites: its nine views are those over the rows of all of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from conftest import Server, fresh_database
from federation import Federation
from hub_sites import add_site, make_hub, make_site

TAKES_MINUTES = True
SEQUENCES = int(os.environ.get("TELOO_HUB_SEQUENCES", "3"))
SEED = int(os.environ.get("TELOO_SEED", "1"))
database_of = contextmanager(fresh_database)


@pytest.fixture
def federation(server: Server) -> Iterator[Federation]:
    """A hub over two sites, all in databases of one server."""
    with ExitStack() as stack:
        hub = stack.enter_context(database_of(server))
        sites = [stack.enter_context(database_of(server)) for _ in range(2)]
        for site in sites:
            make_site(site)
        make_hub(hub)
        for place, site in enumerate(sites, 1):
            add_site(hub, f"site{place}", site)
        made = Federation(hub, sites)
        try:
            yield made
        finally:
            made.close()


def test_random_sequences(federation: Federation, server: Server) -> None:
    """Random writes and refreshes at the sites: the hub shows what Python computes."""
    for seed in range(SEED, SEED + (SEQUENCES if server.kind == "system" else SEQUENCES // 3)):
        federation.run(seed)
    print(f"\nhub: {federation}")
