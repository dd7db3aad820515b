"""A database with the operational tables of several origins, and what its views must hold."""

from datetime import date
from fractions import Fraction

import psycopg

import oracle
from capture.subscriber import Pair, load_into
from conftest import Database, made_once
from marketplace import Generation, Marketplace, start
from migrate import migrate
from oracle import ZONE, Row, Source
from oracle_views import compute_seven, read_seven, seven_differences
from sequences import Arena, Sequence, Writer

ORIGINS = ("bogota", "medellin")


def load_origins(database: Database, generations: dict[str, Generation]) -> None:
    """Load the empty tables of each origin into a schema of its name, and migrate."""
    for schema, generation in generations.items():
        load_into(database, generation, schema)
    migrate(database.url, source_schema=",".join(generations))


def install_origins(database: Database, generations: dict[str, Generation]) -> None:
    """Make an empty database empty sources of these origins, migrated."""
    made_once(database, f"origins {generations}", lambda made: load_origins(made, generations))


def united(sources: list[Source], zone: str) -> Source:
    """Return the rows of several sources as if they were of generation A and in one."""
    tables: dict[str, list[Row]] = {name: [] for name in sources[0].tables}
    columns = {
        name: dict.fromkeys(column for source in sources for column in source.types.get(name, {}))
        for name in tables
    }
    for source in sources:
        for name, rows in source.tables.items():
            tables[name] += [{**dict.fromkeys(columns[name]), **row} for row in rows]
        if source.types["ofertas_historicas"]["fecha"] != "date":
            # An instant, of which the local day counts: stored as A stores it.
            for row in tables["ofertas_historicas"][-len(source.tables["ofertas_historicas"]) :]:
                instant = row["fecha"]
                day = oracle.local_day(instant, zone) if isinstance(instant, Fraction) else None
                row["fecha"] = (
                    None if day is None else Fraction((day - date(1970, 1, 1)).days * 86400)
                )
    types = {**sources[0].types, "ofertas_historicas": {"fecha": "date"}}
    return Source(sources[0].schema, tables, types)


def differences(
    connection: psycopg.Connection,
    source: Source,
    today: date,
    origin: str | None = None,
    zone: str = ZONE,
    limits: dict[str, int] | None = None,
) -> list[str]:
    """Compare all nine views, of one origin or of all, with what these rows give."""
    found = oracle.all_differences(
        (oracle.compute_months(source, zone), oracle.compute_ranking(source, today, zone)),
        oracle.read_views(connection, origin),
    )
    seven = compute_seven(source, today, zone, limits)
    found += seven_differences(seven, read_seven(connection, origin))
    return [f"{origin or 'all origins'}: {line}" for line in found]


def origin_differences(database: Database, schemas: tuple[str, ...], today: date) -> list[str]:
    """Compare the views of all origins and of each with what the committed rows give."""
    with database.session() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        sources = {schema: oracle.read_schema(connection, schema) for schema in schemas}
        return differences(connection, united(list(sources.values()), ZONE), today) + [
            line
            for schema, source in sources.items()
            for line in differences(connection, source, today, schema)
        ]


class OriginsArena(Arena):
    """Writers write into the tables of two origins, of generation A each."""

    def __init__(self, database: Database, pairs: dict[str, Pair] | None = None) -> None:
        self.pairs = pairs or {}
        self.sources: dict[str, Source] = {}
        super().__init__(database, "A")
        self.writers = [
            self.writer_of(schema, kind, *settings)
            for schema in ORIGINS
            for kind, *settings in (
                ("ordinary role", "SET SESSION AUTHORIZATION sequence_writer"),
                ("owner",),
                ("replica", "SET session_replication_role = replica"),
            )
        ]
        self.replicas = {
            writer.name.split()[0]: writer
            for writer in self.writers
            if writer.name.endswith("replica")
        }
        self.readers = {
            schema: (self.pairs[schema].publisher if self.pairs else database).connect()
            for schema in ORIGINS
        }

    def prepare(self) -> None:
        """Make the database empty sources of both origins, migrated."""
        self.schema = ORIGINS[0]
        install_origins(self.database, dict.fromkeys(ORIGINS, "A"))
        for pair in self.pairs.values():
            pair.subscribe()
        if self.pairs:
            self.database.execute("CALL analytics.apply_change_capture()")

    def grant_to_writer(self) -> None:
        """Make the role that writes, in each origin."""
        for schema in ORIGINS:
            self.at(schema)
            super().grant_to_writer()
        self.at(None)

    def at(self, schema: str | None) -> None:
        """Let the next connections be to the database of an origin; None: to ours."""
        self.schema = schema or ORIGINS[0]
        self.home = getattr(self, "home", self.database)
        self.database = self.pairs[schema].publisher if schema and self.pairs else self.home

    def writer(self, name: str, *settings: str) -> Writer:
        """Connect a writer to the first origin."""
        return self.writer_of(ORIGINS[0], name, *settings)

    def writer_of(self, schema: str, name: str, *settings: str) -> Writer:
        """Connect a writer to an origin."""
        self.at(schema)
        try:
            return super().writer(f"{schema} {name}", *settings)
        finally:
            self.at(None)

    def fill(self, market: Marketplace) -> None:
        """Put a marketplace in each origin, in the place of all rows that there are."""
        other = start(market.seed + 1_000_000, market.generation, market.today, market.zone)
        everyone = self.writers
        for schema, its_market in zip(ORIGINS, (market, other), strict=True):
            its_market.schema = schema
            self.writers = [self.replicas[schema]]
            super().fill(its_market)
        self.writers = everyone

    def close(self) -> None:
        """Close all connections, and end the subscriptions."""
        super().close()
        for reader in self.readers.values():
            reader.close()
        for pair in self.pairs.values():
            pair.unsubscribe()

    def read_source(self) -> Source:
        """Read the committed rows of both origins, when they have come here."""
        for pair in self.pairs.values():
            pair.catch_up()
        self.sources = {
            schema: oracle.read_schema(reader, schema) for schema, reader in self.readers.items()
        }
        return united(list(self.sources.values()), ZONE)


class OriginsSequence(Sequence):
    """A sequence of writes into both origins; the views of each alone are compared, too."""

    def insert(self, writer: Writer) -> None:
        """Insert the rows made, where the writer writes."""
        self.market.schema = writer.name.split()[0]
        super().insert(writer)

    def refresh_and_compare(
        self, isolation: str = "READ COMMITTED", *, force: bool = False
    ) -> None:
        """Refresh and compare the views, then those of one origin."""
        super().refresh_and_compare(isolation, force=force)
        assert isinstance(self.arena, OriginsArena)
        origin = self.random.choice(ORIGINS)
        found = differences(
            self.arena.refresher,
            self.arena.sources[origin],
            self.today(),
            origin,
            self.zone,
            self.limits,
        )
        assert not found, f"{len(found)} differences\n" + "\n".join(found[:40])
        self.totals.steps["compare one origin"] += 1
