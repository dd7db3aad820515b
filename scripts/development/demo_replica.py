"""The demo beside production: an operational server writes, an analytics server follows it."""

import time

import psycopg

from cluster import DATABASE, Cluster
from commandline.console import UserError
from development.demo_source import load_source_schema
from development.replication import (
    PATIENCE_SECONDS,
    PUBLISHER_SETTINGS,
    Connection,
    publish,
    subscribe,
)
from gateway import wait_until
from migrate import migrate
from source_indexes import build_missing

SHOP = "demo-shop"
ANALYTICS = "demo-replica"
SUBSCRIPTION = "from_shop"
# An hour of a shop in short: requests come, offers are accepted.
WRITES = (
    """
    INSERT INTO solicitudes SELECT (jsonb_populate_record(latest, jsonb_build_object(
        'id', gen_random_uuid(), 'created_at', now(), 'updated_at', now()
    ))).*
    FROM solicitudes AS latest
    WHERE latest.id IN (SELECT id FROM solicitudes ORDER BY created_at DESC, id LIMIT 50)
    """,
    """
    UPDATE ofertas SET estado = 'ACEPTADA', updated_at = now() WHERE id IN (
        SELECT ofertas.id FROM ofertas
        INNER JOIN solicitudes ON solicitudes.id = ofertas.solicitud_id
        WHERE ofertas.estado <> 'ACEPTADA'
        ORDER BY solicitudes.created_at DESC, ofertas.id LIMIT 100
    )
    """,
)
FIGURES = """
SELECT
    to_char(analytics.today(), 'YYYY-MM'),
    coalesce(sum(solicitudes_creadas), 0),
    coalesce(sum(ofertas_ganadoras), 0),
    coalesce(sum(volumen_transaccional_total), 0)
FROM analytics.mv_metricas_mensuales WHERE mes = date_trunc('month', analytics.today())
"""
BEHIND = "SELECT seconds_behind, bytes_behind, copying FROM analytics.replication()"
LAST_RUN = """
SELECT mode, reason, requests_recomputed, refresh_time_ms FROM analytics.refresh_log
WHERE view_name IS NULL ORDER BY log_id DESC LIMIT 1
"""


def connect(cluster: Cluster) -> Connection:
    """Connect to the demo's database of a server."""
    return psycopg.connect(cluster.url(), application_name="teloo-analytics demo", autocommit=True)


def follow(shop: Cluster, analytics: Cluster) -> None:
    """Let the analytics server follow the shop, and wait until it has copied all tables."""
    with connect(shop) as connection:
        publish(connection)
    with connect(analytics) as connection:
        if connection.execute("SELECT to_regclass('public.solicitudes')").fetchone() == (None,):
            load_source_schema(analytics.url())
        migrate(analytics.url())
        subscribe(connection, SUBSCRIPTION, shop.url())
        connection.execute("CALL analytics.apply_change_capture()")
        connection.execute("ANALYZE")
    build_missing(analytics.url())


def caught_up(shop: Connection) -> float:
    """Wait until the analytics server has all that is committed at the shop; return seconds."""
    started = time.monotonic()
    row = shop.execute("SELECT pg_current_wal_lsn()").fetchone()
    if not wait_until(
        lambda: (
            shop.execute(
                "SELECT FROM pg_stat_replication WHERE application_name = %s AND replay_lsn >= %s",
                [SUBSCRIPTION, row and row[0]],
            ).rowcount
            > 0
        ),
        PATIENCE_SECONDS,
    ):
        raise UserError(
            f"to apply the shop's writes takes longer than {PATIENCE_SECONDS:.0f} s",
            f"The log of the server {ANALYTICS} says why.",
        )
    return time.monotonic() - started


def write_and_see(shop: Cluster, analytics: Cluster) -> list[str]:
    """Write at the shop, refresh at the analytics server; return lines that tell what was seen."""
    with connect(shop) as writer, connect(analytics) as reader:
        caught_up(writer)
        reader.execute("SELECT * FROM analytics.refresh_all_mv()")
        before = reader.execute(FIGURES).fetchone()
        requests, offers = (writer.execute(statement).rowcount for statement in WRITES)
        seconds = caught_up(writer)
        behind = reader.execute(BEHIND).fetchone()
        reader.execute("SELECT * FROM analytics.refresh_all_mv()")
        run = reader.execute(LAST_RUN).fetchone()
        after = reader.execute(FIGURES).fetchone()
    if behind is None or run is None or before is None or after is None:
        raise AssertionError("a subscription, a refresh and a month were just there")
    return [
        f"At the shop {requests} requests came and {offers} offers were accepted. "
        f"They were here after {seconds:.1f} s.",
        f"Behind the shop: {behind[0]} s, {behind[1]} bytes (analytics.replication()).",
        f"The refresh: {run[0]}, {run[1]}, {run[3]:.0f} ms.",
        f"{after[0]}: requests {before[1]:,} → {after[1]:,}, won offers {before[2]:,} → "
        f"{after[2]:,}, COP {before[3]:,.0f} → {after[3]:,.0f}",
    ]


def forget(shop: Cluster, analytics: Cluster) -> None:
    """End the subscription, at both sides, so that the shop's database can be loaded again."""
    analytics.start()
    with connect(analytics) as connection:
        if connection.execute("SELECT FROM pg_subscription").rowcount:
            connection.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} DISABLE")
            connection.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} SET (slot_name = NONE)")
            connection.execute(f"DROP SUBSCRIPTION {SUBSCRIPTION}")
    with connect(shop) as connection:
        wait_until(
            lambda: (
                connection.execute("SELECT FROM pg_replication_slots WHERE active").rowcount == 0
            )
        )
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def servers() -> tuple[Cluster, Cluster]:
    """Return the operational server and the analytics server of this demo."""
    return Cluster(SHOP, settings=PUBLISHER_SETTINGS), Cluster(ANALYTICS)


def tell(shop: Cluster, analytics: Cluster, lines: list[str]) -> None:
    """Print what was seen, and how to go on."""
    print("\n" + "\n".join(lines))
    print(f"\nThe operational server: postgresql://postgres@127.0.0.1:{shop.port}/{DATABASE}")
    print(f"The analytics server:   postgresql://postgres@127.0.0.1:{analytics.port}/{DATABASE}")
    print(
        f"  .local/venv/bin/python scripts/cluster.py psql --name {SHOP}       write there\n"
        f"  .local/venv/bin/python scripts/cluster.py psql --name {ANALYTICS}    look here\n"
        "  make stop    stop all of it; make demo REPLICA=1 starts it again, with its data"
    )
