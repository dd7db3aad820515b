"""Measures what docs/arithmetic.md computes with: bytes, counts and time on a CPU, no waits."""

import os
import subprocess
import time
from collections.abc import Iterator
from typing import LiteralString

from psycopg import sql

from cluster import Cluster, connection_environment
from commandline.console import UserError
from development.bench_data import (
    BENCH_DIRECTORY,
    Connection,
    Marketplace,
    bench_sql,
    connect,
    copy_database,
    drop_database,
    ensure_source,
    install,
)
from development.bench_hub import cpu_ms, timed_refresh
from development.bench_report import Result
from development.replication import PUBLICATION, PUBLISHER_SETTINGS

CLUSTER = "bench-arithmetic"
# What another process does at its own time is not counted: only what the statement itself costs.
SETTINGS = (
    f"jit = off\nautovacuum = off\nmax_parallel_workers_per_gather = 0\n{PUBLISHER_SETTINGS}"
    "track_wal_io_timing = off\n"
)
TRANSACTIONS = 2_000
FACTOR = 8
DAYS = 3
# They grow. The table of hashes has one row for each row that the views show.
HISTORY = ("published_rows", "publications")


def one(connection: Connection, query: LiteralString, *values: object) -> float:
    """Return the one number that a query gives."""
    row = connection.execute(query, values or None).fetchone()
    return float(row[0] or 0) if row else 0.0


class Inputs:
    """The measures of one scale."""

    def __init__(self, cluster: Cluster, scale: str, seed: int) -> None:
        self.cluster = cluster
        self.scale = scale
        self.name = f"bench_{scale}_arithmetic"
        source = ensure_source(cluster, scale, seed)
        self.url = copy_database(cluster, source, self.name, scale)
        install(self.url)
        with connect(self.url) as connection:
            # A day of many days' work looks wrong to them.
            connection.execute("SELECT analytics.set_setting('gate', 'off')")
            connection.execute("SELECT analytics.set_setting('breaker_pct', 'off')")
        self.market = Marketplace(self.url, scale)
        self.connection = self.market.connection
        timed_refresh(self.connection)
        self.connection.execute("VACUUM ANALYZE")
        self.requests = one(self.connection, "SELECT count(*) FROM solicitudes")

    def result(self, measure: str, value: float, unit: str, note: str = "") -> Result:
        """Make a result of one number."""
        return Result(measure, self.scale, "cost", [value], [], unit, "", note)

    def all(self) -> Iterator[Result]:
        """Measure everything."""
        yield from self.sizes()
        yield from self.days()
        yield from self.cold_reads()
        yield from self.rebuild()
        yield from self.writes()

    # -- what lies on disk -----------------------------------------------------------------

    def sizes(self) -> Iterator[Result]:
        """Weigh tables by what their size follows, and count rows."""
        tables = self.connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchall()
        rows = 0.0
        for table, _ in tables:
            found = self.connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", table))
            ).fetchone()
            rows += found[0] if found else 0
        yield self.result("requests", self.requests, "")
        yield self.result("advisors", one(self.connection, "SELECT count(*) FROM asesores"), "")
        yield self.result("source rows of a request", rows / self.requests, "")
        yield self.result(
            "source bytes of a request", sum(size for _, size in tables) / self.requests, "bytes"
        )
        derived = self.connection.execute(
            "SELECT table_name, upkeep, "
            "pg_total_relation_size(('kpi_engine.' || table_name || '_' || active_set)::regclass), "
            "pg_total_relation_size(('kpi_engine.' || table_name || '_' || active_set)::regclass) "
            "/ greatest((SELECT reltuples FROM pg_class WHERE oid = "
            "('kpi_engine.' || table_name || '_' || active_set)::regclass), 1), "
            "(SELECT reltuples FROM pg_class WHERE oid = "
            "('kpi_engine.' || table_name || '_' || active_set)::regclass) "
            "FROM kpi_engine.derived_tables ORDER BY 3 DESC"
        ).fetchall()
        for name, upkeep, size, each, count in derived:
            yield self.result(
                f"derived: {name}", size, "bytes", f"{upkeep}; {count:,.0f} rows, {each:,.0f} each"
            )
        for view, shown in self.connection.execute(
            "SELECT view_name, row_count FROM analytics.get_mv_stats() ORDER BY 1"
        ).fetchall():
            yield self.result(f"rows: {view}", shown, "")

    # -- a day -----------------------------------------------------------------------------

    def day(self, factor: int) -> dict[str, float]:
        """Let a day of work pass, as large as `factor` days; return what its refresh cost."""
        usual = self.market.rows
        self.market.rows = usual * factor
        self.market.next_day()
        self.market.run("day_of_requests.sql", "day_of_advisors.sql")
        self.market.rows = usual
        before = self.state()
        _, cpu = timed_refresh(self.connection)
        after = self.state()
        cost = {key: after[key] - value for key, value in before.items()}
        cost["cpu"] = cpu
        cost["changed"] = one(
            self.connection,
            "SELECT requests_recomputed FROM kpi_engine.refresh_log WHERE view_name IS NULL "
            "ORDER BY log_id DESC LIMIT 1",
        )
        if not one(
            self.connection,
            "SELECT (mode = 'incremental')::integer FROM kpi_engine.refresh_log "
            "WHERE view_name IS NULL ORDER BY log_id DESC LIMIT 1",
        ):
            raise UserError("a refresh was not incremental")
        return cost

    def state(self) -> dict[str, float]:
        """Return what a refresh makes grow: WAL, the history and its rows."""
        return {
            "wal": one(self.connection, "SELECT pg_current_wal_lsn() - '0/0'"),
            "history": one(
                self.connection,
                "SELECT sum(pg_total_relation_size(format('kpi_engine.%%I', name)::regclass)) "
                "FROM unnest(%s::text[]) AS listed (name)",
                list(HISTORY),
            ),
            "history_rows": one(self.connection, "SELECT count(*) FROM kpi_engine.published_rows"),
        }

    def days(self) -> Iterator[Result]:
        """Refresh after days of work of two sizes."""
        self.connection.execute("CHECKPOINT")
        self.day(1)
        for factor in (1, FACTOR):
            costs = [self.day(factor) for _ in range(DAYS)]
            size = "a day" if factor == 1 else f"a day of {factor} days' work"
            for key, unit in (
                ("changed", "requests"),
                ("cpu", "ms"),
                ("wal", "bytes"),
                ("history", "bytes"),
                ("history_rows", "rows"),
            ):
                yield Result(
                    f"{size}: {key}",
                    self.scale,
                    "cost",
                    [cost[key] for cost in costs],
                    [],
                    unit,
                    "",
                )

    def cold_reads(self) -> Iterator[Result]:
        """Count the blocks that a refresh reads of a server that has just started."""
        for factor in (1, FACTOR):
            usual = self.market.rows
            self.market.rows = usual * factor
            self.market.next_day()
            self.market.run("day_of_requests.sql", "day_of_advisors.sql")
            self.market.rows = usual
            self.connection.execute("VACUUM ANALYZE")
            self.connection.close()
            self.cluster.stop()
            self.cluster.start()
            self.url = self.cluster.url(self.name)
            self.market.url = self.url
            before = self.blocks_read()
            session = self.market.session()
            timed_refresh(session)
            session.close()
            blocks = self.blocks_read() - before
            self.market.connection = self.connection = self.market.session()
            size = "a day" if factor == 1 else f"a day of {factor} days' work"
            yield self.result(f"{size}: blocks read cold", blocks, "blocks of 8 kB")

    def blocks_read(self) -> float:
        """Return how many blocks this database has read, when all sessions have told theirs."""
        with connect(self.cluster.url("postgres")) as connection:
            deadline = time.monotonic() + 60
            while one(
                connection,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s",
                self.name,
            ):
                if time.monotonic() > deadline:
                    raise UserError("a session does not end")
                time.sleep(0.1)
            return one(
                connection,
                "SELECT blks_read FROM pg_stat_database WHERE datname = %s",
                self.name,
            )

    def rebuild(self) -> Iterator[Result]:
        """Compute everything again."""
        self.connection.execute("CHECKPOINT")
        pid = self.connection.info.backend_pid
        before, cpu = self.state()["wal"], cpu_ms(pid)
        self.connection.execute("CALL analytics.rebuild()")
        yield self.result("rebuild: cpu", cpu_ms(pid) - cpu, "ms")
        yield self.result("rebuild: wal", self.state()["wal"] - before, "bytes")
        self.connection.execute("VACUUM ANALYZE")

    # -- the writers -----------------------------------------------------------------------

    def writes(self) -> Iterator[Result]:
        """Count what a write of the marketplace adds to WAL, to the change log, to a stream."""
        self.connection.execute(bench_sql("write_fixtures.sql"))
        timed_refresh(self.connection)
        self.connection.close()
        off = f"{self.name}_off"
        off_url = copy_database(self.cluster, self.name, off, self.scale)
        try:
            with connect(off_url) as connection:
                connection.execute("SELECT analytics.set_setting('change_capture', 'off')")
                connection.execute("CALL analytics.apply_change_capture()")
                tables = connection.execute(
                    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                    "AND relkind = 'r'"
                ).fetchall()
                connection.execute(
                    sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(
                        sql.Identifier(PUBLICATION),
                        sql.SQL(", ").join(sql.Identifier("public", row[0]) for row in tables),
                    )
                )
            for script in ("insert_request", "update_offer"):
                for database, side in ((off, "without capture"), (self.name, "with capture")):
                    for images in ("off", "on"):
                        yield from self.write(script, database, side, images)
        finally:
            drop_database(self.cluster, off)
        self.market.connection = self.connection = self.market.session()

    def write(self, script: str, database: str, side: str, images: str) -> Iterator[Result]:
        """Run a script of pgbench; count WAL, and what the log and a subscriber would get."""
        images_only = images == "on"
        with connect(self.cluster.url(database)) as connection:
            connection.execute(f"ALTER SYSTEM SET full_page_writes = {images}".encode())
            connection.execute("SELECT pg_reload_conf()")
            is_published = side == "without capture" and not images_only
            if is_published:
                connection.execute("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
            # Rows would find the room of rows that are gone.
            connection.execute("VACUUM (TRUNCATE) kpi_engine.change_log")
            log = "SELECT pg_relation_size('kpi_engine.change_log')"
            rows = "SELECT count(*) FROM kpi_engine.change_log"
            connection.execute("CHECKPOINT")
            before = one(connection, "SELECT pg_current_wal_lsn() - '0/0'")
            logged, noted = one(connection, log), one(connection, rows)
            self.pgbench(database, script)
            wal = one(connection, "SELECT pg_current_wal_lsn() - '0/0'") - before
            what = f"{script}: WAL {side}" + (", just after a checkpoint" if images_only else "")
            yield self.result(
                what, wal / TRANSACTIONS, "bytes", "with full page images" if images_only else ""
            )
            if side == "with capture" and not images_only:
                yield self.result(
                    f"{script}: change log", (one(connection, log) - logged) / TRANSACTIONS, "bytes"
                )
                yield self.result(
                    f"{script}: keys noted", (one(connection, rows) - noted) / TRANSACTIONS, "rows"
                )
            if is_published:
                yield self.result(
                    f"{script}: logical stream",
                    one(
                        connection,
                        "SELECT sum(octet_length(data)) FROM pg_logical_slot_peek_binary_changes("
                        "'bench', NULL, NULL, 'proto_version', '1', 'publication_names', %s)",
                        PUBLICATION,
                    )
                    / TRANSACTIONS,
                    "bytes",
                )
                connection.execute("SELECT pg_drop_replication_slot('bench')")

    def pgbench(self, database: str, script: str) -> None:
        """Run a script so many times in one session."""
        done = subprocess.run(
            [
                self.cluster.binaries / "pgbench",
                "--no-vacuum",
                "--protocol=prepared",
                f"--file={BENCH_DIRECTORY / script}.pgbench",
                "--client=1",
                f"--transactions={TRANSACTIONS}",
            ],
            env={**os.environ, **connection_environment(self.cluster.url(database))},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or f"processed: {TRANSACTIONS}/{TRANSACTIONS}" not in done.stdout:
            raise UserError(f"pgbench {script} failed: {done.stderr or done.stdout}")

    def done(self) -> None:
        """Drop the database."""
        self.connection.close()
        drop_database(self.cluster, self.name)
