"""The databases of the bench: a generated marketplace, copies of it, days of work in it."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from logging import WARNING
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from cluster import LOCAL, Cluster
from commandline.console import LOGGER, UserError
from database.sql_files import SQL_DIRECTORY, SqlFile, load_objects
from demo import SCALES, ZONE, generator_version, load, stored_marker
from migrate import migrate

Connection = psycopg.Connection[TupleRow]

BENCH_DIRECTORY = SQL_DIRECTORY / "bench"
# Fixed, so that every run has the same data; the refreshes' clock is pinned to it.
MOMENT = datetime(2026, 11, 20, 23, 0, tzinfo=ZONE)
DAYS = 1095
# In gigabytes: the data; the copy that is measured, the one without capture, and WAL.
SOURCE_DISK = {"small": 1, "medium": 2, "large": 15}
COPIES_DISK = {"small": 2, "medium": 8, "large": 40}
VIEWS = ("mv_metricas_mensuales", "mv_ranking_asesores")
# The others: dropped while the first two are measured alone.
SEVEN = (
    "mv_embudo_operativo",
    "mv_embudo_niveles",
    "mv_salud_marketplace",
    "mv_finanzas_mensuales",
    "mv_retencion_asesores",
    "mv_demanda_ciudades",
    "mv_segmentos_asesores",
)
MONTHLY_FORMS = ("materialized", "inlined", "kept_offers")


def bench_sql(name: str) -> bytes:
    """Return the text of one of the files in sql/bench, to be executed as it is."""
    return (BENCH_DIRECTORY / name).read_bytes()


def connect(url: str) -> Connection:
    """Open a session of the bench: every statement is its own transaction."""
    return psycopg.connect(url, autocommit=True, application_name="teloo-analytics bench")


def names(url: str) -> set[str]:
    """Return the databases of the cluster."""
    with connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def drop_database(cluster: Cluster, name: str) -> None:
    """Drop a database, with whoever is connected, if it is there."""
    with connect(cluster.url("postgres")) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def copy_database(cluster: Cluster, source: str, target: str, scale: str) -> str:
    """Copy a database, file by file where it is big; return the copy's connection string."""
    drop_database(cluster, target)
    LOGGER.info("copying database %s to %s", source, target)
    with connect(cluster.url("postgres")) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(
                sql.Identifier(target),
                sql.Identifier(source),
                sql.SQL("wal_log" if scale == "small" else "file_copy"),
            )
        )
    return cluster.url(target)


def ensure_source(cluster: Cluster, scale: str, seed: int) -> str:
    """Load the marketplace of a scale unless it is there, complete; return its database.

    It is loaded under another name and renamed when it is complete.
    """
    name = f"bench_{scale}"
    is_there = name in names(cluster.url("postgres"))
    needed = COPIES_DISK[scale] + (0 if is_there else SOURCE_DISK[scale])
    free = shutil.disk_usage(LOCAL).free / 1e9
    if free < needed:
        raise UserError(
            f"scale {scale} needs {needed} GB of disk; {free:.0f} GB are free",
            "Make room, or take a smaller SCALE.",
        )
    if is_there:
        marker = stored_marker(cluster.url(name)) or {}
        wanted = {
            "scale": scale,
            "seed": seed,
            "last_day": MOMENT.date().isoformat(),
            "generator": generator_version(),
        }
        if marker == wanted:
            LOGGER.info("the data of scale %s is there", scale)
            return name
        LOGGER.info("loading scale %s again: what is there was made differently", scale)
        drop_database(cluster, name)
    loading = f"{name}_loading"
    drop_database(cluster, loading)
    cluster.make_database(loading)
    LOGGER.info("generating scale %s: %s requests", scale, f"{SCALES[scale].requests:,}")
    load(cluster.url(loading), scale, seed, MOMENT)
    with connect(cluster.url(loading)) as connection:
        connection.execute("VACUUM ANALYZE")
    with connect(cluster.url("postgres")) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(loading), sql.Identifier(name)
            )
        )
    return name


def install(
    url: str,
    *,
    hub: bool = False,
    source_schema: str | None = None,
    without: Sequence[str] = (),
) -> None:
    """Install teloo-analytics, or a hub, with a clock that can be pinned; compute everything.

    KPI views may be left out, with the derived tables that only they need.
    """
    level = LOGGER.level
    # There is no pg_cron in the bench's databases, and migrate warns of it.
    LOGGER.setLevel(WARNING + 1)
    try:
        with files_without(without) as directory:
            migrate(url, hub=hub, source_schema=source_schema, directory=directory)
    finally:
        LOGGER.setLevel(level)
    with connect(url) as connection:
        connection.execute("SELECT analytics.set_setting('allow_pinned_clock', 'on')")
        # The days of work decide many requests of closed days. The gate looks at them, and lets
        # them through.
        connection.execute("SELECT analytics.set_setting('gate_closed_pct', '100000')")


@contextmanager
def files_without(views: Sequence[str]) -> Iterator[Path]:
    """Give the folder sql, or a copy without KPI views and what only they read."""
    if not views:
        yield SQL_DIRECTORY
        return
    with TemporaryDirectory() as place:
        directory = Path(shutil.copytree(SQL_DIRECTORY, Path(place) / "sql"))
        for path in (directory / "views" / "kpis").glob("*.sql"):
            if path.stem in views:
                path.unlink()
                continue
            text = path.read_text(encoding="utf-8")
            path.write_text(
                re.sub(rf", sum (?:{'|'.join(views)})\.\w+", "", text), encoding="utf-8"
            )
        # A function may not name a view that is gone. Those that do are not called here.
        for path in (directory / "functions").rglob("*.sql"):
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(rf"\b(?:{'|'.join(views)})\b", VIEWS[0], text), encoding="utf-8")
        while unread := unread_derived_tables(directory):
            for item in unread:
                (directory / item.file).unlink()
        yield directory


def unread_derived_tables(directory: Path) -> list[SqlFile]:
    """Return the files of the derived tables that no other file names."""
    objects = load_objects(directory)
    named = set().union(*(item.mentions() for item in objects))
    return [
        item
        for item in objects
        if item.derived_table and f"kpi_engine.{item.derived_table}" not in named
    ]


class Marketplace:
    """One database of the bench, and the day that it is there."""

    def __init__(self, url: str, scale: str, schema: str = "public") -> None:
        self.url = url
        self.scale = scale
        self.schema = schema
        self.rows = max(1, round(SCALES[scale].requests / DAYS))
        self.moment = MOMENT
        self.salt = ""
        self.connection = self.session()

    def session(self) -> Connection:
        """Open a session whose clock is pinned to the marketplace's day."""
        connection = connect(self.url)
        self.pin(connection)
        return connection

    def pin(self, connection: Connection) -> None:
        """Tell a session what day it is."""
        connection.execute(
            "SELECT set_config('analytics.now', %s, false), set_config('bench.today', %s, false), "
            "set_config('bench.rows', %s, false), set_config('bench.salt', %s, false)",
            [
                self.moment.isoformat(),
                self.moment.date().isoformat(),
                str(self.rows),
                self.salt,
            ],
        )

    def next_day(self) -> None:
        """Let a day pass."""
        self.moment += timedelta(days=1)
        self.pin(self.connection)

    def run(self, *files: str) -> None:
        """Run files of sql/bench in one transaction; each time other rows are chosen."""
        self.salt += "x"
        self.pin(self.connection)
        with self.connection.transaction():
            for file in files:
                self.connection.execute(
                    bench_sql(file).replace(b" public.", f" {self.schema}.".encode())
                )

    def create_full_views(self, monthly_form: str, views: Sequence[str] = VIEWS) -> None:
        """Create the views of the full recomputation, with the indexes that ours have."""
        self.connection.execute("CREATE SCHEMA IF NOT EXISTS bench")
        files = {
            VIEWS[0]: f"full_monthly_{monthly_form}.sql",
            VIEWS[1]: "full_ranking.sql",
            **{view: f"full_{view.removeprefix('mv_')}.sql" for view in SEVEN},
        }
        for view in views:
            file = files[view]
            name = sql.Identifier("bench", view)
            self.connection.execute(sql.SQL("DROP MATERIALIZED VIEW IF EXISTS {}").format(name))
            self.connection.execute(
                sql.SQL("CREATE MATERIALIZED VIEW {} AS ").format(name).as_bytes(self.connection)
                + bench_sql(file)
            )
            for (definition,) in self.connection.execute(
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'analytics' AND tablename = %s",
                [view],
            ).fetchall():
                self.connection.execute(
                    definition.replace(f" ON analytics.{view} ", f" ON bench.{view} ").encode()
                )

    def differences(self, views: Sequence[str] = VIEWS) -> list[str]:
        """Compare views with the full recomputation, cell by cell; return what differs."""
        found = []
        for view in views:
            columns: Sequence[TupleRow] = self.connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass "
                "AND attnum > 0 AND NOT attisdropped AND attname <> 'calculado_at' ORDER BY attnum",
                [f"analytics.{view}"],
            ).fetchall()
            rows = self.connection.execute(
                sql.SQL(
                    "SELECT 'ours' AS side, * FROM (SELECT {columns} FROM {ours} "
                    "EXCEPT ALL SELECT {columns} FROM {full}) AS too_much "
                    "UNION ALL SELECT 'full', * FROM (SELECT {columns} FROM {full} "
                    "EXCEPT ALL SELECT {columns} FROM {ours}) AS missing ORDER BY 2, 1 LIMIT 10"
                ).format(
                    columns=sql.SQL(", ").join(sql.Identifier(row[0]) for row in columns),
                    ours=sql.Identifier("analytics", view),
                    full=sql.Identifier("bench", view),
                )
            ).fetchall()
            found += [f"{view}: {', '.join(map(str, row))}" for row in rows]
        return found
