"""Measures several origins in one database, beside an installation over one of them alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from cluster import Cluster
from demo import load
from development.bench_data import (
    MOMENT,
    Connection,
    Marketplace,
    connect,
    copy_database,
    drop_database,
    ensure_source,
    install,
)
from development.bench_hub import cpu_ms, timed_refresh

ORIGINS = ("bogota", "medellin")


@contextmanager
def one_and_several(
    cluster: Cluster, scale: str, seed: int
) -> Iterator[tuple[Marketplace, list[Marketplace]]]:
    """Make an installation over one origin, and one over several of the same size."""
    alone, together = f"bench_{scale}_alone", f"bench_{scale}_origins"
    markets: list[Marketplace] = []
    try:
        url = copy_database(cluster, ensure_source(cluster, scale, seed), alone, scale)
        install(url)
        markets.append(Marketplace(url, scale))
        drop_database(cluster, together)
        cluster.make_database(together)
        url = cluster.url(together)
        for number, origin in enumerate(ORIGINS):
            load(url, scale, seed + number, MOMENT)
            with connect(url) as connection:
                connection.execute(
                    sql.SQL("ALTER SCHEMA public RENAME TO {}").format(sql.Identifier(origin))
                )
                connection.execute("CREATE SCHEMA public")
        install(url, source_schema=",".join(ORIGINS))
        markets += [Marketplace(url, scale, origin) for origin in ORIGINS]
        for market in markets[:2]:
            timed_refresh(market.connection)
            market.connection.execute("VACUUM ANALYZE")
        yield markets[0], markets[1:]
    finally:
        for market in markets:
            market.connection.close()
        for name in (alone, together):
            drop_database(cluster, name)


def day_of_work(busy: list[Marketplace], all_of_them: list[Marketplace]) -> float:
    """Let a day pass, with work at some origins; return the ms on a CPU of the refresh."""
    for market in all_of_them:
        market.next_day()
    for market in busy:
        market.run("day_of_requests.sql", "day_of_advisors.sql")
    return timed_refresh(all_of_them[0].connection)[1]


def rebuild(connection: Connection) -> float:
    """Compute everything again; return the ms on a CPU."""
    pid = connection.info.backend_pid
    before = cpu_ms(pid)
    connection.execute("CALL analytics.rebuild()")
    return cpu_ms(pid) - before
