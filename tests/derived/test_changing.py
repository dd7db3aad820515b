"""Each recipe of docs/changing.md, carried out as it is written, gives what it promises."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster import PROJECT
from conftest import Database
from gateway_testing import Api, Rendered, render_environment, running
from health.test_problems import PROBLEM_NAMES
from health.test_prometheus import promtool
from webapi.test_endpoints import copy_of_the_project, run

TAKES_MINUTES = True
LECTOR = "analytics_lector"
# Most files that a task may touch, test files not counted.
TASKS = {
    "A KPI view over existing derived tables": 1,
    "A KPI with a grouping of its own": 2,
    "One more fact from a column that is read already": 4,
    "One more source column": 5,
    "An HTTP endpoint with a function of its own": 2,
    "A health problem": 3,
}
PAGE = (PROJECT / "docs" / "changing.md").read_text(encoding="utf-8")
STEP = re.compile(
    r"^(?:Create `(?P<new>[^`]+)`|In `(?P<old>[^`]+)`, replace):\n\n```\w*\n(?P<first>.*?)^```\n"
    r"(?:\nby:\n\n```\w*\n(?P<second>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """A file to write, or a text of it to replace."""

    file: str
    old: str | None
    new: str

    def carry_out(self, project: Path) -> None:
        """Do it in a copy of the tree."""
        path = project / self.file
        if self.old is None:
            assert not path.exists(), path
            path.write_text(self.new, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, (self.file, self.old)
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


def recipes() -> dict[str, list[Step]]:
    """Return the steps of each recipe, by its title."""
    found = {}
    for section in re.split(r"^## (?=[A-Z])", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        steps = [
            Step(match["new"], None, match["first"])
            if match["new"]
            # A replaced text may begin and end within a line.
            else Step(match["old"], match["first"].rstrip("\n"), match["second"].rstrip("\n"))
            for match in STEP.finditer(text)
        ]
        if steps:
            found[title] = steps
    return found


@pytest.fixture(scope="module")
def changed(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The marketplace, migrated and served by a copy in which all recipes were carried out."""
    project = copy_of_the_project(tmp_path_factory.mktemp("changed") / "project")
    shutil.copytree(PROJECT / "docs", project / "docs")
    for steps in recipes().values():
        for step in steps:
            step.carry_out(project)
    environment = render_environment(api.gateway)
    # The causes here are as large as accidents.
    api.database.execute(
        "SELECT analytics.set_setting('gate', 'off')",
        "SELECT analytics.set_setting('breaker_pct', 'off')",
    )
    target = api.gateway.cluster.location / "changed"
    for script, arguments, url in (
        ("migrate.py", (), {"DATABASE_URL": api.database.url}),
        ("gateway.py", ("render", "--directory", str(target)), {}),
    ):
        if script == "gateway.py":
            refresh(api.database)
        done = run(project, script, *arguments, **{**environment, "API_RATE": "100000", **url})
        assert done.returncode == 0, done.stderr
    rendered = Rendered(api.gateway.cluster, where=target, rendered_for=environment)
    try:
        with running(rendered, api.gateway.program()):
            yield Api(rendered, api.database)
    finally:
        done = run(PROJECT, "migrate.py", DATABASE_URL=api.database.url)
        assert done.returncode == 0, done.stderr
        refresh(api.database)
        api.database.execute(
            "SELECT analytics.set_setting('gate', 'on')",
            "SELECT analytics.set_setting('breaker_pct', '50')",
        )


def refresh(database: Database) -> None:
    """Refresh; every view succeeds."""
    rows = database.rows("SELECT refresh_status, error_message FROM analytics.refresh_all_mv()")
    assert {row[0] for row in rows} == {"SUCCESS"}, rows


def test_each_task_is_there_and_touches_few_files() -> None:
    files = {
        title: {step.file for step in steps if not Path(step.file).stem.endswith("_test")}
        for title, steps in recipes().items()
    }
    assert files.keys() == TASKS.keys()
    for title, most in TASKS.items():
        assert len(files[title]) <= most, title
        link = title.lower().replace(" ", "-")
        assert f"(#{link}) | {len(files[title])} |" in PAGE, title


def test_no_other_file_has_all_problems() -> None:
    """Whoever adds one has to write into these alone, and the runbook."""
    files = [
        path
        for folder in ("config", "scripts", "sql", "tests", "web")
        for path in sorted((PROJECT / folder).rglob("*"))
        if path.suffix in {".js", ".py", ".sql", ".yaml"}
    ]
    found = [
        str(path.relative_to(PROJECT))
        for path in files
        for text in [path.read_text(encoding="utf-8")]
        if all(name in text for name in PROBLEM_NAMES)
    ]
    assert len(found) == 3
    assert [path for path in found if path not in PAGE] == []


def test_the_changed_tree_passes_the_linter_and_the_tests_of_the_alerts(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    shutil.copytree(PROJECT / "docs", project / "docs")
    for steps in recipes().values():
        for step in steps:
            step.carry_out(project)
    alerts = project / "config" / "prometheus"
    promtool("check", "rules", alerts / "alerts.yaml")
    promtool("test", "rules", alerts / "alerts_test.yaml")
    shutil.copy(PROJECT / "pyproject.toml", project)
    # The linter takes long with the large files.
    files = {step.file for steps in recipes().values() for step in steps if step.old is None}
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "sqlfluff"), "lint", "--nocolor"),
            *("--disable-progress-bar", *sorted(file for file in files if file.endswith(".sql"))),
        ],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# By view: what a plain query over the operational tables gives.
EXPECTED = {
    "mv_pendientes_mensuales": """
        SELECT mes, count(*) FILTER (WHERE estado = 'ABIERTA'), coalesce(sum((
            SELECT count(*) FROM public.ofertas
            WHERE ofertas.solicitud_id = request.id AND ofertas.estado = 'ENVIADA'
        )), 0)
        FROM request GROUP BY mes""",
    "mv_cierres_semanales": """
        SELECT date_trunc('week', dia)::date, count(closed), round((
            array_agg(closed ORDER BY closed) FILTER (WHERE closed IS NOT NULL)
        )[(count(closed) + 1) / 2], 2)
        FROM request
        LEFT JOIN LATERAL (
            SELECT extract(EPOCH FROM coalesce(fecha_respuesta_cliente, updated_at) - created_at)
            WHERE estado IN (
                'OFERTAS_ACEPTADAS', 'OFERTAS_RECHAZADAS', 'ACEPTADA', 'RECHAZADA', 'EXPIRADA',
                'CERRADA_SIN_OFERTAS'
            )
        ) AS closing (closed) ON true
        GROUP BY 1""",
    "mv_respuestas_mensuales": """
        SELECT mes, count(fecha_respuesta_cliente),
            round(100.0 * count(fecha_respuesta_cliente) / count(*), 2)
        FROM request GROUP BY mes""",
    "mv_demanda_departamentos": """
        SELECT mes, upper(trim(departamento_origen)), count(*)
        FROM request WHERE trim(departamento_origen) <> '' GROUP BY 1, 2""",
}
REQUEST = """
    WITH request AS (
        SELECT dated.*, date_trunc('month', dia)::date AS mes
        FROM (
            SELECT *, (created_at AT TIME ZONE 'America/Bogota')::date AS dia
            FROM public.solicitudes
            WHERE created_at BETWEEN '2000-01-03' AND '2099-12-29'
        ) AS dated
    )"""


@pytest.mark.parametrize("view", EXPECTED)
def test_a_new_view_shows_the_right_numbers_everywhere(changed: Api, view: str) -> None:
    def check() -> None:
        expected = changed.database.rows(f"{REQUEST} {EXPECTED[view]} ORDER BY 1, 2")
        assert len(expected) > 3
        assert changed.database.rows(f"SELECT * FROM analytics.{view} ORDER BY 1, 2") == expected
        changed.forget_cache()
        path = f"/materialized-views/kpis/{view}?limit=1000&order={first}"
        answer = changed.get(path, LECTOR)
        assert answer.status == 200, answer.body
        assert [str(row[first]) for row in answer.json()] == [
            str(row[0]) for row in expected[:1000]
        ]

    first = "semana" if "semanal" in view else "mes"
    check()
    catalogue = changed.get("/materialized-views/kpis", LECTOR).json()["kpis"]
    (entry,) = [kpi for kpi in catalogue if kpi["view"] == view]
    assert entry["title_es"] and all(
        column["label_es"] and column["label_en"] for column in entry["columns"]
    )
    assert "solicitudes" in entry["sources"]
    # A day of work: the view follows, by difference or by group.
    changed.database.execute(
        "UPDATE public.solicitudes SET created_at = created_at + interval '40 days', "
        "estado = 'ABIERTA', fecha_respuesta_cliente = NULL, departamento_origen = ' Huila ' "
        "WHERE id IN (SELECT id FROM public.solicitudes ORDER BY id LIMIT 7)"
    )
    refresh(changed.database)
    assert changed.database.rows(
        "SELECT mode FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY log_id DESC LIMIT 1"
    ) == [("incremental",)]
    check()
    assert changed.database.rows("SELECT analytics.audit()") == [(0,)]


def test_the_new_endpoint_answers(changed: Api) -> None:
    path = "/materialized-views/advisor-count"
    ((expected,),) = changed.database.rows("SELECT count(*) FROM analytics.mv_ranking_asesores")
    assert changed.get(path, LECTOR).json() == {"ciudad": None, "asesores": expected}
    assert changed.get(f"{path}?ciudad=nowhere", LECTOR).json()["asesores"] == 0
    assert changed.get(f"{path}?other=1", LECTOR).status == 400
    assert changed.get(path).status == 401


def test_the_new_problem_is_told_with_its_words_its_metric_and_its_alert(changed: Api) -> None:
    def lines() -> list[str]:
        changed.forget_cache()
        text = changed.get("/metrics", LECTOR).body
        return [line for line in str(text).splitlines() if 'problem{name="no_requests"' in line]

    moved = (
        "UPDATE public.solicitudes SET created_at = {} WHERE created_at > now() - interval '9 d'"
    )
    changed.database.execute(
        "CREATE TABLE public.moved AS SELECT id, created_at FROM public.solicitudes",
        moved.format("now() - interval '9 days'"),
    )
    try:
        refresh(changed.database)
        assert lines() == ['teloo_analytics_problem{name="no_requests"} 1']
        health = changed.get("/health").json()
        assert "no_requests: no request was created for days" in health["problems"]
    finally:
        changed.database.execute(
            "UPDATE public.solicitudes SET created_at = moved.created_at FROM public.moved "
            "WHERE moved.id = solicitudes.id",
            "DROP TABLE public.moved",
            "UPDATE public.solicitudes SET created_at = now() "
            "WHERE id = (SELECT id FROM public.solicitudes ORDER BY created_at DESC LIMIT 1)",
        )
    refresh(changed.database)
    assert lines() == ['teloo_analytics_problem{name="no_requests"} 0']
