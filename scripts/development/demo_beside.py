"""What the demos of several servers share: shops, and a home that shows the figures of them."""

import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow
from tabulate import tabulate

from cluster import Cluster
from commandline.console import UserError
from development.replication import PATIENCE_SECONDS, Connection
from gateway import Gateway, wait_until
from jwt_token import is_key_set, mint

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
# Of a view, or of the same columns from elsewhere.
REQUESTS = """
SELECT coalesce(sum(solicitudes_creadas), 0)::bigint FROM {}
WHERE mes = date_trunc('month', analytics.today())
"""
MEDIAN = """
SELECT ttfo_mediana_seg FROM {}
WHERE nivel = 1 AND mes = date_trunc('month', analytics.today()) - interval '1 month'
"""
MONTHS_VIEW = "mv_metricas_mensuales"
LEVELS_VIEW = "mv_embudo_niveles"
HEALTH = "SELECT message FROM analytics.health_problems() WHERE problem = '{}'"
LAST_RUN = """
SELECT mode, reason, requests_recomputed, refresh_time_ms FROM analytics.refresh_log
WHERE view_name IS NULL ORDER BY log_id DESC LIMIT 1
"""


def connect(cluster: Cluster) -> Connection:
    """Connect to the demo's database of a server."""
    return psycopg.connect(cluster.url(), application_name="teloo-analytics demo", autocommit=True)


def cell(connection: Connection, query: str, *values: object) -> object:
    """Return the first value of the first row; None if there is no row."""
    row = connection.execute(query.encode(), values).fetchone()
    return None if row is None else row[0]


def refresh(connection: Connection) -> list[TupleRow]:
    """Refresh the views; return a row for each, or raise UserError with what failed."""
    try:
        rows = connection.execute(
            "SELECT view_name, refresh_status, rows_affected, refresh_time_ms, error_message "
            "FROM analytics.refresh_all_mv()"
        ).fetchall()
    except psycopg.errors.LockNotAvailable as error:
        raise UserError(
            f"the views were not refreshed: {error.diag.message_primary}",
            "The scheduler is refreshing them. Run make demo again in a moment.",
        ) from error
    failed = [f"{row[0]}: {row[4]}" for row in rows if row[1] != "SUCCESS"]
    if failed:
        raise UserError("a view could not be refreshed", "\n".join(failed))
    return [row[:4] for row in rows]


def refresh_at(cluster: Cluster) -> None:
    """Refresh the views of a server."""
    with connect(cluster) as connection:
        refresh(connection)


def write(shop: Cluster) -> tuple[int, int]:
    """Write at a shop; return how many requests came and how many offers were accepted."""
    with connect(shop) as connection:
        requests, offers = (connection.execute(statement).rowcount for statement in WRITES)
    return requests, offers


def must(condition: Callable[[], bool], what: str, cure: str) -> float:
    """Wait until something holds; return the seconds, or raise UserError."""
    started = time.monotonic()
    if not wait_until(condition, PATIENCE_SECONDS):
        raise UserError(f"{what} takes longer than {PATIENCE_SECONDS:.0f} s", cure)
    return time.monotonic() - started


class Beside(ABC):
    """A demo: shops on servers of their own, and a home that shows the figures of all of them."""

    # make demo with this starts it.
    option: str
    # What brings the figures of the shops home, for the progress.
    following: str

    def __init__(self, home: Cluster, shops: dict[str, Cluster]) -> None:
        self.home = home
        self.shops = shops

    @abstractmethod
    def forget(self) -> None:
        """Cut what ties home and shops, before the data of a shop is dropped."""

    @abstractmethod
    def follow(self) -> None:
        """Let home follow the shops, whose servers run and have data; return when it has all."""

    @abstractmethod
    def show(self, gateway: Gateway) -> str:
        """Write at the shops, refresh at home; return what was seen."""

    def servers(self) -> str:
        """Return where the servers are and how to go on."""
        named = {f"shop {name}": shop for name, shop in self.shops.items()} | {"home": self.home}
        rows = [
            (
                what,
                f"postgresql://postgres@127.0.0.1:{cluster.port}/{cluster.database}",
                f"make psql SERVER={cluster.name}",
            )
            for what, cluster in named.items()
        ]
        return (
            f"{tabulate(rows, tablefmt='plain')}\n\n"
            f"make stop stops all of it; make demo {self.option} starts it again, with its data"
        )


class SeveralShops(Beside):
    """A demo in which one of several shops is stopped, and comes back."""

    # What the health of home says of a shop that is stopped.
    problem: str

    @abstractmethod
    def bring(self, name: str) -> None:
        """Bring what was written at a shop to where a refresh at home sees it."""

    @abstractmethod
    def of_shop(self, query: str, view: str, name: str) -> object:
        """Return what a query gives over a view for one shop alone."""

    @abstractmethod
    def notice(self, name: str) -> None:
        """Return when home knows that a shop is stopped."""

    @abstractmethod
    def more(self) -> str:
        """Return a line on what else there is."""

    def back(self, name: str) -> None:
        """Start a shop that was stopped, and let home find it."""
        self.shops[name].start()

    def all_and_each(self, query: str, view: str) -> list[object]:
        """Return what a query gives over a view for each shop, and for all of them."""
        with connect(self.home) as connection:
            total = cell(connection, query.format(f"analytics.{view}"))
        return [*(self.of_shop(query, view, name) for name in self.shops), total]

    def show(self, gateway: Gateway) -> str:
        """Write at all shops, stop the last one, start it again; return figures of each moment."""
        first, last = next(iter(self.shops)), list(self.shops)[-1]
        moments = []

        def look(what: str, partial: str = "") -> None:
            refresh_at(self.home)
            header = told(gateway, partial)
            moments.append([what, *self.all_and_each(REQUESTS, MONTHS_VIEW), header])

        look("before")
        came = []
        for name, shop in self.shops.items():
            came.append(f"{write(shop)[0]} came at {name}")
            self.bring(name)
        look(", ".join(came))
        with connect(self.home) as connection:
            run = connection.execute(LAST_RUN.encode()).fetchone() or ("", "", 0, 0)
        medians = self.all_and_each(MEDIAN, LEVELS_VIEW)
        self.shops[last].stop()
        requests, _ = write(self.shops[first])
        self.bring(first)
        self.notice(last)
        with connect(self.home) as connection:
            said = cell(connection, HEALTH.format(self.problem))
        look(f"{last} is stopped; {requests} came at {first}", partial=last)
        self.back(last)
        requests, _ = write(self.shops[last])
        self.bring(last)
        look(f"{last} is back; {requests} came there")
        names = [*self.shops, "all of them"]
        written = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in m] for m in moments]
        return "\n".join(
            (
                "Requests of this month, and the header X-Partial of the HTTP API\n",
                tabulate(
                    written,
                    headers=["", *names, "X-Partial"],
                    colalign=("left", *("right" for _ in names), "left"),
                    disable_numparse=True,
                    missingval="-",
                ),
                f"\nThe refresh after the first writes: {run[0]}, {run[1]}, {run[3]:.0f} ms.",
                f"While {last} was stopped, the health said {self.problem}: {said}",
                "Median seconds to the first offer, last month, level 1: "
                + ", ".join(f"{name} {value}" for name, value in zip(names, medians, strict=True)),
                self.more(),
            )
        )


def told(gateway: Gateway, partial: str) -> str:
    """Wait until the HTTP API says which shop is away ("": none); return its header X-Partial."""
    secret = gateway.secret()
    if is_key_set(secret):
        return "not asked: only your private key makes tokens"
    token = mint(secret, "analytics_lector", 3600, "make demo")
    request = urllib.request.Request(  # noqa: S310
        f"{gateway.url}/materialized-views/kpis/{MONTHS_VIEW}?limit=1",
        headers={"Authorization": f"Bearer {token}"},
    )
    seen = ""

    def right() -> bool:
        nonlocal seen
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                seen = answer.headers.get("X-Partial", "")
        except urllib.error.HTTPError as error:
            raise UserError(
                f"the HTTP API answered {error.code}", f"make logs SERVER={gateway.cluster.name}"
            ) from error
        return partial in seen if partial else not seen

    # An answer may be from the gateway's cache, which keeps it for a second.
    must(right, "to be told by the HTTP API who is away", "GET /health says what is wrong.")
    return seen or "-"
