"""What an installation needs around its own objects: server, roles, rights, search_path."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from commandline.console import LOGGER, UserError
from database.sql_files import literal_rows, query_of

# What users read and call; the engine's own objects, on nobody's search_path. SCHEMAS has that of
# the HTTP API too.
SCHEMA = "analytics"
ENGINE_SCHEMA = "kpi_engine"
SCHEMAS = tuple(str(name) for _, name in literal_rows("package_schemas"))
MIGRATE_LOCK = "teloo-analytics migrate"
OWNER = "analytics_owner"
SCHEDULER = "analytics_scheduler"
AUTHENTICATOR = "analytics_authenticator"
# Each with its attributes.
ROLES = {str(role): str(words) for _, role, words, _, _ in literal_rows("package_roles")}
# The doctor of an older version lists sequences too that follow their tables: psql goes on.
GIVE_BACK = """\
    SELECT statement FROM analytics.doctor('installation') WHERE check_name = 'owners' \\gexec"""
# Of the database that was looked at last: name, function, owner.
_event_triggers: list[tuple[str, str, str]] = []
# What the present transaction did about the roles. An error takes it back.
_made_roles: list[str] = []
# What statements of the tools rely on, whatever the database and the role have as defaults.
PINNED_SETTINGS = {
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "escape_string_warning": "on",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "transform_null_equals": "off",
    # pg_cron shows each role its own jobs by a policy.
    "row_security": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_table_access_method": "heap",
    "default_tablespace": "",
    # Many small queries, which need the planner as it is by default. Compiling one takes longer
    # than running it.
    "jit": "off",
    "plan_cache_mode": "auto",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
    "enable_nestloop": "on",
    "enable_indexscan": "on",
    "enable_hashagg": "on",
    "enable_sort": "on",
}
# A scheduled job has no limit but our own (setting refresh_max_minutes), whatever the database has.
SCHEDULER_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # From PostgreSQL 17 on.
    "transaction_timeout": "0",
}


# Of a parameter of a function of ours.
Value = str | int | bool | list[str] | Jsonb | None


@dataclass(frozen=True)
class Requirement:
    """A query that is true when all is well, and the statement that makes it so."""

    is_met: sql.Composed
    statement: sql.Composed


def scalar(connection: psycopg.Connection, query: str | sql.Composable, *values: object) -> object:
    """Run a query and return the first column of its first row, or None without a row."""
    row = connection.execute(query, values or None).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def query(name: str, **parameters: Value) -> sql.Composed:
    """Return the query in the file of a function of ours, with these parameters.

    It is run where the function may not be there, or may not be called.
    """
    body = sql.SQL(query_of(name))
    if not parameters:
        return sql.Composed([body])
    return sql.SQL(
        "SELECT answer.* FROM (SELECT {}) AS parameter CROSS JOIN LATERAL ({}) AS answer"
    ).format(
        sql.SQL(", ").join(
            sql.SQL("{}::{} AS {}").format(value, _type_of(value), sql.Identifier(parameter))
            for parameter, value in parameters.items()
        ),
        body,
    )


def _type_of(value: Value) -> sql.SQL:
    """Return the type of a parameter."""
    types = {bool: "boolean", int: "numeric", list: "text[]", Jsonb: "jsonb"}
    return sql.SQL(types.get(type(value), "text"))


def ask(connection: psycopg.Connection, name: str, **parameters: Value) -> list[tuple[Any, ...]]:
    """Run the query in the file of a function of ours; return its rows."""
    return connection.execute(query(name, **parameters)).fetchall()


def role_exists(connection: psycopg.Connection, role: str) -> bool:
    """Tell whether the cluster has a role of this name."""
    return scalar(connection, "SELECT true FROM pg_roles WHERE rolname = %s", role) is True


def refuse_standby(connection: psycopg.Connection) -> None:
    """Stop on a server that is a standby: everything there is read-only.

    It may be asked before the search_path is pinned: so no operator, and each name with its schema.
    """
    if not scalar(connection, "SELECT pg_is_in_recovery()"):
        return
    try:
        with connection.transaction():
            primary = scalar(
                connection,
                "SELECT pg_catalog.concat_ws(':', sender_host, sender_port) "
                "FROM pg_catalog.pg_stat_wal_receiver",
            )
    except psycopg.Error:
        primary = None
    raise UserError(
        "this server is a standby, so it is read-only; nothing was changed: connect to its primary"
        + (f", {primary}" if primary else "")
    )


def is_superuser(connection: psycopg.Connection) -> bool:
    """Tell whether the current role is a superuser."""
    return scalar(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True


def details(error: psycopg.Error) -> str:
    """Return the server's detail and hint of an error, a line each, and whose trigger raised it.

    PostgreSQL advises DROP … CASCADE: that would drop what others made.
    """
    hint = error.diag.message_hint
    if hint and "CASCADE" in hint:
        hint = None
    words = [error.diag.message_detail, hint, event_trigger_of(error)]
    return "\n".join(filter(None, words))


def event_trigger_of(error: psycopg.Error) -> str | None:
    """Return words about the event trigger whose function raised an error, if one did."""
    context = error.diag.context or ""
    for name, function, owner in _event_triggers:
        if re.search(rf"(?<!\w){re.escape(function)}\(\)", context):
            return (
                f"Event trigger {name} of this database raised it, by function {function}(): ask "
                f"its owner {owner}, or have a superuser run:\n\n"
                f"    ALTER EVENT TRIGGER {name} DISABLE;\n\n"
                "try again, then ENABLE it again."
            )
    return None


def note_event_triggers(connection: psycopg.Connection) -> None:
    """Remember the event triggers of this database, to name one whose error ends the work."""
    _event_triggers[:] = connection.execute(
        "SELECT quote_ident(evtname), quote_ident(proname), "
        "quote_ident(pg_get_userbyid(evtowner)) FROM pg_event_trigger "
        "INNER JOIN pg_proc ON pg_proc.oid = evtfoid WHERE evtenabled <> 'D' ORDER BY 1"
    ).fetchall()


def explained(error: psycopg.Error) -> UserError:
    """Return what a user is shown of an error of the server or of the connection."""
    if error.sqlstate is None:
        return UserError(f"no connection or lost it: {error}".strip())
    return UserError(
        f"{error.diag.message_primary or error} (SQLSTATE {error.sqlstate}); nothing was changed",
        details(error),
    )


@contextmanager
def acting_as(connection: psycopg.Connection, role: str = OWNER) -> Iterator[None]:
    """Run what is inside as another role."""
    before = str(scalar(connection, "SHOW role"))
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    yield
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(before)))


def meet(
    connection: psycopg.Connection, requirements: Iterable[Requirement], what: str
) -> list[str]:
    """Make requirements true; return the statements that were run.

    Raises UserError with all statements that this role may not run.
    """
    done: list[str] = []
    refused: list[str] = []
    for requirement in requirements:
        text = requirement.statement.as_string(connection)
        try:
            with connection.transaction():
                if scalar(connection, requirement.is_met):
                    continue
                connection.execute(requirement.statement)
                done.append(text)
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.InvalidSchemaName,
            psycopg.errors.UndefinedTable,
            psycopg.errors.InvalidGrantOperation,
            psycopg.errors.UndefinedObject,
        ):
            refused.append(text)
            continue
        # A GRANT without the right to grant is only a warning in PostgreSQL.
        if not scalar(connection, requirement.is_met):
            done.remove(text)
            refused.append(text)
    if refused:
        raise refusal(connection, refused, what)
    return done


def database_name(connection: psycopg.Connection) -> str:
    """Return the name of this database; a pool may have another one for it."""
    return str(scalar(connection, "SELECT pg_catalog.current_database()"))


def refusal(connection: psycopg.Connection, statements: Iterable[str], what: str) -> UserError:
    """Return the error that lists the statements that this role may not run.

    They may be about roles that this transaction made. These are gone with it, so they come first.
    """
    user = scalar(connection, "SELECT session_user")
    return UserError(
        f"role {user} lacks rights for {what}; nothing was changed",
        "Have a role that may (such as a superuser) run this, then try again:\n\n"
        + "\n".join(f"    {statement};" for statement in [*_made_roles, *statements]),
    )


def check_server(connection: psycopg.Connection) -> None:
    """Refuse a server or a database on which the numbers would not be right."""
    for is_fatal, message, hint in ask(connection, "server_problems"):
        if is_fatal:
            raise UserError(message, hint)
        LOGGER.warning("%s", message)


def refuse_broad_publications(connection: psycopg.Connection) -> None:
    """Stop where new tables or columns of ours would stop the subscribers of the source."""
    for _, message, hint in ask(connection, "broad_publications"):
        raise UserError(f"{message}; nothing was changed", hint)


def requirements(connection: psycopg.Connection, purpose: str) -> list[Requirement]:
    """Return what the package needs for a purpose, as package_needs.sql names it."""
    needs = query("package_needs")
    return [
        _requirement(needs, statement)
        for its_purpose, _, statement in connection.execute(needs).fetchall()
        if its_purpose == purpose
    ]


def _requirement(needs: sql.Composed, statement: str) -> Requirement:
    """Return one row of a query of needs."""
    return Requirement(
        sql.SQL("SELECT is_met FROM ({}) AS need WHERE statement = {}").format(needs, statement),
        sql.Composed([sql.SQL(statement)]),
    )


def set_up_roles(connection: psycopg.Connection, others: Iterable[Requirement] = ()) -> list[str]:
    """Create the roles that are missing and let the migrating role act as the owner.

    Where this role may not, the error lists what else it may not, too: ``others``, our schemas, and
    what only makes things better. So a superuser is asked once.
    """
    done = []
    user = str(scalar(connection, "SELECT current_user"))
    needed = [*requirements(connection, "roles"), membership_requirement(connection, user)]
    if not scalar(
        connection,
        # By the catalog: to_regclass() needs a right on the schema.
        "SELECT true FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = %s AND relname = 'migration_ledger'",
        ENGINE_SCHEMA,
    ):
        needed.append(create_requirement(connection))
    try:
        with connection.transaction():
            done += meet(connection, needed, "the roles")
    except UserError as error:
        more = unmet_and_refused(
            connection,
            [
                *needed,
                *requirements(connection, "schemas"),
                *(
                    other
                    for other in others
                    if other.statement not in [r.statement for r in needed]
                ),
                *requirements(connection, "cancel"),
                *requirements(connection, "usage"),
                *requirements(connection, "log"),
            ],
        )
        raise refusal(connection, more, "the roles and what they need") from error
    if any(statement.startswith("CREATE ROLE ") for statement in done):
        _made_roles[:] = done
    done += _let_owner_cancel(connection)
    for requirement in scheduler_requirements():
        done += _meet_where_allowed(connection, requirement)
    # Without them there is a little less advice, or a log that may show tokens: the doctor says so.
    for requirement in (*requirements(connection, "usage"), *requirements(connection, "log")):
        done += _meet_where_allowed(connection, requirement)
    return done


def membership_requirement(connection: psycopg.Connection, user: str) -> Requirement:
    """Return what lets the migrating role act as the owner."""
    is_new = connection.info.server_version >= 160000
    return Requirement(
        sql.SQL("SELECT pg_has_role({}, {})").format(OWNER, "SET" if is_new else "MEMBER"),
        sql.SQL("GRANT {} TO {}{}").format(
            sql.Identifier(OWNER),
            sql.Identifier(user),
            sql.SQL(" WITH SET TRUE, INHERIT TRUE" if is_new else ""),
        ),
    )


def unmet_and_refused(
    connection: psycopg.Connection, requirements: Iterable[Requirement]
) -> list[str]:
    """Return the statements of what is not met and this role may not do; changes nothing."""
    refused = []
    with connection.transaction(force_rollback=True):
        for requirement in requirements:
            try:
                meet(connection, [requirement], "")
            except UserError:
                refused.append(requirement.statement.as_string(connection))
    return refused


def scheduler_requirements() -> list[Requirement]:
    """Return the settings of the scheduler's role that beat those of a database.

    Needed only where this session, or any, begins with a limit; somebody else's choice stays.
    """
    return [
        Requirement(
            sql.SQL(
                "SELECT NOT EXISTS (SELECT FROM pg_settings WHERE name = {name}) "
                "OR EXISTS (SELECT FROM pg_roles, unnest(rolconfig) AS setting "
                "WHERE rolname = {role} AND setting LIKE {pattern}) "
                "OR (SELECT boot_val = reset_val FROM pg_settings WHERE name = {name}) "
                "AND NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS setting "
                "WHERE setrole = 0 AND setting LIKE {pattern})"
            ).format(role=SCHEDULER, name=name, pattern=f"{name}=%"),
            sql.SQL("ALTER ROLE {} SET {} = {}").format(
                sql.Identifier(SCHEDULER), sql.Identifier(name), value
            ),
        )
        for name, value in SCHEDULER_SETTINGS.items()
    ]


def _meet_where_allowed(connection: psycopg.Connection, requirement: Requirement) -> list[str]:
    """Make a requirement true where this role may; return the statement that was run."""
    if scalar(connection, requirement.is_met):
        return []
    try:
        with connection.transaction():
            connection.execute(requirement.statement)
    except psycopg.errors.InsufficientPrivilege:
        pass
    if scalar(connection, requirement.is_met):
        return [requirement.statement.as_string(connection)]
    return []


def _let_owner_cancel(connection: psycopg.Connection) -> list[str]:
    """Let the scheduler cancel a refresh that takes too long, where this role may grant that."""
    (requirement,) = requirements(connection, "cancel")
    done = _meet_where_allowed(connection, requirement)
    if not scalar(connection, requirement.is_met):
        LOGGER.warning(
            "a tick can't cancel a refresh of each role over its maximum time: to let it, have a "
            "superuser run %s;",
            requirement.statement.as_string(connection),
        )
    return done


def refuse_renamed_owner(connection: psycopg.Connection) -> None:
    """Stop where our owner has another name; to be asked before our roles are made."""
    for role, statement in ask(connection, "renamed_owner"):
        raise UserError(
            f"role {OWNER} was renamed to {role}; nothing was changed",
            f"Give it its name back, as a superuser, then try again:\n\n    {statement};",
        )


def refuse_lost_owners(connection: psycopg.Connection) -> None:
    """Stop where our objects are there and belong to somebody else, as a restore may leave them."""
    owner = scalar(
        connection,
        "SELECT pg_get_userbyid(nspowner) FROM pg_class "
        "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = %s AND relname = 'migration_ledger'",
        ENGINE_SCHEMA,
    )
    if owner not in (None, OWNER):
        raise UserError(
            f"teloo-analytics was restored without its owners (pg_restore --no-owner): its objects "
            f"belong to {owner}; nothing was changed",
            "Restore it with its owners. Or give them back, in psql, as a superuser, or as their "
            f"owner if it may act as {OWNER}, then try again:\n\n{GIVE_BACK}",
        )


def set_up_schema(connection: psycopg.Connection) -> list[str]:
    """Create our schemas and give their owner the rights on the database that it needs."""
    refuse_lost_owners(connection)
    for schema in SCHEMAS:
        owner = scalar(
            connection,
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s",
            schema,
        )
        if owner is not None and owner != OWNER:
            raise UserError(
                f"there is a schema {schema} that does not belong to this package (owner {owner})",
                f"Move it out of the way:\n\n    ALTER SCHEMA {schema} RENAME TO "
                f"{schema}_previous;",
            )
    return meet(connection, requirements(connection, "schemas"), f"schemas {', '.join(SCHEMAS)}")


def refuse_hollow(connection: psycopg.Connection) -> None:
    """Stop where our tables are there without the rows that they always have.

    To be called as the owner.
    """
    # An installation without the function was never restored: a dump has it.
    if scalar(connection, "SELECT to_regproc('kpi_engine.empty_own_table') IS NULL"):
        return
    table = scalar(connection, "SELECT kpi_engine.empty_own_table()")
    if table is not None:
        raise UserError(
            f"teloo-analytics was restored without its data: {table} is empty; nothing was changed",
            "Take the empty tables away and install anew: make uninstall; make migrate; then "
            "SELECT * FROM refresh_all_mv(); (docs/runbook.md, Backup and restore)",
        )


def source_requirements(
    connection: psycopg.Connection, schema: str, tables: Iterable[str]
) -> list[Requirement]:
    """Return the rights that analytics_owner needs to read the operational tables."""
    needs = query("source_needs", p_schema=schema, p_tables=list(tables))
    return [_requirement(needs, statement) for _, statement in connection.execute(needs).fetchall()]


def grant_source(connection: psycopg.Connection, schema: str, tables: Iterable[str]) -> list[str]:
    """Let analytics_owner read the operational tables; nothing else there is touched."""
    return meet(
        connection,
        source_requirements(connection, schema, tables),
        "reading the operational tables",
    )


def create_requirement(connection: psycopg.Connection) -> Requirement:
    """Return what lets the migrating role create a schema, in which views are built aside."""
    return Requirement(
        sql.SQL("SELECT has_database_privilege(current_database(), 'CREATE')").format(),
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
            sql.Identifier(database_name(connection)),
            sql.Identifier(str(scalar(connection, "SELECT current_user"))),
        ),
    )


def early_requirements(
    connection: psycopg.Connection, source_schemas: list[str], tables: Iterable[str], path: str
) -> list[Requirement]:
    """Return what the later steps of a first migrate need, before our schema is there to ask.

    The rights on the operational tables, on the search_path of the database, and on pg_cron.
    """
    schemas = source_schemas or ["public", "teloo"]
    found = connection.execute(
        "SELECT nspname, relname FROM pg_class "
        "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = ANY (%s) AND relname = ANY (%s) AND relkind IN ('r', 'p', 'v', 'm', 'f') "
        "ORDER BY 1, 2",
        [schemas, list(tables)],
    ).fetchall()
    needed = [create_requirement(connection)]
    for schema in dict.fromkeys(schema for schema, _ in found):
        needed += source_requirements(
            connection, schema, [name for its, name in found if its == schema]
        )
    if not is_on_path(connection, path):
        needed.append(
            Requirement(
                sql.SQL(
                    "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database "
                    "WHERE datname = current_database()"
                ).format(),
                sql.SQL("ALTER DATABASE {} SET search_path = {}").format(
                    sql.Identifier(database_name(connection)),
                    sql.SQL(f"{path}, {SCHEMA}" if path_elements(connection, path) else SCHEMA),
                ),
            )
        )
    if scalar(connection, "SELECT true FROM pg_extension WHERE extname = 'pg_cron'"):
        needed.append(
            Requirement(
                sql.SQL("SELECT has_schema_privilege({}, 'cron', 'USAGE')").format(SCHEDULER),
                sql.SQL("GRANT USAGE ON SCHEMA cron TO {}").format(sql.Identifier(SCHEDULER)),
            )
        )
        right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
        needed.append(
            Requirement(
                sql.SQL("SELECT pg_has_role({}, {})").format(SCHEDULER, right),
                sql.SQL("GRANT {} TO {}").format(
                    sql.Identifier(SCHEDULER),
                    sql.Identifier(str(scalar(connection, "SELECT current_user"))),
                ),
            )
        )
    return needed


def database_search_path(connection: psycopg.Connection) -> str | None:
    """Return the search_path that ALTER DATABASE … SET gave this database, or None."""
    rows = ask(connection, "database_search_path")
    return str(rows[0][0]) if rows else None


def set_database_search_path(connection: psycopg.Connection, value: str | None) -> None:
    """Give the database a search_path, or with None take its own away."""
    database = sql.Identifier(database_name(connection))
    if value is None:
        connection.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(database))
        return
    with connection.transaction():
        before = scalar(connection, "SHOW search_path")
        connection.execute("SELECT set_config('search_path', %s, true)", [value])
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET search_path FROM CURRENT").format(database)
        )
        connection.execute("SELECT set_config('search_path', %s, true)", [before])


def connect(url: str, purpose: str) -> psycopg.Connection:
    """Connect for a tool: one READ COMMITTED transaction in UTF8, whatever the defaults are.

    Leaves nothing in a session that a pool gives to others: statements are not prepared, and what
    is set is set for a transaction.
    """
    _made_roles.clear()
    connection = psycopg.connect(
        url,
        application_name=f"teloo-analytics {purpose}",
        client_encoding="UTF8",
        prepare_threshold=None,
    )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    # READ WRITE is an error on a standby, before refuse_standby() could say so.
    connection.read_only = connection.info.parameter_status("in_hot_standby") == "on"
    return connection


def pin_settings(connection: psycopg.Connection) -> None:
    """Set for this transaction what its statements rely on."""
    connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    for name, value in PINNED_SETTINGS.items():
        connection.execute(
            sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
        )
    if connection.info.server_version >= 170000:
        connection.execute("SET LOCAL transaction_timeout = 0")


def default_search_path(connection: psycopg.Connection) -> str:
    """Return the search_path that a new session has where the database sets none.

    To be asked before anything is SET.
    """
    # A limit that the database sets must not end this query, nor those that follow.
    connection.execute("SET LOCAL statement_timeout = 0")
    return str(ask(connection, "default_search_path")[0][0])


def path_elements(connection: psycopg.Connection, path: str) -> list[tuple[str, str]]:
    """Split a search_path: each element as it is written, and the name it stands for."""
    return [
        (str(written), str(name))
        for _, written, name in ask(connection, "path_elements", p_path=path)
    ]


def is_on_path(connection: psycopg.Connection, path: str) -> bool:
    """Tell whether our schema is on a search_path."""
    return SCHEMA in [name for _, name in path_elements(connection, path)]


def append_to_search_path(connection: psycopg.Connection, default_path: str) -> bool:
    """Append schema analytics to the search_path of the database; False where it is there."""
    before = database_search_path(connection)
    path = before if before is not None else default_path
    if is_on_path(connection, path):
        return False
    after = f"{path}, {SCHEMA}" if path_elements(connection, path) else SCHEMA
    user = scalar(connection, "SELECT current_user")
    try:
        with connection.transaction():
            set_database_search_path(connection, after)
    except psycopg.errors.InsufficientPrivilege as error:
        raise UserError(
            f"role {user} may not set the search_path of database "
            f"{database_name(connection)}; "
            "nothing was changed",
            "Have the database's owner run this, then run migrate again:\n\n"
            + sql.SQL("    ALTER DATABASE {} SET search_path = {};")
            .format(sql.Identifier(database_name(connection)), sql.SQL(after))
            .as_string(connection),
        ) from error
    with acting_as(connection):
        connection.execute(
            "UPDATE kpi_engine.installation SET search_path_before = %s, search_path_after = %s",
            [before, after],
        )
    return True


def refuse_shadowing(
    connection: psycopg.Connection, view_names: Iterable[str], default_path: str
) -> None:
    """Stop where older objects come before ours on the search_path, and say how to move them."""
    path = database_search_path(connection)
    rows = ask(
        connection,
        "shadowing_objects",
        p_path=default_path if path is None else path,
        p_views=list(view_names),
    )
    if rows:
        moves = "\n".join(f"    {statement};" for _, statement in rows)
        raise UserError(
            "older objects would win over ours on the search_path; nothing was changed: "
            + ", ".join(name for name, _ in rows),
            "Move them out of the way, then run migrate again:\n\n"
            f"    CREATE SCHEMA IF NOT EXISTS analytics_previous;\n{moves}",
        )
