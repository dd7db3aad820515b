"""What an installation needs around its own objects: server, roles, rights, search_path."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from console import LOGGER, UserError

# What users read and call; the engine's own objects, on nobody's search_path; what HTTP serves.
SCHEMA = "analytics"
ENGINE_SCHEMA = "kpi_engine"
API_SCHEMA = "api"
SCHEMAS = (SCHEMA, ENGINE_SCHEMA, API_SCHEMA)
MIGRATE_LOCK = "teloo-analytics migrate"
OWNER = "analytics_owner"
SCHEDULER = "analytics_scheduler"
AUTHENTICATOR = "analytics_authenticator"
# Whom PostgREST answers as, and how long one statement of theirs may take.
API_ROLES = {
    "analytics_anon": "5s",
    "analytics_lector": "10s",
    "analytics_operador": "10s",
}
ROLES = {
    OWNER: ("NOLOGIN", "Owns every object of teloo-analytics. Nobody logs in as it."),
    "analytics_lector": ("NOLOGIN", "Reads the KPIs of teloo-analytics."),
    "analytics_operador": ("NOLOGIN", "Reads, refreshes and reschedules teloo-analytics."),
    "analytics_anon": ("NOLOGIN", "HTTP requests without a token: the health of teloo-analytics."),
    AUTHENTICATOR: (
        "LOGIN NOINHERIT",
        "PostgREST's login for teloo-analytics: becomes a role of the HTTP API, nothing else.",
    ),
    SCHEDULER: ("LOGIN", "Runs the scheduled jobs of teloo-analytics, nothing else."),
}
# Of the database that was looked at last: name, function, owner.
_event_triggers: list[tuple[str, str, str]] = []
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
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_table_access_method": "heap",
    "default_tablespace": "",
}
# A scheduled job has no limit but our own (setting refresh_max_minutes), whatever the database has.
SCHEDULER_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
# Called without a schema by users; the materialized views come on top of these.
UNQUALIFIED_FUNCTIONS = ("refresh_all_mv", "get_mv_stats")


@dataclass(frozen=True)
class Requirement:
    """A query that is true when all is well, and the statement that makes it so."""

    is_met: sql.Composed
    statement: sql.Composed


def scalar(connection: psycopg.Connection, query: str | sql.Composable, *values: object) -> object:
    """Run a query and return the first column of its first row, or None without a row."""
    row = connection.execute(query, values or None).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def role_exists(connection: psycopg.Connection, role: str) -> bool:
    """Tell whether the cluster has a role of this name."""
    return scalar(connection, "SELECT true FROM pg_roles WHERE rolname = %s", role) is True


def refuse_standby(connection: psycopg.Connection) -> None:
    """Stop on a server that is a standby: everything there is read-only."""
    if not scalar(connection, "SELECT pg_is_in_recovery()"):
        return
    try:
        with connection.transaction():
            primary = scalar(
                connection,
                "SELECT sender_host || coalesce(':' || sender_port, '') FROM pg_stat_wal_receiver",
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
    """Return the server's detail and hint of an error, a line each, and whose trigger raised it."""
    words = [error.diag.message_detail, error.diag.message_hint, event_trigger_of(error)]
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
    """Return the error that lists the statements that this role may not run."""
    user = scalar(connection, "SELECT session_user")
    return UserError(
        f"role {user} lacks rights for {what}; nothing was changed",
        "Have a role that may (such as a superuser) run this, then try again:\n\n"
        + "\n".join(f"    {statement};" for statement in statements),
    )


def check_server(connection: psycopg.Connection) -> None:
    """Refuse a server or a database on which the numbers would not be right."""
    version = connection.info.server_version
    if version < 150000:
        raise UserError(
            f"PostgreSQL {version // 10000} is too old: 15 to 18 are supported",
            "Upgrade the server.",
        )
    if version >= 190000:
        LOGGER.warning("PostgreSQL %s is newer than what was tested (15 to 18)", version // 10000)
    encoding = scalar(connection, "SHOW server_encoding")
    if encoding != "UTF8":
        raise UserError(
            f"the database has encoding {encoding}, and spellings of cities are compared in UTF8",
            "Move it to a database made with ENCODING 'UTF8'.",
        )
    if scalar(connection, r"SELECT upper(U&'\00EB') <> U&'\00CB'"):
        raise UserError(
            "in this database upper('ë') is not 'Ë', so CITROËN and citroën would be two brands",
            "Its locale (LC_CTYPE) knows ASCII only. Move it to a database made with a UTF-8 "
            "locale, such as LOCALE 'C.UTF-8' TEMPLATE template0.",
        )


def role_requirements() -> list[Requirement]:
    """Return what the roles of the package need."""
    requirements = [
        Requirement(
            sql.SQL("SELECT to_regrole({}) IS NOT NULL").format(role),
            sql.SQL("CREATE ROLE {role} {login}; COMMENT ON ROLE {role} IS {comment}").format(
                role=sql.Identifier(role), login=sql.SQL(login), comment=comment
            ),
        )
        for role, (login, comment) in ROLES.items()
    ]
    for role, timeout in API_ROLES.items():
        requirements += [
            Requirement(
                sql.SQL(
                    "SELECT EXISTS (SELECT FROM pg_auth_members WHERE roleid = to_regrole({}) "
                    "AND member = to_regrole({}))"
                ).format(role, AUTHENTICATOR),
                sql.SQL("GRANT {} TO {}").format(
                    sql.Identifier(role), sql.Identifier(AUTHENTICATOR)
                ),
            ),
            # In force where PostgREST becomes the role; somebody else's choice stays.
            Requirement(
                sql.SQL(
                    "SELECT EXISTS (SELECT FROM pg_roles, unnest(rolconfig) AS setting "
                    "WHERE rolname = {} AND setting LIKE 'statement_timeout=%')"
                ).format(role),
                sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(
                    sql.Identifier(role), timeout
                ),
            ),
        ]
    return requirements


def set_up_roles(connection: psycopg.Connection, others: Iterable[Requirement] = ()) -> list[str]:
    """Create the roles that are missing and let the migrating role act as the owner.

    Where this role may not, the error lists what else it may not, too: ``others``, our schemas, and
    what only makes things better. So a superuser is asked once.
    """
    done = []
    user = str(scalar(connection, "SELECT current_user"))
    needed = [*role_requirements(), membership_requirement(connection, user)]
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
                *schema_requirements(connection),
                *(
                    other
                    for other in others
                    if other.statement not in [r.statement for r in needed]
                ),
                cancel_requirement(),
                usage_requirement(),
            ],
        )
        raise refusal(connection, more, "the roles and what they need") from error
    done += _let_owner_cancel(connection)
    for requirement in scheduler_requirements():
        done += _meet_where_allowed(connection, requirement)
    # Without it there is a little less advice; the doctor says so.
    return done + _meet_where_allowed(connection, usage_requirement())


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


def cancel_requirement() -> Requirement:
    """Return what the scheduler needs to cancel a refresh that somebody else started."""
    return Requirement(
        sql.SQL("SELECT pg_has_role({}, 'pg_signal_backend', 'MEMBER')").format(OWNER),
        sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(OWNER)),
    )


def scheduler_requirements() -> list[Requirement]:
    """Return the settings of the scheduler's role that beat those of a database.

    Needed only where this session, or any, begins with a limit; somebody else's choice stays.
    """
    return [
        Requirement(
            sql.SQL(
                "SELECT EXISTS (SELECT FROM pg_roles, unnest(rolconfig) AS setting "
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


def usage_requirement() -> Requirement:
    """Return what counts the calls of the HTTP API, for the advice about usage."""
    return Requirement(
        sql.SQL(
            "SELECT EXISTS (SELECT FROM pg_roles, unnest(rolconfig) AS setting "
            "WHERE rolname = {} AND setting LIKE 'track_functions=%')"
        ).format(AUTHENTICATOR),
        sql.SQL("ALTER ROLE {} SET track_functions = 'pl'").format(sql.Identifier(AUTHENTICATOR)),
    )


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
    requirement = cancel_requirement()
    done = _meet_where_allowed(connection, requirement)
    if not scalar(connection, requirement.is_met):
        LOGGER.warning(
            "a refresh over its maximum time is cancelled only where its role may be: to cancel "
            "whoever started it, have a superuser run %s;",
            requirement.statement.as_string(connection),
        )
    return done


def schema_requirements(connection: psycopg.Connection) -> list[Requirement]:
    """Return our schemas, and the rights on the database that our roles need."""
    database = sql.Identifier(database_name(connection))
    return [
        *(
            Requirement(
                sql.SQL("SELECT to_regnamespace({}) IS NOT NULL").format(schema),
                sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                    sql.Identifier(schema), sql.Identifier(OWNER)
                ),
            )
            for schema in SCHEMAS
        ),
        # REFRESH … CONCURRENTLY needs it.
        Requirement(
            sql.SQL("SELECT has_database_privilege({}, current_database(), 'TEMP')").format(OWNER),
            sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER)),
        ),
        *(
            Requirement(
                sql.SQL("SELECT has_database_privilege({}, current_database(), 'CONNECT')").format(
                    role
                ),
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    database, sql.Identifier(role)
                ),
            )
            for role in (SCHEDULER, AUTHENTICATOR)
        ),
    ]


def set_up_schema(connection: psycopg.Connection) -> list[str]:
    """Create our schemas and give their owner the rights on the database that it needs."""
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
    return meet(connection, schema_requirements(connection), f"schemas {', '.join(SCHEMAS)}")


def refuse_hollow(connection: psycopg.Connection) -> None:
    """Stop where our tables are there without the rows that they always have.

    So they are after a restore of pg_dump --schema-only or --exclude-table-data. To be called as
    the owner.
    """
    tables = ("migration_ledger", "installation", "settings", "engine_state", "scheduler_state")
    for table in tables:
        relation = sql.Identifier(ENGINE_SCHEMA, table)
        if scalar(connection, "SELECT to_regclass(%s) IS NULL", f"{ENGINE_SCHEMA}.{table}"):
            continue
        if not scalar(connection, sql.SQL("SELECT true FROM {} LIMIT 1").format(relation)):
            raise UserError(
                f"teloo-analytics was restored without its data: {ENGINE_SCHEMA}.{table} is empty; "
                "nothing was changed",
                "Take the empty tables away and install anew: make uninstall; make migrate; then "
                "SELECT * FROM refresh_all_mv(); (docs/runbook.md, Backup and restore)",
            )


def dump_findings(connection: psycopg.Connection) -> list[tuple[str, list[str]]]:
    """Return roles that could dump this database but for us, with the statements that let them.

    These are the owner of the database, and who may read every table of others and owns none, as a
    role for backups does. Superusers, and members of pg_read_all_data, read ours, too.
    """
    rows = connection.execute(
        """
        WITH dumped AS (
            SELECT pg_class.oid, relowner, nspname = ANY (%(schemas)s) AS is_ours
            FROM pg_class
            INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE
                relkind IN ('r', 'p', 'S') AND relpersistence <> 't'
                AND nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema'
                AND NOT EXISTS (
                    SELECT FROM pg_depend
                    WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
                )
        )

        SELECT rolname
        FROM pg_roles AS role
        WHERE
            NOT role.rolsuper
            AND role.rolname <> ALL (%(roles)s)
            AND (
                EXISTS (
                    SELECT FROM dumped
                    WHERE is_ours AND NOT has_table_privilege(role.oid, dumped.oid, 'SELECT')
                )
                OR EXISTS (
                    SELECT FROM pg_namespace
                    WHERE
                        nspname = ANY (%(schemas)s)
                        AND NOT has_schema_privilege(role.oid, pg_namespace.oid, 'USAGE')
                )
            )
            AND (
                role.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
                OR (
                    role.rolcanlogin
                    AND has_database_privilege(role.oid, current_database(), 'CONNECT')
                    AND EXISTS (SELECT FROM dumped WHERE NOT is_ours)
                    AND NOT EXISTS (
                        SELECT FROM dumped
                        WHERE
                            NOT is_ours
                            AND (
                                relowner = role.oid
                                OR NOT has_table_privilege(role.oid, dumped.oid, 'SELECT')
                            )
                    )
                )
            )
        ORDER BY 1
        """,
        {"schemas": list(SCHEMAS), "roles": list(ROLES)},
    ).fetchall()
    ours = f"SCHEMA {', '.join(SCHEMAS)}"
    found = []
    for (role,) in rows:
        name = sql.Identifier(role).as_string(connection)
        later = f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN {ours} GRANT SELECT ON"
        found.append(
            (
                str(role),
                [
                    f"GRANT USAGE ON {ours} TO {name}",
                    f"GRANT SELECT ON ALL TABLES IN {ours} TO {name}",
                    f"GRANT SELECT ON ALL SEQUENCES IN {ours} TO {name}",
                    f"{later} TABLES TO {name}",
                    f"{later} SEQUENCES TO {name}",
                ],
            )
        )
    return found


def source_requirements(schema: str, tables: Iterable[str]) -> list[Requirement]:
    """Return the rights that analytics_owner needs to read the operational tables."""
    requirements = [
        Requirement(
            sql.SQL("SELECT has_schema_privilege({}, {}, 'USAGE')").format(OWNER, schema),
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
                sql.Identifier(schema), sql.Identifier(OWNER)
            ),
        )
    ]
    requirements += [
        Requirement(
            sql.SQL("SELECT has_table_privilege({}, format('%I.%I', {}, {}), 'SELECT')").format(
                OWNER, schema, table
            ),
            sql.SQL("GRANT SELECT ON {} TO {}").format(
                sql.Identifier(schema, table), sql.Identifier(OWNER)
            ),
        )
        for table in tables
    ]
    return requirements


def grant_source(connection: psycopg.Connection, schema: str, tables: Iterable[str]) -> list[str]:
    """Let analytics_owner read the operational tables; nothing else there is touched."""
    return meet(connection, source_requirements(schema, tables), "reading the operational tables")


def create_requirement(connection: psycopg.Connection) -> Requirement:
    """Return what lets the migrating role create a schema, in which views are built aside."""
    return Requirement(
        sql.SQL("SELECT has_database_privilege(current_database(), 'CREATE')").format(),
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
            sql.Identifier(connection.info.dbname),
            sql.Identifier(str(scalar(connection, "SELECT current_user"))),
        ),
    )


def early_requirements(
    connection: psycopg.Connection, source_schema: str | None, tables: Iterable[str], path: str
) -> list[Requirement]:
    """Return what the later steps of a first migrate need, before our schema is there to ask.

    The rights on the operational tables, on the search_path of the database, and on pg_cron.
    """
    schemas = [source_schema] if source_schema else ["public", "teloo"]
    found = connection.execute(
        "SELECT nspname, relname FROM pg_class "
        "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = ANY (%s) AND relname = ANY (%s) AND relkind IN ('r', 'p', 'v', 'm', 'f') "
        "ORDER BY 1, 2",
        [schemas, list(tables)],
    ).fetchall()
    requirements = [create_requirement(connection)]
    for schema in dict.fromkeys(schema for schema, _ in found):
        requirements += source_requirements(schema, [name for its, name in found if its == schema])
    if not is_on_path(path):
        requirements.append(
            Requirement(
                sql.SQL(
                    "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database "
                    "WHERE datname = current_database()"
                ).format(),
                sql.SQL("ALTER DATABASE {} SET search_path = {}").format(
                    sql.Identifier(connection.info.dbname),
                    sql.SQL(f"{path}, {SCHEMA}" if path_elements(path) else SCHEMA),
                ),
            )
        )
    if scalar(connection, "SELECT true FROM pg_extension WHERE extname = 'pg_cron'"):
        requirements.append(
            Requirement(
                sql.SQL("SELECT has_schema_privilege({}, 'cron', 'USAGE')").format(SCHEDULER),
                sql.SQL("GRANT USAGE ON SCHEMA cron TO {}").format(sql.Identifier(SCHEDULER)),
            )
        )
        right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
        requirements.append(
            Requirement(
                sql.SQL("SELECT pg_has_role({}, {})").format(SCHEDULER, right),
                sql.SQL("GRANT {} TO {}").format(
                    sql.Identifier(SCHEDULER),
                    sql.Identifier(str(scalar(connection, "SELECT current_user"))),
                ),
            )
        )
    return requirements


def database_search_path(connection: psycopg.Connection) -> str | None:
    """Return the search_path that ALTER DATABASE … SET gave this database, or None."""
    value = scalar(
        connection,
        """
        SELECT substr(setting, length('search_path=') + 1)
        FROM pg_db_role_setting
        CROSS JOIN unnest(setconfig) AS setting
        WHERE
            setrole = 0
            AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND setting LIKE 'search\\_path=%'
        """,
    )
    return None if value is None else str(value)


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


def default_search_path(connection: psycopg.Connection) -> str:
    """Return the search_path that a new session has where the database sets none.

    To be asked before anything is SET. Where the role or the connection has one of its
    own, the server's configuration is hidden behind it, and PostgreSQL's default is taken.
    """
    # A limit that the database sets must not end this query, nor those that follow.
    connection.execute("SET LOCAL statement_timeout = 0")
    return str(
        scalar(
            connection,
            "SELECT CASE WHEN source OPERATOR(pg_catalog.=) ANY "
            "('{default,configuration file,command line,environment variable}'::text[]) "
            "THEN reset_val ELSE boot_val END "
            "FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'search_path'",
        )
    )


def path_elements(path: str) -> list[tuple[str, str]]:
    """Split a search_path: each element as it is written, and the name it stands for."""
    written = [part.strip() for part in re.findall(r'(?:"(?:[^"]|"")*"|[^,"])+', path)]
    return [
        (part, part[1:-1].replace('""', '"') if part.startswith('"') else part.lower())
        for part in written
        if part
    ]


def is_on_path(path: str) -> bool:
    """Tell whether our schema is on a search_path."""
    return SCHEMA in [name for _, name in path_elements(path)]


def append_to_search_path(connection: psycopg.Connection, default_path: str) -> bool:
    """Append schema analytics to the search_path of the database; False where it is there."""
    before = database_search_path(connection)
    path = before if before is not None else default_path
    if is_on_path(path):
        return False
    after = f"{path}, {SCHEMA}" if path_elements(path) else SCHEMA
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
    user = str(scalar(connection, "SELECT current_user"))
    schemas = [
        user if name == "$user" else name
        for _, name in path_elements(path if path is not None else default_path)
    ]
    if SCHEMA in schemas:
        schemas = schemas[: schemas.index(SCHEMA)]
    rows = connection.execute(
        """
        SELECT
            CASE relkind
                WHEN 'm' THEN 'MATERIALIZED VIEW'
                WHEN 'v' THEN 'VIEW'
                WHEN 'f' THEN 'FOREIGN TABLE'
                WHEN 'S' THEN 'SEQUENCE'
                ELSE 'TABLE'
            END,
            format('%%I.%%I', nspname, relname)
        FROM pg_class
        INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE
            relname = ANY (%(views)s)
            AND nspname = ANY (%(schemas)s)
            AND relkind NOT IN ('i', 'I')
        UNION ALL
        SELECT
            CASE prokind
                WHEN 'p' THEN 'PROCEDURE'
                WHEN 'a' THEN 'AGGREGATE'
                ELSE 'FUNCTION'
            END,
            format(
                '%%I.%%I(%%s)',
                nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)
            )
        FROM pg_proc
        INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE proname = ANY (%(functions)s) AND nspname = ANY (%(schemas)s)
        ORDER BY 2
        """,
        {
            "views": list(view_names),
            "functions": list(UNQUALIFIED_FUNCTIONS),
            "schemas": schemas,
        },
    ).fetchall()
    if rows:
        moves = "\n".join(
            f"    ALTER {kind} {name} SET SCHEMA analytics_previous;" for kind, name in rows
        )
        raise UserError(
            "older objects would win over ours on the search_path; nothing was changed: "
            + ", ".join(name for _, name in rows),
            "Move them out of the way, then run migrate again:\n\n"
            f"    CREATE SCHEMA IF NOT EXISTS analytics_previous;\n{moves}",
        )
