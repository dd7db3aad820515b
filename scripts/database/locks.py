"""Advisory locks of migrate and uninstall. A tool that waits for one says so."""

import logging
from typing import LiteralString

import psycopg

from commandline.console import UserError

LOGGER = logging.getLogger("teloo_analytics")
REFRESH_LOCK = "teloo-analytics refresh"
# Who may migrate: superusers, the database's owner, and who may act as analytics_owner.
HOLDERS: LiteralString = """
    SELECT
        held.pid,
        role.rolname,
        session.application_name,
        NOT (
            role.rolsuper
            OR pg_has_role(role.oid, database.datdba, 'MEMBER')
            OR EXISTS (
                SELECT FROM pg_roles AS owner
                WHERE owner.rolname = 'analytics_owner'
                AND pg_has_role(role.oid, owner.oid, 'MEMBER')
            )
            OR {may_refresh}
        )
    FROM pg_locks AS held
    INNER JOIN pg_database AS database
        ON database.oid = held.database AND database.datname = current_database()
    INNER JOIN pg_stat_activity AS session ON session.pid = held.pid
    INNER JOIN pg_roles AS role ON role.oid = session.usesysid
    WHERE
        held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
        AND held.pid <> pg_backend_pid()
        AND (held.classid::bigint << 32) | held.objid::bigint = hashtextextended(%s, 0)
"""
# The lock of refreshes is held by who refreshes, too.
MAY_REFRESH: LiteralString = """EXISTS (
    SELECT FROM pg_roles AS granted
    WHERE granted.rolname IN ('analytics_operador', 'analytics_scheduler')
    AND pg_has_role(role.oid, granted.oid, 'MEMBER')
) OR EXISTS (
    SELECT FROM pg_locks AS inside
    WHERE inside.pid = held.pid AND inside.mode = 'ExclusiveLock'
    AND inside.relation = to_regclass('kpi_engine.refresh_lock')
)"""


def take(connection: psycopg.Connection, name: str, what: str, *, by_refreshes: bool) -> None:
    """Take an advisory lock for the transaction, naming whom it waits for.

    A session that has no business with it is not waited for: the error says how to end it.
    """
    lock: LiteralString = "(hashtextextended(%s, 0))"
    taken = connection.execute(f"SELECT pg_try_advisory_xact_lock{lock}", [name]).fetchone()
    if taken and taken[0]:
        return
    query: LiteralString = HOLDERS.replace(
        "{may_refresh}", MAY_REFRESH if by_refreshes else "false"
    )
    for pid, role, application, is_stranger in connection.execute(query, [name]).fetchall():
        who = f"process {pid} (role {role}, application {application!r})"
        if is_stranger:
            raise UserError(
                f"{who} holds the lock of {what}, and is none",
                f"Any login can take it. End that session: SELECT pg_terminate_backend({pid});",
            )
        LOGGER.info("%s is at work on this database: waiting for %s", what, who)
    connection.execute(f"SELECT pg_advisory_xact_lock{lock}", [name])
