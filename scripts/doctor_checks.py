"""What the doctor looks at: one small function for each check, in groups.

A check yields findings. It repeats no rule that SQL or another script has: it asks there. Each
runs in a read-only transaction of its own, as analytics_owner where that is possible and asked
for; what it raises is reported by scripts/doctor.py as its result.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from psycopg import sql

import cron
import gateway
import prerequisites
from console import LOGGER, UserError, environment
from farewell import setting_defaults
from migrate import Migration, source_view
from prerequisites import (
    API_ROLES,
    AUTHENTICATOR,
    OWNER,
    ROLES,
    SCHEDULER,
    SCHEMA,
    SCHEMAS,
    Requirement,
    scalar,
)
from sql_files import SqlFile, load_objects, split_name

OK, ADVICE, WARNING, WRONG = "ok", "advice", "warning", "wrong"
UNCHECKED, FAILED = "unchecked", "failed"

# From here on a transaction keeps what was deleted from being removed.
LONG_TRANSACTION = timedelta(hours=1)
# A job that waits longer than this for work(), which comes every minute, is stuck.
STUCK_JOB = timedelta(minutes=10)
# After four attempts, which take two minutes, it is more than a server that restarts.
FAILED_ATTEMPTS = 3
# A notifier asks every second for what is due.
STUCK_NOTICE = timedelta(minutes=10)
# Ticks keep the change log small; its file stays as large as it once was.
CHANGE_LOG_BYTES = 256 * 1024**2
# Dead rows that are more than the living ones, and worth a word.
DEAD_ROWS = 50_000
# What the server needs to go on, whatever the package's size.
LEAST_FREE_BYTES = 1024**3
# Connections that are not the HTTP API's: the jobs, migrate, somebody with psql.
OTHER_CONNECTIONS = 5


@dataclass(frozen=True)
class Fix:
    """What to do: a command for the shell, a statement, or advice in words."""

    run: str
    command: str
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    status: str
    message: str
    fixes: tuple[Fix, ...] = ()
    # What it follows from, where another finding is the cause of it.
    cause: str = ""


def shell(command: str, note: str = "") -> Fix:
    """Return a command for the shell."""
    return Fix("shell", command, note)


def statement(text: str, note: str = "") -> Fix:
    """Return a statement for psql."""
    return Fix("sql", text if text.endswith(";") else f"{text};", note)


def advice(text: str) -> Fix:
    """Return what no command can do."""
    return Fix("advice", text)


def ok(message: str = "") -> Finding:
    """Return that something is well."""
    return Finding(OK, message)


def warning(message: str, *fixes: Fix) -> Finding:
    """Return what should be looked at."""
    return Finding(WARNING, message, fixes)


def wrong(message: str, *fixes: Fix) -> Finding:
    """Return what has to be mended."""
    return Finding(WRONG, message, fixes)


def unchecked(message: str, *fixes: Fix) -> Finding:
    """Return what could not be seen."""
    return Finding(UNCHECKED, message, fixes)


MIGRATE = shell("make migrate")
REFRESH = statement("SELECT * FROM analytics.refresh_all_mv()")
CAPTURE = statement(
    "CALL analytics.apply_change_capture()",
    "as the owner of the operational tables, outside a transaction block",
)
CAPTURE_OFF = statement("SELECT analytics.set_setting('change_capture', 'off')")


@dataclass
class Patient:
    """The database that is looked at, over one connection."""

    connection: psycopg.Connection
    url: str
    default_path: str
    with_counts: bool = True
    may_act_as_owner: bool = False

    def rows(self, query: str | sql.Composable, *values: object) -> list[tuple[object, ...]]:
        """Run a query and return its rows."""
        return self.connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]

    def value(self, query: str | sql.Composable, *values: object) -> object:
        """Run a query and return the first column of its first row."""
        return scalar(self.connection, query, *values)

    def unmet(self, requirements: list[Requirement]) -> list[str]:
        """Return the statements of the requirements that are not met."""
        return [
            requirement.statement.as_string(self.connection)
            for requirement in requirements
            if not self.value(requirement.is_met)
        ]


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    group: str
    name: str
    look: Callable[[Patient], Iterator[Finding]]
    as_owner: bool
    needs_package: bool


CHECKS: list[Check] = []


def check(
    group: str, name: str, *, as_owner: bool = False, needs_package: bool = True
) -> Callable[[Callable[[Patient], Iterator[Finding]]], Callable[[Patient], Iterator[Finding]]]:
    """Add a function to the list of checks."""

    def add(
        look: Callable[[Patient], Iterator[Finding]],
    ) -> Callable[[Patient], Iterator[Finding]]:
        CHECKS.append(Check(group, name, look, as_owner, needs_package))
        return look

    return add


def megabytes(size: object) -> str:
    """Return a number of bytes in words."""
    return f"{int(str(size)) / 1024**2:,.0f} MB"


# -- server ------------------------------------------------------------------------------------


@check("server", "version and encoding", needs_package=False)
def look_at_server(patient: Patient) -> Iterator[Finding]:
    """Version, encoding and locale, as migrate wants them."""
    prerequisites.check_server(patient.connection)
    yield ok(f"PostgreSQL {patient.value('SHOW server_version')}, UTF8")


@check("server", "vacuum and statistics", needs_package=False)
def look_at_vacuum_settings(patient: Patient) -> Iterator[Finding]:
    """Check settings without which tables grow and nobody sees what runs."""
    for name, purpose in (
        ("autovacuum", "deleted rows are never removed: tables and views grow with every refresh"),
        ("track_counts", "autovacuum does not know where to work"),
        ("track_activities", "pg_stat_activity does not show what runs"),
    ):
        if patient.value("SELECT current_setting(%s)", name) == "off":
            yield warning(
                f"{name} is off: {purpose}",
                statement(f"ALTER SYSTEM SET {name} = on", "as a superuser"),
                statement("SELECT pg_reload_conf()"),
            )


@check("server", "connections", needs_package=False)
def look_at_connections(patient: Patient) -> Iterator[Finding]:
    """Room for the pool of the HTTP API."""
    pool = gateway.settings_from(os.environ).pool
    available = int(
        str(
            patient.value(
                "SELECT sum(CASE name WHEN 'max_connections' THEN setting::integer "
                "ELSE -setting::integer END) FROM pg_settings WHERE name IN ('max_connections', "
                "'superuser_reserved_connections', 'reserved_connections')"
            )
        )
    )
    if available < pool + OTHER_CONNECTIONS:
        more = pool + OTHER_CONNECTIONS - available
        now = int(str(patient.value("SHOW max_connections")))
        yield warning(
            f"{available} connections are too few for the pool of the HTTP API ({pool}) and the "
            "jobs",
            statement(f"ALTER SYSTEM SET max_connections = {now + more}", "as a superuser"),
            advice("Restart the server; or give PostgREST a smaller pool (API_POOL)."),
        )
    database = prerequisites.database_name(patient.connection)
    limits = patient.rows(
        "SELECT 'ROLE', rolname, rolconnlimit FROM pg_roles WHERE rolname = %s UNION ALL "
        "SELECT 'DATABASE', datname, datconnlimit FROM pg_database WHERE datname = %s",
        AUTHENTICATOR,
        database,
    )
    for kind, name, limit in limits:
        if 0 <= int(str(limit)) < pool:
            yield warning(
                f"{str(kind).lower()} {name} is limited to {limit} connections, and the pool of "
                f"the HTTP API has {pool}",
                statement(
                    sql.SQL("ALTER {} {} CONNECTION LIMIT -1")
                    .format(sql.SQL(str(kind)), sql.Identifier(str(name)))
                    .as_string(patient.connection)
                ),
            )
    yield ok(f"{available} for everybody, {pool} for the pool of the HTTP API")


@check("server", "time zones", as_owner=True)
def look_at_time_zones(patient: Patient) -> Iterator[Finding]:
    """Zones of the settings: the server's data against this machine's, for two years."""
    zones = patient.rows(
        "SELECT DISTINCT value FROM analytics.settings "
        "WHERE name IN ('time_zone', 'schedule_time_zone') "
        "AND kpi_engine.setting_problem(name, value) IS NULL ORDER BY 1"
    )
    for (name,) in zones:
        try:
            here = ZoneInfo.no_cache(str(name))
        except (ZoneInfoNotFoundError, ValueError):
            yield unchecked(f"this machine has no zone {name} to compare the server's with")
            continue
        differing = [
            instant
            for instant, offset in patient.connection.execute(
                "SELECT instant, (instant AT TIME ZONE %s) - (instant AT TIME ZONE 'UTC') "
                "FROM generate_series(now(), now() + interval '2 years', interval '7 days') "
                "AS instant",
                [name],
            )
            if here.utcoffset(instant.astimezone(here)) != offset
        ]
        if differing:
            yield warning(
                f"{name} on the server is not what it is on this machine, from "
                f"{differing[0]:%Y-%m-%d} on: one of them has old time zone data",
                shell("apt-get install --only-upgrade tzdata", "on the older machine"),
                advice("Then restart the server, so that it reads them."),
            )
        else:
            yield ok(f"{name} as on this machine")


# -- installation ------------------------------------------------------------------------------


@check("installation", "files", needs_package=False, as_owner=True)
def look_at_files(patient: Patient) -> Iterator[Finding]:
    """Every migration and file, as make status tells."""
    run = Migration(patient.connection)
    run.read_ledger()
    if not run.ledger:
        yield wrong(
            f"not installed in database {prerequisites.database_name(patient.connection)}", MIGRATE
        )
        return
    waiting = [f"{item.path} is not applied as it is here" for item in run.pending()]
    waiting += [f"{name} is applied and has no file here" for name in run.removed()]
    if waiting:
        more = f", and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        yield wrong(f"{waiting[0]}{more}", MIGRATE, shell("make status", "lists all"))
    yield ok(f"{len(run.ledger)} applied and unchanged")


@check("installation", "search_path")
def look_at_search_path(patient: Patient) -> Iterator[Finding]:
    """Check that schema analytics is on the search_path, nothing older before it."""
    path = prerequisites.database_search_path(patient.connection) or patient.default_path
    if not prerequisites.is_on_path(path):
        yield wrong(f"the search_path of the database ({path}) has no schema {SCHEMA}", MIGRATE)
    prerequisites.refuse_shadowing(
        patient.connection,
        [item.object_name for item in views_of_files()],
        patient.default_path,
    )
    yield ok(path)


def views_of_files() -> list[SqlFile]:
    """Return the materialized views that the files define."""
    return [item for item in load_objects() if item.kind == "materialized view"]


@check("installation", "owners")
def look_at_owners(patient: Patient) -> Iterator[Finding]:
    """Everything in our schemas belongs to analytics_owner."""
    found = patient.rows(
        """
        SELECT kind, identity, owner FROM (
            SELECT
                CASE relkind
                    WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'v' THEN 'VIEW'
                    WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE'
                END AS kind,
                format('%%I.%%I', nspname, relname) AS identity,
                relowner AS owner_oid,
                nspname
            FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relkind IN ('m', 'v', 'S', 'f', 'r', 'p')
            UNION ALL
            SELECT 'ROUTINE', pg_proc.oid::regprocedure::text, proowner, nspname
            FROM pg_proc INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
            UNION ALL
            SELECT 'SCHEMA', quote_ident(nspname), nspowner, nspname FROM pg_namespace
        ) AS object
        CROSS JOIN LATERAL pg_get_userbyid(owner_oid) AS owner
        WHERE nspname = ANY (%s) AND owner <> %s
        ORDER BY 1, 2
        """,
        list(SCHEMAS),
        OWNER,
    )
    for kind, identity, owner in found:
        finding = wrong if kind in ("MATERIALIZED VIEW", "SCHEMA") else warning
        yield finding(
            f"{str(kind).lower()} {identity} belongs to {owner}: {OWNER} can't refresh or change "
            "it",
            statement(f"ALTER {kind} {identity} OWNER TO {OWNER}"),
        )


# -- roles and rights --------------------------------------------------------------------------


@check("roles", "attributes", needs_package=False)
def look_at_roles(patient: Patient) -> Iterator[Finding]:
    """Check that the roles are there and may do no more than they need."""
    found = patient.connection.execute(
        "SELECT rolname, rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, "
        "rolreplication, rolbypassrls, rolvaliduntil < now() FROM pg_roles "
        "WHERE rolname = ANY (%s)",
        [list(ROLES)],
    ).fetchall()
    known = {row[0]: row[1:] for row in found}
    for role, (wanted, _) in ROLES.items():
        if role not in known:
            yield wrong(f"role {role} is missing", MIGRATE)
            continue
        login, inherit, *powers, expired = known[role]
        words = wanted.split()
        if login != ("LOGIN" in words):
            yield wrong(
                f"role {role} {'may' if login else 'may not'} log in",
                statement(f"ALTER ROLE {role} {'LOGIN' if 'LOGIN' in words else 'NOLOGIN'}"),
            )
        if not inherit and "NOINHERIT" not in words:
            yield wrong(f"role {role} does not inherit", statement(f"ALTER ROLE {role} INHERIT"))
        if inherit and "NOINHERIT" in words:
            yield wrong(
                f"role {role} inherits the rights of the roles it may become",
                statement(f"ALTER ROLE {role} NOINHERIT"),
            )
        if expired and login:
            yield wrong(
                f"the password of role {role} has expired",
                statement(f"ALTER ROLE {role} VALID UNTIL 'infinity'"),
            )
        names = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
        for name, has in zip(names, powers, strict=True):
            if has and not (role == OWNER and name == "BYPASSRLS" and has_row_security(patient)):
                yield wrong(
                    f"role {role} has {name}, which it does not need",
                    statement(f"ALTER ROLE {role} NO{name}"),
                )
    yield ok(f"{len(known)} roles")


def has_row_security(patient: Patient) -> bool:
    """Tell whether any table outside our schemas has row-level security.

    The contract with the source wants BYPASSRLS for it (docs/source.md).
    """
    return bool(
        patient.value(
            "SELECT EXISTS (SELECT FROM pg_class WHERE relrowsecurity "
            "AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname = 'cron'))"
        )
    )


@check("roles", "memberships", needs_package=False)
def look_at_memberships(patient: Patient) -> Iterator[Finding]:
    """Which roles ours may become: those of the HTTP API, and nothing else."""
    allowed = {AUTHENTICATOR: set(API_ROLES), OWNER: {"pg_signal_backend"}}
    memberships = patient.rows(
        "SELECT member.rolname, granted.rolname, "
        # What lets a tick put up triggers again.
        "EXISTS (SELECT FROM pg_class WHERE relowner = granted.oid AND relname = 'solicitudes') "
        "FROM pg_auth_members "
        "INNER JOIN pg_roles AS member ON member.oid = pg_auth_members.member "
        "INNER JOIN pg_roles AS granted ON granted.oid = pg_auth_members.roleid "
        "WHERE member.rolname = ANY (%s) ORDER BY 1, 2",
        list(ROLES),
    )
    for member, granted, owns_source in memberships:
        if granted in allowed.get(str(member), set()) or (member == OWNER and owns_source):
            continue
        yield wrong(
            f"role {member} is a member of {granted}",
            statement(
                sql.SQL("REVOKE {} FROM {}")
                .format(sql.Identifier(str(granted)), sql.Identifier(str(member)))
                .as_string(patient.connection)
            ),
        )


@check("roles", "what they need")
def look_at_requirements(patient: Patient) -> Iterator[Finding]:
    """Memberships, time limits and rights on the database that migrate arranges."""
    requirements = prerequisites.role_requirements()
    if all(prerequisites.role_exists(patient.connection, role) for role in ROLES):
        requirements += prerequisites.schema_requirements(patient.connection)
    for text in patient.unmet(requirements):
        yield wrong(f"not in force: {text}", statement(text))


@check("roles", "right to cancel", needs_package=False)
def look_at_cancelling(patient: Patient) -> Iterator[Finding]:
    """Check that a refresh that takes too long can be cancelled."""
    if not prerequisites.role_exists(patient.connection, OWNER):
        yield unchecked(f"role {OWNER} is missing")
        return
    for text in patient.unmet([prerequisites.cancel_requirement()]):
        yield warning(
            "a refresh over its maximum time can't be cancelled where somebody else started it",
            statement(text, "as a superuser"),
        )


@check("roles", "right to dump")
def look_at_dumping(patient: Patient) -> Iterator[Finding]:
    """Who could dump the database but for our schemas."""
    for role, statements in prerequisites.dump_findings(patient.connection):
        yield warning(
            f"pg_dump of this database fails as role {role}, which may not read schemas "
            f"{', '.join(SCHEMAS)}",
            *(statement(text) for text in statements),
            advice("Or, for all databases of the server, make it a member of pg_read_all_data."),
        )


@check("roles", "nothing for PUBLIC")
def look_at_public(patient: Patient) -> Iterator[Finding]:
    """Nothing in our schemas is granted to PUBLIC."""
    found = patient.rows(
        """
        WITH ours AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname = ANY (%s))

        SELECT 'SCHEMA ' || quote_ident(nspname), '', nspacl FROM ours
        UNION ALL
        SELECT
            CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END
            || format('%%I.%%I', nspname, relname), '', relacl
        FROM pg_class INNER JOIN ours ON ours.oid = relnamespace
        UNION ALL
        SELECT
            'TABLE ' || format('%%I.%%I', nspname, relname), format(' (%%I)', attname), attacl
        FROM pg_attribute
        INNER JOIN pg_class ON pg_class.oid = attrelid
        INNER JOIN ours ON ours.oid = relnamespace
        UNION ALL
        SELECT
            'ROUTINE ' || pg_proc.oid::regprocedure, '', coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc INNER JOIN ours ON ours.oid = pronamespace
        UNION ALL
        SELECT
            'TYPE ' || pg_type.oid::regtype, '', coalesce(typacl, acldefault('T', typowner))
        FROM pg_type INNER JOIN ours ON ours.oid = typnamespace
        WHERE typtype IN ('d', 'e', 'r')
        """,
        list(SCHEMAS),
    )
    for identity, columns, rights in found:
        if rights is not None and patient.value(
            "SELECT EXISTS (SELECT FROM aclexplode(%s::text::aclitem[]) WHERE grantee = 0)", rights
        ):
            yield wrong(
                f"PUBLIC has rights on {identity}{columns}",
                statement(f"REVOKE ALL{columns} ON {identity} FROM public"),
            )


@check("roles", "grants")
def look_at_grants(patient: Patient) -> Iterator[Finding]:
    """Our roles have on each function and view the rights that its file gives."""
    run = Migration(patient.connection)
    wanted: set[tuple[str, str, str]] = set()
    for item in run.objects:
        for rights, roles in re.findall(
            r"^GRANT ([A-Z, ]+?)\s+ON\s[^;]*?\sTO\s([^;]+);", item.sql, re.MULTILINE
        ):
            wanted |= {
                (item.object_name, role.strip(), right.strip())
                for role in roles.split(",")
                for right in rights.split(",")
            }
    names = {split_name(item.object_name): item.object_name for item in run.objects}
    objects = patient.rows(
        """
        SELECT nspname, proname, 'ROUTINE ' || pg_proc.oid::regprocedure, proacl::text
        FROM pg_proc INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE nspname = ANY (%s)
        UNION ALL
        SELECT nspname, relname, format('%%I.%%I', nspname, relname), relacl::text
        FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = ANY (%s) AND relkind IN ('v', 'm')
        """,
        list(SCHEMAS),
        list(SCHEMAS),
    )
    ours = set(ROLES) - {OWNER}
    for schema, name, identity, rights in objects:
        object_name = names.get((str(schema), str(name)))
        if object_name is None:
            continue
        has = {
            (str(role), str(right))
            for role, right in patient.rows(
                "SELECT pg_get_userbyid(grantee), privilege_type FROM aclexplode(%s::aclitem[])",
                rights,
            )
        }
        should = {(role, right) for other, role, right in wanted if other == object_name}
        for role, right in sorted(should - has):
            yield wrong(
                f"role {role} has lost {right} on {identity}",
                statement(f"GRANT {right} ON {identity} TO {role}"),
            )
        for role, right in sorted((role, right) for role, right in has - should if role in ours):
            yield wrong(
                f"role {role} has {right} on {identity}, which the package does not give",
                statement(f"REVOKE {right} ON {identity} FROM {role}"),
            )


# -- settings ----------------------------------------------------------------------------------


@check("settings", "values", as_owner=True)
def look_at_settings(patient: Patient) -> Iterator[Finding]:
    """Each setting is there and has a value that its rule allows."""
    defaults = setting_defaults()
    rows = patient.rows(
        "SELECT name, value, kpi_engine.setting_problem(name, value) FROM analytics.settings "
        "ORDER BY name"
    )
    for name, value, problem in rows:
        if problem is None:
            continue
        default = defaults.get(str(name))
        if default is None or patient.value(
            "SELECT kpi_engine.setting_problem(%s, %s)", name, default
        ):
            fix = sql.SQL("DELETE FROM kpi_engine.settings WHERE name = {}").format(str(name))
        else:
            fix = sql.SQL("SELECT analytics.set_setting({}, {})").format(str(name), default)
        yield wrong(
            f"setting {name} is {value!r}. {problem}",
            statement(fix.as_string(patient.connection), "puts the default back"),
        )
    there = {str(row[0]) for row in rows}
    for name, value in defaults.items():
        if name not in there and not patient.value(
            "SELECT kpi_engine.setting_problem(%s, %s)", name, value
        ):
            yield wrong(
                f"setting {name} is gone",
                statement(
                    sql.SQL(
                        "INSERT INTO kpi_engine.settings (name, value, description) "
                        "VALUES ({}, {}, 'See docs/installing.md.')"
                    )
                    .format(name, value)
                    .as_string(patient.connection)
                ),
            )
    yield ok(f"{len(rows)} settings")


@check("settings", "clock")
def look_at_clock(patient: Patient) -> Iterator[Finding]:
    """In production nobody pins the clock."""
    if patient.value("SELECT analytics.setting('allow_pinned_clock')") == "off":
        yield ok("can't be pinned")
    elif environment() == "production":
        yield warning(
            "sessions may pin the clock (allow_pinned_clock is on): with it an operator can "
            "publish the ranking of another day",
            shell("ENVIRONMENT=production make migrate", "keeps it off"),
        )
    else:
        yield ok("can be pinned, for tests; not right in production (ENVIRONMENT=production)")


# -- source ------------------------------------------------------------------------------------


def source(patient: Patient) -> tuple[str, str]:
    """Return schema and generation of the operational tables."""
    row = patient.rows("SELECT source_schema, source_generation FROM kpi_engine.installation")
    if not row or row[0][0] is None:
        raise UserError(
            "kpi_engine.installation names no operational tables", "Run migrate:\n\n$ make migrate"
        )
    return str(row[0][0]), str(row[0][1])


def remedy_of(remedy: str) -> Fix:
    """Return what SQL names as the cure of a problem: a command, or a statement and its role."""
    if remedy == MIGRATE.command:
        return MIGRATE
    text, _, note = remedy.partition("; ")
    return statement(text, note)


@check("source", "contract", as_owner=True)
def look_at_contract(patient: Patient) -> Iterator[Finding]:
    """Check that the operational tables fit and are as they were bound."""
    schema, generation = source(patient)
    problems = patient.rows(
        "SELECT DISTINCT problem FROM kpi_engine.source_columns(%s, %s) WHERE problem IS NOT NULL "
        "ORDER BY 1",
        schema,
        generation,
    )
    moved = patient.rows(
        "SELECT message, remedy FROM analytics.source_problems() "
        # The check of the rights says these, with the same statements.
        "WHERE remedy NOT LIKE 'GRANT %' ORDER BY is_fatal DESC, 1"
    )
    for (problem,) in problems:
        _, _, remedy = str(problem).rpartition(": ")
        # What is missing may be there under another name.
        gone = str(problem).removesuffix(" is missing") + " is gone"
        same = [message for message, _ in moved if str(message).startswith(gone)]
        moved = [found for found in moved if found[0] not in same]
        yield wrong(
            str(problem) + "".join(str(message).removeprefix(gone) for message in same),
            statement(remedy, "as a superuser")
            if remedy.startswith("ALTER ")
            else advice("Put it back as docs/source.md has it, then run: make migrate"),
        )
    for message, cure in moved:
        yield wrong(str(message), remedy_of(str(cure)))
    if not problems and not moved:
        run = Migration(patient.connection)
        run.read_ledger()
        changed = [
            str(view)
            for view, definition in patient.rows(
                "SELECT view_name, definition FROM kpi_engine.source_view_definitions(%s, %s)",
                schema,
                generation,
            )
            if run.is_pending(source_view(str(view), str(definition)))
        ]
        if changed:
            yield wrong(
                "the operational tables changed after they were bound: " + ", ".join(changed),
                MIGRATE,
            )
    yield ok(f"schema {schema}, generation {generation}")


@check("source", "right to read", as_owner=True)
def look_at_source_rights(patient: Patient) -> Iterator[Finding]:
    """analytics_owner may read the operational tables."""
    schema, generation = source(patient)
    tables = patient.rows(
        "SELECT DISTINCT table_name FROM kpi_engine.source_columns(%s, %s) "
        "WHERE to_regclass(format('%%I.%%I', %s::text, table_name)) IS NOT NULL ORDER BY 1",
        schema,
        generation,
        schema,
    )
    for text in patient.unmet(
        prerequisites.source_requirements(schema, [str(row[0]) for row in tables])
    ):
        yield wrong(f"{OWNER} lacks a right: {text}", statement(text))


@check("source", "code of others", as_owner=True)
def look_at_foreign_code(patient: Patient) -> Iterator[Finding]:
    """No function of a source table's owner can run with the rights of analytics_owner."""
    for relation, what, routine, owner in patient.rows(
        "SELECT relation::regclass::text, object, routine, owner FROM kpi_engine.foreign_code() "
        "ORDER BY 1, 2, 3"
    ):
        yield warning(
            f"{what} of {relation} calls {routine} of role {owner}: PostgreSQL may run it with "
            f"the rights of {OWNER} when it plans a refresh",
            advice(
                f"let a superuser read the function, then own it: ALTER FUNCTION {routine} "
                "OWNER TO a superuser; or drop what calls it"
            ),
        )


@check("source", "change capture", as_owner=True)
def look_at_capture(patient: Patient) -> Iterator[Finding]:
    """Every write to an operational table is noted, unless the setting turns that off."""
    wanted = patient.value("SELECT analytics.setting('change_capture')") == "on"
    gap = patient.value("SELECT analytics.capture_gap()")
    if wanted and gap is not None:
        kinds = patient.rows(
            "SELECT string_agg(relation::regclass::text, ', ' ORDER BY 1) "
            "FROM kpi_engine.captured_tables() WHERE relation_kind NOT IN ('r', 'p')"
        )
        if kinds[0][0] is not None:
            yield wrong(
                f"{gap}; {kinds[0][0]} can't have triggers: a view or foreign table",
                CAPTURE_OFF,
                CAPTURE,
                advice("Off, every refresh computes everything again: slower, just as right."),
            )
        else:
            yield wrong(str(gap), CAPTURE)
    stray = patient.value(
        "SELECT string_agg(DISTINCT relation::regclass::text, ', ') "
        "FROM kpi_engine.capture_triggers() WHERE is_present AND (definition IS NULL OR NOT %s)",
        wanted,
    )
    if stray is not None:
        yield warning(f"triggers that are not needed are on {stray}", CAPTURE)
    yield ok("" if wanted else "off: every refresh computes everything again")


@check("source", "ways around capture", as_owner=True)
def look_at_bypasses(patient: Patient) -> Iterator[Finding]:
    """Look for what writes without a trigger, as far as the catalog shows it."""
    is_on = patient.value("SELECT analytics.setting('change_capture')") == "on"
    subscriptions = patient.rows(
        "SELECT subname, string_agg(srrelid::regclass::text, ', ' ORDER BY 1) "
        "FROM pg_subscription_rel "
        "INNER JOIN pg_subscription ON pg_subscription.oid = srsubid "
        "WHERE srrelid IN (SELECT relation FROM kpi_engine.captured_tables()) GROUP BY subname"
    )
    for name, tables in subscriptions:
        if is_on:
            yield wrong(
                f"subscription {name} writes {tables}: logical replication fires no "
                "statement-level trigger, its changes are not noted",
                CAPTURE_OFF,
                CAPTURE,
                advice("Off, every refresh computes everything again: slower, just as right."),
            )
    unlogged = patient.rows(
        "SELECT relation::regclass::text FROM kpi_engine.captured_tables() "
        "INNER JOIN pg_class ON pg_class.oid = relation WHERE relpersistence = 'u' ORDER BY 1"
    )
    for (table,) in unlogged:
        yield warning(
            f"{table} is UNLOGGED: a crash empties it, and no trigger fires",
            statement(f"ALTER TABLE {table} SET LOGGED", "as its owner; it is locked meanwhile"),
        )
    yield from look_at_replication_role(patient)


def look_at_replication_role(patient: Patient) -> Iterator[Finding]:
    """Roles and databases whose sessions fire no ordinary trigger, so no foreign key either."""
    found = patient.rows(
        "SELECT CASE WHEN setrole = 0 THEN format('DATABASE %%I', datname) "
        "WHEN setdatabase = 0 THEN format('ROLE %%I', pg_get_userbyid(setrole)) "
        "ELSE format('ROLE %%I IN DATABASE %%I', pg_get_userbyid(setrole), datname) END "
        "FROM pg_db_role_setting LEFT JOIN pg_database ON pg_database.oid = setdatabase "
        "WHERE 'session_replication_role=replica' = ANY (setconfig) "
        "AND (setdatabase = 0 OR datname = %s) ORDER BY 1",
        prerequisites.database_name(patient.connection),
    )
    for (who,) in found:
        yield warning(
            f"{who} has session_replication_role = replica: our triggers fire all the same, "
            "foreign keys don't, so a deleted row leaves its children behind",
            statement(f"ALTER {who} RESET session_replication_role", "as a superuser"),
        )


@check("source", "indexes", as_owner=True)
def look_at_indexes(patient: Patient) -> Iterator[Finding]:
    """Check the indexes by which a refresh finds what changed."""
    indexes = patient.rows(
        "SELECT table_name, column_name, is_present FROM analytics.source_indexes()"
    )
    missing = [f"{table} ({column})" for table, column, present in indexes if not present]
    if missing:
        yield warning(
            f"{len(missing)} missing, refreshes are slower: {', '.join(missing)}",
            shell("make indexes"),
        )
    yield ok(f"{len(indexes)} needed")


@check("source", "requests without a month", as_owner=True)
def look_at_months(patient: Patient) -> Iterator[Finding]:
    """Count requests that belong to no month: before 2000, after 2099, without a date."""
    if not patient.with_counts:
        yield unchecked("left out by --no-counts")
        return
    LOGGER.info("counting the requests that belong to no month (--no-counts leaves it out)")
    total = int(
        str(
            patient.value(
                "SELECT coalesce(sum((month ->> 'requests')::bigint), 0) "
                "FROM kpi_engine.rows_of_relation_now('kpi_engine.month_totals') AS month "
                "WHERE NOT isfinite((month ->> 'mes')::date)"
            )
        )
    )
    if not total:
        yield ok("none")
        return
    undated = "another role has to see which"
    query = "SELECT id, created_at FROM kpi_engine.src_solicitudes"
    if patient.value("SELECT has_table_privilege('kpi_engine.src_solicitudes', 'SELECT')"):
        count = int(
            str(
                patient.value(
                    "SELECT count(*) FROM kpi_engine.src_solicitudes WHERE created_at IS NULL"
                )
            )
        )
        undated = f"{total - count} dated before 2000 or after 2099, {count} without a date"
    yield warning(
        f"{total} request(s) belong to no month and are counted nowhere: {undated}",
        statement(
            f"{query} WHERE NOT coalesce(kpi_engine.local_date(created_at, "
            "analytics.setting('time_zone')) BETWEEN '2000-01-01' AND '2099-12-31', false)",
            "lists them; as analytics_owner",
        ),
        advice("Have the source's owner set their created_at right."),
    )


@check("source", "values that can't be counted", as_owner=True)
def look_at_uncountable(patient: Patient) -> Iterator[Finding]:
    """Name the rows whose values are out of range, or whose texts are too long."""
    if not patient.with_counts:
        yield unchecked("left out by --no-counts")
        return
    LOGGER.info("looking for values that can't be counted (--no-counts leaves it out)")
    rows = patient.rows(
        "SELECT table_name, count(*), string_agg(DISTINCT column_names, ', '), "
        "array_to_string((array_agg(row_id ORDER BY row_id))[1:3], ', ') "
        "FROM kpi_engine.uncountable_in_source(true) GROUP BY table_name ORDER BY table_name"
    )
    for table, count, columns, ids in rows:
        yield warning(
            f"{count} row(s) of {table} hold values that can't be counted, or that are cut: "
            f"{columns}; id {ids}",
            statement(
                "SELECT * FROM kpi_engine.uncountable_in_source(true)",
                "lists them; as analytics_owner",
            ),
            advice(
                "Have the source's owner set them right: docs/source.md says what is countable."
            ),
        )
    if not rows:
        yield ok("none")


# -- schedule ----------------------------------------------------------------------------------


@check("schedule", "pg_cron", as_owner=True)
def look_at_cron(patient: Patient) -> Iterator[Finding]:
    """Check the jobs of pg_cron, in whichever database it lives."""
    connection = patient.connection
    ours = prerequisites.database_name(connection)
    role = patient.value("SELECT cron_role FROM kpi_engine.installation")
    ticks = bool(
        patient.value(
            "SELECT kpi_engine.scheduler_is_running() AND last_tick_at IS NOT NULL "
            "FROM analytics.scheduler_state"
        )
    )
    connection.execute("RESET ROLE")
    home = cron.cron_database(connection) or ours
    if home != ours:
        elsewhere = psycopg.conninfo.make_conninfo(patient.url, dbname=home)
        try:
            with prerequisites.connect(elsewhere, "doctor") as there:
                there.read_only = True
                prerequisites.pin_settings(there)
                if cron.has_extension(there):
                    yield from look_at_jobs(there, ours, None, ticks)
                    return
        except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
            yield unchecked(
                f"pg_cron lives in database {home}, which this role can't look into: "
                f"{str(error).strip().splitlines()[-1]}",
                *(() if ticks else jobs_from_elsewhere(ours, f"in database {home}, ")),
            )
            return
    elif cron.has_extension(connection):
        yield from look_at_jobs(connection, ours, None if role is None else str(role), ticks)
        return
    if ticks:
        yield ok("not in use; something else ticks")
    elif not prerequisites.is_superuser(connection) and cron.cron_database(connection) is None:
        # Only a superuser sees whether pg_cron lives in another database: it may stay there.
        yield warning(
            f"no pg_cron in database {ours}, and nothing ticks",
            statement(
                "SHOW cron.database_name", "as a superuser: where pg_cron lives, if anywhere"
            ),
            *jobs_from_elsewhere(ours, "in that database, "),
            shell("make scheduler", "where there is no pg_cron, as a service"),
        )
    else:
        yield warning(
            f"no pg_cron in database {home}, and nothing else ticks",
            shell("make scheduler", "as a service: config/systemd/teloo-scheduler.service"),
        )


def jobs_from_elsewhere(database: str, where: str) -> tuple[Fix, ...]:
    """Return what schedules our jobs from the database that pg_cron lives in."""
    return tuple(
        statement(cron.schedule_from_elsewhere(name, database), f"{where}as a superuser")
        for name in cron.JOBS
    )


def look_at_jobs(
    connection: psycopg.Connection, database: str, cron_role: str | None, ticks: bool
) -> Iterator[Finding]:
    """Check the jobs of one database: there, active, once, succeeding."""
    is_elsewhere = prerequisites.database_name(connection) != database
    note = f"in database {prerequisites.database_name(connection)}" if is_elsewhere else ""
    if not prerequisites.is_superuser(connection) and cron_role:
        # pg_cron shows everybody but superusers only what is theirs.
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(cron_role)))
    if scalar(
        connection,
        "SELECT rolsuper OR pg_has_role('pg_read_all_stats', 'MEMBER') "
        "FROM pg_roles WHERE rolname = current_user",
    ) and not scalar(
        connection,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_cron%')",
    ):
        # It starts a moment after the server.
        yield (warning if ticks else wrong)(
            "pg_cron's launcher is not running: no job runs",
            advice("Restart the server, and look into its log for the reason."),
        )
    jobs = connection.execute(
        "SELECT jobid, command, schedule, active, username FROM cron.job "
        "WHERE database = %s AND command = ANY (%s) ORDER BY username <> %s, jobid",
        [database, list(cron.JOBS.values()), cron_role or SCHEDULER],
    ).fetchall()
    if is_elsewhere and ticks and not jobs:
        yield ok("not in use; something else ticks")
        return
    for name, command in cron.JOBS.items():
        found = [job for job in jobs if job[1] == command]
        if not found:
            yield wrong(
                f"the job {name} is missing",
                statement(cron.schedule_from_elsewhere(name, database), f"{note}, as a superuser")
                if is_elsewhere
                else MIGRATE,
            )
        for number, (job_id, _, schedule, active, username) in enumerate(found):
            if number:
                yield warning(
                    f"{command} is scheduled again, by job {job_id} of {username}: harmless, not "
                    "needed",
                    statement(f"SELECT cron.unschedule({job_id})", note),
                )
                continue
            if not active:
                yield wrong(
                    f"the job {name} is not active",
                    statement(f"SELECT cron.alter_job({job_id}, active := true)", note),
                )
            if schedule != cron.EVERY_MINUTE:
                yield wrong(
                    f"the job {name} runs at {schedule!r} instead of every minute",
                    statement(
                        f"SELECT cron.alter_job({job_id}, schedule := '{cron.EVERY_MINUTE}')", note
                    ),
                )
            yield from look_at_job_role(connection, job_id, name, str(username))
            yield from look_at_last_run(connection, job_id, name, note)
    yield ok(f"{len(jobs)} jobs as {', '.join(sorted({str(job[4]) for job in jobs}))}")


def look_at_job_role(
    connection: psycopg.Connection, job_id: int, name: str, role: str
) -> Iterator[Finding]:
    """Check that the role of a job exists and can log in, as pg_cron needs."""
    can_login = scalar(connection, "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", role)
    if can_login is None:
        yield wrong(
            f"the role of the job {name}, {role}, is gone: it can take pg_cron down",
            statement(f"DELETE FROM cron.job WHERE jobid = {job_id}", "as a superuser"),  # noqa: S608
            MIGRATE,
        )
    elif not can_login and role not in ROLES:
        yield wrong(
            f"the role of the job {name}, {role}, may not log in",
            statement(
                sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role)).as_string(connection)
            ),
        )


def look_at_last_run(
    connection: psycopg.Connection, job_id: int, name: str, note: str
) -> Iterator[Finding]:
    """Check that the last run of a job that ended, ended well."""
    run = connection.execute(
        "SELECT status, return_message FROM cron.job_run_details "
        "WHERE jobid = %s AND status IN ('succeeded', 'failed') ORDER BY runid DESC LIMIT 1",
        [job_id],
    ).fetchone()
    if run is None or run[0] != "failed":
        return
    fixes = [
        statement(
            f"TABLE cron.job_run_details ORDER BY jobid = {job_id} DESC, runid DESC LIMIT 10",
            note or "the last runs",
        )
    ]
    if "connection" in str(run[1]):
        fixes.append(
            advice("In postgresql.conf: cron.use_background_workers = on. Then restart the server.")
        )
    yield wrong(f"the last run of the job {name} failed: {str(run[1]).strip()}", *fixes)


@check("schedule", "jobs", as_owner=True)
def look_at_refresh_jobs(patient: Patient) -> Iterator[Finding]:
    """No refresh is stuck in the queue, or runs without a session or for too long."""
    pid, started_at, _, _ = patient.rows("SELECT * FROM analytics.running_refresh()")[0]
    jobs = patient.rows(
        "SELECT job_id, state, requested_at FROM analytics.refresh_jobs "
        "WHERE (state = 'RUNNING' AND %s) OR (state = 'QUEUED' AND %s "
        "AND coalesce(run_after, requested_at) < analytics.now() - %s) ORDER BY 1",
        pid is None,
        pid is None,
        STUCK_JOB,
    )
    for job_id, state, requested_at in jobs:
        yield warning(
            f"refresh job {job_id} of {requested_at:%Y-%m-%d %H:%M} is "
            + ("RUNNING without a session" if state == "RUNNING" else "queued and nobody takes it"),
            statement(
                "CALL analytics.work()",
                "as analytics_scheduler or analytics_owner, outside a transaction block",
            ),
        )
    limit = int(str(patient.value("SELECT analytics.setting('refresh_max_minutes')")))
    if (
        started_at is not None
        and limit
        and patient.value(
            "SELECT clock_timestamp() - %s > make_interval(mins => %s)", started_at, limit
        )
    ):
        yield warning(
            f"a refresh runs since {started_at:%Y-%m-%d %H:%M}, over {limit} minutes",
            statement(f"SELECT pg_terminate_backend({pid})", "as a superuser"),
        )
    yield ok("a refresh is running" if pid is not None else "none waits too long")


@check("schedule", "notices", as_owner=True)
def look_at_notices(patient: Patient) -> Iterator[Finding]:
    """Notices of alerts arrive. What is older than the first try of a notifier does not count."""
    found = {
        str(state): (count, since, error or "never tried")
        for state, count, since, error in patient.rows(
            "SELECT CASE WHEN notice.next_attempt_at = 'infinity' THEN 'given up' "
            "WHEN notice.next_attempt_at < clock_timestamp() - %s THEN 'left' "
            "ELSE 'failing' END AS state, count(*), min(notice.created_at), "
            "(array_agg(notice.last_error ORDER BY notice.notice_id DESC))[1] "
            "FROM kpi_engine.alert_outbox AS notice "
            "LEFT JOIN kpi_engine.alert_outbox AS raised ON raised.alert_id = notice.alert_id "
            "AND notice.event = 'cleared' AND raised.event = 'raised' "
            "AND raised.delivered_at IS NULL AND raised.next_attempt_at < 'infinity' "
            "WHERE notice.delivered_at IS NULL AND raised.notice_id IS NULL "
            "AND (notice.attempts > %s OR notice.next_attempt_at = 'infinity' "
            "OR notice.next_attempt_at < clock_timestamp() - %s) "
            "AND EXISTS (SELECT FROM kpi_engine.alert_outbox AS tried "
            "WHERE tried.attempts > 0 AND tried.notice_id <= notice.notice_id) GROUP BY state",
            STUCK_NOTICE,
            FAILED_ATTEMPTS,
            STUCK_NOTICE,
        )
    }
    if "left" in found:
        count, since, _ = found["left"]
        yield warning(
            f"{count} notice(s) of alerts wait since {since:%Y-%m-%d %H:%M}, and no notifier takes "
            "them",
            shell("make notifier", "as a service: config/systemd/teloo-notifier.service"),
        )
    if "failing" in found:
        count, since, error = found["failing"]
        yield warning(
            f"{count} notice(s) of alerts since {since:%Y-%m-%d %H:%M} do not arrive: {error}",
            advice("Mend what it says; the notifier tries again at least every hour."),
        )
    if "given up" in found:
        count, since, error = found["given up"]
        yield warning(
            f"{count} notice(s) of alerts since {since:%Y-%m-%d %H:%M} were given up: {error}",
            statement(
                "DELETE FROM kpi_engine.alert_outbox WHERE delivered_at IS NULL "
                "AND next_attempt_at = 'infinity'",
                "once who should know knows; as analytics_owner",
            ),
        )
    yield ok()


# -- refresh -----------------------------------------------------------------------------------

# Problems of the health that have a check of their own, which says more.
ELSEWHERE = ("capture_gap", "missing_indexes", "source_moved", "source_hidden")
HEALTH_FIXES = {
    "never_populated": (REFRESH,),
    "stale": (REFRESH,),
    "aging": (REFRESH,),
    "refresh_failed": (REFRESH,),
    "missed_slot": (REFRESH,),
    "scheduler_down": (
        shell("make scheduler", "where there is no pg_cron, as a service; else see check pg_cron"),
    ),
    "drift": (REFRESH,),
}


@check("refresh", "health", as_owner=True)
def look_at_health(patient: Patient) -> Iterator[Finding]:
    """Ask for the problems that the HTTP API's health shows."""
    try:
        with patient.connection.transaction():
            problems = patient.rows(
                "SELECT problem, message, severity FROM analytics.health_problems()"
            )
    except psycopg.errors.InsufficientPrivilege:
        # What the HTTP API shows to everybody.
        answer: Any = patient.value("SELECT api.health()")
        problems = [(*text.split(": ", 1), answer["status"]) for text in answer["problems"]]
    for problem, message, severity in problems:
        if problem in ELSEWHERE:
            continue
        finding = wrong if severity == "unhealthy" else warning
        yield finding(f"{problem}: {message}", *HEALTH_FIXES.get(str(problem), ()))


@check("refresh", "last runs")
def look_at_last_runs(patient: Patient) -> Iterator[Finding]:
    """How the last refresh ended, and why views failed."""
    runs = patient.connection.execute(
        "SELECT run_id, mode, refresh_status, finished_at, refresh_time_ms, triggered_by "
        "FROM analytics.refresh_log WHERE view_name IS NULL ORDER BY log_id DESC LIMIT 1"
    ).fetchall()
    for run_id, mode, status, finished_at, duration, trigger in runs:
        if status == "ERROR":
            for name, message, code in patient.rows(
                "SELECT coalesce(view_name, 'the run'), error_message, error_sqlstate "
                "FROM analytics.refresh_log WHERE run_id = %s AND refresh_status = 'ERROR' "
                "ORDER BY log_id",
                run_id,
            ):
                yield wrong(f"{name} failed in run {run_id}: {message} (SQLSTATE {code})", REFRESH)
        yield ok(f"{finished_at:%Y-%m-%d %H:%M %Z}, {trigger}, {mode}, {duration / 1000:,.1f} s")
    if not runs:
        yield ok("there was none yet")


@check("refresh", "changes that wait", as_owner=True)
def look_at_changes(patient: Patient) -> Iterator[Finding]:
    """Show what changed since the last refresh, and how large the log of it is."""
    size = int(str(patient.value("SELECT pg_table_size('kpi_engine.change_log')")))
    if size > CHANGE_LOG_BYTES:
        yield warning(
            f"the change log has {megabytes(size)}: ticks keep it small, were there none?",
            statement("CALL analytics.tick()", "as analytics_scheduler or analytics_owner"),
            statement("VACUUM (TRUNCATE) kpi_engine.change_log", "gives the space back"),
        )
    waiting = (
        patient.value("SELECT kpi_engine.changes_waiting()") if patient.with_counts else "uncounted"
    )
    reason = patient.value("SELECT kpi_engine.next_rebuild_reason()")
    yield ok(
        f"{waiting} keys, {megabytes(size)}; the next refresh computes "
        + ("what changed" if reason is None else f"everything again: {reason}")
    )


@check("refresh", "rebuild")
def look_at_rebuild(patient: Patient) -> Iterator[Finding]:
    """Check that a rebuild that was begun was finished, or is at work."""
    rows = patient.rows("SELECT batches_done, batches FROM analytics.rebuild_progress")
    if not rows:
        yield ok("none is unfinished")
    elif patient.value(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND objsubid = 1 AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND (classid::bigint << 32) | objid::bigint = kpi_engine.refresh_lock_key())"
    ):
        yield ok(f"at work: {rows[0][0]} of {rows[0][1]} batches")
    else:
        yield warning(
            f"a rebuild stopped after {rows[0][0]} of {rows[0][1]} batches",
            statement("CALL analytics.rebuild()", "goes on; outside a transaction block"),
        )


@check("refresh", "usage", as_owner=True)
def look_at_usage(patient: Patient) -> Iterator[Finding]:
    """Look at what the use of views and indexes says of them and of the schedule."""
    days = patient.value("SELECT analytics.setting('usage_advice_days')")
    for message, text in patient.rows("SELECT message, statement FROM analytics.usage_advice()"):
        fixes = (statement(str(text)),) if text else ()
        yield Finding(ADVICE, str(message), fixes)
    for text in patient.unmet([prerequisites.usage_requirement()]):
        yield Finding(
            ADVICE,
            "calls of the HTTP API are not counted",
            (statement(text, "as a superuser; then restart PostgREST"),),
        )
    yield ok(f"by the last {days} days")


# -- storage -----------------------------------------------------------------------------------


def package_bytes(patient: Patient) -> int:
    """Return the size of all our tables and views."""
    return int(
        str(
            patient.value(
                "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
                "WHERE relnamespace = ANY (%s::regnamespace[]) AND relkind IN ('r', 'm')",
                list(SCHEMAS),
            )
        )
    )


@check("storage", "size and dead rows")
def look_at_size(patient: Patient) -> Iterator[Finding]:
    """How large the package is, and what vacuum left."""
    for table, dead, living in patient.rows(
        "SELECT format('%%I.%%I', schemaname, relname), n_dead_tup, n_live_tup "
        "FROM pg_stat_all_tables WHERE schemaname = ANY (%s) AND n_dead_tup > %s "
        "AND n_dead_tup > n_live_tup ORDER BY 1",
        list(SCHEMAS),
        DEAD_ROWS,
    ):
        yield warning(
            f"{table} has {dead} dead rows and {living} living ones",
            statement(f"VACUUM {table}", "outside a transaction block"),
        )
    yield ok(megabytes(package_bytes(patient)))


@check("storage", "autovacuum of our tables")
def look_at_autovacuum(patient: Patient) -> Iterator[Finding]:
    """No table of ours is left out by autovacuum."""
    for kind, table in patient.rows(
        "SELECT CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, "
        "oid::regclass::text FROM pg_class CROSS JOIN LATERAL pg_options_to_table(reloptions) "
        "WHERE relnamespace = ANY (%s::regnamespace[]) AND option_name = 'autovacuum_enabled' "
        "AND NOT option_value::boolean ORDER BY 2",
        list(SCHEMAS),
    ):
        yield warning(
            f"autovacuum is off for {table}",
            statement(f"ALTER {kind} {table} RESET (autovacuum_enabled)"),
        )


@check("storage", "invalid indexes")
def look_at_invalid_indexes(patient: Patient) -> Iterator[Finding]:
    """No index of ours is left half-built."""
    for (index,) in patient.rows(
        "SELECT indexrelid::regclass::text FROM pg_index "
        "INNER JOIN pg_class ON pg_class.oid = indrelid "
        "WHERE relnamespace = ANY (%s::regnamespace[]) AND NOT indisvalid ORDER BY 1",
        list(SCHEMAS),
    ):
        # What REINDEX CONCURRENTLY leaves when it is interrupted.
        leftover = re.search(r"_cc(new|old)\d*\"?$", str(index))
        yield warning(
            f"index {index} was not built to the end",
            statement(
                f"{'DROP' if leftover else 'REINDEX'} INDEX CONCURRENTLY {index}",
                "outside a transaction block",
            ),
        )


@check("storage", "what holds vacuum back")
def look_at_horizon(patient: Patient) -> Iterator[Finding]:
    """Old transactions, prepared transactions and replication slots."""
    connection = patient.connection
    for gid, owner, prepared in patient.rows(
        "SELECT gid, owner, prepared FROM pg_prepared_xacts "
        "WHERE database = current_database() AND prepared < clock_timestamp() - %s ORDER BY 3",
        LONG_TRANSACTION,
    ):
        yield warning(
            f"transaction {gid!r} of {owner} is prepared since {prepared:%Y-%m-%d %H:%M}: what "
            "was deleted since stays on disk",
            statement(
                sql.SQL("ROLLBACK PREPARED {}").format(str(gid)).as_string(connection),
                "or COMMIT PREPARED: ask who prepared it",
            ),
        )
    for pid, user, name, started in patient.rows(
        "SELECT pid, usename, application_name, xact_start FROM pg_stat_activity "
        "WHERE datname = current_database() AND xact_start < clock_timestamp() - %s "
        "AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
        "ORDER BY xact_start",
        LONG_TRANSACTION,
    ):
        yield warning(
            f"process {pid} of {user} ({name or 'no application_name'}) has a transaction since "
            f"{started:%Y-%m-%d %H:%M}: what was deleted since stays on disk",
            statement(f"SELECT pg_terminate_backend({pid})", "or end it there"),
        )
    for (slot,) in patient.rows(
        "SELECT slot_name FROM pg_replication_slots WHERE NOT active ORDER BY 1"
    ):
        yield warning(
            f"nobody uses replication slot {slot}: it keeps WAL, and what vacuum could remove",
            statement(
                sql.SQL("SELECT pg_drop_replication_slot({})")
                .format(str(slot))
                .as_string(connection),
                "unless its reader comes back",
            ),
        )
    if not patient.value(
        "SELECT rolsuper OR pg_has_role('pg_read_all_stats', 'USAGE') FROM pg_roles "
        "WHERE rolname = current_user"
    ):
        user = str(patient.value("SELECT current_user"))
        yield unchecked(
            "transactions of other roles are hidden from this one",
            statement(
                sql.SQL("GRANT pg_read_all_stats TO {}")
                .format(sql.Identifier(user))
                .as_string(connection),
                "as a superuser, to let it see them",
            ),
        )


@check("storage", "disk")
def look_at_disk(patient: Patient) -> Iterator[Finding]:
    """Room for a rebuild, which writes everything a second time."""
    host = patient.connection.info.host
    try:
        with patient.connection.transaction():
            name = patient.value("SELECT current_setting('data_directory')")
    except psycopg.errors.InsufficientPrivilege:
        yield unchecked(
            "this role may not ask where the data are",
            shell("df -h \"$(psql -XAtc 'SHOW data_directory')\"", "there, as a superuser"),
        )
        return
    directory = Path(str(name))
    if not (host.startswith("/") or host in ("", "localhost", "127.0.0.1", "::1")):
        yield unchecked(
            f"the server is on {host}: its disk can't be seen from here",
            shell(f"df -h {directory}", "there"),
        )
        return
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        yield unchecked(
            f"{directory} can't be seen from here: {error.strerror}",
            shell(f"df -h {directory}", "where the server is"),
        )
        return
    needed = max(package_bytes(patient), LEAST_FREE_BYTES)
    if free < needed:
        yield warning(
            f"{megabytes(free)} are free below {directory}, and {megabytes(needed)} should be: a "
            "rebuild writes everything a second time",
            shell(f"df -h {directory}"),
            advice("Make room, or move the data to a larger disk."),
        )
    yield ok(f"{megabytes(free)} free below {directory}")
