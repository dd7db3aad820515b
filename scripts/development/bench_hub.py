"""Measures a hub: four sites, a day of work at one of them, until the hub shows it."""

import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cluster import Cluster
from commandline.console import LOGGER, UserError
from demo import load
from development.bench_data import (
    MOMENT,
    Connection,
    Marketplace,
    drop_database,
    install,
)
from hub import add, rows_of

SITES = 4
ROLE = "bench_hub_reader"


def cpu_ms(pid: int) -> float:
    """Return the milliseconds that a process was on a CPU: another load does not change them."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e6


class Hub:
    """A hub, and its sites."""

    def __init__(self, url: str, sites: list[Marketplace], scale: str) -> None:
        self.sites = sites
        self.market = Marketplace(url, scale)

    def pass_a_day(self) -> None:
        """Let a day pass at the hub and at all sites."""
        for market in (self.market, *self.sites):
            market.next_day()

    def facts(self) -> list[tuple[str, int, float, float]]:
        """Return of each mirror: its rows, bytes as stored, and bytes as the sites send them."""
        found = []
        for (name,) in self.market.connection.execute(
            "SELECT table_name FROM kpi_engine.derived_tables WHERE upkeep = 'key' ORDER BY 1"
        ).fetchall():
            mirror = sql.Identifier("kpi_engine", f"hub_{name}")
            row = self.market.connection.execute(
                sql.SQL(
                    "SELECT count(*), pg_total_relation_size({}), sum(octet_length(t::text)) "
                    "FROM {} AS t"
                ).format(sql.Literal(f"kpi_engine.hub_{name}"), mirror)
            ).fetchone()
            if row is None:
                raise AssertionError("an aggregate has one row")
            found.append((name, row[0], float(row[1]), float(row[2] or 0)))
        return found

    def problems(self) -> list[str]:
        """Return what is wrong: a site that gave nothing, a mirror that differs, a wrong cell."""
        connection = self.market.connection
        found = [
            f"{row[0]}: {row[1]} {row[2]}"
            for row in connection.execute(
                "SELECT site, state, message FROM analytics.hub_sites WHERE state <> 'ok'"
            )
        ]
        for number in range(len(self.sites)):
            found += [
                f"site{number}: {row[0]}: {row[1]}"
                for row in rows_of(
                    self.market.url,
                    "SELECT subject, answer FROM kpi_engine.check_hub_site(%s) "
                    "WHERE is_right IS NOT TRUE",
                    f"site{number}",
                )
            ]
        row = connection.execute("SELECT analytics.audit()").fetchone()
        return found if row == (0,) else [*found, f"the audit found {row}"]


def timed_refresh(connection: Connection) -> tuple[float, float]:
    """Refresh; return the milliseconds until the answer, and those on a CPU."""
    pid = connection.info.backend_pid
    cpu, started = cpu_ms(pid), time.perf_counter()
    rows = connection.execute(
        "SELECT view_name, error_message FROM analytics.refresh_all_mv() "
        "WHERE refresh_status <> 'SUCCESS'"
    ).fetchall()
    elapsed = 1000 * (time.perf_counter() - started)
    if rows:
        raise UserError(f"a refresh failed: {rows}")
    return elapsed, cpu_ms(pid) - cpu


@contextmanager
def hub_over_sites(cluster: Cluster, scale: str, seed: int) -> Iterator[Hub]:
    """Make four sites of a scale, each with data of its own, and a hub that has taken nothing."""
    names = [f"bench_{scale}_site{number}" for number in range(SITES)]
    hub_name = f"bench_{scale}_hub"
    password = secrets.token_urlsafe(24)
    sites = []
    with ExitStack() as stack:
        for name in names:
            drop_database(cluster, name)
            stack.callback(drop_database, cluster, name)
            cluster.make_database(name)
        urls = [cluster.url(name) for name in names]
        # One core writes the data of one site.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            loads = [
                pool.submit(load, url, scale, seed + number, MOMENT)
                for number, url in enumerate(urls)
            ]
            for number, loaded in enumerate(loads):
                loaded.result()
                LOGGER.info("the data of site %d of %d are there", number + 1, SITES)
        for number, url in enumerate(urls):
            LOGGER.info("installing at site %d of %d", number + 1, SITES)
            install(url)
            site = Marketplace(url, scale)
            stack.callback(site.connection.close)
            site.connection.execute("SELECT analytics.set_setting('hub_days', '30')")
            timed_refresh(site.connection)
            site.connection.execute("VACUUM ANALYZE")
            sites.append(site)
        sites[0].connection.execute(
            sql.SQL(
                "DO $$ BEGIN CREATE ROLE {role} LOGIN IN ROLE analytics_hub; "
                "EXCEPTION WHEN duplicate_object THEN END; $$"
            ).format(role=sql.Identifier(ROLE))
        )
        sites[0].connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(password))
        )
        drop_database(cluster, hub_name)
        stack.callback(drop_database, cluster, hub_name)
        cluster.make_database(hub_name)
        url = cluster.url(hub_name)
        install(url, hub=True)
        for number, name in enumerate(names):
            address = conninfo_to_dict(cluster.url(name))
            options = {key: str(address[key]) for key in ("host", "port", "dbname")}
            add(url, f"site{number}", options, ROLE, password)
        made = Hub(url, sites, scale)
        stack.callback(made.market.connection.close)
        yield made
