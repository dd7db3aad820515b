"""A hub over several sites: its nine views are those over the rows of all of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

import hub as tool
from commandline import console
from commandline.console import UserError
from conftest import Database, Server, fresh_database
from federation import Federation
from hub_sites import PASSWORD, ROLE, add_site, make_hub, make_site
from uninstall import uninstall

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


@pytest.fixture
def hub_of_two(database: Database) -> Database:
    """A hub that has two sites, which nobody asks anything."""
    make_hub(database)
    for name, port in (("cali", "5433"), ("bogota", "5432")):
        address = {"host": f"{name}.example", "port": port, "dbname": "la teloo"}
        tool.add(database.url, name, address, ROLE, PASSWORD)
    return database


SERVERS_AND_MAPPINGS = (
    "SELECT srvname FROM pg_foreign_server UNION ALL SELECT umoptions::text FROM pg_user_mapping"
)


def test_a_hub_with_sites_is_uninstalled(
    hub_of_two: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """With the passwords for its sites; dblink, which may be of use to others, is named."""
    person = f"ana_{hub_of_two.name}"
    hub_of_two.execute(
        f'CREATE ROLE "{person} ñ"',
        f"CREATE USER MAPPING FOR \"{person} ñ\" SERVER teloo_site_cali OPTIONS (user 'ana')",
        "CREATE USER MAPPING FOR public SERVER teloo_site_cali",
    )
    before = hub_of_two.rows(SERVERS_AND_MAPPINGS)
    console.LOGGER.propagate = True
    caplog.set_level("INFO")
    try:
        uninstall(hub_of_two.url, dry_run=True)
        assert hub_of_two.rows(SERVERS_AND_MAPPINGS) == before
        assert "would remove: 2 site(s) of the hub" in caplog.text
        uninstall(hub_of_two.url)
    finally:
        console.LOGGER.propagate = False
        hub_of_two.execute(f'DROP OWNED BY "{person} ñ"', f'DROP ROLE "{person} ñ"')
    assert hub_of_two.rows(SERVERS_AND_MAPPINGS) == []
    assert "removed: 2 site(s) of the hub" in caplog.text
    assert "stays: extension dblink, if nobody else needs it: DROP EXTENSION dblink;" in caplog.text
    assert "lost: this is a hub; again: make migrate HUB=1" in caplog.text
    assert (
        "lost: site cali of the hub; again: scripts/hub.py add cali '--dbname=la teloo' "
        f"--host=cali.example --port=5433 --user={ROLE}"
    ) in caplog.text
    assert PASSWORD not in caplog.text
    hub_of_two.execute("DROP EXTENSION dblink")
    # It can become one again.
    make_hub(hub_of_two)


def test_a_hub_stays_whose_servers_others_need(hub_of_two: Database) -> None:
    """Servers of others are none of ours, and what others hang on ours is named."""
    before = hub_of_two.rows(SERVERS_AND_MAPPINGS)
    hub_of_two.execute("CREATE FOREIGN TABLE public.theirs (id integer) SERVER teloo_site_cali")
    with pytest.raises(UserError, match="teloo_site_cali of this hub; nothing was ch") as refused:
        uninstall(hub_of_two.url)
    assert "foreign table public.theirs depends on server teloo_site_cali" in refused.value.hint
    hub_of_two.execute(
        "DROP FOREIGN TABLE public.theirs",
        "CREATE SERVER of_others FOREIGN DATA WRAPPER dblink_fdw",
        "ALTER SERVER of_others OWNER TO analytics_owner",
    )
    with pytest.raises(UserError, match="own objects outside") as refused:
        uninstall(hub_of_two.url)
    assert "server of_others (owner analytics_owner)" in refused.value.hint
    assert "teloo_site" not in refused.value.hint
    hub_of_two.execute("DROP SERVER of_others")
    assert sorted(map(str, hub_of_two.rows(SERVERS_AND_MAPPINGS))) == sorted(map(str, before))
    assert uninstall(hub_of_two.url) is not None
