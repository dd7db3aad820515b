"""A pair of databases: an operational one, and one that follows it by logical replication."""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import oracle
from cluster import Cluster, system_binaries
from conftest import TEST_SETTINGS, Database
from development.demo_source import load_source_schema
from development.replication import PUBLISHER_SETTINGS, publish, subscribe
from marketplace import Generation, load_schema_b, schema_of
from oracle import Row, Source
from sequences import Arena, Writer

MARKER = "CREATE TABLE IF NOT EXISTS {}.marker (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"
PATIENCE_SECONDS = 60.0
# A worker that ended, or the one of a second subscription, starts after 5 s by default. One that
# has heard nothing for half of wal_receiver_timeout asks its publisher.
QUICK_WORKERS = "wal_retrieve_retry_interval = 200ms\nwal_receiver_timeout = 20s\n"
EMPTY_THE_TABLES = """
    DO $$ BEGIN EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(format('public.%I', tablename), ', ')
        FROM pg_tables WHERE schemaname = 'public'
    ); END $$
"""
NUMBERS = itertools.count(1)


@contextmanager
def publishing_cluster(settings: str = "") -> Iterator[Cluster]:
    """A server whose databases can be published."""
    cluster = Cluster(
        f"test-publisher-{os.getpid()}-{next(NUMBERS)}",
        binaries=system_binaries(),
        database="shop",
        settings=TEST_SETTINGS + PUBLISHER_SETTINGS + QUICK_WORKERS + settings,
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def make_publisher(
    cluster: Cluster, name: str, generation: Generation, schema: str | None = None
) -> Database:
    """Make a database with the empty operational tables, all of them published.

    With a schema, the tables are in this one.
    """
    cluster.make_database(name)
    publisher = Database(cluster, name)
    load_into(publisher, generation, schema)
    publisher.execute(MARKER.format(schema or "public"))
    with publisher.session() as connection:
        publish(connection)
    return publisher


def load_into(database: Database, generation: Generation, schema: str | None) -> None:
    """Load the empty operational tables, into a schema of this name."""
    (load_source_schema if generation == "A" else load_schema_b)(database.url)
    if schema is not None:
        database.execute(
            f"ALTER SCHEMA {schema_of(generation)} RENAME TO {schema}",
            "CREATE SCHEMA IF NOT EXISTS public",
        )


class Pair:
    """A published database and its subscriber, which has the same tables."""

    def __init__(self, publisher: Database, subscriber: Database, schema: str = "public") -> None:
        self.publisher = publisher
        self.subscriber = subscriber
        self.marker = f"{schema}.marker"
        self.schema = schema
        self.name = f"from_{publisher.name}_to_{subscriber.name}"

    def subscribe(self) -> None:
        """Create the subscription; what it copies is there when this returns."""
        self.subscriber.execute(MARKER.format(self.schema), f"TRUNCATE {self.marker}")
        with self.subscriber.session() as connection:
            subscribe(connection, self.name, self.publisher.url)

    def unsubscribe(self) -> None:
        """Drop the subscription."""
        self.subscriber.execute(f"DROP SUBSCRIPTION IF EXISTS {self.name}")

    def catch_up(self) -> None:
        """Wait until the subscriber has all that is committed at the publisher."""
        with self.publisher.session() as writer, self.subscriber.session() as reader:
            row = writer.execute(
                f"INSERT INTO {self.marker} DEFAULT VALUES RETURNING id".encode()
            ).fetchone()
            assert row
            deadline = time.monotonic() + PATIENCE_SECONDS
            look = f"SELECT FROM {self.marker} WHERE id = %s".encode()
            while reader.execute(look, row).rowcount == 0:
                assert time.monotonic() < deadline, "the subscriber does not catch up"
                time.sleep(0.002)


class ReplicaArena(Arena):
    """Writers write at the publisher; the package is at the subscriber."""

    def __init__(self, pair: Pair, generation: Generation) -> None:
        self.pair = pair
        super().__init__(pair.subscriber, generation)
        pair.subscribe()
        pair.subscriber.execute("CALL analytics.apply_change_capture()")
        self.reader = pair.publisher.connect()

    def grant_to_writer(self) -> None:
        """Make the role at the publisher."""
        ours, self.database = self.database, self.pair.publisher
        try:
            super().grant_to_writer()
        finally:
            self.database = ours

    def writer(self, name: str, *settings: str) -> Writer:
        """Connect a writer to the publisher."""
        ours, self.database = self.database, self.pair.publisher
        try:
            return super().writer(name, *settings)
        finally:
            self.database = ours

    def close(self) -> None:
        """Close all connections, and end the subscription."""
        super().close()
        self.reader.close()
        self.pair.unsubscribe()

    def read_source(self) -> Source:
        """Read the committed rows of the publisher, when the subscriber has them."""
        self.pair.catch_up()
        tables: dict[str, list[Row]] = {}
        for name, types in self.types.items():
            table = self.audits if name == "auditorias" else name
            tables[name] = oracle.read_table(self.reader, self.schema, table, types)
        return Source(self.schema, tables, self.types)
