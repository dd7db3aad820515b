"""The two pg_cron jobs, where the server has pg_cron.

pg_cron notes each run in cron.job_run_details, and never removes one. A tick removes old ones, an
uninstallation all. It names those that it may not see, and those in another database. A run that
begins while it ends stays.
"""

from typing import LiteralString

import psycopg
from psycopg import sql

from commandline.console import LOGGER
from database.prerequisites import (
    SCHEDULER,
    acting_as,
    ask,
    database_name,
    is_superuser,
    role_exists,
    scalar,
)
from database.sql_files import literal_rows

# By name: the command.
JOBS = {str(name): str(command) for name, command, _ in literal_rows("cron_jobs")}
EVERY_MINUTE = str(literal_rows("cron_jobs")[0][2])
EVERY_NIGHT = "17 3 * * *"
# An older pg_cron has none.
HISTORY = (
    "SELECT true FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = 'cron' AND relname = 'job_run_details'"
)


def cron_database(connection: psycopg.Connection) -> str | None:
    """Return the database that pg_cron lives in, or None where that can't be seen."""
    try:
        with connection.transaction():
            database = scalar(connection, "SELECT current_setting('cron.database_name', true)")
    except psycopg.errors.InsufficientPrivilege:
        return None
    return None if database is None else str(database)


def _call(function: LiteralString, *arguments: str) -> str:
    """Return the statement that calls a function of pg_cron."""
    literals = sql.SQL(", ").join(map(sql.Literal, arguments))
    return sql.SQL("SELECT cron." + function + "({})").format(literals).as_string(None)


def trim_from_elsewhere(database: str, days: int) -> str:
    """Return the statement that has pg_cron's history trimmed in the database it lives in.

    There the tick of another database can't do it. The job does what
    analytics.trim_cron_history() does, once a day.
    """
    old = sql.SQL("coalesce(end_time, start_time) < now() - interval {}").format(f"{days} days")
    removal = sql.SQL(
        "DELETE FROM cron.job_run_details WHERE database = {database} AND command IN ({commands}) "
        "AND ({old} OR coalesce(end_time, start_time) IS NULL "
        "AND runid < (SELECT max(runid) FROM cron.job_run_details WHERE {old}))"
    ).format(
        database=database,
        commands=sql.SQL(", ").join(map(sql.Literal, JOBS.values())),
        old=old,
    )
    return _call(
        "schedule",
        f"teloo-analytics history: {database}",
        EVERY_NIGHT,
        removal.as_string(None),
    )


def _notice(reason: str, remedy: str) -> None:
    LOGGER.warning(
        "no schedule: %s. Everything else works; refresh with SELECT * FROM refresh_all_mv(). "
        "To schedule: %s",
        reason,
        remedy,
    )


def has_extension(connection: psycopg.Connection) -> bool:
    """Tell whether this database has extension pg_cron."""
    return scalar(connection, "SELECT true FROM pg_extension WHERE extname = 'pg_cron'") is True


def _statements_elsewhere(connection: psycopg.Connection) -> list[str]:
    """Return what schedules our jobs from the database that pg_cron lives in."""
    database = database_name(connection)
    with acting_as(connection):
        days = scalar(connection, "SELECT analytics.setting('cron_retention_days')::integer")
    return [
        "CREATE EXTENSION IF NOT EXISTS pg_cron",
        *(str(statement) for *_, statement in ask(connection, "cron_jobs", p_database=database)),
        trim_from_elsewhere(database, int(str(days))),
    ]


def _create_extension(connection: psycopg.Connection) -> bool:
    """Create pg_cron where that is possible; else say why not. True when it can be used."""
    database = database_name(connection)
    settings = (
        "add pg_cron to shared_preload_libraries, set cron.database_name = "
        f"'{database}' and restart the server"
    )
    again = "then run migrate again."
    home = cron_database(connection)
    if home not in (None, database):
        # pg_cron runs the jobs of one database, and ignores a copied cron.job elsewhere.
        _notice(
            f"pg_cron lives in database {home}",
            f"have a superuser run there: {'; '.join(_statements_elsewhere(connection))}; "
            "(uninstall does not remove these jobs.)",
        )
        return False
    if has_extension(connection):
        return True
    if not scalar(connection, "SELECT true FROM pg_available_extensions WHERE name = 'pg_cron'"):
        _notice(
            "this server has no pg_cron",
            f"install the package postgresql-NN-cron, {settings}, {again}",
        )
        return False
    if not is_superuser(connection):
        user = scalar(connection, "SELECT current_user")
        here = (
            f"CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO {SCHEDULER}, {user}; "
            f"GRANT {SCHEDULER} TO {user}; {again}"
        )
        # Only a superuser sees where pg_cron is in use: it is not to be moved away from there.
        _notice(
            "this database has no extension pg_cron, and only a superuser can create it",
            "have a superuser run SHOW cron.database_name; If it names another database, leave "
            f"pg_cron there, and run in that one: {'; '.join(_statements_elsewhere(connection))}; "
            f"If it names {database}: {here} "
            f"If there is no such setting, nobody uses pg_cron yet: {settings}, then {here}",
        )
        return False
    if home is None:
        _notice("pg_cron is installed but not loaded", f"{settings}, {again}")
        return False
    connection.execute("CREATE EXTENSION pg_cron")
    with acting_as(connection):
        connection.execute("UPDATE kpi_engine.installation SET pg_cron_created = true")
    return True


def _schedule_as(connection: psycopg.Connection, role: str) -> list[str]:
    """Schedule as one role what is not scheduled so; return the names of changed jobs.

    A job that somebody deactivated stays so, with a warning.
    """
    _remove_misdirected(connection, role)
    changed = []
    with acting_as(connection, role):
        for name, command in JOBS.items():
            job = connection.execute(
                "SELECT jobid, active FROM cron.job WHERE jobname = %s AND username = %s "
                "AND schedule = %s AND command = %s AND database = current_database()",
                [name, role, EVERY_MINUTE, command],
            ).fetchone()
            if job is None:
                connection.execute(
                    "SELECT cron.schedule(%s, %s, %s)", [name, EVERY_MINUTE, command]
                )
                changed.append(name)
            elif not job[1]:
                LOGGER.warning(
                    "the job %s is not active: SELECT cron.alter_job(%s, active := true);",
                    name,
                    job[0],
                )
    return changed


def _remove_misdirected(connection: psycopg.Connection, role: str) -> None:
    """Remove our jobs that call another database or server, or run as another role.

    So they are after a restore from a dump, which has cron.job, or when the database got
    another name; cron.schedule() would leave that as it is. A superuser sees everybody's jobs.
    """
    user = str(scalar(connection, "SELECT current_user"))
    with acting_as(connection, user if is_superuser(connection) else role):
        removed = connection.execute(
            "SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = ANY (%s) "
            "AND (username, database, nodeport) IS DISTINCT FROM "
            "(%s, current_database(), current_setting('port')::integer)",
            [list(JOBS), role],
        ).fetchall()
    if removed:
        LOGGER.info("removed %d job(s) of another database, server or role", len(removed))


def _can_schedule_as_scheduler(connection: psycopg.Connection) -> bool:
    """Let the scheduler's role use pg_cron and this role act as it, where that may be."""
    if not scalar(connection, "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", SCHEDULER):
        LOGGER.warning(
            "role %s may not log in, as pg_cron needs: ALTER ROLE %s LOGIN;", SCHEDULER, SCHEDULER
        )
        return False
    user = str(scalar(connection, "SELECT current_user"))
    try:
        with connection.transaction():
            if not scalar(
                connection, "SELECT has_schema_privilege(%s, 'cron', 'USAGE')", SCHEDULER
            ):
                connection.execute(
                    sql.SQL("GRANT USAGE ON SCHEMA cron TO {}").format(sql.Identifier(SCHEDULER))
                )
            if not scalar(
                connection, "SELECT has_schema_privilege(%s, 'cron', 'USAGE')", SCHEDULER
            ):
                return False
            if not is_superuser(connection):
                right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
                if not scalar(connection, "SELECT pg_has_role(%s, %s)", SCHEDULER, right):
                    connection.execute(
                        sql.SQL("GRANT {} TO {}").format(
                            sql.Identifier(SCHEDULER), sql.Identifier(user)
                        )
                    )
            return True
    except psycopg.errors.InsufficientPrivilege:
        return False


def arrange(connection: psycopg.Connection) -> list[str]:
    """Schedule tick and work every minute; return what changed.

    Runs them as analytics_scheduler, or as the migrating role where that can't be
    arranged. Without pg_cron it logs a notice and changes nothing.
    """
    role = _role_to_schedule_as(connection)
    before = cron_role(connection)
    changed = _schedule_as(connection, role) if role else []
    if before != role:
        unschedule(connection)
        with acting_as(connection):
            connection.execute("UPDATE kpi_engine.installation SET cron_role = %s", [role])
    return changed


def _role_to_schedule_as(connection: psycopg.Connection) -> str | None:
    """Return the role to run the jobs as; None, with a notice, where they can't be scheduled."""
    if not _create_extension(connection):
        return None
    user = str(scalar(connection, "SELECT current_user"))
    if _can_schedule_as_scheduler(connection):
        return SCHEDULER
    if scalar(connection, "SELECT has_schema_privilege('cron', 'USAGE')"):
        LOGGER.warning(
            "the scheduled jobs run as %s: to run them as %s, have a superuser run "
            "GRANT USAGE ON SCHEMA cron TO %s; GRANT %s TO %s; then run migrate again.",
            user,
            SCHEDULER,
            SCHEDULER,
            SCHEDULER,
            user,
        )
        return user
    _notice(
        f"role {user} may not use pg_cron",
        f"have a superuser run GRANT USAGE ON SCHEMA cron TO {SCHEDULER}, {user}; "
        "then run migrate again.",
    )
    return None


def cron_role(connection: psycopg.Connection) -> str | None:
    """Return the role that our jobs were scheduled by, or None where there are none."""
    with acting_as(connection):
        role = scalar(connection, "SELECT cron_role FROM kpi_engine.installation")
    return None if role is None else str(role)


def runs_of(connection: psycopg.Connection, job_ids: list[int]) -> sql.Composed:
    """Return which rows of cron.job_run_details are runs of our jobs, as a condition.

    ``job_ids`` are jobs of ours, which may have run under an older name of this database.
    """
    return sql.SQL("command = ANY ({}) AND (database = {} OR jobid = ANY ({}::bigint[]))").format(
        list(JOBS.values()), database_name(connection), job_ids
    )


def _role_that_sees(connection: psycopg.Connection) -> str:
    """Return the role to look at our jobs and their runs as: a superuser sees everybody's."""
    role = cron_role(connection)
    user = str(scalar(connection, "SELECT current_user"))
    is_usable = role is not None and role_exists(connection, role)
    return str(role) if is_usable and not is_superuser(connection) else user


def job_ids(connection: psycopg.Connection) -> list[int]:
    """Return the numbers of our jobs, which their runs have. To be asked before they go."""
    role = cron_role(connection)
    if role is None or not has_extension(connection):
        return []
    try:
        with connection.transaction(), acting_as(connection, _role_that_sees(connection)):
            rows = connection.execute(
                "SELECT jobid FROM cron.job WHERE jobname = ANY (%s) AND username = %s ORDER BY 1",
                [list(JOBS), role],
            ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return []
    return [int(row[0]) for row in rows]


def remove_runs(connection: psycopg.Connection, job_ids: list[int]) -> int:
    """Remove the runs of our jobs that this role may see and remove; return how many.

    pg_cron waits for it when it notes the end of a run: commit soon.
    """
    if not has_extension(connection) or not scalar(connection, HISTORY):
        return 0
    removal = sql.SQL("DELETE FROM cron.job_run_details WHERE {}").format(
        runs_of(connection, job_ids)
    )
    try:
        with connection.transaction(), acting_as(connection, _role_that_sees(connection)):
            return connection.execute(removal).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return 0


def hidden_runs(connection: psycopg.Connection, job_ids: list[int]) -> list[str]:
    """Return what a superuser has to run, where there may be runs that this role does not see."""
    if is_superuser(connection) or not has_extension(connection) or not scalar(connection, HISTORY):
        return []
    removal = sql.SQL("DELETE FROM cron.job_run_details WHERE {}").format(
        runs_of(connection, job_ids)
    )
    return [
        "runs of jobs in cron.job_run_details that this role may not see, if there are any: have a "
        f"superuser run {removal.as_string(connection)};"
    ]


def unschedule(connection: psycopg.Connection) -> int:
    """Remove our jobs, as the role that they were scheduled by; return how many there were.

    Where this role may not act as that one, it says which statement a superuser has to run.
    """
    role = cron_role(connection)
    if role is None or not has_extension(connection):
        return 0
    removal = (
        "SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = ANY (%s) AND username = %s"
    )
    if not role_exists(connection, role):
        # cron.unschedule() finds jobs of the current role only, and this one is gone.
        removal = removal.replace("SELECT cron.unschedule(jobid) FROM", "DELETE FROM")
        removal += " RETURNING jobid"
        role_to_act_as = str(scalar(connection, "SELECT current_user"))
    else:
        role_to_act_as = role
    try:
        with connection.transaction(), acting_as(connection, role_to_act_as):
            return len(connection.execute(removal, [list(JOBS), role]).fetchall())
    except psycopg.errors.InsufficientPrivilege:
        LOGGER.warning(
            "the jobs of role %s are still scheduled: have a superuser run "
            "DELETE FROM cron.job WHERE jobname IN (%s) AND username = '%s';",
            role,
            ", ".join(f"'{name}'" for name in JOBS),
            role,
        )
        return 0


def unschedule_altered(connection: psycopg.Connection) -> tuple[int, list[str]]:
    """Remove jobs of ours that somebody gave another name or role: they would fail each minute.

    Returns how many there were, and for who sees only his own jobs what a superuser has to run.
    """
    if not has_extension(connection):
        return 0, []
    ours = sql.SQL("database = {} AND nodeport = {} AND command = ANY ({})").format(
        database_name(connection),
        int(str(scalar(connection, "SELECT current_setting('port')"))),
        list(JOBS.values()),
    )
    removal = sql.SQL("SELECT cron.unschedule(jobid) FROM cron.job WHERE {}").format(ours)
    if is_superuser(connection):
        return len(connection.execute(removal).fetchall()), []
    return 0, [
        "jobs of pg_cron that somebody gave another name or role, if there are any: have a "
        f"superuser run {removal.as_string(connection)};"
    ]
