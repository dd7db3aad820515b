"""The SQL files of the package: what they define, their checksums, the order to apply them."""

import functools
import graphlib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from console import UserError

SQL_DIRECTORY = Path(__file__).resolve().parent.parent / "sql"

# What PostgreSQL looks at only when a function runs, and so does not order anything:
# comments, string literals, bodies between dollar quotes.
_LATE_BOUND = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
_REFERENCE = re.compile(r"\b(?:analytics\.|(?=api\.))((?:api\.)?\w+)")


@dataclass(frozen=True)
class SqlFile:
    """A file (or a generated text) that defines one object, or one migration.

    ``object_name`` is written without a schema in schema analytics, with it in schema api.
    """

    name: str
    kind: str
    sql: str
    version: int | None = None
    object_name: str = ""
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the SHA-256 of the text."""
        object.__setattr__(self, "checksum", hashlib.sha256(self.sql.encode()).hexdigest())

    def references(self) -> set[str]:
        """Return the names of objects that must exist before this one can."""
        return set(self._references)

    @functools.cached_property
    def _references(self) -> frozenset[str]:
        names = frozenset(_REFERENCE.findall(_LATE_BOUND.sub(" ", self.sql)))
        return names - {self.object_name}

    def index_names(self) -> list[str]:
        """Return the names of the indexes that the text creates."""
        return re.findall(r"^CREATE (?:UNIQUE )?INDEX (\w+)", self.sql, re.MULTILINE)


def load_migrations(directory: Path = SQL_DIRECTORY) -> list[SqlFile]:
    """Read ``migrations/NNNN_name.sql``, in the order of their numbers."""
    migrations = []
    for path in sorted((directory / "migrations").glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_\w+", path.stem)
        if not match:
            raise UserError(f"{path} must be named NNNN_name.sql, such as 0002_facts.sql")
        migrations.append(
            SqlFile(
                name=f"migrations/{path.name}",
                kind="migration",
                sql=path.read_text(encoding="utf-8"),
                version=int(match[1]),
            )
        )
    versions = [migration.version for migration in migrations]
    for version in versions:
        if versions.count(version) > 1:
            raise UserError(f"two files in {directory / 'migrations'} have number {version:04d}")
    return migrations


def split_name(object_name: str) -> tuple[str, str]:
    """Return schema and name of an object as ``SqlFile.object_name`` writes it."""
    schema, _, name = object_name.rpartition(".")
    return schema or "analytics", name


def object_name_of(file_name: str) -> str:
    """Return the object that a file defines: ``functions/api/health.sql`` is api.health."""
    path = Path(file_name)
    return f"{path.parent.name}.{path.stem}" if path.parent.name == "api" else path.stem


def load_objects(directory: Path = SQL_DIRECTORY) -> list[SqlFile]:
    """Read ``functions/*.sql`` and ``views/*.sql``, one object each, named after its file.

    Those below ``functions/api`` and ``views/api`` are objects of schema api.
    """
    objects = []
    for folder in ("functions", "views", "functions/api", "views/api"):
        for path in sorted((directory / folder).glob("*.sql")):
            sql = path.read_text(encoding="utf-8")
            kind = "function" if folder.startswith("functions") else "view"
            if kind == "view" and re.search(r"^CREATE MATERIALIZED VIEW", sql, re.MULTILINE):
                kind = "materialized view"
            name = f"{folder}/{path.name}"
            objects.append(SqlFile(name=name, kind=kind, sql=sql, object_name=object_name_of(name)))
    return objects


def dependency_order(objects: Iterable[SqlFile]) -> list[SqlFile]:
    """Order objects so that each comes after those it needs, materialized views last.

    The needs are read off the texts: every reference is written with its schema.
    """
    by_name = {item.object_name: item for item in objects}
    sorter = graphlib.TopologicalSorter(
        {name: item.references() & by_name.keys() for name, item in by_name.items()}
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise UserError(f"objects need each other: {' -> '.join(error.args[1])}") from error
    ordered: list[SqlFile] = []
    ready: list[str] = []
    while sorter.is_active():
        ready.extend(sorter.get_ready())
        ready.sort(key=lambda name: (by_name[name].kind == "materialized view", name))
        name = ready.pop(0)
        ordered.append(by_name[name])
        sorter.done(name)
    return ordered
