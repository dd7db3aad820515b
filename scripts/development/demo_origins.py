"""The demo of several into one: two operational servers replicate into one analytics server."""

from cluster import Cluster
from development.demo_beside import SeveralShops, cell, connect, must
from development.demo_source import load_source_schema, move_source
from development.replication import (
    PUBLISHER_SETTINGS,
    apply_worker_has_all,
    leave,
    publish,
    subscribe,
)
from migrate import migrate
from source_indexes import build_missing

ORIGINS = ("bogota", "medellin")
# The rows of a view for one origin, as rows of the view.
ROWS = """(
    SELECT part.* FROM analytics.rows_of_origin('{view}', %s) AS shown (object)
    CROSS JOIN LATERAL jsonb_populate_record(NULL::analytics.{view}, object) AS part
) AS origin"""
BEHIND = "SELECT is_behind FROM analytics.origins() WHERE origen = %s"


def subscription(name: str) -> str:
    """Return the name of the subscription to a shop."""
    return f"from_{name}"


class Origins(SeveralShops):
    """Each shop has its tables in a schema of its name, and home has a schema for each."""

    option = "ORIGINS=2"
    following = "first copy of the tables"
    problem = "replica_lag"

    def follow(self) -> None:
        """Let home follow the shops, and wait until it has copied all tables."""
        for name, shop in self.shops.items():
            move_source(shop.url(), name)
            with connect(shop) as connection:
                publish(connection)
        with connect(self.home) as connection:
            for name in self.shops:
                if cell(connection, "SELECT to_regclass(%s)", f"{name}.solicitudes") is None:
                    load_source_schema(self.home.url())
                    move_source(self.home.url(), name, on_path=False)
            migrate(self.home.url(), source_schema=",".join(self.shops))
            for name, shop in self.shops.items():
                subscribe(connection, subscription(name), shop.url())
            connection.execute("CALL analytics.apply_change_capture()")
            connection.execute("ANALYZE")
        build_missing(self.home.url())
        for name in self.shops:
            self.bring(name)

    def forget(self) -> None:
        """End the subscriptions, at both sides."""
        leave(self.home, {subscription(name): shop for name, shop in self.shops.items()})

    def bring(self, name: str) -> None:
        """Wait until home has what is committed at a shop."""
        apply_worker_has_all(self.shops[name], subscription(name))

    def of_shop(self, query: str, view: str, name: str) -> object:
        """Ask home for one origin alone."""
        with connect(self.home) as connection:
            return cell(connection, query.format(ROWS.format(view=view)), name)

    def notice(self, name: str) -> None:
        """Wait until home knows that an origin is behind."""
        with connect(self.home) as connection:
            must(
                lambda: cell(connection, BEHIND, name) is True,
                f"to know that {name} is stopped",
                "SELECT * FROM analytics.origins(); at home says what is known.",
            )

    def more(self) -> str:
        """Return how to ask for one origin."""
        return (
            "One origin alone: /materialized-views/kpis/mv_finanzas_mensuales?origen="
            f"{next(iter(self.shops))}"
        )


def make() -> Origins:
    """Return this demo, on servers of its own below .local."""
    return Origins(
        Cluster("demo-origins"),
        {name: Cluster(f"demo-{name}", settings=PUBLISHER_SETTINGS) for name in ORIGINS},
    )
