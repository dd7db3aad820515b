"""Writes a version of the package as one SQL file, for servers that no Python can reach.

The same tree gives the same bytes: nothing in the file tells when, where or by whom it was made.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from database import hub
from database.prerequisites import ENGINE_SCHEMA, PINNED_SETTINGS
from database.sql_files import (
    SQL_DIRECTORY,
    SqlFile,
    contract_tables,
    dependency_order,
    load_migrations,
    load_objects,
    made_by,
    providers,
    query_of,
    rules_of,
    rules_of_views,
)

# Queries that are asked before their functions are there.
_EARLY = re.compile(r"\b(FROM|JOIN|LATERAL) kpi_engine\.(\w+)\((?:p_\w+(?:, )?)*\)")
_BODY_TAG = "teloo_file"
HEAD = """\
-- teloo-analytics {version}: installs the package, or upgrades an older version of it.
-- Made by make release; never edited. docs/installing.md, "Without Python", says more.
--
--     psql -1 -f teloo-analytics--{version}.sql "$DATABASE_URL"
--     psql -c 'CALL analytics.apply_change_capture();' "$DATABASE_URL"
--     psql -c 'SELECT * FROM refresh_all_mv();' "$DATABASE_URL"
--
-- Operational tables in another schema than public or teloo: add -v source_schema=name. In several
-- schemas: -v source_schema=bogota,medellin.
-- It is one transaction (-1): everything is installed, or nothing was changed. A second run changes
-- nothing. A later make migrate, or the file of a later version, goes on from here.
--
-- The role: a superuser, or a role that owns the database and has CREATEROLE, and owns the
-- operational tables or may grant SELECT on them. On a managed server that is the role which the
-- provider gives you (Amazon RDS: the master user; Cloud SQL: postgres; Azure: the admin). If it
-- lacks a right, the error lists the statements that another role has to run first.
--
-- What this file can't do:
--   * install or upgrade a hub: make migrate HUB=1;
--   * keep KPI views and functions of your own, which make migrate installed from a changed tree;
--   * create the triggers of change capture, which have a short transaction of their own: the CALL
--     above does. Until then each refresh computes everything again. For tables of other services:
--     SELECT analytics.watch_outside_sources();
--   * create extension pg_cron, or schedule from another database than this one. If pg_cron is in
--     this database when the file runs, tick and work are scheduled. Else run the file again after
--     CREATE EXTENSION pg_cron; or see docs/scheduling.md, "Without pg_cron";
--   * set up PostgREST, nginx, the notifier: docs/api.md;
--   * turn allow_pinned_clock on, as make migrate does for development: it stays off.

\\set ON_ERROR_STOP on
\\set QUIET on
\\set SHOW_CONTEXT never
\\encoding UTF8
\\if :{{?source_schema}}
\\else
    \\set source_schema ''
\\endif
-- With AUTOCOMMIT off, psql opens a transaction that nobody commits.
\\set release_autocommit :AUTOCOMMIT
\\set AUTOCOMMIT on

-- Whatever the database has as its defaults.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- Gone at once without -1.
CREATE TEMPORARY TABLE release_source ON COMMIT DROP AS
SELECT
    :'source_schema'::pg_catalog.text AS source_schema,
    default_path.value AS default_path
FROM ({default_path}) AS default_path (value);

DO $release$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is a standby: connect to its primary';
    END IF;
    IF to_regclass('pg_temp.release_source') IS NULL THEN
        RAISE EXCEPTION 'this file has to be one transaction; nothing was changed'
            USING HINT = 'Run it with psql -1 -f.';
    END IF;
    -- The database may limit the time of a transaction.
    IF current_setting('server_version_num')::integer >= 170000 THEN
        PERFORM set_config('transaction_timeout', '0', true);
    END IF;
END;
$release$;
\\set AUTOCOMMIT :release_autocommit

SET LOCAL search_path = pg_catalog, pg_temp;
{settings}
SET LOCAL check_function_bodies = off;

"""
RUN = """\
INSERT INTO pg_temp.release_run
SELECT
    {version},
    {facts_version},
    coalesce((
{database_path}
    ), default_path),
    current_user,
    (
        SELECT array_agg(btrim(asked.name))
        FROM regexp_split_to_table(nullif(source_schema, ''), ',') AS asked (name)
    ),
    {tables}
FROM pg_temp.release_source;

"""
TAIL = """\
DO $release$
BEGIN
    PERFORM pg_temp.release_install();
END;
$release$;

"""


def literal(value: str | None) -> str:
    """Return a text as a literal, whatever backslashes mean to the server."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def array(values: Iterable[str]) -> str:
    """Return texts as an array."""
    listed = ", ".join(literal(value) for value in values)
    return f"ARRAY[{listed}]::text []"


def numbers(values: Iterable[int]) -> str:
    """Return numbers as an array."""
    return f"ARRAY[{', '.join(map(str, values))}]::integer []"


def quoted_body(text: str) -> str:
    """Return a text between dollar quotes that are not in it."""
    tag = _BODY_TAG
    while f"${tag}$" in text or text.endswith("$"):
        tag += "_"
    return f"${tag}${text}${tag}$"


def steps(directory: Path) -> list[tuple[str, str]]:
    """Return the functions of sql/release by name, the tables first, their queries written out."""
    paths = list((directory / "release").rglob("*.sql"))
    paths.sort(key=lambda path: (path.stem != "release_tables", path.stem))
    return [(path.stem, written_out(path.read_text(encoding="utf-8"), directory)) for path in paths]


def written_out(text: str, directory: Path) -> str:
    """Return a text with the early queries in place of their calls."""
    early = {path.stem for path in (directory / "functions" / "needs").glob("*.sql")}
    early.add("setting_defaults")
    return _EARLY.sub(
        lambda call: f"{call[1]} ({query_of(call[2])})" if call[2] in early else call[0], text
    )


def needs_of(ordered: list[SqlFile]) -> tuple[dict[str, set[str]], set[str]]:
    """Return what each object reads in any number of steps, and which need the source."""
    declared = providers(ordered)
    needs: dict[str, set[str]] = {}
    from_source: set[str] = set()
    for item in ordered:
        named = {declared.get(name, name) for name in item.references()}
        needs[item.object_name] = named.union(*(needs.get(name, set()) for name in named))
        # As Migration.apply_all_objects() decides.
        if item.kind == "materialized view" or any(
            name.startswith(f"{ENGINE_SCHEMA}.src_") or declared.get(name, name) in from_source
            for name in item.references()
        ):
            from_source.add(item.object_name)
    return needs, from_source


def file_row(place: int, item: SqlFile, needs: dict[str, set[str]], from_source: set[str]) -> str:
    """Return the statement that inserts a file."""
    comments = [(item.sql.index(text), len(text)) for text in item.comments()]
    values = [
        str(place),
        literal(item.name),
        literal(item.kind),
        literal(item.file),
        "NULL" if item.version is None else str(item.version),
        quoted_body(item.sql),
        literal(item.checksum),
        literal(item.text_checksum),
        "true" if item.object_name in from_source else "false",
        literal(item.derived_table),
        array(sorted(item.references())),
        array(sorted(needs.get(item.object_name, set()))),
        array(item.index_names()),
        numbers(start + 1 for start, _ in comments),
        numbers(length for _, length in comments),
    ]
    return f"INSERT INTO pg_temp.release_files VALUES ({', '.join(values)});\n"  # noqa: S608


def made_rows(migrations: list[SqlFile]) -> str:
    """Return the statement that inserts what migrations make: made_by() of any first ones of them.

    So the file knows what a database of each older version has to have.
    """
    rows: list[tuple[str, str, str | None]] = []
    there: dict[str, int] = {}
    for count, migration in enumerate(migrations, start=1):
        made = made_by(migrations[:count])
        for name in [name for name in there if name not in made]:
            row = there.pop(name)
            rows[row] = (*rows[row][:2], migration.name)
        for name in made:
            if name not in there:
                there[name] = len(rows)
                rows.append((name, migration.name, None))
    listed = ",\n".join(
        f"({place}, {literal(name)}, {literal(made_in)}, {literal(gone_in)})"
        for place, (name, made_in, gone_in) in enumerate(rows, start=1)
    )
    return f"INSERT INTO pg_temp.release_made VALUES\n{listed};\n\n"


def release_text(version: str, directory: Path = SQL_DIRECTORY) -> str:
    """Return the file of a version."""
    migrations = load_migrations(directory)
    ordered = dependency_order(load_objects(directory))
    needs, from_source = needs_of(ordered)
    functions = steps(directory)
    parts = [
        HEAD.format(
            version=version,
            default_path=query_of("default_search_path"),
            settings="\n".join(
                f"SET LOCAL {name} = {literal(value)};" for name, value in PINNED_SETTINGS.items()
            ),
        )
    ]
    for name, text in functions:
        parts.append(text + "\n")
        if name == "release_tables":
            parts.append(
                RUN.format(
                    version=literal(version),
                    facts_version=literal(hub.facts_version(ordered)),
                    database_path=query_of("database_search_path"),
                    tables=array(contract_tables(ordered)),
                )
            )
        else:
            parts.append(f"GRANT EXECUTE ON FUNCTION pg_temp.{name} TO public;\n\n")
    parts += [
        file_row(place, item, needs, from_source)
        for place, item in enumerate([*migrations, *ordered], start=1)
    ]
    parts.append(made_rows(migrations))
    rules = sorted((table, rule) for table, names in rules_of(ordered).items() for rule in names)
    parts.append("INSERT INTO pg_temp.release_rules VALUES\n")
    parts.append(
        ",\n".join(f"({literal(table)}, {literal(rule)})" for table, rule in rules) + ";\n\n"
    )
    views = json.dumps(rules_of_views(ordered))
    parts.append(f"SET LOCAL teloo_release.rules_of_views = {literal(views)};\n\n")
    parts.append(TAIL)
    # A pool may give the session to others.
    parts += [
        f"DROP FUNCTION pg_temp.{name};\n" for name, _ in functions if name != "release_tables"
    ]
    return "".join(parts)


def pgxn_meta(version: str, description: str, file: str) -> str:
    """Return META.json, as PGXN reads it."""
    return (
        json.dumps(
            {
                "name": "teloo-analytics",
                "abstract": description,
                "version": version,
                "maintainer": "The teloo-analytics authors",
                "license": "mit",
                "provides": {
                    "teloo-analytics": {
                        "abstract": description,
                        "file": file,
                        "docfile": "docs/installing.md",
                        "version": version,
                    }
                },
                "prereqs": {
                    "runtime": {
                        "requires": {"PostgreSQL": "15.0.0"},
                        "recommends": {"pg_cron": "1.4.0"},
                    }
                },
                "release_status": "stable",
                "meta-spec": {
                    "version": "1.0.0",
                    "url": "https://pgxn.org/meta/spec.txt",
                },
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )
