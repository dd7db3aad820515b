"""Measures teloo-analytics against computing everything again, and holds it against its bars."""

import argparse
import fcntl
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg

from cluster import LOCAL, PROJECT, Cluster, connection_environment
from commandline.console import LOGGER, Parser, UserError, report, run_tool, set_up_logging
from demo import DEFAULT_SEED, SCALES, progress, seed_argument
from development import bench_arithmetic
from development.bench_data import (
    BENCH_DIRECTORY,
    MONTHLY_FORMS,
    SEVEN,
    VIEWS,
    Connection,
    Marketplace,
    bench_sql,
    connect,
    copy_database,
    drop_database,
    ensure_source,
    install,
)
from development.bench_hub import SITES, hub_over_sites, timed_refresh
from development.bench_lag import (
    PROBE_INTERVAL,
    READ_INTERVAL,
    Probes,
    in_background,
    percentiles,
    pgbench_latencies,
    schedule,
)
from development.bench_origins import ORIGINS, day_of_work, one_and_several, rebuild
from development.bench_replica import (
    LIVE_TRANSACTIONS,
    ROWS,
    TRANSACTIONS,
    Following,
    following,
    update_row_by_row,
    update_rows,
)
from development.bench_report import Kind, Record, Result, chart, publish

CLUSTER = "bench-run"
SETTINGS = "jit = off\n"
PAGE = PROJECT / "docs" / "performance.md"
RESULTS = LOCAL / "bench-results"
SLOW_SIDE_MS = 30_000
FULL = "full recomputation"
NO_CAPTURE = "no change capture"
MB = 1048576
TARGET_LAG = "1 minute"
WRITES_PER_SECOND = 50


class BenchError(Exception):
    """What was measured was wrong: a view differs from the recomputation, a refresh failed."""


class Bench:
    """The measures of one scale."""

    def __init__(
        self, cluster: Cluster, scale: str, options: argparse.Namespace, record: Record
    ) -> None:
        self.cluster = cluster
        self.scale = scale
        self.pairs: int = options.pairs
        self.seconds: int = options.seconds
        self.minutes: int = options.minutes
        self.add = record.add
        self.name = f"bench_{scale}_run"
        self.monthly_form = ""
        # What is published: the first two views alone, then all.
        self.views: tuple[str, ...] = VIEWS
        self.url = ""
        self.market: Marketplace

    # -- both sides ------------------------------------------------------------------------

    def refresh(self, connection: Connection | None = None, *, force: bool = False) -> float:
        """Refresh our views; return the milliseconds until the answer was here."""
        started = time.perf_counter()
        rows = (
            (connection or self.market.connection)
            .execute(
                "SELECT view_name, refresh_status, error_message "
                "FROM analytics.refresh_all_mv(force => %s)",
                [force],
            )
            .fetchall()
        )
        elapsed = 1000 * (time.perf_counter() - started)
        failed = [f"{row[0]}: {row[2]}" for row in rows if row[1] != "SUCCESS"]
        if failed or len(rows) != len(self.views):
            raise BenchError(f"a refresh failed: {'; '.join(failed) or rows}")
        return elapsed

    def recompute(self, *views: str) -> float:
        """Compute the views of the other side and publish them; return the milliseconds."""
        started = time.perf_counter()
        for view in views or self.views:
            self.market.connection.execute(
                f"REFRESH MATERIALIZED VIEW CONCURRENTLY bench.{view}".encode()
            )
        return 1000 * (time.perf_counter() - started)

    def last_run(self) -> dict[str, object]:
        """Return what the refresh log says of the last run: its mode, and where time went."""
        rows = self.market.connection.execute(
            "SELECT view_name, mode, reason, refresh_time_ms, requests_recomputed "
            "FROM kpi_engine.refresh_log WHERE run_id = "
            "(SELECT max(run_id) FROM kpi_engine.refresh_log) ORDER BY log_id"
        ).fetchall()
        run = rows[-1]
        return {
            "mode": run[1],
            "reason": run[2],
            "requests": run[4],
            "total_ms": float(run[3]),
            **{f"{row[0]}_ms": float(row[3]) for row in rows[:-1]},
            **{f"{row[0]}_mode": row[1] for row in rows[:-1]},
        }

    def check(self, after: str, *, recompute: bool = True) -> None:
        """Compare the views with the recomputation; raise BenchError where a cell differs."""
        if recompute:
            self.recompute()
        differences = self.market.differences(self.views)
        if differences:
            raise BenchError(
                f"after {after} at scale {self.scale} the views differ from the recomputation:\n"
                + "\n".join(differences)
            )

    def compare(
        self,
        measure: str,
        prepare: Callable[[], None],
        *,
        views: Sequence[str] = (),
    ) -> None:
        """Time both sides, interleaved, after the same changes; both are current afterwards."""
        ours: list[float] = []
        other: list[float] = []
        runs = []
        pairs = self.pairs
        with progress(measure, pairs, "pairs") as advance:
            while len(ours) < pairs:
                prepare()
                sides: list[Callable[[], None]] = [
                    lambda: ours.append(self.refresh()),
                    lambda: other.append(self.recompute(*views)),
                ]
                for run in sides if len(ours) % 2 == 0 else sides[::-1]:
                    run()
                runs.append(self.last_run())
                self.check(measure, recompute=bool(views))
                advance(1)
                if max(ours[-1], other[-1]) > SLOW_SIDE_MS:
                    pairs = min(pairs, 3)
        note = f"{pairs} pairs"
        modes = {str(run["mode"]) for run in runs}
        if modes != {"incremental"}:
            note += f"; mode {', '.join(sorted(modes))}: {runs[-1]['reason']}"
        self.add(
            Result(
                measure,
                self.scale,
                "speedup",
                ours,
                other,
                "ms",
                FULL,
                note,
                {"runs": runs},
            )
        )

    # -- preparation -----------------------------------------------------------------------

    def prepare(self, seed: int, *, compares: bool) -> None:
        """Make the database: the marketplace, teloo-analytics, the views of the other side."""
        source = ensure_source(self.cluster, self.scale, seed)
        url = copy_database(self.cluster, source, self.name, self.scale)
        LOGGER.info("installing teloo-analytics and computing everything once")
        install(url, without=SEVEN if compares else ())
        self.url = url
        self.market = Marketplace(url, self.scale)
        if not compares:
            return
        self.refresh()
        self.market.connection.execute("VACUUM ANALYZE")
        self.choose_form()
        self.market.create_full_views(self.monthly_form)
        self.check("the installation", recompute=False)

    def choose_form(self) -> None:
        """Time the forms of the monthly recomputation and take the fastest."""
        times: dict[str, list[float]] = {form: [] for form in MONTHLY_FORMS}
        rounds = 3
        with progress("forms of the full recomputation", rounds, "rounds") as advance:
            for _ in range(rounds):
                for form in MONTHLY_FORMS:
                    started = time.perf_counter()
                    self.market.connection.execute(
                        b"CREATE TEMPORARY TABLE full_form AS "
                        + bench_sql(f"full_monthly_{form}.sql")
                    )
                    times[form].append(1000 * (time.perf_counter() - started))
                    self.market.connection.execute("DROP TABLE full_form")
                advance(1)
                if max(elapsed for values in times.values() for elapsed in values) > SLOW_SIDE_MS:
                    break
        self.monthly_form = min(times, key=lambda form: median(times[form]))
        LOGGER.info(
            "monthly recomputation, ms: %s; taken: %s",
            ", ".join(f"{form} {median(values):.0f}" for form, values in times.items()),
            self.monthly_form,
        )
        for form, values in times.items():
            self.add(
                Result(
                    f"baseline: monthly, {form}",
                    self.scale,
                    "cost",
                    [],
                    values,
                    "ms",
                    "CREATE TABLE AS",
                    "taken" if form == self.monthly_form else "",
                )
            )

    # -- the refresh -----------------------------------------------------------------------

    def storage(self, measure: str = "derived tables") -> None:
        """Weigh derived tables against source tables, both with their indexes."""
        rows = self.market.connection.execute(
            "SELECT table_name, pg_total_relation_size(('kpi_engine.' || table_name || '_' "
            "|| active_set)::regclass) "
            "FROM kpi_engine.derived_tables ORDER BY 2 DESC"
        ).fetchall()
        source = self.market.connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchone()
        if source is None:
            raise AssertionError("an aggregate has one row")
        self.add(
            Result(
                measure,
                self.scale,
                "cost",
                [sum(row[1] for row in rows) / MB],
                [float(source[0]) / MB],
                "MB",
                "source tables",
                ", ".join(f"{row[0]} {row[1] / MB:.1f}" for row in rows[:3]),
                {"tables_mb": {row[0]: round(row[1] / MB, 3) for row in rows}},
            )
        )

    def nothing_changed(self) -> None:
        """Refresh when there is nothing to do, in a session at work and in new ones."""
        self.refresh()
        ours = [self.refresh() for _ in range(4 * self.pairs)]
        modes = self.last_run()
        fresh = []
        for _ in range(self.pairs):
            with self.market.session() as connection:
                fresh.append(self.refresh(connection))
        self.check("a refresh without changes")
        self.add(
            Result(
                "nothing changed",
                self.scale,
                "milliseconds",
                ours,
                fresh,
                "ms",
                "the same, first in a session",
                "" if modes["mode"] == "unchanged" else f"mode {modes['mode']}",
            )
        )

    def tick(self) -> None:
        """Tick when nothing is due, with a log of a refresh a minute for over two months."""
        self.refresh()
        connection = self.market.connection

        def ticks() -> list[float]:
            times = []
            for _ in range(4 * self.pairs):
                started = time.perf_counter()
                connection.execute("CALL analytics.tick()")
                times.append(1000 * (time.perf_counter() - started))
            return times

        # The first one of an hour trims logs and notes what was used.
        connection.execute("CALL analytics.tick()")
        short = ticks()
        connection.execute(bench_sql("long_log.sql"))
        connection.execute("ANALYZE kpi_engine.refresh_log")
        row = connection.execute("SELECT count(*) FROM kpi_engine.refresh_log").fetchone()
        ours = ticks()
        connection.execute("DELETE FROM kpi_engine.refresh_log WHERE requested_by = 'bench'")
        self.add(
            Result(
                "tick, nothing due",
                self.scale,
                "milliseconds",
                ours,
                short,
                "ms",
                "a short log",
                f"refresh log of {row[0]:,} lines" if row else "",
            )
        )

    def day_of_work(self) -> None:
        """Refresh after a day of work on a new local day."""

        def prepare() -> None:
            self.market.next_day()
            self.market.run("day_of_requests.sql", "day_of_advisors.sql")

        self.compare("day of work", prepare)

    def same_day(self) -> None:
        """Refresh after a day of work that all happened since the last refresh of that day."""
        self.compare(
            "day of work, same local day",
            lambda: self.market.run("day_of_requests.sql", "day_of_advisors.sql"),
        )

    def monthly_path(self) -> None:
        """Refresh after a day of work that the ranking does not show."""
        self.compare(
            "monthly path alone",
            lambda: self.market.run("day_of_requests.sql"),
            views=VIEWS[:1],
        )

    def one_request(self) -> None:
        """Refresh after one change."""
        self.compare(
            "one changed request",
            lambda: self.market.run("update_one_request.sql"),
            views=VIEWS[:1],
        )

    def many_days(self) -> None:
        """Refresh after one update on each of 274 days."""
        self.compare("one update on 274 days", lambda: self.market.run("update_many_days.sql"))

    def nine_views(self) -> None:
        """Publish all nine views: after a day of work, one changed request, and nothing."""
        install(self.url)
        self.views = (*VIEWS, *SEVEN)
        self.refresh()
        self.market.create_full_views(self.monthly_form, SEVEN)
        self.check("the installation of nine views")

        def prepare() -> None:
            self.market.next_day()
            self.market.run("day_of_requests.sql", "day_of_advisors.sql")

        self.compare("nine views: day of work", prepare)
        self.compare(
            "nine views: one changed request", lambda: self.market.run("update_one_request.sql")
        )
        self.refresh()
        self.add(
            Result(
                "nine views: nothing changed",
                self.scale,
                "milliseconds",
                [self.refresh() for _ in range(4 * self.pairs)],
                [],
                "ms",
                "",
                "",
            )
        )
        self.storage("nine views: derived tables")
        install(self.url, without=SEVEN)
        self.views = VIEWS
        self.refresh()

    def rebuild(self) -> None:
        """Compute all derived tables again, with the memory that it takes."""
        ways: list[tuple[str, Callable[[Connection], object]]] = [
            ("full rebuild, forced", lambda connection: self.refresh(connection, force=True))
        ]
        if self.market.connection.execute(
            "SELECT true FROM pg_proc WHERE pronamespace = 'analytics'::regnamespace "
            "AND proname = 'rebuild' AND prokind = 'p'"
        ).fetchone():
            ways.append(
                (
                    "full rebuild, analytics.rebuild()",
                    lambda connection: connection.execute("CALL analytics.rebuild()"),
                )
            )
        times: dict[str, list[float]] = {measure: [] for measure, _ in ways}
        memory: dict[str, list[float]] = {measure: [] for measure, _ in ways}
        other: list[float] = []
        pairs = self.pairs
        with progress("full rebuild", pairs, "pairs") as advance:
            while len(other) < pairs:
                for measure, run in ways:
                    # What wrote before must not be paid by what writes next.
                    self.market.connection.execute("CHECKPOINT")
                    with self.market.session() as connection:
                        with peak_memory(connection.info.backend_pid) as peak:
                            started = time.perf_counter()
                            run(connection)
                            times[measure].append(1000 * (time.perf_counter() - started))
                        memory[measure].append(peak[0])
                    self.refresh()
                other.append(self.recompute())
                self.check("a full rebuild", recompute=False)
                advance(1)
                if max(*other, *(values[-1] for values in times.values())) > SLOW_SIDE_MS:
                    pairs = min(pairs, 2)
        for measure, _ in ways:
            self.add(
                Result(
                    measure,
                    self.scale,
                    "cost",
                    times[measure],
                    other,
                    "ms",
                    FULL,
                    f"peak memory of the session {max(memory[measure]):.0f} MB",
                    {"peak_memory_mb": [round(value, 1) for value in memory[measure]]},
                )
            )

    def reader(self) -> None:
        """Read the months and the ranking all the time during refreshes; keep the longest wait."""
        with Reader(self.market) as idle:
            time.sleep(3)
        with Reader(self.market) as during:
            for _ in range(2):
                self.market.next_day()
                self.market.run("day_of_requests.sql", "day_of_advisors.sql")
                self.refresh()
            self.refresh(force=True)
        self.check("refreshes with a reader")
        during_refresh = sorted(during.waits)
        self.add(
            Result(
                "reader's longest wait",
                self.scale,
                "milliseconds",
                [during_refresh[-1]],
                [max(idle.waits)],
                "ms",
                "without a refresh",
                f"of {len(during_refresh)} reads; 99.9 % within "
                f"{during_refresh[int(len(during_refresh) * 0.999)]:.1f} ms",
            )
        )

    # -- the writers -----------------------------------------------------------------------

    def pgbench(self, database: str, script: str, *options: str) -> tuple[float, int]:
        """Run pgbench in a database of the cluster; return tps and how many transactions."""
        return self.pgbench_at(self.cluster.url(database), script, *options)

    def pgbench_at(self, url: str, script: str, *options: str) -> tuple[float, int]:
        """Run pgbench; return transactions per second and how many there were."""
        result = subprocess.run(
            [
                self.cluster.binaries / "pgbench",
                "--no-vacuum",
                "--protocol=prepared",
                f"--file={BENCH_DIRECTORY / script}",
                *options,
            ],
            env={**os.environ, **connection_environment(url)},
            capture_output=True,
            text=True,
            check=False,
        )
        tps = re.search(r"^tps = ([0-9.]+)", result.stdout, re.MULTILINE)
        count = re.search(r"actually processed: ([0-9]+)", result.stdout)
        failures = re.search(r"failed transactions: ([0-9]+)", result.stdout)
        if result.returncode or not tps or not count or (failures and failures[1] != "0"):
            raise BenchError(f"pgbench {script} failed: {(result.stderr or result.stdout)[-1500:]}")
        return float(tps[1]), int(count[1])

    def writers(self) -> None:
        """Measure what change capture costs the writers, against a copy without it."""
        self.market.connection.execute(bench_sql("write_fixtures.sql"))
        self.refresh()
        self.market.connection.execute("VACUUM ANALYZE")
        self.market.connection.close()
        off = f"{self.name}_off"
        off_url = copy_database(self.cluster, self.name, off, self.scale)
        self.market.connection = self.market.session()
        try:
            with connect(off_url) as connection:
                connection.execute("SELECT analytics.set_setting('change_capture', 'off')")
                connection.execute("CALL analytics.apply_change_capture()")
                if connection.execute(
                    "SELECT true FROM pg_trigger WHERE tgname LIKE 'teloo_analytics%' LIMIT 1"
                ).fetchone():
                    raise BenchError("change capture is off and there still are triggers")
            for measure, script in (
                ("insert transaction", "insert_request.pgbench"),
                ("insert transaction, a statement per row", "insert_request_by_rows.pgbench"),
                ("update of an offer", "update_offer.pgbench"),
            ):
                self.throughput(measure, script, off)
            self.bulk_insert(off_url)
        finally:
            drop_database(self.cluster, off)
        self.refresh()
        self.check("the writes")

    def throughput(self, measure: str, script: str, off: str) -> None:
        """Run a script with and without change capture, interleaved, a second each."""
        rates: dict[str, list[float]] = {self.name: [], off: []}
        options = ("--client=2", "--jobs=2")
        for database in rates:
            self.pgbench(database, script, *options, "--time=1")
        # Short runs: both sides meet the same moods of the machine.
        pairs = max(self.pairs, 5) * self.seconds
        with progress(measure, pairs, "pairs") as advance:
            for pair in range(pairs):
                for database in list(rates) if pair % 2 == 0 else list(rates)[::-1]:
                    rate, _ = self.pgbench(database, script, *options, "--time=1")
                    rates[database].append(rate)
                advance(1)
        self.add(
            Result(
                measure,
                self.scale,
                "throughput",
                rates[self.name],
                rates[off],
                "tps",
                NO_CAPTURE,
                f"2 clients, {pairs} pairs of 1 s",
            )
        )

    def bulk_insert(self, off_url: str) -> None:
        """Insert 10,000 offers with and without change capture, interleaved."""
        statement = bench_sql("bulk_offers.sql")
        times: dict[str, list[float]] = {"on": [], "off": []}
        pairs = max(self.pairs, 5) + 2
        with (
            connect(self.market.url) as on,
            connect(off_url) as off,
            progress("bulk insert", pairs, "pairs") as advance,
        ):
            sides = [("on", on), ("off", off)]
            for pair in range(pairs):
                for side, connection in sides if pair % 2 == 0 else sides[::-1]:
                    started = time.perf_counter()
                    connection.execute(statement)
                    times[side].append(1000 * (time.perf_counter() - started))
                advance(1)
        # The first pair meets cold pages.
        self.add(
            Result(
                "bulk insert of 10,000 offers",
                self.scale,
                "cost",
                times["on"][1:],
                times["off"][1:],
                "ms",
                NO_CAPTURE,
                f"{pairs - 1} pairs",
            )
        )

    def change_log(self) -> None:
        """Let the change log grow at 1,000 writes a second, and compact it."""

        def size() -> tuple[int, int]:
            row = self.market.connection.execute(
                "SELECT pg_total_relation_size('kpi_engine.change_log'), "
                "pg_total_relation_size('kpi_engine.pending_changes')"
            ).fetchone()
            if row is None:
                raise AssertionError("a SELECT without FROM has one row")
            return row[0], row[1]

        self.refresh()
        self.market.connection.execute("VACUUM (TRUNCATE) kpi_engine.change_log")
        self.market.connection.execute("VACUUM (TRUNCATE) kpi_engine.pending_changes")
        empty = size()
        rate, count = self.pgbench(
            self.name,
            "update_offer.pgbench",
            "--client=8",
            "--jobs=2",
            "--rate=1000",
            f"--time={4 * self.seconds}",
        )
        grown = size()
        started = time.perf_counter()
        self.market.connection.execute("CALL analytics.tick()")
        ticked = 1000 * (time.perf_counter() - started)
        # A tick leaves a log of less than 1 MB alone.
        started = time.perf_counter()
        self.market.connection.execute("SELECT kpi_engine.compact_change_log()")
        compacted = 1000 * (time.perf_counter() - started)
        pending = size()[1]
        self.market.connection.execute("VACUUM kpi_engine.change_log")
        self.pgbench(self.name, "update_offer.pgbench", "--client=8", "--rate=1000", "--time=5")
        again = size()[0]
        self.refresh()
        self.check("compacting the change log")
        self.add(
            Result(
                "change log at 1,000 writes/s: tick, compact",
                self.scale,
                "cost",
                [ticked + compacted],
                [],
                "ms",
                "",
                f"{count:,} writes at {rate:,.0f}/s, {(grown[0] - empty[0]) / count:.0f} bytes "
                f"each: {grown[0] / MB:.1f} MB; tick {ticked:.0f} ms; "
                f"pending {pending / MB:.1f} MB; log after 5 s more {again / MB:.1f} MB",
            )
        )

    # -- target lag ------------------------------------------------------------------------

    def lag(self) -> None:
        """Write for some minutes with target_lag, and see how old is what readers see.

        The first third as long is without it. Ticks come in both. The clock is not pinned.
        """
        self.market.connection.close()
        with connect(self.url) as connection:
            connection.execute(bench_sql("write_fixtures.sql"))
            # Probes go into a month long closed, which the gate would rightly keep as it was.
            connection.execute("SELECT analytics.set_setting('gate', 'off')")
            connection.execute("SELECT * FROM analytics.refresh_all_mv()")
            connection.execute("VACUUM ANALYZE")
            before = self.write_for(max(1, self.minutes // 3), Probes(self.url))
            connection.execute("SELECT * FROM analytics.refresh_all_mv()")
            # The probes that were written by now are visible.
            probes = Probes(self.url, [0.0] * before[1])
            connection.execute("SELECT analytics.set_setting('target_lag', %s)", [TARGET_LAG])
            row = connection.execute("SELECT max(log_id) FROM kpi_engine.refresh_log").fetchone()
            last_line = row[0] if row else 0
            during = self.write_for(self.minutes, probes)
            runs = [
                float(run[0]) / 1000
                for run in connection.execute(
                    "SELECT refresh_time_ms FROM kpi_engine.refresh_log WHERE log_id > %s "
                    "AND view_name IS NULL AND triggered_by = 'lag'",
                    [last_line],
                )
            ]
            failed = connection.execute(
                "SELECT error_message FROM kpi_engine.refresh_log WHERE refresh_status = 'ERROR'"
            ).fetchall()
            connection.execute("SELECT * FROM analytics.refresh_all_mv()")
            audited = connection.execute("SELECT analytics.audit()").fetchone()
        if failed or not runs:
            raise BenchError(f"target_lag: {failed or 'there was no refresh'}")
        if audited != (0,):
            raise BenchError(f"after {len(runs)} refreshes the audit found {audited} wrong cells")
        self.add_lag(probes.ages, runs, before[0], during[0])

    def write_for(self, minutes: int, probes: Probes) -> tuple[list[float], int]:
        """Write, tick and read for so long; return the writers' latencies, and all probes."""
        rate = WRITES_PER_SECOND - round(1 / PROBE_INTERVAL)
        LOGGER.info("writing for %s minute(s)", minutes)
        with (
            tempfile.TemporaryDirectory(prefix="teloo-bench-") as directory,
            in_background(
                self.url,
                *schedule(),
                (PROBE_INTERVAL, probes.write),
                (READ_INTERVAL, probes.read),
            ),
        ):
            self.pgbench(
                self.name,
                "update_offer.pgbench@8",
                f"--file={BENCH_DIRECTORY / 'insert_request.pgbench'}@1",
                "--client=4",
                f"--rate={rate}",
                f"--time={60 * minutes}",
                "--log",
                f"--log-prefix={directory}/pgbench",
            )
            latencies = pgbench_latencies(Path(directory))
        return latencies, len(probes.written)

    def add_lag(
        self, ages: list[float], runs: list[float], before: list[float], during: list[float]
    ) -> None:
        """Keep the results of the measure."""
        name = f"target_lag {TARGET_LAG}"
        for measure, ours, other, unit, other_is, note in (
            (
                "age of what readers see",
                ages,
                [],
                "s",
                "",
                f"{self.minutes} min, {WRITES_PER_SECOND} writes/s",
            ),
            (
                "a refresh",
                runs,
                [],
                "s",
                "",
                f"{len(runs)} refreshes, {sum(runs) / self.minutes:.2f} s each minute",
            ),
            ("a writer's wait", during, before, "ms", "target_lag off", f"{len(during):,} writes"),
        ):
            half, most, largest = percentiles(ours)
            details: dict[str, object] = {"p50": half, "p95": most, "max": largest, "of": len(ours)}
            if other:
                other_half, other_most, other_largest = percentiles(other)
                note += f"; off: p95 {other_most:.2f}, max {other_largest:.2f}"
                details |= {"off_p95": other_most, "off_max": other_largest}
                other = [other_half]
            self.add(
                Result(
                    f"{name}: {measure}",
                    self.scale,
                    "cost",
                    [half],
                    other,
                    unit,
                    other_is,
                    f"p95 {most:.2f}, max {largest:.2f}; {note}",
                    details,
                )
            )

    # -- a subscriber ----------------------------------------------------------------------

    def replica(self, seed: int) -> None:
        """Apply what a publisher wrote, with change capture and without."""
        with following(self.cluster, self.scale, seed) as pair:
            measures: tuple[tuple[str, Kind, Callable[[Connection], object], str], ...] = (
                (f"apply {ROWS:,} updated rows", "cost", update_rows, "one transaction"),
                (
                    "apply transactions of one row",
                    "speedup",
                    update_row_by_row,
                    f"{TRANSACTIONS:,} at a time",
                ),
            )
            for measure, kind, write, note in measures:
                ours: list[float] = []
                other: list[float] = []
                with progress(measure, self.pairs, "pairs") as advance:
                    for number in range(self.pairs):
                        sides = [("on", ours), ("off", other)]
                        for state, times in sides if number % 2 == 0 else sides[::-1]:
                            pair.set_capture(state)
                            times.append(pair.apply(write))
                        advance(1)
                self.add(Result(measure, self.scale, kind, ours, other, "ms", NO_CAPTURE, note))
            self.live_rows(pair)

    def live_rows(self, pair: Following) -> None:
        """Let two clients write row by row, and see how long the subscriber has their rows after.

        A rate is that of the subscriber: the rows, by the time from the first write until the
        worker has applied the last. The note has the rate of the writers alone.
        """
        measure = "follow two writers of one row"
        each = f"--transactions={LIVE_TRANSACTIONS // 2}"
        rates: dict[str, list[float]] = {"on": [], "off": []}
        writers: dict[str, list[float]] = {"on": [], "off": []}

        def write() -> None:
            rate, _ = self.pgbench_at(
                pair.publisher_url, "update_offer.pgbench", "--client=2", "--jobs=2", each
            )
            writers[state].append(rate)

        with progress(measure, self.pairs, "pairs") as advance:
            for number in range(self.pairs):
                for state in list(rates) if number % 2 == 0 else list(rates)[::-1]:
                    pair.set_capture(state)
                    rates[state].append(LIVE_TRANSACTIONS * 1000 / pair.follow(write))
                advance(1)
        self.add(
            Result(
                measure,
                self.scale,
                "throughput",
                rates["on"],
                rates["off"],
                "tps",
                NO_CAPTURE,
                f"the writers themselves: {median(writers['on']):,.0f} and "
                f"{median(writers['off']):,.0f}",
            )
        )

    # -- a hub -----------------------------------------------------------------------------

    def hub(self, seed: int) -> None:
        """Let a hub take four sites, then a day of work at one of them, and a day at each."""
        with hub_over_sites(self.cluster, self.scale, seed) as hub:

            def refresh_hub() -> tuple[float, float]:
                times = timed_refresh(hub.market.connection)
                if problems := hub.problems():
                    raise BenchError(f"the hub differs from its sites: {'; '.join(problems)}")
                return times

            first = refresh_hub()
            hub.market.connection.execute("VACUUM ANALYZE")
            facts = hub.facts()
            rows = sum(fact[1] for fact in facts)
            self.add_hub("first pull of four sites", [first], f"{rows:,} rows of facts")
            self.add(
                Result(
                    "hub: mirror of the facts",
                    self.scale,
                    "cost",
                    [sum(fact[2] for fact in facts) / MB],
                    [sum(fact[3] for fact in facts) / MB],
                    "MB",
                    "as the sites send it",
                    f"{rows:,} rows",
                    {"rows": {fact[0]: fact[1] for fact in facts}},
                )
            )
            for busy, measure in ((1, "a day of work at one site"), (SITES, "at each site")):
                at_site, at_hub = [], []
                with progress(f"hub: {measure}", self.pairs, "days") as advance:
                    for day in range(self.pairs):
                        hub.pass_a_day()
                        sites = [hub.sites[(day + number) % SITES] for number in range(busy)]
                        for site in sites:
                            site.run("day_of_requests.sql", "day_of_advisors.sql")
                            at_site.append(timed_refresh(site.connection))
                        at_hub.append(refresh_hub())
                        advance(1)
                self.add_hub(measure, at_hub, "the hub's refresh", at_site)
            nothing = [timed_refresh(hub.market.connection) for _ in range(4 * self.pairs)]
            self.add_hub("nothing changed at four sites", nothing, "the hub asks each")

    def add_hub(
        self,
        measure: str,
        at_hub: list[tuple[float, float]],
        note: str,
        at_site: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Keep what the hub took, and beside it what the refresh of a site took before."""
        self.add(
            Result(
                f"hub: {measure}",
                self.scale,
                "cost",
                [times[0] for times in at_hub],
                [times[0] for times in at_site],
                "ms",
                "the site's own refresh" if at_site else "",
                f"{note}, {median(times[1] for times in at_hub):,.0f} ms on a CPU"
                + (f"; the site's {median(times[1] for times in at_site):,.0f}" if at_site else ""),
                {
                    "cpu_ms": [round(times[1], 1) for times in at_hub],
                    "site_cpu_ms": [round(times[1], 1) for times in at_site],
                },
            )
        )

    def origins(self, seed: int) -> None:
        """Refresh and rebuild over several origins, and over one of the same size."""
        with one_and_several(self.cluster, self.scale, seed) as (alone, together):
            measures: tuple[tuple[str, Callable[[], float], Callable[[], float]], ...] = (
                (
                    "a day of work at one",
                    lambda: day_of_work(together[:1], together),
                    lambda: day_of_work([alone], [alone]),
                ),
                (
                    "a day of work at each",
                    lambda: day_of_work(together, together),
                    lambda: day_of_work([alone], [alone]),
                ),
                (
                    "analytics.rebuild()",
                    lambda: rebuild(together[0].connection),
                    lambda: rebuild(alone.connection),
                ),
            )
            for measure, several, one in measures:
                sides = [(several(), one()) for _ in range(self.pairs)]
                self.add(
                    Result(
                        f"{len(ORIGINS)} origins: {measure}",
                        self.scale,
                        "cost",
                        [side[0] for side in sides],
                        [side[1] for side in sides],
                        "ms",
                        "one origin alone",
                        "ms on a CPU",
                    )
                )
            for market in (alone, together[0]):
                row = market.connection.execute("SELECT analytics.audit()").fetchone()
                if row != (0,):
                    raise BenchError(f"the audit found {row}")

    def arithmetic(self, seed: int) -> None:
        """Measure what docs/arithmetic.md computes with."""
        inputs = bench_arithmetic.Inputs(self.cluster, self.scale, seed)
        for result in inputs.all():
            self.add(result)
        inputs.done()

    # -- all of it -------------------------------------------------------------------------

    def run(self, seed: int, only: str) -> None:
        """Measure everything at this scale."""
        measures = {
            "storage": self.storage,
            "nothing": self.nothing_changed,
            "tick": self.tick,
            "day": self.day_of_work,
            "same-day": self.same_day,
            "monthly": self.monthly_path,
            "one": self.one_request,
            "many": self.many_days,
            "nine": self.nine_views,
            "rebuild": self.rebuild,
            "reader": self.reader,
            "writers": self.writers,
            "log": self.change_log,
        }
        if only == "lag":
            # It takes many minutes, so it is measured only if asked for.
            measures = {"lag": self.lag}
        LOGGER.info("scale %s", self.scale)
        apart = {
            "replica": self.replica,
            "hub": self.hub,
            "origins": self.origins,
            "arithmetic": self.arithmetic,
        }
        if only in apart:
            # They have databases of their own.
            apart[only](seed)
            return
        self.prepare(seed, compares=only != "lag")
        try:
            if only == "log":
                self.market.connection.execute(bench_sql("write_fixtures.sql"))
            for name, measure in measures.items():
                if only in ("", name):
                    measure()
        finally:
            self.market.connection.close()
        drop_database(self.cluster, self.name)


class Reader:
    """Reads the months and the ranking all the time in a thread, until the block ends."""

    def __init__(self, market: Marketplace) -> None:
        self.market = market
        self.waits: list[float] = []
        self.error: psycopg.Error | None = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.read)

    def read(self) -> None:
        """Read until told to stop."""
        try:
            with self.market.session() as connection:
                while not self.stopped.is_set():
                    started = time.perf_counter()
                    connection.execute("SELECT * FROM analytics.mv_metricas_mensuales").fetchall()
                    connection.execute(
                        "SELECT * FROM analytics.mv_ranking_asesores "
                        "ORDER BY ranking_nacional LIMIT 50"
                    ).fetchall()
                    self.waits.append(1000 * (time.perf_counter() - started))
                    time.sleep(0.001)
        except psycopg.Error as error:
            self.error = error

    def __enter__(self) -> "Reader":
        """Begin to read."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and raise what a read raised."""
        self.stopped.set()
        self.thread.join()
        if self.error is not None:
            raise self.error


@contextmanager
def peak_memory(pid: int) -> Iterator[list[float]]:
    """Watch the memory of a server process (without shared buffers): its peak, in MB."""
    peak = [0.0]
    stopped = threading.Event()
    status = Path(f"/proc/{pid}/status")

    def watch() -> None:
        while not stopped.wait(0.01):
            found = re.search(r"^RssAnon:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.M)
            peak[0] = max(peak[0], int(found[1]) / 1024 if found else 0)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stopped.set()
        thread.join()


def growth(results: Sequence[Result]) -> list[Result]:
    """Compare the scales with each other: how the cost of a refresh grows."""
    scales = [name for name in SCALES if any(result.scale == name for result in results)]
    if len(scales) < 2:
        return []
    first, last = scales[0], scales[-1]
    found = []
    for measure in ("day of work", "one changed request"):
        sides = [
            result.ours
            for scale in (last, first)
            for result in results
            if result.measure == measure and result.scale == scale
        ]
        if len(sides) == 2:
            found.append(
                Result(
                    f"growth: {measure}",
                    f"{first} to {last}",
                    "cost",
                    sides[0],
                    sides[1],
                    "ms",
                    f"ours at {first}",
                )
            )
    return found


def run_all(options: argparse.Namespace) -> int:
    """Measure all scales, write the results, say whether the bars were met."""
    cluster = (
        Cluster(bench_arithmetic.CLUSTER, database="bench", settings=bench_arithmetic.SETTINGS)
        if options.only == "arithmetic"
        else Cluster(CLUSTER, database="bench", settings=SETTINGS)
    )
    cluster.start()
    try:
        with connect(cluster.url("postgres")) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        record = Record(
            str(row[0]).split()[0] if row else "",
            options.command,
            RESULTS,
            "-".join([*options.scales, *([options.only] if options.only else [])]),
        )
        try:
            for scale in dict.fromkeys(options.scales):
                Bench(cluster, scale, options, record).run(options.seed, options.only)
            for result in growth(record.results):
                record.add(result)
        finally:
            record.show()
    finally:
        cluster.stop()
    record.path.with_suffix(".svg").write_text(chart(record.results, record.ran), encoding="utf-8")
    print("and the chart beside it")
    if options.publish:
        publish(record.results, record.ran, PAGE)
        print(f"published: {PAGE}, performance.json, performance.svg")
    return record.exit_code()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="bench.py",
        description="Measures refreshes against full recomputation, what change capture costs "
        "the writers, memory, storage and readers' waits, on a cluster of its own below .local/, "
        "and holds them against their bars. After each measure, mv_metricas_mensuales and "
        "mv_ranking_asesores (nine views: all nine) are compared with the recomputation, "
        "cell by cell.",
        epilog="Exit codes: 0 all bars met, 1 a view was wrong or something failed, 2 wrong "
        "usage, 3 a bar was missed, 130 interrupted, 143 terminated. What was measured until then "
        "is written.",
    )
    parser.add_argument(
        "--scales",
        nargs="+",
        choices=SCALES,
        default=["small"],
        metavar="SCALE",
        help="small (default; a few minutes), medium, large (55 GB of disk); several give "
        "the rows of growth too",
    )
    parser.add_argument(
        "--seed",
        type=seed_argument,
        default=DEFAULT_SEED,
        help=f"another seed makes other data; default: {DEFAULT_SEED}",
    )
    parser.add_argument(
        "--pairs",
        type=int,
        default=5,
        help="measurements of each side, interleaved; at most 3 where one takes over 30 s; "
        "default: 5",
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=5,
        help="measures of writers: so many pairs of a second for each of --pairs; default: 5",
    )
    parser.add_argument(
        "--minutes",
        type=int,
        default=15,
        help="--only lag: writes for so long with target_lag, and a third as long without; "
        "default: 15",
    )
    parser.add_argument(
        "--only",
        choices=[
            "storage",
            "nothing",
            "tick",
            "day",
            "same-day",
            "monthly",
            "one",
            "many",
            "nine",
            "rebuild",
            "reader",
            "writers",
            "log",
            "lag",
            "replica",
            "hub",
            "origins",
            "arithmetic",
        ],
        default="",
        help="measure only this; lag (the setting target_lag), replica (a subscriber), hub (over "
        "four sites), origins (two in one database) and arithmetic (what docs/arithmetic.md "
        "computes with) are measured only this way",
    )
    parser.add_argument(
        "--publish", action="store_true", help="write the results into docs/performance.*"
    )
    options = parser.parse_args(arguments)
    if min(options.pairs, options.seconds, options.minutes) < 1:
        parser.error("--pairs, --seconds and --minutes take a whole number from 1")
    options.command = shlex.join(
        ["scripts/bench.py", *(sys.argv[1:] if arguments is None else arguments)]
    )
    set_up_logging()
    LOCAL.mkdir(parents=True, exist_ok=True)
    with (LOCAL / "bench.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return report(UserError("another bench is running", "Wait until it is done."))
        try:
            return run_all(options)
        except UserError as error:
            return report(error)
        except BenchError as error:
            LOGGER.error("%s", error)
        except psycopg.Error as error:
            LOGGER.error("%s", f"the database said: {error}".strip())
    return 1


if __name__ == "__main__":
    run_tool(main)
