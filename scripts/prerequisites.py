"""What an installation needs around its own objects: server, roles, rights, search_path."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from console import LOGGER, UserError

SCHEMA = "analytics"
API_SCHEMA = "api"
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


def is_superuser(connection: psycopg.Connection) -> bool:
    """Tell whether the current role is a superuser."""
    return scalar(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True


def details(error: psycopg.Error) -> str:
    """Return the server's detail and hint of an error, a line each."""
    return "\n".join(filter(None, [error.diag.message_detail, error.diag.message_hint]))


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
        user = scalar(connection, "SELECT session_user")
        raise UserError(
            f"role {user} lacks rights for {what}; nothing was changed",
            "Have a role that may (such as a superuser) run this, then try again:\n\n"
            + "\n".join(f"    {statement};" for statement in refused),
        )
    return done


def database_name(connection: psycopg.Connection) -> str:
    """Return the name of this database; a pool may have another one for it."""
    return str(scalar(connection, "SELECT pg_catalog.current_database()"))


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


def set_up_roles(connection: psycopg.Connection) -> list[str]:
    """Create the roles that are missing and let the migrating role act as the owner."""
    done = meet(connection, role_requirements(), "the roles")
    may_act_as = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    options = (
        sql.SQL(" WITH SET TRUE, INHERIT TRUE")
        if connection.info.server_version >= 160000
        else sql.SQL("")
    )
    user = str(scalar(connection, "SELECT current_user"))
    done += _let_owner_cancel(connection)
    # Without it there is a little less advice; the doctor says so.
    done += _meet_where_allowed(connection, usage_requirement())
    return done + meet(
        connection,
        [
            Requirement(
                sql.SQL("SELECT pg_has_role({}, {})").format(OWNER, may_act_as),
                sql.SQL("GRANT {} TO {}{}").format(
                    sql.Identifier(OWNER), sql.Identifier(user), options
                ),
            )
        ],
        "the roles",
    )


def cancel_requirement() -> Requirement:
    """Return what the scheduler needs to cancel a refresh that somebody else started."""
    return Requirement(
        sql.SQL("SELECT pg_has_role({}, 'pg_signal_backend', 'MEMBER')").format(OWNER),
        sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(OWNER)),
    )


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
            for schema in (SCHEMA, API_SCHEMA)
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
    """Create schema analytics and the rights on the database that its owner needs."""
    for schema in (SCHEMA, API_SCHEMA):
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
    return meet(connection, schema_requirements(connection), f"schemas {SCHEMA} and {API_SCHEMA}")


def refuse_hollow(connection: psycopg.Connection) -> None:
    """Stop where our tables are there without the rows that they always have.

    So they are after a restore of pg_dump --schema-only or --exclude-table-data. To be called as
    the owner.
    """
    tables = ("migration_ledger", "installation", "settings", "engine_state", "scheduler_state")
    for table in tables:
        relation = sql.Identifier(SCHEMA, table)
        if scalar(connection, "SELECT to_regclass(%s) IS NULL", f"{SCHEMA}.{table}"):
            continue
        if not scalar(connection, sql.SQL("SELECT true FROM {} LIMIT 1").format(relation)):
            raise UserError(
                f"schema {SCHEMA} was restored without its data: {SCHEMA}.{table} is empty; "
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
        {"schemas": [SCHEMA, API_SCHEMA], "roles": list(ROLES)},
    ).fetchall()
    ours = f"SCHEMA {SCHEMA}, {API_SCHEMA}"
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
    connection.read_only = False
    return connection


def pin_settings(connection: psycopg.Connection) -> None:
    """Set for this transaction what its statements rely on."""
    connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    connection.execute("SET LOCAL quote_all_identifiers = off")


def default_search_path(connection: psycopg.Connection) -> str:
    """Return the search_path that a new session has where the database sets none.

    To be asked before anything is SET. Where the role or the connection has one of its
    own, the server's configuration is hidden behind it, and PostgreSQL's default is taken.
    """
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
            "UPDATE analytics.installation SET search_path_before = %s, search_path_after = %s",
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
