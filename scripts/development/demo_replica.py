"""The demo beside production: an operational server writes, an analytics server follows it."""

from cluster import Cluster
from development.demo_beside import LAST_RUN, Beside, connect, refresh, write
from development.demo_source import load_source_schema
from development.replication import (
    PUBLISHER_SETTINGS,
    apply_worker_has_all,
    leave,
    publish,
    subscribe,
)
from gateway import Gateway
from migrate import migrate
from source_indexes import build_missing

SUBSCRIPTION = "from_shop"
FIGURES = """
SELECT
    to_char(analytics.today(), 'YYYY-MM'),
    coalesce(sum(solicitudes_creadas), 0),
    coalesce(sum(ofertas_ganadoras), 0),
    coalesce(sum(volumen_transaccional_total), 0)
FROM analytics.mv_metricas_mensuales WHERE mes = date_trunc('month', analytics.today())
"""
BEHIND = "SELECT seconds_behind, bytes_behind, copying FROM analytics.replication()"


class Replica(Beside):
    """One shop; home has the same tables and a subscription."""

    option = "REPLICA=1"
    following = "first copy of the tables"

    @property
    def shop(self) -> Cluster:
        """The operational server."""
        return next(iter(self.shops.values()))

    def follow(self) -> None:
        """Let home follow the shop, and wait until it has copied all tables."""
        with connect(self.shop) as connection:
            publish(connection)
        with connect(self.home) as connection:
            if connection.execute("SELECT to_regclass('public.solicitudes')").fetchone() == (None,):
                load_source_schema(self.home.url())
            migrate(self.home.url())
            subscribe(connection, SUBSCRIPTION, self.shop.url())
            connection.execute("CALL analytics.apply_change_capture()")
            connection.execute("ANALYZE")
        build_missing(self.home.url())

    def forget(self) -> None:
        """End the subscription, at both sides."""
        leave(self.home, {SUBSCRIPTION: self.shop})

    def show(self, gateway: Gateway) -> str:
        """Write at the shop, refresh at home; return lines that tell what was seen."""
        with connect(self.home) as reader:
            apply_worker_has_all(self.shop, SUBSCRIPTION)
            refresh(reader)
            before = reader.execute(FIGURES).fetchone()
            requests, offers = write(self.shop)
            seconds = apply_worker_has_all(self.shop, SUBSCRIPTION)
            behind = reader.execute(BEHIND).fetchone()
            refresh(reader)
            run = reader.execute(LAST_RUN).fetchone()
            after = reader.execute(FIGURES).fetchone()
        if behind is None or run is None or before is None or after is None:
            raise AssertionError("a subscription, a refresh and a month were just there")
        return (
            f"At the shop {requests} requests came and {offers} offers were accepted. "
            f"They were here after {seconds:.1f} s.\n"
            f"Behind the shop: {behind[0]} s, {behind[1]} bytes (analytics.replication()).\n"
            f"The refresh: {run[0]}, {run[1]}, {run[3]:.0f} ms.\n"
            f"{after[0]}: requests {before[1]:,} → {after[1]:,}, won offers {before[2]:,} → "
            f"{after[2]:,}, COP {before[3]:,.0f} → {after[3]:,.0f}"
        )


def make() -> Replica:
    """Return this demo, on servers of its own below .local."""
    return Replica(
        Cluster("demo-replica"), {"shop": Cluster("demo-shop", settings=PUBLISHER_SETTINGS)}
    )
