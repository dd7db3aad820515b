"""Whose fault an error is, and what our own 503 must not cost: connections of PostgREST."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import Database
from gateway import wait_until
from gateway_testing import Api, path_of, refused, right_path_of
from webapi.endpoints import ENDPOINTS, Endpoint

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
MONTHS = "/materialized-views/monthly-metrics"
REFRESH = "/materialized-views/refresh"
TRIGGER = "/materialized-views/scheduler/trigger-refresh"


@pytest.fixture(scope="module", autouse=True)
def refreshed_afterwards(api: Api) -> Iterator[None]:
    """Leave nothing to others: after a gap of capture, live KPIs read the whole source."""
    yield
    api.database.execute("SELECT * FROM refresh_all_mv()")
    assert api.database.rows("SELECT kpi_engine.next_rebuild_reason()") == [(None,)]


# -- our own 503 -----------------------------------------------------------------------------


def backends(api: Api) -> set[object]:
    """Return the sessions of PostgREST: those of its pool, and the one that listens."""
    rows = api.database.rows(
        "SELECT pid FROM pg_stat_activity "
        "WHERE usename = 'analytics_authenticator' AND datname = current_database()"
    )
    return {pid for (pid,) in rows}


def loads(api: Api) -> int:
    """Return how often PostgREST connected or loaded its schema."""
    text = Path(api.gateway.logs["postgrest"]).read_text(encoding="utf-8")
    return text.count("Schema cache loaded") + text.count("onnect")


@contextmanager
def unhealthy(api: Api) -> Iterator[str]:
    """Let the health be unhealthy; hand out the path that answers 503 then."""
    api.database.execute(
        "UPDATE analytics.view_state SET last_success_at = last_success_at - interval '27 h'"
    )
    try:
        yield "/health"
    finally:
        api.database.execute(
            "UPDATE analytics.view_state SET last_success_at = last_success_at + interval '27 h'"
        )


@contextmanager
def never_populated(api: Api) -> Iterator[str]:
    """Take a view's contents away; hand out the path that answers 503 then."""
    api.database.execute("REFRESH MATERIALIZED VIEW analytics.mv_metricas_mensuales WITH NO DATA")
    try:
        yield MONTHS
    finally:
        api.database.execute("SELECT * FROM refresh_all_mv()")


@contextmanager
def out_of_room(api: Api) -> Iterator[str]:
    """Let a function fail as on a server without room; hand out the path that answers 503 then."""
    api.database.execute(
        "ALTER FUNCTION kpi_engine.iso_instant(timestamptz) RENAME TO kept_instant",
        "CREATE FUNCTION kpi_engine.iso_instant(timestamptz) RETURNS text LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'no space left in base/1/2' USING ERRCODE = 'disk_full'; END$$",
        "GRANT EXECUTE ON FUNCTION kpi_engine.iso_instant(timestamptz) TO analytics_owner",
    )
    try:
        yield "/materialized-views/city-summary"
    finally:
        api.database.execute(
            "DROP FUNCTION kpi_engine.iso_instant(timestamptz)",
            "ALTER FUNCTION kpi_engine.kept_instant(timestamptz) RENAME TO iso_instant",
        )


@pytest.mark.parametrize("cause", [unhealthy, never_populated, out_of_room])
@pytest.mark.parametrize("kind", ["product", "native"])
@pytest.mark.takes_turns(2)
def test_a_503_of_our_own_costs_postgrest_no_connection(api: Api, cause: object, kind: str) -> None:
    api.forget_cache()
    native = {
        "/health": "/rest/rpc/health",
        MONTHS: "/rest/rpc/monthly_metrics",
        "/materialized-views/city-summary": "/rest/rpc/city_summary",
    }
    with cause(api) as path:  # type: ignore[operator]
        asked = path if kind == "product" else native[path]
        # PostgREST closes a connection that was idle for long when its turn comes.
        for _ in range(60):
            assert api.get(asked, LECTOR).status == 503
        before, loaded = backends(api), loads(api)
        for number in range(100):
            answer = api.get(asked, LECTOR if number % 2 else OPERADOR)
            assert answer.status == 503
            assert answer.headers["cache-control"] == "no-store"
            assert "x-error-body" not in answer.headers
        body = answer.json()
        if path == "/health":
            assert body["status"] == "unhealthy"
            assert any("stale" in text for text in body["problems"])
        else:
            assert body["code"] == "TELOO503"
        assert api.request("HEAD", asked, LECTOR).status == 503
        assert before <= backends(api)
        assert loads(api) == loaded
    api.forget_cache()
    assert api.get(asked, LECTOR).status == 200


def test_an_unhealthy_health_asked_all_the_time_leaves_readers_alone(api: Api) -> None:
    """What would slow them down is that PostgREST connects and loads its schema anew each time."""

    def read(times: int) -> None:
        for number in range(times):
            assert api.get(f"{MONTHS}?limit={number % 60 + 1}", LECTOR).status == 200

    stop = threading.Event()
    polled: list[int] = []

    def poll() -> None:
        while not stop.is_set():
            polled.append(api.get("/health").status)
            stop.wait(0.03)

    with unhealthy(api):
        poller = threading.Thread(target=poll)
        poller.start()
        try:
            # Connections that were idle for long have their turn, and are closed.
            read(60)
            before, loaded, already = backends(api), loads(api), len(polled)
            read(200)
            assert before <= backends(api)
            assert loads(api) == loaded
            assert len(polled) > already
        finally:
            stop.set()
            poller.join()
    assert set(polled) == {503}


def test_an_unhealthy_answer_with_many_problems_fits_into_a_header(api: Api) -> None:
    """And says how many it leaves out."""
    api.database.execute(
        "ALTER FUNCTION analytics.health_problems() RENAME TO kept_problems",
        "CREATE FUNCTION analytics.health_problems() "
        "RETURNS TABLE (problem text, severity text, message text) LANGUAGE sql STABLE AS "
        "$$SELECT 'stale', 'unhealthy', n || repeat(' ñ\"', 300) FROM generate_series(1, 200) n$$",
        "GRANT EXECUTE ON FUNCTION analytics.health_problems() TO analytics_owner",
        "COMMENT ON FUNCTION analytics.health_problems() IS "
        "'Words:\nstale: the figures are over 26 hours old'",
    )
    try:
        answer = api.get("/health", LECTOR)
        assert answer.status == 503
        problems = answer.json()["problems"]
        left_out = int(problems[-1].split(" ")[0])
        assert 5 < len(problems) < 60
        assert len(problems) - 1 + left_out == 200
        assert api.get("/health").json()["problems"] == ["stale: the figures are over 26 hours old"]
    finally:
        api.database.execute(
            "DROP FUNCTION analytics.health_problems()",
            "ALTER FUNCTION analytics.kept_problems() RENAME TO health_problems",
        )


# -- a fault of the source is never the caller's ---------------------------------------------

FAULTS = {
    "no right on solicitudes": (
        "REVOKE SELECT ON solicitudes FROM analytics_owner",
        "GRANT SELECT ON solicitudes TO analytics_owner",
    ),
    "no right on ofertas": (
        "REVOKE SELECT ON ofertas FROM analytics_owner",
        "GRANT SELECT ON ofertas TO analytics_owner",
    ),
    "no right on asesores": (
        "REVOKE SELECT ON asesores FROM analytics_owner",
        "GRANT SELECT ON asesores TO analytics_owner",
    ),
    "rights on one column only": (
        "REVOKE SELECT ON solicitudes FROM analytics_owner;"
        "GRANT SELECT (id) ON solicitudes TO analytics_owner",
        "REVOKE SELECT (id) ON solicitudes FROM analytics_owner;"
        "GRANT SELECT ON solicitudes TO analytics_owner",
    ),
    "a table that is gone": (
        "ALTER TABLE solicitudes RENAME TO solicitudes_kept;"
        "ALTER VIEW kpi_engine.src_solicitudes RENAME TO src_kept",
        "ALTER VIEW kpi_engine.src_kept RENAME TO src_solicitudes;"
        "ALTER TABLE solicitudes_kept RENAME TO solicitudes",
    ),
}


def log_size(database: Database) -> int:
    """Return how long the server's log is."""
    return len(Path(database.cluster.log).read_bytes())


def logged_since(database: Database, size: int) -> str:
    """Return what the server logged since then."""
    return Path(database.cluster.log).read_bytes()[size:].decode()


@pytest.mark.parametrize(
    ("fault", "force"),
    [*((fault, "false") for fault in FAULTS), ("no right on solicitudes", "true")],
)
@pytest.mark.takes_turns(2)
def test_a_fault_of_the_source_is_logged_and_never_the_callers(
    api: Api, fault: str, force: str
) -> None:
    broken, mended = FAULTS[fault]
    table = next((name for name in ("asesores", "ofertas") if name in fault), "solicitudes")
    # A refresh with nothing to do reads no source.
    api.database.execute(
        f"UPDATE {table} SET id = id WHERE id IN (SELECT id FROM {table} LIMIT 10)",
        *broken.split(";"),
    )
    try:
        api.forget_cache()
        size = log_size(api.database)
        answer = api.post(f"{REFRESH}?force={force}", OPERADOR)
        assert answer.status == 200, answer.body
        assert answer.json()["success"] is False
        assert table in str(answer.json()) or "src_" in str(answer.json())
        assert "teloo-analytics: ERROR" in logged_since(api.database, size)
        assert api.post(TRIGGER, OPERADOR).status == 202
        for endpoint in ENDPOINTS:
            if not endpoint.writes:
                status = api.get(path_of(endpoint), OPERADOR).status
                assert status in (200, 500, 503), (endpoint.path, status)
    finally:
        api.database.execute(
            *mended.split(";"), "DELETE FROM analytics.refresh_jobs WHERE state = 'QUEUED'"
        )
        assert api.post(REFRESH, OPERADOR).json()["success"] is True


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
@pytest.mark.takes_turns(3)
def test_work_of_ours_that_fails_inside_is_500_for_a_good_token(
    api: Api, endpoint: Endpoint
) -> None:
    """Whatever PostgREST would make of the SQLSTATE: 42501 is 403 there, 42P01 404, P0001 400."""
    method, path = endpoint.method, right_path_of(endpoint)
    rights = "REVOKE {} ON ALL TABLES IN SCHEMA analytics, kpi_engine {} analytics_owner"
    api.forget_cache()
    size = log_size(api.database)
    with api.database.session() as connection:
        rows = connection.execute(
            "SELECT oid::regclass::text, relacl::text FROM pg_class "
            "WHERE relnamespace = ANY ('{analytics, kpi_engine}'::regnamespace[]) "
            "AND relkind IN ('r', 'v', 'm', 'S')"
        ).fetchall()
        connection.execute(rights.format("ALL", "FROM"))
        try:
            answers = {
                role: api.request(method, path, role)
                for role in (OPERADOR, LECTOR)
                if role == OPERADOR or method == "GET"
            }
        finally:
            for name, acl in rows:
                connection.execute(f"GRANT ALL ON {name} TO analytics_owner")
                assert acl is None or "analytics_owner=" in acl
    for role, answer in answers.items():
        error = refused(answer, 500)
        assert "42501" in error["details"]
        assert ("permission denied" in error["details"]) == (role == OPERADOR)
        assert "not the cause" in error["hint"]
    assert f"ERROR in api.{endpoint.function}:" in logged_since(api.database, size)
    api.forget_cache()
    assert wait_until(lambda: api.request("GET", "/health").status in (200, 503))


def test_a_token_without_the_right_is_still_403_and_none_401(api: Api) -> None:
    refused(api.post(REFRESH, LECTOR), 403, "42501")
    refused(api.post(REFRESH), 401, "42501")
