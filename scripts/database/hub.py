"""What migrate does otherwise at a hub: its facts come from a mirror of the sites."""

import re
from collections.abc import Iterable

import psycopg

from database.prerequisites import ENGINE_SCHEMA
from database.sql_files import SqlFile, rules_of, sha256

_KEPT_BY_KEY = re.compile(
    r"^SELECT kpi_engine\.declare_derived_table\(\s*'(\w+)', 'key', ARRAY\['(\w+)'\].*?^\);",
    re.MULTILINE | re.DOTALL,
)
_SOURCE_VIEW = re.compile(r"p_source_view => '\w+'")
_COMMENT = re.compile(r"^COMMENT ON .*?;$", re.MULTILINE | re.DOTALL)


def facts(objects: Iterable[SqlFile]) -> list[SqlFile]:
    """Return the files that define the facts: the derived tables that are kept by key."""
    return [item for item in objects if item.kind == "view" and _KEPT_BY_KEY.search(item.sql)]


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
        text = _KEPT_BY_KEY.sub("", item.sql).replace(f"recomputed_{table}", f"site_{table}")
        name = f"{ENGINE_SCHEMA}.site_{table}"
        made.append(SqlFile(name=name, kind="view", sql=text, object_name=name))
    return made


def objects_of_hub(connection: psycopg.Connection, objects: list[SqlFile]) -> list[SqlFile]:
    """Return the objects of a hub: its facts read the mirror, which this makes or extends."""
    over_mirror = {item.object_name: of_hub(connection, item) for item in facts(objects)}
    return [
        *(over_mirror.get(item.object_name, item) for item in objects),
        *templates(objects),
    ]


def of_hub(connection: psycopg.Connection, item: SqlFile) -> SqlFile:
    """Return the definition of facts over the mirror of the sites."""
    declaration = _KEPT_BY_KEY.search(item.sql)
    if declaration is None:
        raise ValueError(f"{item.path} declares no table that is kept by key")
    table, key = declaration.groups()
    row = connection.execute("SELECT kpi_engine.make_hub_mirror(%s, %s)", [table, key]).fetchone()
    if row is None:
        raise ValueError("kpi_engine.make_hub_mirror() returned nothing")
    text = "\n\n".join(
        (
            f"CREATE OR REPLACE VIEW {item.object_name} AS\n{row[0]};",
            *_COMMENT.findall(item.sql),
            f"REVOKE ALL ON {item.object_name} FROM public;",
            _SOURCE_VIEW.sub(f"p_source_view => 'hub_{table}'", declaration[0]),
        )
    )
    return SqlFile(
        name=item.name, kind="view", sql=text, object_name=item.object_name, file=item.file
    )
