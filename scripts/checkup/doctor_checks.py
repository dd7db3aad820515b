"""The checks of the doctor that need the machine, and the calls of those that SQL makes.

A check yields findings. kpi_engine.doctor_check() makes the checks that SQL can make. Here is the
rest: the files, the time zones, the disk, and pg_cron in another database. Each check runs in a
read-only transaction of its own. scripts/doctor.py reports an error of a check as its result.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from psycopg import sql

import gateway
from commandline.console import UserError, environment
from database import cron, prerequisites
from database.prerequisites import OWNER, ROLES, SCHEMAS, scalar
from database.sql_files import split_name
from migrate import Migration

OK, ADVICE, WARNING, WRONG = "ok", "advice", "warning", "wrong"
UNCHECKED, FAILED = "unchecked", "failed"

# What the server needs to go on, whatever the package's size.
LEAST_FREE_BYTES = 1024**3


@dataclass(frozen=True)
class Fix:
    """What to do: a command for the shell, a statement, or advice in words."""

    run: str
    command: str
    note: str = ""

    @classmethod
    def from_line(cls, line: str) -> "Fix":
        """Return what a line of SQL's fixes says: a comment that begins with $ is for the shell."""
        if line.startswith("-- $ "):
            command, _, note = line.removeprefix("-- $ ").partition("  # ")
            return cls("shell", command, note)
        if line.startswith("-- "):
            return cls("advice", line.removeprefix("-- "))
        command, _, note = line.rpartition(";  -- ")
        return cls("sql", f"{command};", note) if command else cls("sql", line)

    def line(self) -> str:
        """Return it as SQL has it."""
        note = self.note and f"  {'#' if self.run == 'shell' else '--'} {self.note}"
        return {"shell": "-- $ ", "advice": "-- ", "sql": ""}[self.run] + self.command + note


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    status: str
    message: str
    fixes: tuple[Fix, ...] = ()
    # What it follows from, where another finding is the cause of it.
    cause: str = ""
    # Where it comes among all findings.
    place: int = 0


def findings_of(rows: list[tuple[str, str, list[str]]]) -> list[Finding]:
    """Return the findings that SQL gives."""
    return [
        Finding(status, message or "", tuple(map(Fix.from_line, lines)))
        for status, message, lines in rows
    ]


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


@dataclass
class Patient:
    """The database that is looked at, over one connection."""

    connection: psycopg.Connection
    url: str
    default_path: str
    with_counts: bool = True
    is_installed: bool = False
    # An installation that is not complete may lack it.
    has_doctor: bool = False
    may_act_as_owner: bool = False
    # Whether this role has no right of its own on our schema.
    must_act_as_owner: bool = False

    def rows(self, query: str | sql.Composable, *values: object) -> list[tuple[object, ...]]:
        """Run a query and return its rows."""
        return self.connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]

    def value(self, query: str | sql.Composable, *values: object) -> object:
        """Run a query and return the first column of its first row."""
        return scalar(self.connection, query, *values)

    def answer(self, check: str) -> list[Finding]:
        """Have the database make a check."""
        if not self.has_doctor:
            return [unchecked("function kpi_engine.doctor_check is missing", MIGRATE)]
        return findings_of(
            self.connection.execute(
                "SELECT status, message, fixes FROM kpi_engine.doctor_check(%s, %s, %s, %s, %s)",
                [
                    check,
                    self.with_counts,
                    environment() == "production",
                    gateway.settings_from(os.environ).pool,
                    self.default_path,
                ],
            ).fetchall()
        )


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    group: str
    name: str
    look: Callable[[Patient], Iterator[Finding]]
    as_owner: bool = False
    needs_package: bool = True
    counts_rows: bool = False


# What only the machine knows. A check of SQL that has the same name is made by this one.
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


def megabytes(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1024**2:,.0f} MB"


def all_checks(connection: psycopg.Connection, own: list[Check]) -> list[Check]:
    """Return the checks of SQL, with our own ones at the end of their groups."""

    def asked(name: str) -> Callable[[Patient], Iterator[Finding]]:
        return lambda patient: iter(patient.answer(name))

    ours = {one.name: one for one in own}
    checks = [
        ours.pop(name, Check(group, name, asked(name), False, needs_data, counts_rows))
        for _, group, name, needs_data, _, counts_rows in prerequisites.ask(
            connection, "doctor_checks"
        )
    ]
    groups = list(dict.fromkeys(one.group for one in [*checks, *ours.values()]))
    return sorted([*checks, *ours.values()], key=lambda one: groups.index(one.group))


@check("installation", "files", needs_package=False, as_owner=True)
def look_at_files(patient: Patient) -> Iterator[Finding]:
    """Each migration and file is applied as it is here."""
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


@check("roles", "grants")
def look_at_grants(patient: Patient) -> Iterator[Finding]:
    """Our roles have exactly the rights that the files give."""
    run = Migration(patient.connection)
    wanted: dict[str, set[tuple[str, str]]] = {}
    for item in run.objects:
        for rights, roles in re.findall(
            r"^GRANT ([A-Z, ]+?)\s+ON\s[^;]*?\sTO\s([^;]+);", item.sql, re.MULTILINE
        ):
            wanted.setdefault(item.object_name, set()).update(
                (role.strip(), right.strip())
                for role in roles.split(",")
                for right in rights.split(",")
            )
    names = {split_name(item.object_name): item.object_name for item in run.objects}
    objects = patient.connection.execute(
        """
        SELECT
            schema, name, identity,
            ARRAY(SELECT ARRAY[pg_get_userbyid(grantee), privilege_type] FROM aclexplode(acl))
        FROM (
            SELECT nspname, proname, 'ROUTINE ' || pg_proc.oid::regprocedure, proacl
            FROM pg_proc INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
            UNION ALL
            SELECT nspname, relname, format('%%I.%%I', nspname, relname), relacl
            FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relkind IN ('v', 'm')
        ) AS object (schema, name, identity, acl)
        WHERE schema = ANY (%s)
        """,
        [list(SCHEMAS)],
    ).fetchall()
    ours = set(ROLES) - {OWNER}
    for schema, name, identity, grants in objects:
        object_name = names.get((schema, name))
        if object_name is None:
            continue
        has = {(role, right) for role, right in grants}
        should = wanted.get(object_name, set())
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


@check("server", "time zones", as_owner=True)
def look_at_time_zones(patient: Patient) -> Iterator[Finding]:
    """Zones of the settings are the same on the server and on this machine, for two years."""
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


# For each subscription the operational tables that it brings, and their columns that are read here;
# those that it leaves out; the other subscriptions of its tables; how far it is.
FOLLOWED = """
    SELECT
        quote_ident(pg_subscription.subname), pg_subscription.subconninfo,
        pg_subscription.subpublications, pg_subscription.subslotname::text,
        json_object_agg(
            pg_namespace.nspname || '.' || pg_class.relname,
            ARRAY(
                SELECT pg_attribute.attname
                FROM kpi_engine.source_contract() AS contract
                INNER JOIN pg_attribute
                    ON pg_attribute.attrelid = below.relation
                    AND pg_attribute.attname = contract.column_name
                WHERE contract.view_name = regexp_replace(captured.view_name, '^src_\\d+_', 'src_')
                UNION
                -- Below a view of somebody else.
                SELECT pg_attribute.attname
                FROM pg_depend
                INNER JOIN pg_attribute
                    ON pg_attribute.attrelid = below.relation
                    AND pg_attribute.attnum = pg_depend.refobjsubid
                WHERE
                    captured.relation IS NULL
                    AND pg_depend.classid = 'pg_rewrite'::regclass
                    AND pg_depend.refclassid = 'pg_class'::regclass
                    AND pg_depend.refobjid = below.relation
                ORDER BY 1
            )
        ),
        ARRAY(
            SELECT its_schema.nspname || '.' || its_class.relname
            FROM kpi_engine.followed() AS left_out
            INNER JOIN pg_class AS its_class ON its_class.oid = left_out.relation
            INNER JOIN pg_namespace AS its_schema ON its_schema.oid = its_class.relnamespace
            WHERE left_out.subscription_id = pg_subscription.oid AND left_out.lacks = 'absent'
            ORDER BY 1
        ),
        ARRAY(
            SELECT DISTINCT quote_ident(other.subname)
            FROM pg_subscription_rel AS its
            INNER JOIN pg_subscription_rel AS shared
                ON shared.srrelid = its.srrelid AND shared.srsubid <> its.srsubid
            INNER JOIN pg_subscription AS other ON other.oid = shared.srsubid
            WHERE its.srsubid = pg_subscription.oid
            ORDER BY 1
        ),
        (
            SELECT origin.remote_lsn FROM pg_replication_origin_status AS origin
            WHERE origin.external_id = 'pg_' || pg_subscription.oid
        )
    FROM kpi_engine.tables_below() AS below
    LEFT JOIN kpi_engine.captured_tables() AS captured ON captured.relation = below.relation
    INNER JOIN pg_class ON pg_class.oid = below.relation
    INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
    INNER JOIN pg_subscription_rel ON pg_subscription_rel.srrelid = below.relation
    INNER JOIN pg_subscription ON pg_subscription.oid = pg_subscription_rel.srsubid
    GROUP BY pg_subscription.oid, 1, 2, 3, 4
    ORDER BY 1
"""


@dataclass(frozen=True)
class Followed:
    """A subscription that brings operational tables."""

    name: str
    address: str
    publications: list[str]
    slot: str | None
    tables: dict[str, list[str]]
    # Tables beside those of no subscription.
    left_out: list[str]
    # Subscriptions that write into the same tables.
    others: list[str]
    applied: str | None

    def copy_again(self) -> Fix:
        """Return what comes after the subscription was dropped."""
        if self.others:
            return advice(
                f"{', '.join(self.others)} write into the same tables: drop all of these "
                "subscriptions, empty the tables here, and create all of them again."
            )
        return advice("Then empty its tables here, and CREATE SUBSCRIPTION again.")


LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")


@check("source", "publications")
def look_at_publications(patient: Patient) -> Iterator[Finding]:
    """Ask each publisher whether it sends all rows and columns that are read here, and its slot."""
    if not patient.value("SELECT EXISTS (SELECT FROM pg_subscription_rel)"):
        yield ok("no subscription brings operational tables")
        return
    try:
        with patient.connection.transaction():
            followed = patient.rows(FOLLOWED)
    except psycopg.errors.InsufficientPrivilege:
        yield unchecked(
            "this role may not see where the publishers are",
            shell("make doctor", "as a superuser"),
        )
        return
    for row in followed:
        one = Followed(*row)  # type: ignore[arg-type]
        hosts = psycopg.conninfo.conninfo_to_dict(one.address).get("host") or ""
        is_near = patient.connection.info.host.startswith("/") or (
            patient.connection.info.host in LOCAL_HOSTS
        )
        if not is_near and (str(hosts).startswith("/") or hosts in LOCAL_HOSTS):
            yield unchecked(
                f"the publisher of subscription {one.name} is beside this server, and can't be "
                "reached from here",
                shell("make doctor", "at that machine"),
            )
            continue
        try:
            there = psycopg.conninfo.make_conninfo(one.address, connect_timeout=10)
            with prerequisites.connect(there, "doctor") as publisher:
                publisher.read_only = True
                prerequisites.pin_settings(publisher)
                found = [
                    *what_is_sent(publisher, one),
                    *where_it_stands(publisher, one),
                    *who_reads_its_slot(patient, publisher, one),
                ]
        except (psycopg.Error, UserError) as error:
            reason = str(error).strip().splitlines()[-1]
            yield unchecked(f"the publisher of subscription {one.name} does not answer: {reason}")
            continue
        yield from found
        if not found:
            yield ok(f"subscription {one.name} gets all that is read here")


def what_is_hidden(publisher: psycopg.Connection, one: Followed) -> Iterator[Finding]:
    """Find policies that would leave rows out of the first copy of a table, without a word."""
    options = psycopg.conninfo.conninfo_to_dict(one.address).get("options") or ""
    if re.search(r"row_security\s*=\s*(off|false|no|0)\b", str(options)):
        return
    hidden = [
        table
        for (table,) in publisher.execute(
            "SELECT DISTINCT schemaname || '.' || tablename AS name FROM pg_publication_tables "
            "INNER JOIN pg_namespace ON nspname = schemaname "
            "INNER JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = tablename "
            "WHERE pubname = ANY (%s) AND row_security_active(pg_class.oid) ORDER BY name",
            [one.publications],
        ).fetchall()
        if table in one.tables
    ]
    if hidden:
        (role,) = publisher.execute("SELECT quote_ident(current_user)").fetchone() or ("",)
        yield wrong(
            f"policies at the publisher hide rows of {', '.join(hidden)} from role {role}, with "
            f"which subscription {one.name} copies: a copy lacks these rows",
            statement(f"ALTER ROLE {role} BYPASSRLS", "at the publisher, as a superuser"),
            advice(
                "Then copy these tables again (docs/runbook.md, replica_lag). With "
                "options=-crow_security=off in its CONNECTION, such a copy fails instead."
            ),
        )


def what_is_sent(publisher: psycopg.Connection, one: Followed) -> Iterator[Finding]:
    """Compare what a publisher sends to a subscription with what is read here."""
    known = publisher.execute(
        "SELECT pubname::text, quote_ident(pubname), pubinsert AND pubupdate AND pubdelete, "
        "pubtruncate FROM pg_publication WHERE pubname = ANY (%s)",
        [one.publications],
    ).fetchall()
    gone = sorted(set(one.publications) - {row[0] for row in known})
    if gone:
        yield wrong(
            f"publication {', '.join(gone)} of subscription {one.name} is gone at the publisher",
            advice(
                "At the publisher: CREATE PUBLICATION … FOR TABLE …, as docs/scaling.md has it."
            ),
        )
        return
    kinds = "insert, update, delete" + ("" if one.others else ", truncate")
    for _, publication, is_whole, truncates in known:
        setting = statement(
            f"ALTER PUBLICATION {publication} SET (publish = '{kinds}')", "at the publisher"
        )
        if not is_whole or not (truncates or one.others):
            yield wrong(f"publication {publication} leaves out some kinds of writes", setting)
        elif truncates and one.others:
            yield wrong(
                f"publication {publication} sends TRUNCATE, and {', '.join(one.others)} write into "
                "the same tables: it would empty them of the rows of all",
                setting,
                advice("From then on, empty a table there by DELETE."),
            )
    sent = publisher.execute(
        "SELECT schemaname || '.' || tablename, bool_and(rowfilter IS NOT NULL), "
        "min(attnames::text[]) FROM pg_publication_tables WHERE pubname = ANY (%s) "
        "GROUP BY 1 ORDER BY 1",
        [one.publications],
    ).fetchall()
    columns = {table: names for table, _, names in sent}
    waiting = [table for table in one.left_out if table in columns]
    if waiting:
        yield wrong(
            f"subscription {one.name} does not bring {', '.join(waiting)}: the publication has "
            "what was not asked for yet",
            statement(f"ALTER SUBSCRIPTION {one.name} REFRESH PUBLICATION"),
        )
    lacking = sorted({*one.tables, *one.left_out} - set(columns))
    if lacking:
        yield wrong(
            f"subscription {one.name} does not get {', '.join(lacking)}: the publication lacks "
            "them",
            advice(f"At the publisher: ALTER PUBLICATION {one.publications[0]} ADD TABLE …"),
        )
    yield from what_is_hidden(publisher, one)
    filtered = [table for table, is_filtered, _ in sent if is_filtered and table in one.tables]
    if filtered:
        yield wrong(
            f"a row filter of the publication leaves rows of {', '.join(filtered)} out",
            advice("Publish them whole: then empty them here and subscribe again."),
        )
    left_out = [
        f"{table}.{column}"
        for table, wanted in sorted(one.tables.items())
        for column in wanted
        if table in columns and column not in columns[table]
    ]
    if left_out:
        yield wrong(
            f"a column list of the publication leaves {', '.join(left_out)} out: NULL here",
            advice("Publish the tables whole: then empty them here and subscribe again."),
        )


def who_reads_its_slot(
    patient: Patient, publisher: psycopg.Connection, one: Followed
) -> Iterator[Finding]:
    """Look whether another server takes what is meant for this one.

    A worker that can't have the slot starts every few seconds, and ends without one message.
    """
    for look in range(5):
        if look:
            time.sleep(0.3)
        is_active = publisher.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s", [one.slot]
        ).fetchone()
        has_message = patient.value(
            "SELECT EXISTS (SELECT FROM pg_stat_subscription WHERE quote_ident(subname) = %s "
            "AND relid IS NULL AND received_lsn IS NOT NULL)",
            one.name,
        )
        if is_active != (True,) or has_message:
            return
    yield wrong(
        f"another server reads slot {one.slot} of subscription {one.name}, such as a copy of this "
        "one: what it takes never comes here",
        advice(
            f"Stop that server, or there: ALTER SUBSCRIPTION {one.name} DISABLE; "
            f"ALTER SUBSCRIPTION {one.name} SET (slot_name = NONE); "
            f"DROP SUBSCRIPTION {one.name};"
        ),
        statement(f"DROP SUBSCRIPTION {one.name}"),
        one.copy_again(),
    )


def where_it_stands(publisher: psycopg.Connection, one: Followed) -> Iterator[Finding]:
    """Look at the slot of a subscription, and whether its publisher is what it was."""
    state = publisher.execute(
        "SELECT coalesce(wal_status, ''), confirmed_flush_lsn FROM pg_replication_slots "
        "WHERE slot_name = %s",
        [one.slot],
    ).fetchone()
    is_standby, seconds, is_earlier = publisher.execute(
        "SELECT pg_is_in_recovery(), extract(EPOCH FROM now() - pg_last_xact_replay_timestamp()), "
        "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END "
        "< greatest(%s::pg_lsn, %s::pg_lsn)",
        [one.applied, state and state[1]],
    ).fetchone() or (False, None, False)
    drop = statement(f"DROP SUBSCRIPTION {one.name}")
    if one.slot is not None and state is None:
        yield wrong(
            f"slot {one.slot} of subscription {one.name} is gone at the publisher: what changed "
            "since is lost for it",
            statement(f"ALTER SUBSCRIPTION {one.name} DISABLE"),
            statement(f"ALTER SUBSCRIPTION {one.name} SET (slot_name = NONE)"),
            drop,
            one.copy_again(),
        )
    elif state is not None and state[0] == "lost":
        yield wrong(
            f"slot {one.slot} of subscription {one.name} lost what changed at the publisher: it "
            "was behind for longer than max_slot_wal_keep_size allows",
            drop,
            one.copy_again(),
        )
    elif is_earlier:
        yield wrong(
            f"the publisher of subscription {one.name} is at an earlier place than what came from "
            "it: it was restored from a copy. What it writes until it is there again never comes",
            drop,
            one.copy_again(),
        )
    if is_standby:
        yield warning(
            f"subscription {one.name} reads from a standby, whose newest transaction is "
            f"{'of an unknown time' if seconds is None else f'{seconds:,.0f} s old'}: if its "
            "primary is away, nothing here says so",
            statement("SELECT * FROM pg_stat_wal_receiver", "at the standby"),
        )


@check("schedule", "pg_cron")
def look_at_cron(patient: Patient) -> Iterator[Finding]:
    """Ask SQL about the jobs of pg_cron. If pg_cron lives in another database, look there too."""
    found = patient.answer("pg_cron")
    ours = prerequisites.database_name(patient.connection)
    home = cron.cron_database(patient.connection)
    if home in (None, ours):
        yield from found
        return
    ticks = found[0].status == OK
    elsewhere = psycopg.conninfo.make_conninfo(patient.url, dbname=home)
    try:
        with prerequisites.connect(elsewhere, "doctor") as there:
            there.read_only = True
            prerequisites.pin_settings(there)
            if cron.has_extension(there):
                yield from findings_of(
                    prerequisites.ask(
                        there, "cron_problems", p_database=ours, p_role=None, p_ticks=ticks
                    )
                )
            elif ticks:
                yield ok("not in use; something else ticks")
            else:
                yield warning(
                    f"no pg_cron in database {home} either, and nothing else ticks",
                    shell("make scheduler", "as a service: config/systemd/teloo-scheduler.service"),
                )
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
        reason = str(error).strip().splitlines()[-1]
        yield replace(found[0], status=UNCHECKED, message=f"{found[0].message}: {reason}")


@check("storage", "disk")
def look_at_disk(patient: Patient) -> Iterator[Finding]:
    """Room on the disk for a rebuild, which writes everything a second time."""
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
    needed = max(int(str(patient.value("SELECT kpi_engine.package_bytes()"))), LEAST_FREE_BYTES)
    if free < needed:
        yield warning(
            f"{megabytes(free)} are free below {directory}, and {megabytes(needed)} should be: a "
            "rebuild writes everything a second time",
            shell(f"df -h {directory}"),
            advice("Make room, or move the data to a larger disk."),
        )
    yield ok(f"{megabytes(free)} free below {directory}")
