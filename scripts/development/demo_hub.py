"""The demo of a hub: each site has this package, and a hub shows the figures of all sites."""

import secrets

from psycopg import sql

import hub
from cluster import Cluster
from commandline.console import UserError
from development.demo_beside import SeveralShops, cell, connect, refresh_at
from migrate import migrate
from source_indexes import build_missing

SITES = ("bogota", "medellin")
ROLE = "hub_reader"
STOPPED = "stopped"


class Hub(SeveralShops):
    """Each shop is a site."""

    option = "HUB=1"
    following = "sites, and what the hub takes"
    problem = "hub_site"

    def forget(self) -> None:
        """Cut nothing: a hub holds no connection to a site."""

    def follow(self) -> None:
        """Make each shop a site, make the hub, tell it of the sites, and let it take all rows."""
        migrate(self.home.url(), hub=True)
        for name, site in self.shops.items():
            migrate(site.url())
            build_missing(site.url())
            with connect(site) as connection:
                connection.execute("SELECT analytics.set_setting('hub_days', '30')")
            self.bring(name)
            self.introduce(name)
        refresh_at(self.home)

    def introduce(self, name: str) -> None:
        """Tell the hub where a site is, and with which role and password it may read there."""
        site = self.shops[name]
        address = {"host": "127.0.0.1", "port": str(site.port), "dbname": site.database}
        password = secrets.token_urlsafe(24)
        with connect(site) as connection:
            known = cell(connection, "SELECT true FROM pg_roles WHERE rolname = %s", ROLE)
            form = "ALTER ROLE {} " if known else "CREATE ROLE {} LOGIN IN ROLE analytics_hub "
            connection.execute(
                sql.SQL(form + "PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(password))
            )
        with connect(self.home) as connection:
            server = cell(
                connection, "SELECT server_name FROM analytics.hub_sites WHERE site = %s", name
            )
            if server is not None:
                # Its port may be another one since the last start.
                for change, value in (
                    ("SERVER {} OPTIONS (SET port {})", address["port"]),
                    (
                        "USER MAPPING FOR analytics_owner SERVER {} OPTIONS (SET password {})",
                        password,
                    ),
                ):
                    connection.execute(
                        sql.SQL("ALTER " + change).format(
                            sql.Identifier(str(server)), sql.Literal(value)
                        )
                    )
                return
        hub.add(self.home.url(), name, address, ROLE, password)

    def more(self) -> str:
        """Compare the hub's mirror with the facts of all sites, as hub.py check does."""
        rows = [
            (name, *row)
            for name in self.shops
            for row in hub.rows_of(
                self.home.url(), "SELECT * FROM kpi_engine.check_hub_site(%s)", name
            )
        ]
        wrong = [f"{row[0]}, {row[1]}: {row[3]}" for row in rows if row[2] is not True]
        if wrong:
            raise UserError("the hub has other facts than a site", "\n".join(wrong))
        return f"Compared with the sites (scripts/hub.py check): {len(rows)} answers, all right."

    def bring(self, name: str) -> None:
        """Refresh a site: the hub sees what its last refresh saw."""
        refresh_at(self.shops[name])

    def of_shop(self, query: str, view: str, name: str) -> object:
        """Ask the site itself: a hub has no figures by site."""
        if not self.shops[name].is_running:
            return STOPPED
        with connect(self.shops[name]) as connection:
            return cell(connection, query.format(f"analytics.{view}"))

    def notice(self, name: str) -> None:
        """Refresh the hub: that is when it asks the sites."""
        refresh_at(self.home)

    def back(self, name: str) -> None:
        """Start a site that was stopped; its port may be another one."""
        super().back(name)
        self.introduce(name)


def make() -> Hub:
    """Return this demo, on servers of its own below .local."""
    return Hub(Cluster("demo-hub"), {name: Cluster(f"demo-site-{name}") for name in SITES})
