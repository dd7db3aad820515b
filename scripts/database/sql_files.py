"""The SQL files of the package: what they define, their checksums, the order to apply them."""

import functools
import graphlib
import hashlib
import heapq
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from commandline.console import UserError

# A materialized view for users, and a view that defines a derived table.
KPI_VIEW_PREFIX = "mv_"
# The letters of a path of the HTTP API; PostgreSQL puts one more before the name of the row type.
KPI_VIEW_NAME = re.compile(r"mv_[a-z0-9_]{1,59}")
DEFINITION_PREFIX = "kpi_engine.recomputed_"
SQL_DIRECTORY = Path(__file__).resolve().parents[2] / "sql"

# The one statement of a file that makes its object. Materialized views have no schema there:
# migrate builds them aside.
_DEFINITION = re.compile(
    r"^CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|AGGREGATE|VIEW|MATERIALIZED VIEW) "
    r"(?:(\w+)\.)?(\w+)",
    re.MULTILINE,
)
_KINDS = {"FUNCTION": "function", "PROCEDURE": "function", "AGGREGATE": "function"}
# What is no code: comments, and white space that is in no literal. Literals and names in quotes are
# taken whole, since they may look like comments.
_TOKEN = re.compile(
    r"""(?P<blank>(?:--[^\n]*|/\*.*?\*/|\s)+)|'(?:[^']|'')*'|"[^"]*"|[^'"/\s-]+|.""", re.DOTALL
)
_COMMENT_ON = re.compile(r"^COMMENT ON [^;']*? IS\s+(?:'(?:[^']|'')*'\s*)+;", re.MULTILINE)
# The same, and one with a word for the linter. The checksums of migrations count that one as code.
_COMMENT_TO_RUN = re.compile(
    r"^COMMENT ON [^;']*? IS(?: --[^\n]*)?\s+(?:'(?:[^']|'')*'\s*)+;", re.MULTILINE
)
# What a migration makes, and takes away or renames.
_MADE = re.compile(
    r"^CREATE (?:UNLOGGED )?(?:TABLE|SEQUENCE|DOMAIN|TYPE) (?:IF NOT EXISTS )?"
    r'(?P<name>\w+\.(?:\w+|"[^"]+"))'
    r"|^DROP [^;]*;|^ALTER [A-Z ]+ \S+ (?:RENAME|SET SCHEMA) [^;]*;",
    re.MULTILINE,
)
# How the file of a view declares the derived table that it defines.
_DECLARATION = re.compile(
    r"^SELECT\s+kpi_engine\.declare_derived_table\(\s*(?:p_table_name\s*=>\s*)?'(\w+)'.*?\)\s*;",
    re.MULTILINE | re.DOTALL,
)
# What PostgreSQL looks at only when a function runs, and so does not order anything:
# comments, string literals, bodies between dollar quotes.
_LATE_BOUND = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
# Names in schema analytics are known without it.
_REFERENCE = re.compile(r"\b(?:analytics\.|(?=(?:kpi_engine|api)\.))((?:(?:kpi_engine|api)\.)?\w+)")
# The query of a function in language sql.
_BODY = re.compile(
    r"^AS \$(\w+)\$\n(.*?);?\n\$\1\$;|^BEGIN ATOMIC\n(.*?);\nEND;", re.DOTALL | re.MULTILINE
)
# A call without arguments, or with parameters of the caller under the same names.
_PASSED_ON = re.compile(r"\b(FROM|JOIN) \w+\.(\w+)\((?:p_\w+(?:, )?)*\)")
# A literal that PostgreSQL takes for the clock once, when the view is made.
_CLOCK_LITERAL = re.compile(r"'\s*(?:now|today|tomorrow|yesterday)\s*'", re.IGNORECASE)
_LITERAL = r"(?:'(?:[^']|'')*'\s*)+|NULL|\d+"
_ROW = re.compile(rf"\(\s*((?:{_LITERAL})(?:\s*,\s*(?:{_LITERAL}))*)\s*\)")


@dataclass(frozen=True)
class SqlFile:
    """A file (or a generated text) that defines one object, or one migration.

    ``name`` is what the ledger knows it by: the object, or the number and name of a migration.
    ``file`` is where it lies below sql/; it may move. ``object_name`` is written without a schema
    in schema analytics, with it in the others. ``checksum`` is the SHA-256 of the code, without
    comments, COMMENT statements and white space; ``text_checksum`` that of the whole text.
    """

    name: str
    kind: str
    sql: str
    version: int | None = None
    object_name: str = ""
    file: str = ""
    checksum: str = field(init=False)
    text_checksum: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the checksums."""
        # analytics.bind_source() writes that of a source view too, and can only take it whole.
        code = self.sql if self.kind == "source view" else code_of(self.sql)
        object.__setattr__(self, "checksum", sha256(code))
        object.__setattr__(self, "text_checksum", sha256(self.sql))

    @property
    def label(self) -> str:
        """How a person knows it: by its file, or by its name where it was generated."""
        return self.file or self.name

    @property
    def path(self) -> str:
        """The same from the root of the project."""
        return f"sql/{self.file}" if self.file else self.name

    def comments(self) -> list[str]:
        """Return the COMMENT statements of the text."""
        return [found[0] for found in _COMMENT_TO_RUN.finditer(self.sql)]

    def references(self) -> set[str]:
        """Return the names of objects that must exist before this one can."""
        return set(self._references)

    @functools.cached_property
    def _references(self) -> frozenset[str]:
        names = frozenset(_REFERENCE.findall(_LATE_BOUND.sub(" ", self.sql)))
        return names - {self.object_name}

    def mentions(self) -> set[str]:
        """Return the names of our objects anywhere in the code, in bodies and literals too.

        How a derived table is declared is not among them: it says nothing of what is in the table.
        """
        return set(_REFERENCE.findall(code_of(_DECLARATION.sub("", self.sql))))

    @functools.cached_property
    def _declaration(self) -> re.Match[str] | None:
        return _DECLARATION.search(self.sql)

    @property
    def derived_table(self) -> str | None:
        """Return the name of the derived table that the file declares."""
        return self._declaration[1] if self._declaration else None

    @property
    def declaration(self) -> str:
        """Return the statement that declares it, or an empty text."""
        return self._declaration[0] if self._declaration else ""

    def index_names(self) -> list[str]:
        """Return the names of the indexes that the text creates."""
        return re.findall(r"^CREATE (?:UNIQUE )?INDEX (\w+)", self.sql, re.MULTILINE)


def sha256(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


@functools.lru_cache(maxsize=1024)
def code_of(text: str) -> str:
    """Return SQL without comments, COMMENT statements and the white space between its words."""
    code = _COMMENT_ON.sub("", text)
    return _TOKEN.sub(lambda match: " " if match["blank"] else match[0], code).strip()


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
                file=f"migrations/{path.name}",
                kind="migration",
                sql=path.read_text(encoding="utf-8"),
                version=int(match[1]),
            )
        )
    for one, other in pairwise(migrations):
        if one.version == other.version:
            raise UserError(
                f"{directory / one.file} and {directory / other.file} have the same number",
                "Give the one that was not released the next free number.",
            )
    return migrations


def made_by(migrations: Iterable[SqlFile]) -> list[str]:
    """Return the tables, sequences and types that migrations make and none takes away again."""
    made: dict[str, None] = {}
    for migration in migrations:
        for statement in _MADE.finditer(migration.sql):
            if statement["name"]:
                made[statement["name"]] = None
            else:
                gone = [name for name in made if re.search(rf"{re.escape(name)}\b", statement[0])]
                made = {name: None for name in made if name not in gone}
    return list(made)


def split_name(object_name: str) -> tuple[str, str]:
    """Return schema and name of an object as ``SqlFile.object_name`` writes it."""
    schema, _, name = object_name.rpartition(".")
    return schema or "analytics", name


def load_objects(directory: Path = SQL_DIRECTORY) -> list[SqlFile]:
    """Read the files below ``functions`` and ``views``: one object each, named after its file.

    The folders between say nothing: a file may move.
    """
    objects: dict[str, SqlFile] = {}
    paths = [
        path for folder in ("functions", "views") for path in (directory / folder).rglob("*.sql")
    ]
    for path in sorted(paths):
        file = path.relative_to(directory).as_posix()
        item = object_of(file, path.read_text(encoding="utf-8"))
        if item.object_name in objects:
            raise UserError(
                f"sql/{objects[item.object_name].file} and sql/{item.file} make the same object; "
                "nothing was changed",
                f"Give one of them another name, or take it away: {item.object_name} is made once.",
            )
        objects[item.object_name] = item
    return list(objects.values())


# A process that migrates many databases, as the tests do, reads each text once.
@functools.cache
def object_of(file: str, text: str) -> SqlFile:
    """Return the object of a file: its name and kind are in the CREATE statement of the text."""
    found = _DEFINITION.search(text)
    if found is None:
        raise UserError(
            f"sql/{file} makes no function and no view", "It has to begin a line with CREATE."
        )
    kind, schema, name = found.groups()
    if name != Path(file).stem:
        raise UserError(f"sql/{file} makes {name}; name the file {name}.sql")
    clock = _CLOCK_LITERAL.search(text)
    if clock and kind.endswith("VIEW"):
        raise UserError(
            f"sql/{file} has {clock[0]}: PostgreSQL would read the clock once, and never again",
            "Read today of kpi_engine.window_end in a derived table, and of kpi_engine.view_state "
            "in a KPI view.",
        )
    refuse_wrong_schema(file, kind, schema, name)
    refuse_wrong_name(file, kind, name)
    object_name = name if schema in (None, "analytics") else f"{schema}.{name}"
    item = SqlFile(
        name=object_name,
        kind=_KINDS.get(kind, kind.lower()),
        sql=text,
        object_name=object_name,
        file=file,
    )
    refuse_wrong_declaration(item)
    return item


def refuse_wrong_schema(file: str, kind: str, schema: str | None, name: str) -> None:
    """Refuse a KPI view that is no materialized view or names a schema, and others without one."""
    is_materialized = kind == "MATERIALIZED VIEW"
    if (is_materialized and schema) or (
        kind == "VIEW" and name.startswith(KPI_VIEW_PREFIX) and schema in (None, "analytics")
    ):
        raise UserError(
            f"sql/{file} must be CREATE MATERIALIZED VIEW {name}, without a schema; "
            "nothing was changed",
            f"Write CREATE MATERIALIZED VIEW {name} AS … WITH NO DATA; migrate builds it aside and "
            "puts it into schema analytics. Its COMMENT, index and GRANT have no schema either.",
        )
    if not is_materialized and schema is None:
        raise UserError(
            f"sql/{file} makes {name} without a schema; nothing was changed",
            f"Write CREATE OR REPLACE {kind} with the schema: analytics.{name} for people, "
            f"kpi_engine.{name} for the engine, api.{name} for PostgREST.",
        )


def refuse_wrong_name(file: str, kind: str, name: str) -> None:
    """Refuse the name of a KPI view that the HTTP API or PostgreSQL can't take."""
    if (
        kind == "MATERIALIZED VIEW"
        and name.startswith(KPI_VIEW_PREFIX)
        and not KPI_VIEW_NAME.fullmatch(name)
    ):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        right = plain[:62] if KPI_VIEW_NAME.fullmatch(plain[:62]) else "mv_ventas"
        raise UserError(
            f"sql/{file}: the name of a KPI view has only a to z, 0 to 9 and _, and at most 62 "
            f"characters; {name} has {len(name)}; nothing was changed",
            f"Name view and file {right}, for example.",
        )


def refuse_wrong_declaration(item: SqlFile) -> None:
    """Refuse a definition that declares no derived table, or one of another name."""
    table = item.object_name.removeprefix(DEFINITION_PREFIX)
    is_definition = item.object_name != table
    if is_definition and "declare_derived_table" not in code_of(item.sql):
        raise UserError(
            f"{item.path} declares no derived table, so nothing would fill it; nothing was changed",
            f"End it with SELECT kpi_engine.declare_derived_table('{table}', …); "
            "docs/changing.md has the form.",
        )
    if item.derived_table and item.derived_table != (table if is_definition else None):
        raise UserError(
            f"{item.path} declares derived table {item.derived_table}, which "
            f"recomputed_{item.derived_table} defines; nothing was changed",
            f"Name file and view recomputed_{item.derived_table}"
            + (f", or declare derived table {table}." if is_definition else "."),
        )


@functools.cache
def text_of(name: str) -> str:
    """Return the text of the file that makes a function."""
    (path,) = (SQL_DIRECTORY / "functions").rglob(f"{name}.sql")
    return path.read_text(encoding="utf-8")


@functools.cache
def query_of(name: str) -> str:
    """Return the query of a function in language sql, to run where the function is not there.

    The query may read the function's parameters. A function that it calls without arguments, or
    with parameters of the same names, is written out, too; it must not call another one of ours.
    """
    found = _BODY.search(text_of(name))
    if found is None:
        raise ValueError(f"{name} has no query")
    return _PASSED_ON.sub(lambda call: f"{call[1]} ({query_of(call[2])})", found[2] or found[3])


@functools.cache
def literal_rows(name: str) -> list[tuple[str | None, ...]]:
    """Return the rows of literals that a function's query lists after VALUES."""
    rows = []
    for row in _ROW.finditer(query_of(name).partition("VALUES")[2]):
        values = re.findall(_LITERAL, row[1])
        rows.append(tuple(None if value == "NULL" else _value_of(value) for value in values))
    return rows


def _value_of(literal: str) -> str:
    """Return the value of a literal; the parts of one that goes over several lines are one."""
    if "'" not in literal:
        return literal
    parts = re.findall(r"'((?:[^']|'')*)'", literal)
    return "".join(parts).replace("''", "'")


def rules_of(objects: Iterable[SqlFile]) -> dict[str, set[str]]:
    """Return, by derived table, the names of the objects that decide what is in it.

    The root is the view that defines it; then everything that one of these refers to, in its body
    and its literals too, and the source views. Another derived table ends the way: what is in
    that one has rules of its own.
    """
    by_name = {item.object_name: item for item in objects}
    rules: dict[str, set[str]] = {}
    for item in by_name.values():
        if item.derived_table is not None:
            rules[item.derived_table] = deciding(item.object_name, by_name)
    return rules


def deciding(root: str, by_name: Mapping[str, SqlFile]) -> set[str]:
    """Return the names of an object and of everything that it refers to, directly or not."""
    found: set[str] = set()
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name in by_name:
                waiting += [
                    mentioned
                    for mentioned in by_name[name].mentions()
                    if mentioned in by_name or mentioned.startswith("kpi_engine.src_")
                ]
    return found


def rules_of_views(objects: Iterable[SqlFile]) -> dict[str, str]:
    """Return, by materialized view, a checksum of the code that decides what it shows.

    Of derived tables and source views it does not say anything: their rows have rules of their own.
    """
    by_name = {item.object_name: item for item in objects}
    return {
        item.object_name: sha256(
            "".join(
                f"{name} {by_name[name].checksum}\n"
                for name in sorted(deciding(item.object_name, by_name) & by_name.keys())
            )
        )
        for item in by_name.values()
        if item.kind == "materialized view"
    }


def contract_tables(objects: Iterable[SqlFile]) -> list[str]:
    """Return the names of the operational tables, by the file of the contract."""
    text = "".join(item.sql for item in objects if item.object_name == "kpi_engine.source_contract")
    names = re.findall(r"^\s+\('(\w+)', '\w+', '[\w ]+', '[AB]*'\)", text, re.MULTILINE)
    return list(dict.fromkeys([*names, "auditoria_tiendas"]))


def providers(objects: Iterable[SqlFile]) -> dict[str, str]:
    """Return by the name of each derived table the object whose file declares it."""
    return {
        f"kpi_engine.{item.derived_table}": item.object_name
        for item in objects
        if item.derived_table
    }


def dependency_order(objects: Iterable[SqlFile]) -> list[SqlFile]:
    """Order objects so that each comes after those it needs, materialized views last.

    The needs are read off the texts: every reference is written with its schema.
    """
    by_name = {item.object_name: item for item in objects}
    declared = providers(by_name.values())
    sorter = graphlib.TopologicalSorter(
        {
            name: {declared.get(needed, needed) for needed in item.references()} & by_name.keys()
            for name, item in by_name.items()
        }
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise UserError(
            f"objects need each other: {' -> '.join(error.args[1])}; nothing was changed",
            "A definition reads no table that is computed from it, and a derived table has a name "
            "that no function has.",
        ) from error
    ordered: list[SqlFile] = []
    ready: list[tuple[bool, str]] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, (by_name[name].kind == "materialized view", name))
        _, name = heapq.heappop(ready)
        ordered.append(by_name[name])
        sorter.done(name)
    return ordered
