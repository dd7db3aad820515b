"""The demo beside production: what is written at the shop is counted at the analytics server."""

import re
from datetime import date

from capture.subscriber import publishing_cluster
from conftest import Database, Server
from development import demo_replica
from development.demo_source import load_source_schema
from marketplace import BASE_SEED, fill

TODAY = date(2026, 11, 23)


def test_writes_at_the_shop_show_in_the_figures(system_server: Server) -> None:
    with publishing_cluster() as shop, publishing_cluster() as analytics:
        load_source_schema(shop.url())
        with Database(shop, "shop").connect() as connection:
            fill(connection, BASE_SEED, "A", TODAY)
        try:
            for _ in range(2):
                # A second run goes on with what is there.
                demo_replica.follow(shop, analytics)
                written, behind, refreshed, figures = demo_replica.write_and_see(shop, analytics)
                requests = int(re.findall(r"(\d+) requests came", written)[0])
                assert requests > 0
                assert behind.startswith("Behind the shop: ")
                assert refreshed.startswith("The refresh: incremental, ")
                before, after = re.findall(r"requests ([\d,]+) → ([\d,]+),", figures)[0]
                assert int(after.replace(",", "")) - int(before.replace(",", "")) == requests
        finally:
            demo_replica.forget(shop, analytics)
        assert Database(shop, "shop").rows("SELECT count(*) FROM pg_replication_slots") == [(0,)]
