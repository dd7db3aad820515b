"""The support service of docs/outside.md: its database, the recipe, and what is right."""

import itertools
import os
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

import oracle
from cluster import PROJECT, Cluster, system_binaries
from conftest import TEST_SETTINGS, Database, install, made_once
from derived.test_changing import STEP, Step
from marketplace import BASE_SEED, SMALL, fill
from migrate import migrate
from oracle import ZONE

PAGE = (PROJECT / "docs" / "outside.md").read_text(encoding="utf-8")
VIEW = "mv_reclamos_asesores"
NOW = "2026-11-23 12:00:00-05"
PASSWORD = "change-me"  # noqa: S105
NUMBERS = itertools.count(1)
RECLAMOS = """
    CREATE TABLE {}.reclamos (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        asesor_id uuid NOT NULL,
        estado text NOT NULL,
        creado_at timestamptz NOT NULL,
        actualizado_at timestamptz NOT NULL
    )
"""
# Which way of watching, and whether the rows are in another database.
WAYS = {
    "reread": ("reread", True),
    "version": ("version", True),
    "triggers": ("triggers", False),
}

Shown = tuple[object, ...]


def statements(place: str) -> str:
    """Return the statements of the page that belong to a place: support or here."""
    (block,) = re.findall(rf"^```sql {place}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(block)


def steps() -> list[Step]:
    """Return the files of the page: the view, and what makes it watched in another way."""
    return [
        Step(match["new"], None, match["first"])
        if match["new"]
        else Step(match["old"], match["first"].rstrip("\n"), match["second"].rstrip("\n"))
        for match in STEP.finditer(PAGE)
    ]


def carry_out(project: Path, watch: str) -> Path:
    """Write the view into a copy of the tree, watched in this way; return its file."""
    view, *others = steps()
    (project / view.file).unlink(missing_ok=True)
    for step in (view, *(step for step in others if f"'{watch}'" in step.new)):
        step.carry_out(project)
    return project / view.file


def copy_of_sql(target: Path, watch: str) -> Path:
    """Copy the SQL files with the view of the page; return the folder for migrate."""
    shutil.copytree(PROJECT / "sql", target / "sql")
    carry_out(target, watch)
    return target / "sql"


@contextmanager
def support_cluster() -> Iterator[Cluster]:
    """A server of its own for the support service, with the role of the page."""
    cluster = Cluster(
        f"test-support-{os.getpid()}-{next(NUMBERS)}",
        binaries=system_binaries(),
        database="soporte",
        settings=TEST_SETTINGS,
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def support_database(cluster: Cluster) -> Database:
    """Make a database of the support service, and the rights of the page."""
    name = f"soporte_{next(NUMBERS)}"
    cluster.make_database(name)
    support = Database(cluster, name)
    support.execute(RECLAMOS.format("public"))
    text = statements("support")
    if support.rows("SELECT count(*) FROM pg_roles WHERE rolname = 'teloo_lector'") == [(1,)]:
        text = re.sub(r"^CREATE ROLE.*?;", "", text, flags=re.MULTILINE)
    support.execute(text)
    return support


def way_there(support: Database, *, seconds: int = 20) -> str:
    """Return the statements of the page with the real place of the support database."""
    text = statements("here")
    for old, new in (
        ("host 'support.example.com'", "host '127.0.0.1'"),
        ("port '5432'", f"port '{support.cluster.port}'"),
        ("dbname 'soporte'", f"dbname '{support.name}'"),
        ("statement_timeout=20s", f"statement_timeout={seconds}s"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def dice_of(seed: int) -> random.Random:
    """Return dice that fall the same way each time."""
    return random.Random(seed)  # noqa: S311


def make_filled(database: Database) -> None:
    """Install, and fill a small marketplace."""
    install(database)
    with database.connect() as connection:
        today = datetime.fromisoformat(NOW).date()
        fill(connection, BASE_SEED, "A", today, size=SMALL)


@dataclass
class Service:
    """The marketplace with the view, and the database that the support service writes."""

    here: Database
    # Where the table of complaints is written, and its name there.
    support: Database
    table: str
    directory: Path

    def migrate(self) -> list[str]:
        """Bring the database to the files with the view."""
        return migrate(self.here.url, directory=self.directory)

    def results(self, now: str = NOW, *, force: bool = False) -> dict[str, tuple[str, str]]:
        """Refresh; return by view its status, and its message or why it was refreshed."""
        with self.here.connect() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
            rows = connection.execute(
                "SELECT view_name, refresh_status, coalesce(error_message, '') "
                "FROM analytics.refresh_all_mv(%s)",
                [force],
            ).fetchall()
        return {row[0]: (row[1], row[2]) for row in rows}

    def refresh(self, now: str = NOW, *, force: bool = False) -> str:
        """Refresh; every view succeeds. Return the mode of the view."""
        results = self.results(now, force=force)
        assert {status for status, _ in results.values()} == {"SUCCESS"}, results
        return str(
            self.here.rows(
                "SELECT mode FROM analytics.refresh_log WHERE view_name = "
                f"'{VIEW}' ORDER BY log_id DESC LIMIT 1"
            )[0][0]
        )

    def failure(self) -> str:
        """Refresh; this view alone fails. Return its message."""
        shown = self.shown()
        results = self.results()
        status, message = results.pop(VIEW)
        assert status == "ERROR", results
        assert {status for status, _ in results.values()} == {"SUCCESS"}, results
        assert self.shown() == shown
        assert self.here.rows(
            "SELECT error_sqlstate FROM analytics.refresh_log WHERE view_name = "
            f"'{VIEW}' ORDER BY log_id DESC LIMIT 1"
        ) == [("TA002",)]
        return message

    def problem(self) -> str | None:
        """Return the text of the problem outside_source; it is the only one about the view."""
        rows = self.here.rows(
            "SELECT problem, message FROM analytics.health_problems() "
            f"WHERE problem = 'outside_source' OR message LIKE '%{VIEW}%'",
            NOW,
        )
        assert {row[0] for row in rows} <= {"outside_source"}, rows
        return str(rows[0][1]) if rows else None

    def shown(self) -> list[Shown]:
        """Return what the view shows."""
        return self.here.rows(
            "SELECT asesor_id::text, asesor_nombre, ciudad, reclamos_30d, reclamos_abiertos_30d, "
            f"entregas_exitosas, tasa_reclamos_pct FROM analytics.{VIEW} ORDER BY 1"
        )

    def at_this_moment(self) -> list[Shown]:
        """Return what the view would show after a refresh."""
        return self.here.rows(
            "SELECT object->>'asesor_id', object->>'asesor_nombre', object->>'ciudad', "
            "(object->>'reclamos_30d')::bigint, (object->>'reclamos_abiertos_30d')::bigint, "
            "(object->>'entregas_exitosas')::bigint, (object->>'tasa_reclamos_pct')::numeric "
            f"FROM analytics.rows_now('{VIEW}') AS now (object) ORDER BY 1",
            NOW,
        )

    def right(self, now: str = NOW) -> list[Shown]:
        """Compute in Python what is right, from the rows of both services."""
        today = datetime.fromisoformat(now).astimezone(ZoneInfo(ZONE)).date()
        with self.here.connect() as connection:
            ranking = oracle.compute_ranking(oracle.read_source(connection), today, ZONE)
        complaints: dict[str, list[str]] = {}
        for advisor, estado, creado_at in self.support.rows(
            f"SELECT asesor_id, estado, creado_at FROM {self.table}"
        ):
            assert isinstance(creado_at, datetime)
            day = creado_at.astimezone(ZoneInfo(ZONE)).date()
            if today - timedelta(days=29) <= day <= today:
                complaints.setdefault(str(advisor), []).append(str(estado))
        rows: list[Shown] = []
        for advisor in ranking:
            states = complaints.get(str(advisor["asesor_id"]), [])
            delivered = int(str(advisor["entregas_exitosas"]))
            rate = (Decimal(100 * len(states)) / delivered if delivered else Decimal(0)).quantize(
                Decimal("0.01"), ROUND_HALF_UP
            )
            rows.append(
                (
                    str(advisor["asesor_id"]),
                    advisor["asesor_nombre"],
                    advisor["ciudad"],
                    len(states),
                    states.count("ABIERTO"),
                    delivered,
                    rate,
                )
            )
        return sorted(rows, key=lambda row: str(row[0]))

    def advisors(self) -> list[UUID]:
        """Return the ids of the advisors, and one that nobody has."""
        rows = self.here.rows("SELECT id FROM public.asesores ORDER BY id")
        return [*(UUID(str(row[0])) for row in rows), UUID(int=7)]

    def complain_visibly(self, connection: psycopg.Connection) -> None:
        """Insert a complaint of today about an advisor whom the view shows."""
        connection.execute(
            f"INSERT INTO {self.table} (asesor_id, estado, creado_at, actualizado_at) "
            "VALUES (%s, 'ABIERTO', %s, clock_timestamp())",
            [self.shown()[0][0], datetime.fromisoformat(NOW)],
        )

    def complain(self, connection: psycopg.Connection, dice: random.Random, count: int = 1) -> None:
        """Insert complaints of the last weeks, on both sides of each local midnight."""
        now = datetime.fromisoformat(NOW)
        advisors = self.advisors()
        for _ in range(count):
            written = now - timedelta(
                days=dice.choice((0, 1, 28, 29, 30, 31, dice.randrange(60))),
                hours=dice.choice((0, 11, 12, 13, 17)),
                microseconds=dice.choice((0, 1)),
            )
            connection.execute(
                f"INSERT INTO {self.table} (asesor_id, estado, creado_at, actualizado_at) "
                "VALUES (%s, %s, %s, %s)",
                [
                    dice.choice(advisors),
                    dice.choice(("ABIERTO", "CERRADO")),
                    written,
                    written + timedelta(hours=dice.randrange(9)),
                ],
            )


def service(
    here: Database, cluster: Cluster, directory: Path, watch: str, *, seconds: int = 20
) -> Service:
    """Make an empty database the marketplace with the view, watched in this way, refreshed."""
    made_once(here, "filled for complaints", make_filled)
    if WAYS[watch][1]:
        support, table = support_database(cluster), "public.reclamos"
        here.execute(way_there(support, seconds=seconds))
    else:
        support, table = here, "soporte.reclamos"
        here.execute(
            "CREATE SCHEMA soporte",
            RECLAMOS.format("soporte"),
            "GRANT USAGE ON SCHEMA soporte TO analytics_owner",
            "GRANT SELECT ON soporte.reclamos TO analytics_owner",
        )
    made = Service(here, support, table, copy_of_sql(directory, watch))
    made.migrate()
    # The causes here are as large as accidents.
    here.execute(
        "SELECT analytics.set_setting('gate', 'off')",
        "SELECT analytics.set_setting('breaker_pct', 'off')",
    )
    with support.connect() as connection:
        made.complain(connection, dice_of(4), 60)
    made.refresh()
    return made


def local_service(database: Database, cluster: Cluster, directory: Path) -> Service:
    """Make an empty database a copy of the marketplace whose complaints are beside it."""
    made_once(
        database,
        "complaints",
        lambda made: service(made, cluster, directory / "once", "triggers"),
    )
    # As somebody confirms in a copy of a database.
    database.execute("SET ROLE analytics_owner; SELECT analytics.bind_outside_sources()")
    return Service(database, database, "soporte.reclamos", copy_of_sql(directory, "triggers"))
