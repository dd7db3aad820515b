"""The API over a streaming standby: it answers what reads, and refuses what writes as read-only."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from cluster import Cluster, system_binaries
from conftest import TEST_SETTINGS, Database
from demo import load
from gateway import Settings, wait_until
from gateway_testing import FEW, Api, native_path_of, path_of, refused, started
from migrate import migrate
from webapi.endpoints import ENDPOINTS

TAKES_MINUTES = True
OPERADOR = "analytics_operador"
LECTOR = "analytics_lector"
REPLICATION = "\nwal_level = replica\nmax_wal_senders = 4\n"


def standby_of(primary: Cluster, name: str) -> Cluster:
    """Copy a cluster with pg_basebackup; the copy follows it once it is started."""
    standby = Cluster(name, binaries=primary.binaries, database=primary.database)
    standby.make_location()
    primary.must(
        "pg_basebackup",
        primary.binaries / "pg_basebackup",
        *("-R", "-X", "stream", "-c", "fast", "-D", standby.data),
        *("-d", primary.url("postgres")),
    )
    (standby.home / "binaries").write_text(str(primary.binaries), encoding="utf-8")
    (standby.home / "password").write_text(primary.password, encoding="utf-8")
    password = primary.home / "authenticator-password"
    if password.exists():
        # Where a gateway was started before.
        (standby.home / password.name).write_text(
            password.read_text(encoding="utf-8"), encoding="utf-8"
        )
    (standby.home / "ready").touch()
    return standby


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Api, Api]]:
    """A marketplace behind a gateway, and its standby behind another one."""
    name = f"test-primary-{os.getpid()}"
    primary = Cluster(
        name, binaries=system_binaries(), database="cron", settings=TEST_SETTINGS + REPLICATION
    )
    standby = Cluster(name.replace("primary", "standby"))
    settings = Settings(rate=100000, burst=10000, workers="1")
    try:
        primary.start()
        primary.make_database("kpis")
        database = Database(primary, "kpis")
        load(database.url, "small", 2026, datetime.now(UTC), FEW)
        migrate(database.url)
        database.execute("CALL analytics.tick()", "SELECT * FROM refresh_all_mv()")
        with started(database, "api", settings) as first:
            standby = standby_of(primary, standby.name)
            standby.start()
            with started(Database(standby, "kpis"), "api", settings) as second:
                yield first, second
    finally:
        standby.remove()
        primary.remove()


@pytest.fixture
def standby_api(pair: tuple[Api, Api]) -> Api:
    """The standby's API, just after a tick of the primary."""
    first, second = pair
    first.database.execute("CALL analytics.tick()")
    ((written,),) = first.database.rows("SELECT pg_current_wal_lsn()")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
    assert wait_until(lambda: second.database.rows(replayed) == [(True,)])
    return second


def backends(api: Api) -> set[object]:
    """Return the sessions of PostgREST."""
    rows = api.database.rows(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'analytics_authenticator'"
    )
    return {pid for (pid,) in rows}


def test_a_standby_answers_everything_that_reads(standby_api: Api) -> None:
    assert standby_api.database.rows("SELECT pg_is_in_recovery()") == [(True,)]
    for endpoint in ENDPOINTS:
        if not endpoint.writes:
            answer = standby_api.get(path_of(endpoint), LECTOR)
            assert answer.status == 200, (endpoint.path, answer.body)
            # By POST PostgREST takes arguments in the body alone.
            for method in ("GET",) if endpoint.rest else ("GET", "POST"):
                path = native_path_of(endpoint)
                answer = standby_api.request(method, path, LECTOR)
                assert answer.status == 200, (method, path, answer.body)
    assert standby_api.get("/health").json()["scheduler_running"] is True
    assert len(standby_api.get("/rest/mv_ranking_asesores?limit=3", LECTOR).json()) == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/materialized-views/refresh"),
        ("POST", "/materialized-views/refresh?force=true"),
        ("POST", "/materialized-views/scheduler/trigger-refresh"),
        ("PUT", "/materialized-views/scheduler/reschedule?hour=2"),
        ("POST", "/rest/rpc/refresh"),
        ("POST", "/rest/rpc/scheduler_trigger_refresh"),
        ("POST", "/rest/rpc/scheduler_reschedule"),
    ],
)
def test_a_standby_refuses_what_writes_as_read_only(
    standby_api: Api, method: str, path: str
) -> None:
    error = refused(standby_api.request(method, path, OPERADOR), 503)
    assert error["message"] == "the database is read-only"
    assert "primary" in error["hint"]


def test_a_refresh_at_a_standby_says_where_to_go(standby_api: Api) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
        standby_api.database.rows("SELECT * FROM analytics.refresh_all_mv()")
    assert caught.value.diag.message_primary == (
        "a refresh must run at the primary: this server is a standby"
    )
    assert "Connect to the primary" in str(caught.value.diag.message_hint)


def test_tokens_are_told_apart_on_a_standby_too(standby_api: Api) -> None:
    path = "/materialized-views/monthly-metrics"
    refused(standby_api.get(path), 401, "42501")
    refused(standby_api.get(path, token=standby_api.mint({"role": LECTOR})), 401)


def test_a_standby_costs_postgrest_no_connection(standby_api: Api) -> None:
    """It can't LISTEN there, and would try again and again."""
    assert standby_api.get("/health").status == 200
    # PostgREST closes a connection that was idle for long when its turn comes.
    for _ in range(60):
        standby_api.get("/rest/mv_metricas_mensuales?limit=1", LECTOR)
    before = backends(standby_api)
    log = Path(standby_api.gateway.logs["postgrest"])
    said = log.read_text(encoding="utf-8").count("\n")
    for _ in range(30):
        standby_api.post("/materialized-views/refresh", OPERADOR)
        standby_api.get("/rest/mv_metricas_mensuales?limit=1", LECTOR)
    assert before <= backends(standby_api)
    lines = log.read_text(encoding="utf-8").splitlines()[said:]
    assert not [line for line in lines if "Retrying" in line or "schema cache" in line.lower()]
