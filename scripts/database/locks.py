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


def readers(connection: psycopg.Connection, schema: str, names: list[str]) -> tuple[str, str]:
    """Return who holds a lock of one of these relations, and how to end prepared transactions."""
    rows = connection.execute(
        """
        SELECT DISTINCT held.pid, prepared.gid, quote_literal(prepared.gid)
        FROM pg_locks AS held
        INNER JOIN pg_database AS database
            ON database.oid = held.database AND database.datname = current_database()
        INNER JOIN pg_class AS relation ON relation.oid = held.relation
        -- A prepared transaction has no process, but its own lock of its id.
        LEFT JOIN pg_locks AS its_id
            ON held.pid IS NULL AND its_id.pid IS NULL AND its_id.locktype = 'transactionid'
            AND its_id.virtualtransaction = held.virtualtransaction
        LEFT JOIN pg_prepared_xacts AS prepared ON prepared.transaction = its_id.transactionid
        WHERE
            relation.relnamespace = to_regnamespace(%s) AND relation.relname = ANY (%s)
            AND held.granted AND held.pid IS DISTINCT FROM pg_backend_pid()
        ORDER BY held.pid, prepared.gid
        """,
        [schema, names],
    ).fetchall()
    who = [
        f"process {pid}" if pid is not None else f"prepared transaction {gid!r}"
        for pid, gid, _ in rows
        if pid is not None or gid is not None
    ]
    ends = "".join(f"ROLLBACK PREPARED {literal}; " for *_, literal in rows if literal is not None)
    return (
        f" by {', '.join(who)}" if who else "",
        f"A prepared transaction stays until somebody ends it: {ends}" if ends else "",
    )
