"""Prometheus reads /metrics, its rules fire and clear, the dashboard asks for what there is."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster import free_port
from conftest import KPI_VIEWS, Database
from gateway_testing import Api
from health.test_problems import PROBLEM_NAMES, RUNBOOK
from source_indexes import build_missing

CONFIG = Path(__file__).resolve().parents[2] / "config"
RULES = CONFIG / "prometheus" / "alerts.yaml"
TESTS_OF_RULES = sorted(RULES.parent.glob("alerts*_test.yaml"))
DASHBOARD = CONFIG / "grafana" / "teloo-analytics.json"
# Without a value as long as nothing has failed or no daily refresh has run.
MAY_BE_ABSENT = {
    "refresh_failures_total",
    "scheduled_refresh_lag_seconds",
    "restatements_total",
}
CONTRACT = {
    "problem_unhealthy",
    "view_last_success_timestamp_seconds",
    "view_refresh_duration_seconds",
    "view_rows",
    "view_bytes",
    "refresh_failures_total",
    "refresh_runs_total",
    "changes_waiting",
    "changes_waiting_seconds",
    "target_lag_seconds",
    "change_log_bytes",
    "drift_cells_total",
    "last_tick_timestamp_seconds",
    "scheduled_refresh_lag_seconds",
    "data_version",
    "problem",
    "restatements_total",
    "gate_holds",
    "build_info",
}


def promtool(*arguments: str | Path, feed: str | None = None) -> str:
    ended = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=feed,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@dataclass
class Prometheus:
    """A real one that reads the gateway of the tests each three seconds, and has as long for it."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=60)
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return list(self.get("query", query=expression)["result"])

    def alerts(self) -> dict[str, str]:
        return {
            alert["labels"]["alertname"]: alert["state"] for alert in self.get("alerts")["alerts"]
        }


@pytest.fixture(scope="module")
def prometheus(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text(api.token("analytics_lector"), encoding="utf-8")
    example = (CONFIG / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8")
    configuration = (
        example.replace("/etc/prometheus/teloo-analytics.token", str(folder / "token"))
        .replace("127.0.0.1:8002", api.url.removeprefix("http://"))
        .replace("scrape_interval: 30s", "scrape_interval: 3s")
        .replace("evaluation_interval: 30s", "evaluation_interval: 500ms")
    )
    (folder / "prometheus.yaml").write_text(configuration, encoding="utf-8")
    # The rules as they are, but without waiting.
    rules = re.sub(r"for: \w+", "for: 1s", RULES.read_text(encoding="utf-8"))
    (folder / "alerts.yaml").write_text(rules, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            prometheus = Prometheus(f"http://{address}")

            def is_ready() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    return httpx.get(f"{prometheus.url}/-/ready", timeout=60).is_success
                except httpx.TransportError:
                    return False

            wait_for(is_ready)
            wait_for(lambda: bool(prometheus.query("teloo_analytics_build_info")))
            yield prometheus
        finally:
            process.terminate()


def exported(api: Api) -> dict[str, str]:
    text = api.get("/metrics", "analytics_lector").body
    return dict(re.findall(r"^# TYPE teloo_analytics_(\w+) (\w+)$", text, re.MULTILINE))


def test_promtool_finds_nothing_in_the_metrics(api: Api) -> None:
    assert promtool("check", "metrics", feed=api.get("/metrics", "analytics_lector").body) == ""
    assert CONTRACT - MAY_BE_ABSENT <= exported(api).keys() <= CONTRACT


def test_log_that_may_be_long_is_counted_once_a_scrape(migrated: Database) -> None:
    with migrated.connect(autocommit=False) as connection:
        connection.execute("SET LOCAL track_functions = 'all'")
        connection.execute("SELECT api.metrics()")
        assert connection.execute(
            "SELECT calls FROM pg_stat_xact_user_functions "
            "WHERE schemaname = 'kpi_engine' AND funcname = 'counters'"
        ).fetchall() == [(1,)]


def test_rules_and_example_are_right_and_their_unit_tests_pass() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", "--syntax-only", CONFIG / "prometheus" / "prometheus.yaml")
    promtool("test", "rules", *TESTS_OF_RULES)


def test_each_problem_has_one_alert_a_unit_test_and_a_section_of_the_runbook() -> None:
    rules = RULES.read_text(encoding="utf-8")
    tests = "".join(file.read_text(encoding="utf-8") for file in TESTS_OF_RULES)
    assert sorted(re.findall(r'problem\{name="(\w+)"\}', rules)) == sorted(set(PROBLEM_NAMES))
    for name in re.findall(r"- alert: (\w+)", rules):
        found = re.findall(rf"alertname: {name}\n +eval_time: \w+\n +exp_alerts:(.*)", tests)
        assert {"", " []"} <= set(found), name
    anchors = {
        re.sub(r"\W+", "-", heading.lower())
        for heading in re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE)
    }
    assert set(re.findall(r"runbook\.md#([\w-]+)", rules)) <= anchors


def lag(database: Database) -> float | None:
    """How late the last slot began, by the metrics."""
    ((text,),) = database.rows("SELECT api.metrics()")
    found = re.search(r"^teloo_analytics_scheduled_refresh_lag_seconds (\S+)$", str(text), re.M)
    return float(found[1]) if found else None


def test_slot_is_not_late_for_what_was_set_only_after_it(migrated: Database) -> None:
    """At noon the refresh of one minute to midnight is put forward to eight in the morning."""
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
    since = "UPDATE analytics.scheduler_state SET scheduled_since = now()"
    migrated.execute(
        since,
        f"SELECT analytics.set_schedule('23:59', '{zone}')",
        f"{since} - interval '2 days'",
        "CALL analytics.tick()",
    )
    assert lag(migrated) is None
    migrated.execute("SELECT analytics.set_schedule('08:00')", "CALL analytics.tick()")
    waiting = lag(migrated)
    assert waiting is not None
    assert 0 <= waiting < 3600
    migrated.execute("CALL analytics.work()")
    begun = lag(migrated)
    assert begun is not None
    assert waiting <= begun < 3600
    time.sleep(0.1)
    assert lag(migrated) == begun, "it no longer waits"
    # The same, if it had been set days before: four to five hours.
    changed = "UPDATE analytics.scheduler_state SET schedule_changed_at = {}"
    for at in ("now() - interval '2 days'", "NULL"):
        migrated.execute(changed.format(at))
        late = lag(migrated)
        assert late is not None
        assert 4 * 3600 <= late < 6 * 3600
    # What is set for the days to come makes nothing of it negative.
    migrated.execute("SELECT analytics.set_schedule('08:30')", "CALL analytics.tick()")
    assert lag(migrated) == 0


def test_prometheus_reads_every_metric(prometheus: Prometheus, api: Api) -> None:
    def is_read() -> bool:
        (target,) = prometheus.get("targets")["activeTargets"]
        missing = [one for one in exported(api) if not prometheus.query(f"teloo_analytics_{one}")]
        return (target["health"], target["lastError"], missing) == ("up", "", [])

    wait_for(is_read)
    rows = {
        line["metric"]["view"]: int(line["value"][1])
        for line in prometheus.query("teloo_analytics_view_rows")
    }
    assert rows == {
        view: api.database.rows(f"SELECT count(*) FROM analytics.{view}")[0][0]
        for view in KPI_VIEWS
    }


def test_rule_fires_by_a_real_cause_and_clears(prometheus: Prometheus, api: Api) -> None:
    """Somebody drops an index that refreshes need, and it is built again."""
    ((index,),) = api.database.rows(
        "SELECT min(index_name) FROM analytics.source_indexes() "
        "WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = index_name::regclass)"
    )
    wait_for(lambda: "TelooMissingIndexes" not in prometheus.alerts())
    api.database.execute(f"DROP INDEX {index}")
    try:
        wait_for(lambda: prometheus.alerts().get("TelooMissingIndexes") == "firing")
    finally:
        build_missing(api.database.url)
    wait_for(lambda: "TelooMissingIndexes" not in prometheus.alerts())


def test_gateway_that_is_down_is_told_from_outside(prometheus: Prometheus, api: Api) -> None:
    wait_for(lambda: "TelooAnalyticsDown" not in prometheus.alerts())
    api.gateway.stop_program("nginx")
    try:
        wait_for(lambda: prometheus.alerts().get("TelooAnalyticsDown") == "firing")
    finally:
        api.gateway.start_nginx()
    wait_for(lambda: "TelooAnalyticsDown" not in prometheus.alerts())


def test_dashboard_asks_for_metrics_that_there_are(prometheus: Prometheus, api: Api) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = set()
    for expression in expressions:
        prometheus.query(expression)
        asked |= set(re.findall(r"teloo_analytics_(\w+)", expression))
    # Rules ask for the others.
    assert asked == CONTRACT - {"problem_unhealthy"}
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
