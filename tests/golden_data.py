"""Loads the golden data and reads the answers that come with it."""

import csv
import os
import subprocess
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from cluster import connection_environment
from migrate import migrate
from oracle import Row, Value

GOLDEN = Path(__file__).resolve().parent / "golden"
TODAY = date(2026, 11, 23)
NOW = "2026-11-23 12:00:00-05"
SUFFIXES = {"A": "", "B": "_b"}
TEXT_COLUMNS = {
    "asesor_id",
    "asesor_nombre",
    "asesor_email",
    "ciudad",
    "departamento",
    "punto_venta",
    "estado_asesor",
    "ciudad_key",
    "segmento",
}


def run_file(url: str, path: Path) -> None:
    """Run a file with psql; it may hold COPY … FROM stdin."""
    result = subprocess.run(
        ["psql", "--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(path)],
        env={**os.environ, **connection_environment(url)},
        text=True,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{path.name}: {result.stderr.strip()}")


def load_source(url: str, generation: str = "A") -> None:
    """Load the golden source of a generation into an empty database."""
    run_file(url, GOLDEN / f"source{SUFFIXES[generation]}.sql")


def load_rich(url: str) -> None:
    """Load the rich data of generation A into an empty database, and migrate it."""
    run_file(url, GOLDEN / "rich" / "a" / "source.sql")
    migrate(url)


def load_change(url: str, generation: str = "A") -> None:
    """Run the golden day of work."""
    run_file(url, GOLDEN / f"change{SUFFIXES[generation]}.sql")


def cell(column: str, text: str) -> Value:
    """Return a field of the CSV as a value of the oracle's shape."""
    if text == r"\N":
        return None
    if column in TEXT_COLUMNS:
        return text
    if column in {"mes", "semana", "dia"}:
        return date.fromisoformat(text)
    if column == "ultima_auditoria":
        moment = datetime.fromisoformat(text)
        return Fraction(int(moment.replace(microsecond=0).timestamp())) + Fraction(
            moment.microsecond, 1_000_000
        )
    return Decimal(text)


def read_answers(view: str, generation: str, *, changed: bool) -> list[Row]:
    """Read the right contents of a view: ``mensuales`` or ``ranking``."""
    name = f"expected_{view}{'_after_change' if changed else ''}{SUFFIXES[generation]}.csv"
    return read_csv(GOLDEN / name)


def read_csv(path: Path) -> list[Row]:
    """Read a file of right contents."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {column: cell(column, text) for column, text in row.items()}
            for row in csv.DictReader(file, strict=True)
        ]


def expected_views(generation: str, *, changed: bool) -> tuple[list[Row], list[Row]]:
    """Return the right contents of both views, in the shape of ``oracle.compute``."""
    return (
        read_answers("mensuales", generation, changed=changed),
        read_answers("ranking", generation, changed=changed),
    )
