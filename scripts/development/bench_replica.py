"""Measures what change capture costs the worker that applies changes of a publisher."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString

from cluster import Cluster
from demo import load
from development.bench_data import (
    MOMENT,
    Connection,
    bench_sql,
    connect,
    drop_database,
    install,
)
from development.demo_source import load_source_schema
from development.replication import (
    PATIENCE_SECONDS,
    PUBLISHER_SETTINGS,
    publish,
    subscribe,
)

PUBLISHER = "bench-publisher"
SHOP = "shop"
SUBSCRIPTION = "bench_operational"
MARKER = "CREATE TABLE public.marker (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"
ROWS = 100_000
TRANSACTIONS = 5_000
# Of two clients who write while the worker applies, each row in a transaction of its own.
LIVE_TRANSACTIONS = 10_000


class Following:
    """A publisher with the marketplace of a scale, and a subscriber of it with the package."""

    def __init__(
        self, url: str, publisher: Connection, subscriber: Connection, holder: Connection
    ) -> None:
        self.publisher_url = url
        self.publisher = publisher
        self.subscriber = subscriber
        self.holder = holder
        self.written = 0

    def set_capture(self, state: str) -> None:
        """Turn change capture on or off, and forget what it noted until now."""
        self.subscriber.execute("SELECT analytics.set_setting('change_capture', %s)", [state])
        self.subscriber.execute("CALL analytics.apply_change_capture()")
        self.subscriber.execute("TRUNCATE kpi_engine.change_log")
        self.subscriber.execute("CHECKPOINT")

    def apply(self, write: Callable[[Connection], object]) -> float:
        """Write while the worker that applies has to wait; return the ms that it takes then."""
        self.holder.execute("BEGIN")
        self.holder.execute("LOCK TABLE ofertas IN EXCLUSIVE MODE")
        write(self.publisher)
        self.write_marker()
        self.wait_for("SELECT FROM pg_locks WHERE NOT granted AND relation = 'ofertas'::regclass")
        self.holder.execute("COMMIT")
        started = time.perf_counter()
        self.wait_for_marker()
        return 1000 * (time.perf_counter() - started)

    def follow(self, write: Callable[[], object]) -> float:
        """Write while the worker applies; return the ms until it has applied the last of it."""
        started = time.perf_counter()
        write()
        self.write_marker()
        self.wait_for_marker()
        return 1000 * (time.perf_counter() - started)

    def write_marker(self) -> None:
        """Write a row after all others."""
        # Only what is flushed is sent: else 400 ms pass before the last of it comes.
        self.publisher.execute("SET synchronous_commit = on")
        self.publisher.execute("INSERT INTO marker DEFAULT VALUES")
        self.written += 1

    def wait_for_marker(self) -> None:
        """Wait until the subscriber has the row that was written last."""
        self.wait_for("SELECT FROM marker HAVING count(*) >= %s", self.written)

    def wait_for(self, query: LiteralString, *values: object) -> None:
        """Wait until a query of the subscriber returns a row."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while self.subscriber.execute(query, values).rowcount == 0:
            if time.perf_counter() > deadline:
                raise TimeoutError("the subscriber does not catch up")
            time.sleep(0.002)


def update_rows(connection: Connection) -> None:
    """Update many rows in one transaction."""
    connection.execute(
        "UPDATE ofertas SET tiempo_entrega_dias = coalesce(tiempo_entrega_dias, 0) %% 30 + 1 "
        "WHERE id IN (SELECT id FROM ofertas LIMIT %s)",
        [ROWS],
    )


def update_row_by_row(connection: Connection) -> None:
    """Update rows, each in a transaction of its own."""
    connection.execute("SET synchronous_commit = off")
    connection.execute("SELECT set_config('bench.rows', %s, false)", [str(TRANSACTIONS)])
    connection.execute(
        "DO $$ DECLARE v_id uuid; BEGIN FOR v_id IN "
        "SELECT id FROM ofertas LIMIT current_setting('bench.rows')::integer "
        "LOOP UPDATE ofertas SET tiempo_entrega_dias = coalesce(tiempo_entrega_dias, 0) % 30 + 1 "
        "WHERE id = v_id; COMMIT; END LOOP; END $$"
    )


@contextmanager
def following(cluster: Cluster, scale: str, seed: int) -> Iterator[Following]:
    """Start a publisher, load a scale into it, and let a database of the cluster follow it."""
    publisher = Cluster(PUBLISHER, database=SHOP, settings=f"jit = off\n{PUBLISHER_SETTINGS}")
    name = f"bench_{scale}_replica"
    try:
        publisher.start()
        load(publisher.url(SHOP), scale, seed, MOMENT)
        drop_database(cluster, name)
        cluster.make_database(name)
        url = cluster.url(name)
        load_source_schema(url)
        with (
            connect(publisher.url(SHOP)) as writer,
            connect(url) as subscriber,
            connect(url) as holder,
        ):
            writer.execute(MARKER)
            writer.execute(bench_sql("write_fixtures.sql"))
            publish(writer)
            writer.execute("VACUUM ANALYZE")
            subscriber.execute(MARKER)
            install(url)
            try:
                subscribe(subscriber, SUBSCRIPTION, publisher.url(SHOP))
                subscriber.execute("VACUUM ANALYZE")
                yield Following(publisher.url(SHOP), writer, subscriber, holder)
            finally:
                subscriber.execute(f"DROP SUBSCRIPTION IF EXISTS {SUBSCRIPTION}")
        drop_database(cluster, name)
    finally:
        publisher.remove()
