"""What migrate does otherwise at a hub: its facts come from a mirror of the sites."""

import re
from collections.abc import Iterable

import psycopg

from commandline.console import UserError
from database.prerequisites import ENGINE_SCHEMA
from database.sql_files import SqlFile, rules_of, sha256

_BY_KEY = re.compile(r"'key'\s*,\s*(?:p_key_columns\s*=>\s*)?ARRAY\['(\w+)'\]")
_SOURCE_VIEW = re.compile(r"p_source_view\s*=>\s*'\w+'")


def facts(objects: Iterable[SqlFile]) -> list[SqlFile]:
    """Return the files that define the facts: the derived tables that are kept by key."""
    return [item for item in objects if "'key'" in item.declaration]


def key_of(item: SqlFile) -> str:
    """Return the key column of a table of facts; raise UserError where it can't be read off."""
    found = _BY_KEY.search(item.declaration)
    if found is None or len(_SOURCE_VIEW.findall(item.declaration)) != 1:
        raise UserError(
            f"a hub does not understand how {item.path} declares its table; nothing was changed",
            "Write: 'key', ARRAY['the key column'], p_source_view => 'src_…'",
        )
    return found[1]


def facts_version(objects: list[SqlFile]) -> str:
    """Return a checksum of the rules of the facts, which does not depend on the source."""
    rules = rules_of(objects)
    checksums = {item.object_name: item.checksum for item in objects}
    names = set().union(*(rules[str(item.derived_table)] for item in facts(objects)))
    return sha256(
        "".join(f"{name} {checksums[name]}\n" for name in sorted(names) if name in checksums)
    )


def templates(objects: Iterable[SqlFile]) -> list[SqlFile]:
    """Return, for each table of facts, the view by which a site computes it."""
    made = []
    for item in facts(objects):
        table = str(item.derived_table)
        text = item.sql.replace(item.declaration, "")
        text = text.replace(f"recomputed_{table}", f"site_{table}")
        name = f"{ENGINE_SCHEMA}.site_{table}"
        made.append(SqlFile(name=name, kind="view", sql=text, object_name=name))
    return made


def objects_of_hub(connection: psycopg.Connection, objects: list[SqlFile]) -> list[SqlFile]:
    """Return the objects of a hub: its facts read the mirror, which this makes or extends."""
    over_mirror = {
        item.object_name: definition(item, query_over_mirror(connection, item))
        for item in facts(objects)
    }
    return [
        *(over_mirror.get(item.object_name, item) for item in objects),
        *templates(objects),
    ]


def query_over_mirror(connection: psycopg.Connection, item: SqlFile) -> str:
    """Make or extend the mirror of a table of facts; return the query that reads it."""
    try:
        row = connection.execute(
            "SELECT kpi_engine.make_hub_mirror(%s, %s)", [item.derived_table, key_of(item)]
        ).fetchone()
    except psycopg.errors.InvalidParameterValue as error:
        raise UserError(
            f"{item.path}: {error.diag.message_primary}; nothing was changed",
            error.diag.message_hint or "",
        ) from error
    if row is None:
        raise ValueError("kpi_engine.make_hub_mirror() returned nothing")
    return str(row[0])


def definition(item: SqlFile, query: str) -> SqlFile:
    """Return the definition of facts over the mirror of the sites."""
    key_of(item)
    text = "\n\n".join(
        (
            f"CREATE OR REPLACE VIEW {item.object_name} AS\n{query};",
            *item.comments(),
            f"REVOKE ALL ON {item.object_name} FROM public;",
            _SOURCE_VIEW.sub(f"p_source_view => 'hub_{item.derived_table}'", item.declaration),
        )
    )
    return SqlFile(
        name=item.name, kind="view", sql=text, object_name=item.object_name, file=item.file
    )
