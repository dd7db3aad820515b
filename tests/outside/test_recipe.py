"""The worked example of docs/outside.md, carried out as it is written, reaches its users."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cluster import PROJECT
from gateway_testing import Api, Rendered, render_environment, running
from outside.support import (
    VIEW,
    Service,
    carry_out,
    dice_of,
    support_cluster,
    support_database,
    way_there,
)
from webapi.test_endpoints import copy_of_the_project, run

LECTOR = "analytics_lector"
PATH = f"/materialized-views/kpis/{VIEW}"


@pytest.fixture(scope="module")
def served(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Service]]:
    """The marketplace of the API tests with the view, served by a copy of the tree."""
    project = copy_of_the_project(tmp_path_factory.mktemp("outside") / "project")
    carry_out(project, "reread")
    environment = render_environment(api.gateway)
    target = api.gateway.cluster.location / "outside"
    here = api.database
    here.execute("SELECT analytics.set_setting('gate', 'off')")
    with support_cluster() as cluster:
        support = support_database(cluster)
        here.execute(way_there(support))
        made = Service(here, support, "public.reclamos", project / "sql")
        try:
            done = run(project, "migrate.py", **{**environment, "DATABASE_URL": here.url})
            assert done.returncode == 0, done.stderr
            with support.connect() as connection:
                made.complain(connection, dice_of(2), 40)
            here.execute("SELECT * FROM analytics.refresh_all_mv()")
            render = ("gateway.py", "render", "--directory", str(target))
            done = run(project, *render, **{**environment, "API_RATE": "100000"})
            assert done.returncode == 0, done.stderr
            rendered = Rendered(api.gateway.cluster, where=target, rendered_for=environment)
            with running(rendered, api.gateway.program()):
                yield Api(rendered, here), made
        finally:
            done = run(PROJECT, "migrate.py", DATABASE_URL=here.url)
            assert done.returncode == 0, done.stderr
            here.execute(
                "SELECT analytics.set_setting('gate', 'on')",
                "DROP SCHEMA soporte CASCADE",
                "DROP SERVER soporte CASCADE",
                "SELECT * FROM analytics.refresh_all_mv()",
            )
            shutil.rmtree(target, ignore_errors=True)


def now() -> str:
    """Return this moment, as text."""
    return datetime.now(UTC).isoformat()


def test_the_rows_reach_http_with_their_age(served: tuple[Api, Service]) -> None:
    api, made = served
    made.refresh(now())
    api.forget_cache()
    answer = api.get(f"{PATH}?limit=1000", LECTOR)
    assert answer.status == 200, answer.body
    shown = sorted(
        (row["asesor_id"], row["reclamos_30d"], row["reclamos_abiertos_30d"])
        for row in answer.json()
    )
    right = [(row[0], row[3], row[4]) for row in made.right(now())]
    assert shown == right[:1000]
    assert sum(row[1] for row in shown) > 0
    assert datetime.fromisoformat(answer.headers["x-as-of"]) <= datetime.now(UTC)
    assert answer.headers["x-stale"] == "false"
    assert answer.headers["etag"]
    # The others are as ever.
    months = api.get("/materialized-views/monthly-metrics", LECTOR)
    assert "x-as-of" not in months.headers
    native = api.get(f"/rest/{VIEW}?select=asesor_id", LECTOR)
    assert native.status == 200 and len(native.json()) == len(right)


def test_the_catalogue_and_the_status_show_source_and_age(served: tuple[Api, Service]) -> None:
    api, made = served
    made.refresh(now())
    api.forget_cache()
    kpis = {kpi["view"]: kpi for kpi in api.get("/materialized-views/kpis", LECTOR).json()["kpis"]}
    (source,) = kpis[VIEW]["outside_sources"]
    assert (source["source"], source["watch"]) == ("soporte.reclamos", "reread")
    assert source["as_of"] == source["read_at"] == kpis[VIEW]["last_refresh"]
    assert "reclamos" in kpis[VIEW]["sources"]
    assert kpis["mv_metricas_mensuales"]["outside_sources"] == []
    status = api.get("/materialized-views/status", LECTOR).json()
    assert status["outside_sources"] == [source]


def test_a_service_that_is_away_is_degraded_and_its_rows_stay(
    served: tuple[Api, Service],
) -> None:
    api, made = served
    made.refresh(now())
    api.forget_cache()
    before = api.get(PATH, LECTOR)
    made.support.cluster.stop("immediate")
    try:
        answer = api.post("/materialized-views/refresh", "analytics_operador")
        details = {row["view_name"]: row["refresh_status"] for row in answer.json()["details"]}
        assert details.pop(VIEW) == "ERROR"
        assert set(details.values()) == {"SUCCESS"}
        api.forget_cache()
        after = api.get(PATH, LECTOR)
        assert after.json() == before.json()
        assert after.headers["x-as-of"] == before.headers["x-as-of"]
        health = api.get("/health").json()
        assert health["status"] in ("degraded", "unhealthy")
        words = "outside_source: a view can not follow the tables of another service"
        assert words in health["problems"]
        assert not any("refresh_failed" in problem for problem in health["problems"])
        metrics = str(api.get("/metrics", LECTOR).body)
        assert 'teloo_analytics_problem{name="outside_source"} 1' in metrics
    finally:
        made.support.cluster.start()
    made.refresh(now())
    api.forget_cache()
    assert 'teloo_analytics_problem{name="outside_source"} 0' in str(
        api.get("/metrics", LECTOR).body
    )


def test_only_the_copy_has_the_view(served: tuple[Api, Service]) -> None:
    """The package ships no view of another service."""
    assert not (PROJECT / "sql" / "views" / "kpis" / f"{VIEW}.sql").exists()
    assert served[1].directory.joinpath("views", "kpis", f"{VIEW}.sql").exists()
