"""Random sequences of changes and refreshes, each made from its seed and repeatable alone.

One thread drives several connections, so whatever a sequence does happens in the same order
every time. Transactions stay open across refreshes; nobody commits during a comparison.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg

import oracle
from conftest import Database, install, made_once
from marketplace import (
    ADVISOR_STATES,
    BASE_SEED,
    MOVES,
    SMALL,
    TABLES,
    Cell,
    Generation,
    Marketplace,
    audits_table,
    changes_of,
    fill,
    schema_of,
    start,
)
from oracle import ZONE, Row, Source
from oracle_views import LIMITS, VIEWS, compute_seven, read_seven, seven_differences

# Flip when v_metricas_mensuales_tiempo_real has to be there.
REAL_TIME_VIEW_IS_REQUIRED = True
REAL_TIME_VIEW = "v_metricas_mensuales_tiempo_real"

KPI_VIEWS = ("mv_metricas_mensuales", "mv_ranking_asesores", *VIEWS)
AT_THIS_MOMENT = (
    "SELECT object - 'calculado_at' FROM analytics.rows_now('{}') AS now (object) ORDER BY 1"
)
AS_REPORTED = (
    "SELECT object - 'calculado_at' FROM analytics.as_reported('{}', analytics.now()::text) "
    "AS past (object) ORDER BY 1"
)
PUBLISHED = "SELECT to_jsonb(shown) - 'calculado_at' FROM analytics.{} AS shown ORDER BY 1"
ZONES = ("Asia/Tokyo", "Pacific/Kiritimati", "America/Sao_Paulo", "UTC")
ISOLATION_LEVELS = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
STARTS = (
    "2026-11-23 12:00:00-05",
    "2026-11-30 23:59:59.999999-05",
    "2026-12-31 20:00:00-05",
    "2027-01-01 00:00:00-05",
    "2028-02-29 04:59:59.999999+00",
)
# What the source itself may answer; anything else is a failure of the sequence.
REFUSALS = (
    psycopg.errors.IntegrityError,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.SerializationFailure,
)
WRITER = "sequence_writer"


class SequenceError(AssertionError):
    """A sequence found something wrong; the message says how to repeat it."""


@dataclass
class Totals:
    """What a run of sequences did."""

    sequences: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    comparisons: int = 0
    cells: int = 0
    real_time_comparisons: int = 0
    audits: int = 0
    refused: int = 0

    def __str__(self) -> str:
        """Return one line."""
        modes = ", ".join(
            f"{self.modes[mode]} {mode}" for mode in ("incremental", "full", "unchanged")
        )
        return (
            f"refreshes: {modes}; statements refused by the source: {self.refused}; "
            f"comparisons: {self.comparisons} of the nine views ({self.cells} cells), "
            f"{self.real_time_comparisons} of the real-time view, {self.audits} audits"
        )


@dataclass
class Writer:
    """A connection that writes to the source tables."""

    name: str
    connection: psycopg.Connection
    isolation: str | None = None


class Arena:
    """A migrated database of one generation, with the connections that all sequences use."""

    def __init__(self, database: Database, generation: Generation) -> None:
        self.database = database
        self.generation: Generation = generation
        self.schema = schema_of(generation)
        self.audits = audits_table(generation)
        self.tables = (*TABLES[:10], self.audits)
        self.prepare()
        self.grant_to_writer()
        self.refresher = database.connect()
        self.refresher.execute("SET statement_timeout = '60s'")
        self.types = oracle.read_schema(self.refresher, self.schema).types
        self.writers = [
            self.writer("ordinary role", f"SET SESSION AUTHORIZATION {WRITER}"),
            self.writer("owner"),
            self.writer("another ordinary role", f"SET SESSION AUTHORIZATION {WRITER}"),
            self.writer("replica", "SET session_replication_role = replica"),
        ]
        row = self.refresher.execute(
            "SELECT to_regclass(%s) IS NOT NULL", [f"analytics.{REAL_TIME_VIEW}"]
        ).fetchone()
        self.has_real_time_view = REAL_TIME_VIEW_IS_REQUIRED or row == (True,)

    def prepare(self) -> None:
        """Make the database an empty source, migrated."""
        install(self.database, self.generation)

    def fill(self, market: Marketplace) -> None:
        """Put a marketplace in the place of all rows that there are."""
        replica = self.writers[-1].connection
        market.make(SMALL)
        with replica.transaction():
            for table in self.tables:
                replica.execute(f"DELETE FROM {table}")
            market.insert(replica)
        market.rows = {}

    def grant_to_writer(self) -> None:
        """Make a role that may write the source tables and knows nothing of schema analytics."""
        self.database.execute(
            f"DO $$ BEGIN CREATE ROLE {WRITER}; EXCEPTION WHEN duplicate_object THEN END; $$",
            f"GRANT USAGE ON SCHEMA {self.schema} TO {WRITER}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {self.schema} "
            f"TO {WRITER}",
        )

    def writer(self, name: str, *settings: str) -> Writer:
        """Connect a writer."""
        connection = self.database.connect()
        for setting in (
            "SET lock_timeout = '10ms'",
            "SET statement_timeout = '60s'",
            f"SET search_path = {self.schema}",
            *settings,
        ):
            connection.execute(setting)
        return Writer(name, connection)

    def close(self) -> None:
        """Close all connections."""
        for writer in self.writers:
            writer.connection.close()
        self.refresher.close()

    def read_source(self) -> Source:
        """Read all committed rows; in one snapshot where nobody commits meanwhile."""
        tables: dict[str, list[Row]] = {}
        for name, types in self.types.items():
            table = self.audits if name == "auditorias" else name
            tables[name] = oracle.read_table(self.refresher, self.schema, table, types)
        return Source(self.schema, tables, self.types)


class Sequence:
    """One sequence of steps."""

    def __init__(self, arena: Arena, seed: int, totals: Totals) -> None:
        self.arena = arena
        self.seed = seed
        self.totals = totals
        self.transcript: list[str] = []
        self.zone = ZONE
        self.limits = dict(LIMITS)
        self.market: Marketplace = start(seed, arena.generation, date(2026, 11, 23))
        self.random = self.market.random
        self.now = datetime.fromisoformat(self.random.choice(STARTS)).astimezone(UTC)
        self.market.today = self.today()
        self.must_rebuild = False
        self.built_zone: str | None = None
        self.built_today: date | None = None
        self.steps: dict[str, tuple[float, Callable[[Writer], None]]] = {
            "change a cell": (28, self.change_cell),
            "change some rows": (5, self.change_some_rows),
            "change all rows": (3, self.change_all_rows),
            "change an advisor": (4, self.change_advisor),
            "touch": (3, self.touch),
            "move a row": (10, self.move_row),
            "add a trade": (8, self.add_trade),
            "add rows": (9, self.add_rows),
            "add an advisor": (2, self.add_advisor),
            "add or take adjudications": (3, self.adjudicate),
            "delete a row": (7, self.delete_row),
            "delete many rows": (2, self.delete_many),
            "change a key": (5, self.change_key),
            "truncate": (0.7, self.truncate),
            "begin or end": (14, self.begin_or_end),
            "roll back to a savepoint": (4, self.roll_back_to_savepoint),
            "roll back a transaction": (3, self.roll_back_transaction),
            "tick": (2, self.tick),
            "compact the log": (5, self.compact),
            "change the day": (4, self.change_day),
            "change the zone": (0.5, self.change_zone),
            "change a segment": (3, self.change_segment),
            "refresh": (20, self.refresh),
        }

    # -- the run ---------------------------------------------------------------------------

    def run(self) -> None:
        """Run the sequence; raise SequenceError where it finds something wrong."""
        try:
            self.begin()
            kinds = list(self.steps)
            weights = [weight for weight, _ in self.steps.values()]
            for _ in range(self.random.randrange(10, 21)):
                kind = self.random.choices(kinds, weights)[0]
                self.note(f"-- {kind}")
                self.totals.steps[kind] += 1
                self.steps[kind][1](self.random.choice(self.arena.writers))
            self.finish()
        except (psycopg.Error, AssertionError) as error:
            raise SequenceError(
                f"sequence {self.seed}, generation {self.arena.generation} (repeat it: "
                f"TELOO_SEED={self.seed} TELOO_SEQUENCES=1 python -m pytest "
                f"tests/upkeep/test_sequences.py): {type(error).__name__}: {error}\n"
                + "\n".join(self.transcript)
            ) from error
        finally:
            for writer in self.arena.writers:
                if writer.isolation:
                    writer.isolation = None
                    with suppress(psycopg.Error):
                        writer.connection.execute("ROLLBACK")
        self.totals.sequences += 1

    def begin(self) -> None:
        """Empty the source, fill it anew, and refresh: what was before plays no part."""
        self.note(f"-- {self.arena.generation}: the marketplace of seed {self.seed}")
        self.set_zone(ZONE)
        for name, limit in LIMITS.items():
            self.set_limit(name, limit)
        row = self.arena.refresher.execute(
            "SELECT time_zone, today, rebuild_reason IS NOT NULL FROM kpi_engine.engine_state"
        ).fetchone()
        assert row is not None
        self.built_zone, self.built_today, self.must_rebuild = row
        self.set_now()
        self.arena.fill(self.market)
        self.refresh_and_compare()

    def finish(self) -> None:
        """End what is open, refresh and audit: hidden state that is wrong shows up here."""
        for writer in self.arena.writers:
            if writer.isolation:
                self.end(writer)
        self.note("-- the end")
        self.refresh_and_compare()
        self.audit()

    def note(self, text: str) -> None:
        """Add a line to the transcript."""
        self.transcript.append(text)

    # -- statements ------------------------------------------------------------------------

    def execute(self, writer: Writer, *statements: str) -> bool:
        """Run statements together; false where the source refuses them."""
        for statement in statements:
            self.note(f"{writer.name}: {statement};")
        try:
            if len(statements) == 1 and not writer.isolation:
                writer.connection.execute(statements[0])
            else:
                with writer.connection.transaction():
                    for statement in statements:
                        writer.connection.execute(statement)
        except REFUSALS as error:
            self.refused(error)
            return False
        return True

    def refused(self, error: psycopg.Error) -> None:
        """Note that the source refused something."""
        self.totals.refused += 1
        self.note(f"--   refused: {type(error).__name__}")

    def ids(self, writer: Writer, table: str) -> list[str]:
        """Return the ids that the writer sees, in an order of their own."""
        try:
            rows = writer.connection.execute(f"SELECT id::text FROM {table} ORDER BY id").fetchall()
        except psycopg.errors.SerializationFailure as error:
            # Serializable writers got in each other's way: this one begins anew.
            self.refused(error)
            self.note(f"{writer.name}: ROLLBACK;")
            writer.connection.execute("ROLLBACK")
            writer.isolation = None
            return []
        return [row[0] for row in rows]

    def some_id(self, writer: Writer, table: str) -> str | None:
        """Return one of the ids."""
        ids = self.ids(writer, table)
        return self.random.choice(ids) if ids else None

    def some_change(self) -> tuple[str, str, Cell]:
        """Return a table, a column, and a value for it."""
        changes = changes_of(self.market)
        (table, column), make_value = self.random.choice(list(changes.items()))
        return table, column, make_value()

    def insert(self, writer: Writer) -> None:
        """Insert the rows made, by COPY or by one INSERT a table."""
        rows, self.market.rows = self.market.rows, {}
        for row in rows.get("usuarios", []):
            row["email"] = row["email"] and f"{row['id']}@example.com"
        statements = []
        for table in sorted(rows, key=TABLES.index):
            for row in rows[table]:
                row.setdefault("created_at", "2026-01-01 00:00:00+00")
            columns = list(rows[table][0])
            values = ", ".join(
                "(" + ", ".join(literal(row[column]) for column in columns) + ")"
                for row in rows[table]
            )
            statements.append(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}")
        if self.random.random() < 0.5:
            self.execute(writer, *statements)
            return
        for statement in statements:
            self.note(f"{writer.name} by COPY: {statement};")
        self.market.rows = rows
        try:
            with writer.connection.transaction():
                self.market.insert(writer.connection)
        except REFUSALS as error:
            self.refused(error)
        self.market.rows = {}

    # -- changes ---------------------------------------------------------------------------

    def change_cell(self, writer: Writer) -> None:
        """Change one column of one row."""
        table, column, value = self.some_change()
        key = self.some_id(writer, table)
        if key:
            self.execute(
                writer, f"UPDATE {table} SET {column} = {literal(value)} WHERE id = '{key}'"
            )

    def change_some_rows(self, writer: Writer) -> None:
        """Change several rows to different values in one statement."""
        table, column, value = self.some_change()
        ids = self.ids(writer, table)
        chosen = self.random.sample(ids, min(len(ids), 4))
        if chosen:
            keys = ", ".join(literal(key) for key in chosen)
            self.execute(
                writer,
                f"UPDATE {table} SET {column} = CASE WHEN id = '{chosen[0]}' THEN {column} "
                f"ELSE {literal(value)} END WHERE id IN ({keys})",
            )

    def change_all_rows(self, writer: Writer) -> None:
        """Change a column of all rows."""
        table, column, value = self.some_change()
        self.execute(writer, f"UPDATE {table} SET {column} = {literal(value)}")

    def change_advisor(self, writer: Writer) -> None:
        """Rename, move or deactivate an advisor, or change the person behind it."""
        market = self.market
        advisor = self.some_id(writer, "asesores")
        if advisor is None:
            return
        values: dict[str, Cell] = {
            "ciudad": market.city(),
            "estado": self.random.choice(("ACTIVO", *ADVISOR_STATES)),
            "punto_venta": self.random.choice(("", "Norte")),
            "actividad_reciente_pct": market.percent(),
            "usuario_id": self.some_id(writer, "usuarios"),
        }
        column = self.random.choice(list(values))
        self.execute(
            writer,
            f"UPDATE asesores SET {column} = {literal(values[column])} WHERE id = '{advisor}'",
        )
        name = literal(self.random.choice(("Zoë", "", "Ana")))
        self.execute(
            writer,
            f"UPDATE usuarios SET nombre = {name} WHERE id IN "
            f"(SELECT usuario_id FROM asesores WHERE id = '{advisor}')",
        )

    def touch(self, writer: Writer) -> None:
        """Set rows to what they are."""
        table = self.random.choice(self.arena.tables)
        self.execute(writer, f"UPDATE {table} SET id = id")

    def move_row(self, writer: Writer) -> None:
        """Give a row, or several, another parent."""
        moves = (
            *MOVES,
            ("asesores", "usuario_id", "usuarios"),
            (self.arena.audits, "asesor_id", "asesores"),
        )
        table, column, parents = self.random.choice(moves)
        parent = self.market.maybe_null(self.some_id(writer, parents), 0.2)
        ids = self.ids(writer, table)
        chosen = self.random.sample(ids, min(len(ids), self.random.choice((1, 1, 1, 3))))
        if chosen:
            keys = ", ".join(literal(key) for key in chosen)
            self.execute(
                writer, f"UPDATE {table} SET {column} = {literal(parent)} WHERE id IN ({keys})"
            )

    def add_trade(self, writer: Writer) -> None:
        """Add a request with parts, offers, lines and adjudications."""
        advisors = self.ids(writer, "asesores")
        client: Cell = self.some_id(writer, "clientes")
        if client is None:
            client = self.market.add(
                "clientes",
                usuario_id=self.market.user("CLIENT"),
                ciudad=self.market.city(),
                departamento="Depto",
            )
        request = self.market.request(client, self.market.request_instant())
        offers = self.random.randrange(4) if advisors else 0
        self.market.make_trade(request, advisors, offers)
        self.insert(writer)

    def add_rows(self, writer: Writer) -> None:
        """Add what hangs on requests and advisors that are there."""
        advisors = self.ids(writer, "asesores")
        requests = self.ids(writer, "solicitudes")
        if not advisors or not requests:
            return
        for _ in range(self.random.choice((1, 1, 3))):
            advisor = self.market.parent(advisors)
            request = self.market.parent(requests)
            kind = self.random.randrange(4)
            if kind == 0:
                self.market.history(advisor, request)
            elif kind == 1:
                self.market.notice(advisor, request)
            elif kind == 2:
                self.market.audit(advisor)
            else:
                part = self.market.part(request)
                self.market.line(self.market.offer(request, advisor), part)
        self.insert(writer)

    def add_advisor(self, writer: Writer) -> None:
        """Add an advisor with rows in the windows."""
        advisor = self.market.advisor("ACTIVO")
        request = self.some_id(writer, "solicitudes")
        if request:
            self.market.history(advisor, request)
            self.market.notice(advisor, request)
        self.market.audit(advisor)
        self.insert(writer)

    def adjudicate(self, writer: Writer) -> None:
        """Add an adjudication, or take those of an offer away."""
        offer = self.some_id(writer, "ofertas")
        part = self.some_id(writer, "repuestos_solicitados")
        request = self.some_id(writer, "solicitudes")
        if offer is None:
            return
        if part and request and self.random.random() < 0.6:
            self.market.adjudication(request, offer, part)
            self.insert(writer)
        else:
            self.execute(writer, f"DELETE FROM adjudicaciones_repuesto WHERE oferta_id = '{offer}'")

    def delete_row(self, writer: Writer) -> None:
        """Delete a row, with what hangs on it."""
        # Mostly not those on which nearly everything hangs.
        table = self.random.choice((*self.arena.tables[3:], *self.arena.tables))
        key = self.some_id(writer, table)
        if key:
            self.execute(writer, f"DELETE FROM {table} WHERE id = '{key}'")

    def delete_many(self, writer: Writer) -> None:
        """Delete about half of the rows of a table, or all."""
        table = self.random.choice(self.arena.tables[3:])
        condition = self.random.choice(("id::text < '8'", "id::text >= '8'", "true"))
        self.execute(writer, f"DELETE FROM {table} WHERE {condition}")

    def change_key(self, writer: Writer) -> None:
        """Change the primary key of a row, where its foreign keys allow it."""
        table = self.random.choice((*self.arena.tables[6:], *self.arena.tables))
        key = self.some_id(writer, table)
        if key:
            new_key = self.market.new_id()
            self.execute(writer, f"UPDATE {table} SET id = '{new_key}' WHERE id = '{key}'")

    def truncate(self, writer: Writer) -> None:
        """Truncate a table with what hangs on it; fill it again, or roll it back."""
        if writer.isolation:
            self.end(writer)
        table = self.random.choice(self.arena.tables)
        statement = f"TRUNCATE {table} CASCADE"
        if self.random.random() < 0.3:
            self.execute_and_roll_back(writer, statement)
        elif self.execute(writer, statement):
            self.must_rebuild = True
            self.add_trade(writer)
            self.add_advisor(writer)

    # -- transactions ----------------------------------------------------------------------

    def begin_or_end(self, writer: Writer) -> None:
        """Open a transaction, or end the one that is open."""
        if writer.isolation:
            self.end(writer)
            return
        writer.isolation = self.random.choice(ISOLATION_LEVELS)
        statement = f"BEGIN ISOLATION LEVEL {writer.isolation}"
        self.note(f"{writer.name}: {statement};")
        writer.connection.execute(statement)
        # The snapshot of the stricter levels is taken by the first statement.
        for _ in range(self.random.randrange(1, 4)):
            self.random.choice((self.change_cell, self.move_row, self.add_trade))(writer)

    def end(self, writer: Writer) -> None:
        """Commit or roll back a transaction."""
        statement = self.random.choice(("COMMIT", "COMMIT", "ROLLBACK"))
        self.note(f"{writer.name}: {statement};")
        writer.isolation = None
        try:
            writer.connection.execute(statement)
        except psycopg.errors.SerializationFailure as error:
            self.refused(error)

    def roll_back_to_savepoint(self, writer: Writer) -> None:
        """Change something in a transaction, take it back, change something else."""
        if not writer.isolation:
            self.begin_or_end(writer)
        writer.connection.execute("SAVEPOINT regret")
        self.note(f"{writer.name}: SAVEPOINT regret;")
        self.random.choice((self.change_cell, self.delete_row, self.add_rows))(writer)
        if writer.isolation:
            self.note(f"{writer.name}: ROLLBACK TO regret;")
            writer.connection.execute("ROLLBACK TO regret")
        self.change_cell(writer)

    def roll_back_transaction(self, writer: Writer) -> None:
        """Change something in a transaction of its own that rolls back."""
        if writer.isolation:
            self.end(writer)
        table, column, value = self.some_change()
        self.execute_and_roll_back(
            writer, f"UPDATE {table} SET {column} = {literal(value)}", "DELETE FROM ofertas"
        )

    def execute_and_roll_back(self, writer: Writer, *statements: str) -> None:
        """Run statements and roll them back."""
        for statement in ("BEGIN", *statements, "ROLLBACK"):
            self.note(f"{writer.name}: {statement};")
        writer.connection.execute("BEGIN")
        try:
            for statement in statements:
                writer.connection.execute(statement)
        except REFUSALS as error:
            self.refused(error)
        writer.connection.execute("ROLLBACK")

    # -- time and settings -----------------------------------------------------------------

    def today(self) -> date:
        """Return the local day."""
        return self.now.astimezone(ZoneInfo(self.zone)).date()

    def set_now(self) -> None:
        """Pin the clock of those who refresh."""
        self.note(f"refresher: SET analytics.now = '{self.now.isoformat()}';")
        self.arena.refresher.execute(
            "SELECT set_config('analytics.now', %s, false)", [self.now.isoformat()]
        )
        self.market.today = self.today()

    def change_day(self, _writer: Writer) -> None:
        """Let time pass: a little, a lot, or back."""
        days = self.random.choice((1, 1, 1, 2, 7, 28, 29, 30, 31, 59, 90, 91, 400, -1, -45))
        self.now += timedelta(days=days, seconds=self.random.randrange(-40_000, 40_000))
        self.set_now()

    def set_zone(self, zone: str) -> None:
        """Change the setting time_zone."""
        self.zone = zone
        self.note(f"refresher: SELECT analytics.set_setting('time_zone', '{zone}');")
        self.arena.refresher.execute("SELECT analytics.set_setting('time_zone', %s)", [zone])

    def change_zone(self, _writer: Writer) -> None:
        """Change the time zone; those who write go on in it."""
        self.set_zone(self.random.choice(ZONES))
        self.market.zone = self.zone
        self.market.today = self.today()

    def set_limit(self, name: str, limit: int) -> None:
        """Change where a segment of advisors begins."""
        self.limits[name] = limit
        self.note(f"refresher: SELECT analytics.set_setting('{name}', '{limit}');")
        self.arena.refresher.execute("SELECT analytics.set_setting(%s, %s)", [name, str(limit)])

    def change_segment(self, _writer: Writer) -> None:
        """Change one of the settings segment_…."""
        name = self.random.choice(list(LIMITS))
        limits = (0, 1, 5, 1000, 6_000_000) if "value" in name else (0, 1, 2, 3, 7, 30, 89)
        self.set_limit(name, self.random.choice(limits))

    # -- the engine ------------------------------------------------------------------------

    def tick(self, _writer: Writer) -> None:
        """Do what happens every minute."""
        self.note("refresher: CALL analytics.tick();")
        self.arena.refresher.execute("CALL analytics.tick()")

    def compact(self, _writer: Writer) -> None:
        """Compact the log as tick does with a large one."""
        self.note("refresher: SELECT kpi_engine.compact_change_log();")
        self.arena.refresher.execute("SELECT kpi_engine.compact_change_log()")

    def audit(self) -> None:
        """Audit everything: no cell may be wrong."""
        self.note("refresher: SELECT analytics.audit();")
        row = self.arena.refresher.execute("SELECT analytics.audit()").fetchone()
        found = self.arena.refresher.execute(
            "SELECT table_name, local_day, column_name, cells FROM analytics.audit_log"
        ).fetchall()
        assert row == (0,), f"the audit found {row}: {found}"
        self.totals.audits += 1

    def refresh(self, writer: Writer) -> None:
        """Refresh in one of the ways there are, and compare."""
        if self.random.random() < 0.3:
            self.compact(writer)
        dice = self.random.random()
        if dice < 0.05:
            # One that is rolled back leaves everything as it was, and all changes waiting.
            self.note("refresher: BEGIN; SELECT * FROM analytics.refresh_all_mv(); ROLLBACK;")
            with self.arena.refresher.transaction(force_rollback=True):
                self.arena.refresher.execute("SELECT * FROM analytics.refresh_all_mv()")
        elif dice < 0.1:
            self.audit()
        isolation = "REPEATABLE READ" if 0.8 < dice < 0.95 else "READ COMMITTED"
        self.refresh_and_compare(isolation, force=dice > 0.97)

    def refresh_and_compare(
        self, isolation: str = "READ COMMITTED", *, force: bool = False
    ) -> None:
        """Compute what is right, compare the real-time view, refresh, compare all views."""
        refresher = self.arena.refresher
        source = self.arena.read_source()
        months = oracle.compute_months(source, self.zone)
        ranking = oracle.compute_ranking(source, self.today(), self.zone)
        seven = compute_seven(source, self.today(), self.zone, self.limits)
        self.compare_real_time(months, "before the refresh")
        # The plans of all nine would take most of the time.
        one = self.random.choice(KPI_VIEWS)
        at_this_moment = (
            self.rows(AT_THIS_MOMENT.format(one)) if self.random.random() < 0.3 else None
        )
        call = f"SELECT * FROM analytics.refresh_all_mv({'true' if force else ''})"
        self.note(f"refresher: BEGIN ISOLATION LEVEL {isolation}; {call}; COMMIT;")
        if isolation == "READ COMMITTED":
            rows = refresher.execute(call).fetchall()
        else:
            refresher.execute(f"BEGIN ISOLATION LEVEL {isolation}")
            rows = refresher.execute(call).fetchall()
            refresher.execute("COMMIT")
        assert [row[1] for row in rows] == ["SUCCESS"] * len(rows), rows
        self.check_mode(force=force)
        actual = oracle.read_views(refresher)
        found = oracle.all_differences((months, ranking), actual)
        found += seven_differences(seven, read_seven(refresher))
        assert not found, f"{len(found)} differences after the refresh\n" + "\n".join(found[:40])
        shown = self.rows(PUBLISHED.format(one))
        if at_this_moment is not None:
            assert at_this_moment == shown, f"rows_now('{one}') was wrong"
        assert self.rows(AS_REPORTED.format(one)) == shown, f"the history of {one} is wrong"
        self.totals.comparisons += 1
        self.totals.cells += sum(len(row) for row in [*months, *ranking])
        self.totals.cells += sum(len(row) for rows in seven.values() for row in rows)
        if self.random.random() < 0.2:
            self.compare_real_time(months, "after the refresh")

    def rows(self, query: str) -> list[psycopg.rows.TupleRow]:
        return self.arena.refresher.execute(query).fetchall()

    def compare_real_time(self, months: list[Row], moment: str) -> None:
        """Compare the real-time view with what is right."""
        if not self.arena.has_real_time_view:
            return
        actual = oracle.read_view(self.arena.refresher, REAL_TIME_VIEW, "mes")
        found = oracle.differences(months, actual, "mes")
        assert not found, f"{len(found)} differences in the real-time view {moment}\n" + "\n".join(
            found[:40]
        )
        self.totals.real_time_comparisons += 1

    def check_mode(self, *, force: bool) -> None:
        """Check that the refresh computed everything again exactly where it had to."""
        row = self.arena.refresher.execute(
            "SELECT mode, reason FROM analytics.refresh_log WHERE view_name IS NULL "
            "ORDER BY log_id DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        mode, reason = row
        went_back = self.built_today is None or self.today() < self.built_today
        must = force or self.must_rebuild or went_back or self.zone != self.built_zone
        self.note(f"--   {mode}: {reason}")
        assert (mode == "full") == must, f"mode {mode} ({reason}); a rebuild was due: {must}"
        self.totals.modes[mode] += 1
        self.must_rebuild = False
        self.built_today = self.today()
        self.built_zone = self.zone


def literal(value: Cell) -> str:
    """Return a value as SQL whose type is the column's."""
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


# -- for the tests that go step by step ----------------------------------------------------------


def small_marketplace(database: Database, generation: Generation) -> Database:
    """Make an empty database a small marketplace at noon of 2026-11-23, refreshed."""

    def make(made: Database) -> None:
        install(made, generation)
        with made.session() as connection:
            fill(connection, BASE_SEED, generation, date(2026, 11, 23), size=SMALL)
        assert refresh(made, noon)[0] == "full"
        assert view_differences(made, noon) == []

    noon = "2026-11-23 12:00:00-05"
    made_once(database, f"small {generation}", make)
    return database


def refresh(database: Database, now: str) -> tuple[str, str]:
    """Refresh in a session of its own; return the mode of the run and its reason."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
        assert [row[1] for row in rows] == ["SUCCESS"] * len(rows), rows
        return last_run(connection)


def last_run(connection: psycopg.Connection) -> tuple[str, str]:
    """Return mode and reason of the last refresh."""
    row = connection.execute(
        "SELECT mode, reason FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY log_id DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def view_differences(database: Database, now: str) -> list[str]:
    """Compare all views, as they are, with what the committed rows give."""
    today = datetime.fromisoformat(now).astimezone(ZoneInfo(ZONE)).date()
    with database.session() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        source = oracle.read_source(connection)
        return oracle.all_differences(
            (oracle.compute_months(source, ZONE), oracle.compute_ranking(source, today, ZONE)),
            oracle.read_views(connection),
        ) + seven_differences(compute_seven(source, today), read_seven(connection))


def audited(database: Database) -> object:
    """Return how many cells the audit finds wrong."""
    return database.rows("SELECT analytics.audit()")[0][0]
