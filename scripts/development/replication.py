"""Logical replication of a marketplace: one server publishes it, a database of another follows."""

import time

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from commandline.console import UserError

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
