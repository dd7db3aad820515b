"""Shows teloo-analytics at work: a cluster of its own, a marketplace, the KPIs, the HTTP API."""

import argparse
import fcntl
import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from tabulate import tabulate
from tqdm import tqdm

from cluster import DATABASE, LOCAL, Cluster
from commandline.console import (
    LOGGER,
    Parser,
    UserError,
    environment,
    report,
    run_tool,
    set_up_logging,
)
from development import demo_hub, demo_origins, demo_replica
from development.demo_beside import Beside, refresh
from development.demo_source import DEMO_DIRECTORY, demo_sql
from development.overview import HEADERS, figures
from gateway import Gateway, demo_gateway
from jwt_token import is_key_set, mint
from migrate import migrate
from source_indexes import build_missing

MONTHS = 36
ZONE = ZoneInfo("America/Bogota")
DEFAULT_SEED = 2026
MAX_SEED = 2**62
CLIENTS_PER_REQUEST = 0.4
BATCHES = 24
MAX_BATCH = 25_000
MARKER = "teloo-analytics demo data: "


@dataclass(frozen=True)
class Scale:
    """How much demo data."""

    requests: int
    advisors: int


SCALES = {
    "small": Scale(30_000, 2_000),
    "medium": Scale(300_000, 5_000),
    "large": Scale(3_000_000, 10_000),
}


class Progress:
    """A progress bar on standard error; where that is no terminal, a line per quarter."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.bar: tqdm[NoReturn] | None = None
        self.started = time.monotonic()
        if sys.stderr.isatty() and environment() == "development":
            self.bar = tqdm(total=total, desc=label, unit=f" {unit}", leave=True)

    def advance(self, count: int) -> None:
        """Count what was done."""
        before = 4 * self.done // self.total
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif 4 * self.done // self.total > before:
            seconds = time.monotonic() - self.started
            LOGGER.info("%s: %d %% (%.1f s)", self.label, 100 * self.done / self.total, seconds)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()


# -- demo data -----------------------------------------------------------------------------


def generator_version() -> str:
    """Return a checksum of what makes the data: other files make other data."""
    digest = hashlib.sha256()
    for path in sorted(DEMO_DIRECTORY.glob("*.sql")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def stored_marker(url: str) -> dict[str, str | int] | None:
    """Return what the loaded data was made from; None where no load was completed.

    It is a comment on the database, written in the transaction that loads the data.
    """
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
            "WHERE datname = current_database()"
        ).fetchone()
    if row is None or row[0] is None or not row[0].startswith(MARKER):
        return None
    marker: dict[str, str | int] = json.loads(row[0].removeprefix(MARKER))
    return marker


def is_empty(url: str) -> bool:
    """Tell whether the database has no tables at all."""
    with psycopg.connect(url) as connection:
        return (
            connection.execute(
                "SELECT FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LIMIT 1"
            ).fetchone()
            is None
        )


def first_day(last_day: date) -> date:
    """Return the first day of the MONTHS months that end with the month of a day."""
    months = last_day.year * 12 + last_day.month - MONTHS
    return date(months // 12, months % 12 + 1, 1)


def load(url: str, name: str, seed: int, moment: datetime, scale: Scale | None = None) -> None:
    """Create the source tables and generate their rows, all in one transaction.

    So an interrupted load leaves nothing, and (with wal_level minimal) nothing goes through
    the write-ahead log. With a scale there are as many rows as it says, not as the name does.
    """
    scale = scale or SCALES[name]
    last_day = moment.astimezone(ZONE).date()
    started = time.monotonic()
    with psycopg.connect(url, application_name="teloo-analytics demo") as connection:
        connection.execute("SET LOCAL temp_buffers = '128MB'")
        connection.execute("SET LOCAL work_mem = '128MB'")
        # Compiling these statements takes longer than running them, batch after batch.
        connection.execute("SET LOCAL jit = off")
        for file in ("source_schema.sql", "generate_helpers.sql", "generate_catalog.sql"):
            connection.execute(demo_sql(file))
        connection.execute(
            "INSERT INTO demo_run "
            "(seed, asesores_key, auditores_key, clientes_key, solicitudes_key, "
            "moment, last_day, first_day, solicitudes, asesores, clientes) "
            "SELECT seed, pg_temp.row_key(seed, 1), pg_temp.row_key(seed, 2), "
            "pg_temp.row_key(seed, 3), pg_temp.row_key(seed, 4), %s, %s, %s, %s, %s, %s "
            "FROM (SELECT %s::bigint AS seed) AS given",
            [
                moment,
                last_day,
                first_day(last_day),
                scale.requests,
                scale.advisors,
                int(scale.requests * CLIENTS_PER_REQUEST),
                seed,
            ],
        )
        connection.execute(demo_sql("generate_people.sql"))
        connection.execute(demo_sql("generate_batch_tables.sql"))
        batch_sql = demo_sql("generate_batch.sql")
        batch = min(scale.requests // BATCHES, MAX_BATCH)
        with progress("requests", scale.requests, "requests") as advance:
            for first in range(1, scale.requests + 1, batch):
                last = min(first + batch - 1, scale.requests)
                connection.execute(
                    "UPDATE demo_run SET batch_first = %s, batch_last = %s", [first, last]
                )
                connection.execute(batch_sql)
                advance(last - first + 1)
        statements = [
            statement for statement in demo_sql("source_keys.sql").split(b";") if statement.strip()
        ]
        with progress("keys and indexes", len(statements), "statements") as advance:
            for statement in statements:
                connection.execute(statement)
                advance(1)
        connection.execute("ANALYZE")
        marker = {
            "scale": name,
            "seed": seed,
            "last_day": last_day.isoformat(),
            "generator": generator_version(),
        }
        connection.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                sql.Identifier(connection.info.dbname), sql.Literal(MARKER + json.dumps(marker))
            )
        )
    LOGGER.info("loaded in %.1f s", time.monotonic() - started)


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show the progress of a block, which calls what it is given with each count done."""
    shown = Progress(label, total, unit)
    try:
        yield shown.advance
    finally:
        shown.close()


def recreate_database(cluster: Cluster) -> None:
    """Drop the demo's database, with whoever is connected, and create it empty.

    The server is started anew: pg_cron's launcher lives in that database, and so it
    comes back for certain.
    """
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                sql.Identifier(cluster.database)
            )
        )
    cluster.stop()
    cluster.start()


def ensure_data(
    cluster: Cluster,
    name: str,
    seed: int,
    *,
    reload: bool,
    moment: datetime,
    before_it_is_dropped: Callable[[], None] | None = None,
) -> None:
    """Load the demo data, unless it is there: complete, of that scale and seed."""
    marker = stored_marker(cluster.url())
    reason = ""
    if marker is None:
        if not is_empty(cluster.url()):
            reason = "the load of its data was not completed"
    elif reload:
        reason = "a reload was asked for"
    elif marker["scale"] != name:
        reason = f"its data is of scale {marker['scale']}"
    elif marker["seed"] != seed:
        reason = f"its data is of seed {marker['seed']}"
    elif marker["generator"] != generator_version():
        reason = "its data was made by another version of the generator"
    else:
        LOGGER.info(
            "the demo data is there: scale %s, up to %s%s",
            name,
            marker["last_day"],
            ""
            if marker["last_day"] == moment.astimezone(ZONE).date().isoformat()
            else " (to have it end today: make demo RELOAD=1)",
        )
        return
    if reason:
        LOGGER.info("dropping database %s of the demo and loading it again: %s", DATABASE, reason)
        if before_it_is_dropped:
            before_it_is_dropped()
        recreate_database(cluster)
    LOGGER.info(
        "generating %s requests of %d months and what belongs to them (scale %s, seed %d)",
        f"{SCALES[name].requests:,}",
        MONTHS,
        name,
        seed,
    )
    load(cluster.url(), name, seed, moment)


# -- what is shown -------------------------------------------------------------------------

MONTH_HEADERS = [
    "mes",
    "solicitudes\ncreadas",
    "tasa acept.\npct",
    "ofertas\ntotales",
    "ofertas\nganadoras",
    "ofertas por\nsolicitud",
    "precio promedio\nofertas",
    "cierre promedio\nhoras",
    "volumen\ntransaccional",
]
MONTHS_QUERY = """
SELECT
    to_char(mes, 'YYYY-MM'),
    solicitudes_creadas,
    tasa_aceptacion_pct,
    ofertas_totales,
    ofertas_ganadoras,
    ofertas_promedio_por_solicitud,
    precio_promedio_ofertas,
    round(tiempo_promedio_cierre_seg / 3600, 1),
    volumen_transaccional_total
FROM analytics.mv_metricas_mensuales
ORDER BY mes DESC
LIMIT 6
"""
ADVISOR_HEADERS = [
    "ranking\nnacional",
    "ranking\nciudad",
    "asesor",
    "ciudad",
    "punto de venta",
    "ofertas\nganadoras",
    "conversión\npct",
    "respuesta\npct",
    "respuesta\nminutos",
    "confianza\nauditada",
]
ADVISORS_QUERY = """
SELECT
    ranking_nacional,
    ranking_ciudad,
    asesor_nombre,
    btrim(ciudad, E' \\u00a0'),
    punto_venta,
    ofertas_ganadoras,
    tasa_conversion_ofertas_pct,
    tasa_respuesta_pct,
    round(tiempo_promedio_respuesta_seg / 60, 1),
    round(confianza_auditada, 2)
FROM analytics.mv_ranking_asesores
ORDER BY ranking_nacional, asesor_nombre, asesor_id
LIMIT 5
"""
REFRESH_HEADERS = ["view", "status", "rows", "milliseconds"]


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Lay out rows: numbers to the right, with separators of thousands."""
    shown = [
        [f"{value:,}" if not isinstance(value, str | None) else value for value in row]
        for row in rows
    ]
    alignment = [
        "left" if all(isinstance(value, str | None) for value in column) else "right"
        for column in zip(*rows, strict=True)
    ]
    return tabulate(
        shown, headers=headers, colalign=alignment, disable_numparse=True, missingval="-"
    )


@dataclass(frozen=True)
class Shown:
    """What the demo prints."""

    refreshed: list[TupleRow]
    months: list[TupleRow]
    advisors: list[TupleRow]
    overview: list[tuple[str, str, str]]
    counts: TupleRow
    next_run: str


def collect(cluster: Cluster) -> Shown:
    """Refresh the views and return what they hold."""
    with psycopg.connect(
        cluster.url(), application_name="teloo-analytics demo", autocommit=True
    ) as connection:
        LOGGER.info("refreshing the materialized views")
        refreshed = refresh(connection)
        months = connection.execute(MONTHS_QUERY).fetchall()
        advisors = connection.execute(ADVISORS_QUERY).fetchall()
        overview = figures(connection)
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM public.solicitudes), "
            "(SELECT count(*) FROM public.ofertas), (SELECT count(*) FROM public.ofertas_detalle)"
        ).fetchone()
        scheduled = connection.execute("SELECT analytics.next_scheduled_refresh()").fetchone()
    if counts is None:
        raise AssertionError("a SELECT without FROM has one row")
    next_run = "not scheduled"
    if scheduled is not None and scheduled[0] is not None:
        next_run = f"{scheduled[0].astimezone(ZONE):%Y-%m-%d %H:%M} America/Bogota"
    return Shown(refreshed, months, advisors, overview, counts, next_run)


def show(cluster: Cluster, shown: Shown) -> None:
    """Print what the views hold, and how to go on."""
    requests, offers, lines = shown.counts
    print(f"\nFrom {requests:,} solicitudes, {offers:,} ofertas, {lines:,} lines of offers")
    print("\nThe last 6 months (mv_metricas_mensuales; the newest is not over)\n")
    print(table(shown.months[::-1], MONTH_HEADERS))
    print("\nThe top 5 advisors of the last 30 days (mv_ranking_asesores)\n")
    print(table(shown.advisors, ADVISOR_HEADERS))
    print("\nAll nine views: the last period that is over, the first advisor, the largest city\n")
    print(table(shown.overview, HEADERS))
    print("\nThe refresh (SELECT * FROM refresh_all_mv();)\n")
    print(table(shown.refreshed, REFRESH_HEADERS))
    print(f"\nNext scheduled refresh: {shown.next_run}")
    print(f"\nThe demo runs at postgresql://postgres@127.0.0.1:{cluster.port}/{DATABASE}")
    print(
        "  make psql    look around: SELECT * FROM mv_metricas_mensuales;\n"
        "  make stop    stop it; make demo starts it again, with its data\n"
        "  make clean   remove it, with its data and .local\n"
        "Connection string with password: .local/venv/bin/python scripts/cluster.py url"
    )


TOKEN_SECONDS = 12 * 3600


def show_api(gateway: Gateway) -> None:
    """Print requests that are ready to paste, with tokens for half a day."""
    secret = gateway.secret()
    if is_key_set(secret):
        print(f"\nThe page: {gateway.url}/")
        print(f"The HTTP API: {gateway.url}  (try it: {gateway.url}/docs/)")
        print("  Its tokens are checked by public keys (JWKS); make one with your private key.")
        return
    tokens = {
        name: mint(secret, role, TOKEN_SECONDS, "make demo")
        for name, role in (("READER", "analytics_lector"), ("OPERATOR", "analytics_operador"))
    }
    print("\nThe page, for a reader and for an operator (these links work for 12 hours):\n")
    for token in tokens.values():
        print(f"  {gateway.url}/#token={token}")
    print(f"\nThe HTTP API: {gateway.url}  (try it: {gateway.url}/docs/)\n")
    for name, token in tokens.items():
        print(f"{name}='Authorization: Bearer {token}'")
    below = f"{gateway.url}/materialized-views"
    name = "" if gateway.cluster.name == "demo" else f" SERVER={gateway.cluster.name}"
    print(f"""
curl '{gateway.url}/health'
curl -H "$READER" '{below}/monthly-metrics?limit=3'
curl -H "$READER" '{below}/top-advisors?ciudad=bogota&metric=entregas_exitosas&limit=3'
curl -H "$READER" '{below}/city-summary'
curl -H "$OPERATOR" -X POST '{below}/refresh'
curl -H "$OPERATOR" -X PUT '{below}/scheduler/reschedule?hour=1&minute=0'

  make token{name} ROLE=analytics_lector TTL=3600    another token
  make logs{name}                                    the logs of all parts""")


class Phases:
    """A line on standard error for each phase; all else goes into a log file, which it names.

    Warnings and errors are shown as they come.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.started = time.monotonic()
        self.name = ""
        log.touch(mode=0o600)
        file = logging.FileHandler(log, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for handler in LOGGER.handlers:
            for own in handler.filters[:]:
                file.addFilter(own)
            handler.addFilter(self.is_shown)
        LOGGER.addHandler(file)

    @staticmethod
    def is_shown(record: logging.LogRecord) -> bool:
        """Tell whether a message is for the terminal."""
        return record.levelno >= logging.WARNING or getattr(record, "is_phase", False)

    def begin(self, name: str) -> None:
        """End the phase before, with how long it took, and begin another one."""
        self.end()
        self.name, self.started = name, time.monotonic()

    def end(self, result: str = "") -> None:
        """Say that a phase is done."""
        if self.name:
            seconds = time.monotonic() - self.started
            LOGGER.info(
                "%-28s %6.1f s%s",
                self.name,
                seconds,
                f"  {result}" if result else "",
                extra={"is_phase": True},
            )
        self.name = ""

    def failed(self) -> None:
        """Name what failed and where its details are."""
        if self.name:
            LOGGER.error("failed: %s; the details are in %s", self.name, self.log)


@contextmanager
def only_one() -> Iterator[None]:
    """Let a second demo wait for the first."""
    LOCAL.mkdir(parents=True, exist_ok=True)
    with (LOCAL / "demo.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOGGER.info("waiting for another make demo", extra={"is_phase": True})
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def seed_argument(text: str) -> int:
    """Check a seed given on the command line."""
    seed = int(text)
    if not 0 <= seed < MAX_SEED:
        raise argparse.ArgumentTypeError("must be from 0 to 2^62 - 1")
    return seed


def moment_argument(text: str) -> datetime:
    """Check an instant given on the command line: with a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("must have a zone, such as 2026-11-23T12:00:00-05:00")
    return moment


def run_beside(
    demo: Beside,
    gateway: Gateway,
    phases: Phases,
    fill: Callable[[Cluster, int, Callable[[], None]], None],
) -> None:
    """Start a demo of several servers; ``fill`` loads the data of one of its shops.

    It gets the number of the shop, and what to call before it drops data that is there.
    """

    def begin_anew() -> None:
        demo.home.start()
        demo.forget()
        recreate_database(demo.home)

    phases.begin("servers of the shops")
    for shop in demo.shops.values():
        shop.start()
    phases.begin("demo data")
    for number, shop in enumerate(demo.shops.values()):
        fill(shop, number, begin_anew)
    phases.begin("the server of the figures")
    demo.home.start()
    phases.begin(demo.following)
    demo.follow()
    phases.begin("PostgREST and nginx")
    gateway.start()
    phases.begin("writes and refreshes")
    seen = demo.show(gateway)
    phases.end()
    print(f"\n{seen}\n\n{demo.servers()}")
    show_api(gateway)


def demo_beside(options: argparse.Namespace) -> Beside | None:
    """Return the demo of several servers that is asked for; None: the one on one server."""
    if options.replica:
        return demo_replica.make()
    if options.origins:
        return demo_origins.make()
    return demo_hub.make() if options.hub else None


def command_line() -> Parser:
    """Return what reads the command line."""
    parser = Parser(
        prog="demo.py",
        description="Starts the demo's cluster, loads a generated marketplace where it isn't "
        "there yet, migrates, refreshes, and shows the KPIs.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
    )
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="small",
        help="30 thousand (default), 300 thousand or 3 million requests; another scale than "
        "the loaded one drops the demo's database and loads it again",
    )
    parser.add_argument(
        "--seed",
        type=seed_argument,
        default=DEFAULT_SEED,
        help=f"another seed makes other data; default: {DEFAULT_SEED}",
    )
    parser.add_argument(
        "--moment",
        type=moment_argument,
        help="the instant that the data ends with, as 2026-11-23T12:00:00-05:00; default: now. "
        "The same seed, scale and moment make the same data",
    )
    parser.add_argument("--reload", action="store_true", help="load the data again in any case")
    beside_options = parser.add_mutually_exclusive_group()
    beside_options.add_argument(
        "--replica",
        action="store_true",
        help="two servers: an operational one, and an analytics one that follows it by logical "
        "replication; writes on the one, figures on the other",
    )
    beside_options.add_argument(
        "--origins",
        type=int,
        choices=[len(demo_origins.ORIGINS)],
        help="three servers: two operational ones, and an analytics one that follows both; "
        "figures of each and of both; one is stopped and comes back",
    )
    beside_options.add_argument(
        "--hub",
        action="store_true",
        help="three servers: two sites with this package, and a hub over them; one is stopped "
        "and comes back",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = command_line().parse_args(arguments)
    set_up_logging()
    cluster = Cluster("demo")
    LOCAL.mkdir(parents=True, exist_ok=True)
    phases: Phases | None = None
    moment = options.moment or datetime.now(ZONE)
    try:
        environment()
        with only_one():
            phases = Phases(LOCAL / "demo.log")
            beside = demo_beside(options)
            if beside:

                def fill(shop: Cluster, number: int, begin_anew: Callable[[], None]) -> None:
                    ensure_data(
                        shop,
                        options.scale,
                        options.seed + number,
                        reload=options.reload,
                        moment=moment,
                        before_it_is_dropped=begin_anew,
                    )

                run_beside(beside, demo_gateway(beside.home), phases, fill)
                return 0
            phases.begin("PostgreSQL")
            cluster.start()
            phases.begin("demo data")
            ensure_data(cluster, options.scale, options.seed, reload=options.reload, moment=moment)
            phases.begin("migrate")
            migrate(cluster.url())
            phases.begin("source indexes")
            build_missing(cluster.url())
            phases.begin("refresh of the views")
            shown = collect(cluster)
            phases.begin("PostgREST and nginx")
            gateway = demo_gateway(cluster)
            gateway.start()
            phases.end()
            show(cluster, shown)
            show_api(gateway)
    except UserError as error:
        code = report(error)
        if phases:
            phases.failed()
        return code
    except psycopg.Error as error:
        LOGGER.error("%s", f"the database said: {error}".strip())
        if phases:
            phases.failed()
        return 1
    except KeyboardInterrupt:
        LOGGER.error("interrupted; make demo continues")
        return 130
    return 0


if __name__ == "__main__":
    run_tool(main)
