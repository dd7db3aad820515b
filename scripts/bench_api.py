"""Measures the HTTP API, on a cluster of its own.

It compares PostgREST and the gateway with the same SQL by pgbench, and with an ordinary FastAPI +
asyncpg endpoint, in one run and in turns. It measures readers while a refresh runs, and how soon
all answers come again after the restart of a part under load.
"""

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench import RESULTS, SETTINGS
from cluster import Cluster, connection_environment
from commandline.console import LOGGER, Parser, UserError, report, run_tool, set_up_logging
from development.bench_data import connect, copy_database, ensure_source, install
from development.bench_report import Record, Result
from gateway import Gateway, Settings, wait_until
from jwt_token import mint

CONNECTIONS = (1, 16, 64)
PATH = "/materialized-views/monthly-metrics?limit=12"
NATIVE = "/rpc/monthly_metrics?limite=12"
# What PostgREST runs, and the least that could build the same JSON: no checks, no headers.
SAME_SQL = "SELECT api.monthly_metrics(limite => '12');\n"
BARE_SQL = (
    "SELECT json_agg(months) FROM (SELECT * FROM analytics.mv_metricas_mensuales "
    "ORDER BY mes DESC LIMIT 12) AS months;\n"
)
RESTART_CONNECTIONS = 64
FASTAPI_PROCESSES = 2
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


class Load:
    """Answers a second, and percentiles of their times, of one run."""

    def __init__(self, rate: float, p50: float, p99: float, failed: int) -> None:
        self.rate = rate
        self.p50 = p50
        self.p99 = p99
        self.failed = failed


def wrk(url: str, connections: int, seconds: int, token: str) -> Load:
    """Run wrk; times in milliseconds."""
    command = ["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s"]
    command += ["--latency", "-H", f"Authorization: Bearer {token}", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def percentile(number: int) -> float:
        match = re.search(rf"^\s+{number}%\s+([0-9.]+)(us|ms|s|m)$", output, re.MULTILINE)
        return float(match[1]) * UNITS[match[2]] if match else float("nan")

    rate = re.search(r"^Requests/sec:\s+([0-9.]+)", output, re.MULTILINE)
    if rate is None:
        raise UserError("wrk said nothing of requests a second", output)
    failed = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", output)
    errors = re.search(r"Socket errors: (.*)", output)
    if errors:
        LOGGER.warning("%s: %s", url, errors[1])
    return Load(float(rate[1]), percentile(50), percentile(99), int(failed[1]) if failed else 0)


def pgbench(cluster: Cluster, url: str, statement: str, connections: int, seconds: int) -> float:
    """Run a statement by pgbench; return transactions a second."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / "months.sql"
        script.write_text(statement, encoding="utf-8")
        output = subprocess.run(
            [
                str(cluster.binaries / "pgbench"),
                *("-n", "-c", str(connections), "-j", "2", "-T", str(seconds)),
                *("-f", str(script)),
            ],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **connection_environment(url)},
        ).stdout
    match = re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE)
    if match is None:
        raise UserError("pgbench said nothing of tps", output)
    return float(match[1])


@contextlib.contextmanager
def fastapi(url: str) -> Iterator[str]:
    """Run the FastAPI endpoint in 2 processes with one socket; hand out its address."""
    # Its protocol is named, so that connections get TCP_NODELAY: see bench_api_server.py.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with contextlib.ExitStack() as running, listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/monthly-metrics?limit=12"
        for _ in range(FASTAPI_PROCESSES):
            server = subprocess.Popen(
                [sys.executable, "bench_api_server.py", str(listening.fileno())],
                cwd=Path(__file__).parent / "development",
                env={**os.environ, "DATABASE_URL": url},
                pass_fds=[listening.fileno()],
            )
            running.enter_context(server)
            running.callback(server.terminate)
        if not wait_until(lambda: answers(address)):
            raise UserError("the FastAPI endpoint did not start")
        yield address


def answers(address: str) -> bool:
    """Tell whether an address answers."""
    command = ["curl", "-fsS", "-o", "/dev/null", address]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def refreshing(url: str) -> Iterator[list[float]]:
    """Refresh everything from the source, again and again, for as long as what is inside runs."""
    stop = threading.Event()
    times: list[float] = []

    def work() -> None:
        with connect(url) as connection:
            while not stop.is_set():
                started = time.perf_counter()
                connection.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
                times.append((time.perf_counter() - started) * 1000)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


def measure(
    cluster: Cluster, url: str, gateway: Gateway, options: argparse.Namespace, record: Record
) -> None:
    """Run all sides, interleaved."""
    seconds = options.seconds
    native = f"http://127.0.0.1:{gateway.ports['postgrest']}{NATIVE}"
    token = mint(gateway.secret(), "analytics_lector")
    with fastapi(url) as other:
        for connections in CONNECTIONS:
            rates: dict[str, list[float]] = {
                name: [] for name in ("pgbench", "bare", "fastapi", "native", "cached")
            }
            loads: dict[str, list[Load]] = {"native": [], "cached": [], "fastapi": []}
            for turn in range(options.rounds):
                LOGGER.info("%d connections, round %d of %d", connections, turn + 1, options.rounds)
                for name, statement in (("pgbench", SAME_SQL), ("bare", BARE_SQL)):
                    rates[name].append(pgbench(cluster, url, statement, connections, seconds))
                for side, address in (
                    ("native", native),
                    ("cached", gateway.url + PATH),
                    ("fastapi", other),
                ):
                    load = wrk(address, connections, seconds, token)
                    loads[side].append(load)
                    rates[side].append(load.rate)
            for name, ours, against, side in (
                ("PostgREST", "native", "pgbench", "pgbench, the same SQL"),
                ("PostgREST against a bare query", "native", "bare", "pgbench, a bare query"),
                ("gateway with micro-cache", "cached", "pgbench", "pgbench, the same SQL"),
                (
                    "PostgREST against FastAPI",
                    "native",
                    "fastapi",
                    "FastAPI + asyncpg, 2 of them",
                ),
            ):
                load = sorted(loads[ours], key=lambda one: one.rate)[len(loads[ours]) // 2]
                refused = sum(one.failed for one in loads[ours])
                note = f"p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms"
                record.add(
                    Result(
                        name,
                        f"{connections} connections",
                        "throughput",
                        rates[ours],
                        rates[against],
                        "/s",
                        side,
                        note + (f"; {refused} answers were not 2xx" if refused else ""),
                    )
                )
    for name, address in (
        ("p99 while a refresh runs", native),
        ("p99 through the gateway while a refresh runs", gateway.url + PATH),
    ):
        idle: list[float] = []
        busy: list[float] = []
        runs = 0
        for turn in range(options.rounds):
            LOGGER.info("%s, round %d of %d", name, turn + 1, options.rounds)
            idle.append(wrk(address, 16, seconds, token).p99)
            with refreshing(url) as times:
                busy.append(wrk(address, 16, seconds, token).p99)
            runs += len(times)
        record.add(
            Result(
                name,
                "16 connections",
                "cost",
                busy,
                idle,
                "ms",
                "idle",
                f"{runs} forced refreshes, one after the other",
            )
        )


def recovery(
    gateway: Gateway, token: str, restart: Callable[[], None]
) -> tuple[float, Sequence[float]]:
    """Restart something under load; return the milliseconds from then to the last failure.

    Also when, in seconds of the monotonic clock, each request failed.

    That a part is up is what ``restart`` waits for. 0 where nothing failed afterwards. Refused as
    too many (429), which so much load leads to, is no failure.
    """
    failures: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", "-H"]
        command += [f"Authorization: Bearer {token}", f"{gateway.url}{PATH}"]
        while not stop.is_set():
            answer = subprocess.run(command, check=False, capture_output=True, text=True)
            if answer.stdout not in ("200", "429"):
                failures.append(time.monotonic())
            time.sleep(0.02)

    command = ["wrk", "-t", "2", "-c", str(RESTART_CONNECTIONS), "-d", "20s"]
    command += ["-s", str(Path(__file__).parent / "development" / "bench_api_paths.lua")]
    command += ["-H", f"Authorization: Bearer {token}", gateway.url]
    load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        time.sleep(2)
        restart()
        up = time.monotonic()
        load.wait()
    finally:
        load.kill()
        stop.set()
        thread.join()
    return max([0.0, *((when - up) * 1000 for when in failures)]), failures


def measure_restarts(
    cluster: Cluster, gateway: Gateway, options: argparse.Namespace, record: Record
) -> None:
    """Restart each part under load, in turn; measure how soon all answers came again."""

    def restart_database() -> None:
        cluster.stop("immediate")
        cluster.start()

    token = mint(gateway.secret(), "analytics_lector")
    parts: dict[str, Callable[[], None]] = {
        "PostgreSQL": restart_database,
        "PostgREST": lambda: gateway.restart("postgrest"),
        "nginx": lambda: gateway.restart("nginx"),
    }
    for part, restart in parts.items():
        times, failed, outages = [], 0, [0.0]
        for turn in range(options.rounds):
            LOGGER.info("restart of %s, round %d of %d", part, turn + 1, options.rounds)
            milliseconds, failures = recovery(gateway, token, restart)
            times.append(milliseconds)
            failed += len(failures)
            outages += [max(failures) - min(failures)] if failures else []
        record.add(
            Result(
                "last failure after a restart",
                part,
                "milliseconds",
                times,
                [],
                "ms",
                "",
                f"{RESTART_CONNECTIONS} connections; longest {max(times):,.0f} ms; beside them "
                f"{failed} requests failed, over {max(outages):.1f} s at most",
            )
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="bench_api.py",
        description="Measures the HTTP API on a cluster of its own below .local/, against pgbench "
        "and against FastAPI + asyncpg.",
        epilog="Exit codes: 0 all bars met, 1 something failed, 2 wrong usage, 3 a bar was missed, "
        "143 terminated. What was measured until then is written.",
    )
    parser.add_argument("--seconds", type=int, default=5, help="length of each run; default: 5")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side; default: 5")
    options = parser.parse_args(arguments)
    set_up_logging()
    # pgbench, PostgREST and FastAPI keep their connections side by side.
    settings = f"{SETTINGS}\nmax_connections = 200\n"
    cluster = Cluster("bench-api", database="bench", settings=settings)
    try:
        cluster.start()
        try:
            source = ensure_source(cluster, "small", 2026)
            url = copy_database(cluster, source, "bench_api", "small")
            install(url)
            with connect(url) as connection:
                connection.execute("SELECT * FROM analytics.refresh_all_mv()")
                row = connection.execute("SHOW server_version").fetchone()
            gateway = Gateway(cluster, "bench_api", settings=Settings(rate=1000000, burst=100000))
            gateway.start()
            try:
                record = Record(
                    str(row[0]).split()[0] if row else "", "make bench-api", RESULTS, "api"
                )
                try:
                    measure(cluster, url, gateway, options, record)
                    measure_restarts(cluster, gateway, options, record)
                finally:
                    record.show()
            finally:
                gateway.stop()
        finally:
            cluster.stop()
    except UserError as error:
        return report(error)
    except (psycopg.Error, subprocess.CalledProcessError) as error:
        return report(UserError(f"the bench failed: {error}"))
    return record.exit_code()


if __name__ == "__main__":
    run_tool(main)
