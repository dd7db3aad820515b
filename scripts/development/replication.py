"""Logical replication of a marketplace: one server publishes it, a database of another follows."""

import time
from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from cluster import Cluster
from commandline.console import UserError
from gateway import wait_until

# What a server needs whose databases are published.
PUBLISHER_SETTINGS = "wal_level = logical\nmax_wal_senders = 10\n"
PUBLICATION = "operational"
PATIENCE_SECONDS = 600.0

Connection = psycopg.Connection[TupleRow]


def publish(publisher: Connection) -> None:
    """Publish all tables of a database, if that is not done."""
    if not publisher.execute(
        "SELECT FROM pg_publication WHERE pubname = %s", [PUBLICATION]
    ).rowcount:
        publisher.execute(
            sql.SQL("CREATE PUBLICATION {} FOR ALL TABLES").format(sql.Identifier(PUBLICATION))
        )


def subscribe(subscriber: Connection, name: str, publisher_url: str) -> None:
    """Let a database with the same tables follow; return when it has copied all of them.

    A subscription that is there gets the address again: the publisher may have another port
    since. Raises UserError where the copy takes ten minutes.
    """
    known = subscriber.execute("SELECT FROM pg_subscription WHERE subname = %s", [name]).rowcount
    form = (
        "ALTER SUBSCRIPTION {} CONNECTION {}"
        if known
        else "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {}"
    )
    subscriber.execute(
        sql.SQL(form).format(
            sql.Identifier(name), sql.Literal(publisher_url), sql.Identifier(PUBLICATION)
        )
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while subscriber.execute("SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'").rowcount:
        if time.monotonic() > deadline:
            raise UserError(
                f"the first copy of the tables takes longer than {PATIENCE_SECONDS:.0f} s",
                "The log of the subscriber's server says why.",
            )
        time.sleep(0.05)


def apply_worker_has_all(publisher: Cluster, name: str) -> float:
    """Wait until a subscription has applied all that is committed now; return the seconds."""
    started = time.monotonic()
    with psycopg.connect(publisher.url(), autocommit=True) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        has_all = wait_until(
            lambda: (
                connection.execute(
                    "SELECT FROM pg_stat_replication "
                    "WHERE application_name = %s AND replay_lsn >= %s",
                    [name, row and row[0]],
                ).rowcount
                > 0
            ),
            PATIENCE_SECONDS,
        )
    if not has_all:
        raise UserError(
            f"to apply the shop's writes takes longer than {PATIENCE_SECONDS:.0f} s",
            f"The log of the server that has the subscription {name} says why.",
        )
    return time.monotonic() - started


def leave(subscriber: Cluster, publishers: Mapping[str, Cluster]) -> None:
    """End subscriptions, at both sides: a database with one, or with its slot, can't be dropped."""
    with psycopg.connect(subscriber.url(), autocommit=True) as connection:
        for name in publishers:
            if connection.execute(
                "SELECT FROM pg_subscription WHERE subname = %s", [name]
            ).rowcount:
                for change in (
                    "ALTER SUBSCRIPTION {} DISABLE",
                    "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
                    "DROP SUBSCRIPTION {}",
                ):
                    connection.execute(sql.SQL(change).format(sql.Identifier(name)))
    for publisher in publishers.values():
        with psycopg.connect(publisher.url(), autocommit=True) as connection:
            wait_until(
                lambda: (
                    connection.execute("SELECT FROM pg_replication_slots WHERE active").rowcount
                    == 0
                )
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            )
