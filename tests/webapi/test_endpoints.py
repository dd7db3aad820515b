"""The list of product paths: what one entry gives, what a wrong one says, and CSV."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import openapi
from cluster import PROJECT
from commandline.console import UserError
from conftest import Database
from gateway import PLACEHOLDER, Settings, configuration
from gateway_testing import Api, Rendered, path_of, refused, render_environment, running
from webapi.endpoints import ENDPOINTS, MOST_PARAMETERS, Endpoint, checked, more_methods
from webapi.json_schema import count, parameter, record, rows
from webapi.nginx_paths import placeholders

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
MONTHS = "/materialized-views/monthly-metrics"
RANKINGS = "/materialized-views/advisor-rankings"
LEVELS = "/materialized-views/advisor-levels"
ECHO = "/materialized-views/echo"

# -- a new endpoint ----------------------------------------------------------------------------

# What somebody writes who wants one: an entry, and a file.
LEVELS_ENTRY = """
    Endpoint(
        "GET",
        "/materialized-views/advisor-levels",
        "reading",
        {200: rows(record(nivel=nullable(text("ORO")), asesores=count(4)))},
        (limit(20, 5), parameter("ciudad", "City.", {"type": "string"}, "Cali")),
        cached=True,
    ),
"""
LEVELS_FILE = """
-- GET /materialized-views/advisor-levels: how many advisors each level has.

CREATE OR REPLACE FUNCTION api.advisor_levels(
    ciudad text DEFAULT NULL, limite text DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $advisor_levels$
DECLARE
    v_limit constant integer := kpi_engine.integer_parameter('limit', limite, 1, 20, 5);
    v_city_key constant text := analytics.city_key(ciudad);
BEGIN
    PERFORM kpi_engine.begin_reading('mv_ranking_asesores');
    RETURN (
        SELECT coalesce(json_agg(level), '[]') FROM (
            SELECT nivel_actual AS nivel, count(*) AS asesores
            FROM analytics.mv_ranking_asesores
            WHERE v_city_key IS NULL OR analytics.city_key(mv_ranking_asesores.ciudad) = v_city_key
            GROUP BY 1 ORDER BY 1 LIMIT v_limit
        ) AS level
    );
END;
$advisor_levels$;

COMMENT ON FUNCTION api.advisor_levels(text, text) IS 'Advisors by level: how many each has.';

REVOKE ALL ON FUNCTION api.advisor_levels(text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.advisor_levels(text, text) TO analytics_lector;
"""
# A path with a variable part, whose function takes any parameters: it answers what it got.
ECHO_ENTRY = """
    Endpoint(
        "GET",
        "/materialized-views/echo/{view}",
        "reading",
        {200: rows(record(place=count(1), part=text("a=b")))},
        (parameter("view", "Which.", {"type": "string"}, "mv_x", place="path"), limit(9, 1)),
        rest="consulta",
    ),
"""
ECHO_FILE = """
-- GET /materialized-views/echo/{view}: what came.

CREATE OR REPLACE FUNCTION api.echo(view text, VARIADIC consulta text[])
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $echo$
BEGIN
    IF view = 'nothing' THEN
        PERFORM kpi_engine.raise_http_error(404, 'there is no view nothing', NULL, 'Try another.');
    END IF;
    RETURN (
        SELECT json_agg(json_build_object('place', part.place, 'part', part.text))
        FROM unnest(view || consulta) WITH ORDINALITY AS part (text, place)
        WHERE part.text <> ''
    );
END;
$echo$;

COMMENT ON FUNCTION api.echo(text, text []) IS 'What came.';

REVOKE ALL ON FUNCTION api.echo(text, text []) FROM public;
GRANT EXECUTE ON FUNCTION api.echo(text, text []) TO analytics_lector;
"""


def copy_of_the_project(target: Path) -> Path:
    """Copy what migrate and render need into a folder."""
    for folder in ("scripts", "sql", "config", "web"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / folder, target / folder, ignore=ignored)
    # It has the version.
    shutil.copy(PROJECT / "pyproject.toml", target / "pyproject.toml")
    (target / ".local").mkdir()
    (target / ".local" / "node").symlink_to((PROJECT / ".local" / "node").resolve())
    return target


def add(project: Path, entry: str, function: str = "", file: str = "") -> None:
    """Add an entry to the list of a project, and its function."""
    path = project / "scripts" / "webapi" / "endpoints.py"
    before = path.read_text(encoding="utf-8")
    begin = "ENDPOINTS: tuple[Endpoint, ...] = ("
    assert begin in before
    path.write_text(before.replace(begin, begin + entry), encoding="utf-8")
    if function:
        target = project / "sql" / "functions" / "api" / f"{function}.sql"
        target.write_text(file, encoding="utf-8")


def run(
    project: Path, script: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of a project."""
    return subprocess.run(
        [sys.executable, str(project / "scripts" / script), *arguments],
        env={**os.environ, "ENVIRONMENT": "development", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def grown(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The marketplace, migrated and served by a project that has two endpoints more."""
    project = copy_of_the_project(tmp_path_factory.mktemp("grown") / "project")
    add(project, LEVELS_ENTRY, "advisor_levels", LEVELS_FILE)
    add(project, ECHO_ENTRY, "echo", ECHO_FILE)
    environment = render_environment(api.gateway)
    target = api.gateway.cluster.location / "grown"
    for script, arguments in (
        ("migrate.py", ()),
        ("gateway.py", ("render", "--directory", str(target))),
    ):
        admin = {"DATABASE_URL": api.database.url} if script == "migrate.py" else {}
        done = run(project, script, *arguments, **{**environment, "API_RATE": "100000", **admin})
        assert done.returncode == 0, done.stderr
    rendered = Rendered(api.gateway.cluster, where=target, rendered_for=environment)
    try:
        with running(rendered, api.gateway.program()):
            yield Api(rendered, api.database)
    finally:
        done = run(PROJECT, "migrate.py", DATABASE_URL=api.database.url)
        assert done.returncode == 0, done.stderr


def test_an_entry_and_a_file_make_an_endpoint(grown: Api) -> None:
    expected = grown.database.rows(
        "SELECT nivel_actual, count(*) FROM analytics.mv_ranking_asesores GROUP BY 1 ORDER BY 1"
    )
    answer = grown.get(f"{LEVELS}?limit=20", LECTOR)
    assert answer.status == 200, answer.body
    assert [(row["nivel"], row["asesores"]) for row in answer.json()] == expected
    # Its checks, errors, roles, cache and headers are those of all paths.
    assert (
        "whole number from 1 to 20"
        in refused(grown.get(f"{LEVELS}?limit=0", LECTOR), 400)["message"]
    )
    hint = refused(grown.get(f"{LEVELS}?other=1", LECTOR), 400)["hint"]
    assert hint == "The parameters of this path: limit, ciudad, format."
    refused(grown.get(LEVELS), 401, "42501")
    refused(grown.get(LEVELS, OPERADOR), 403, "42501")
    post = grown.request("POST", LEVELS, LECTOR)
    refused(post, 405)
    assert post.headers["allow"] == "GET, HEAD"
    head = grown.request("HEAD", LEVELS, LECTOR)
    assert (head.status, head.content, head.headers["x-stale"]) == (200, b"", "false")
    tag = answer.headers["etag"]
    assert grown.request("GET", LEVELS, LECTOR, headers={"If-None-Match": tag}).status == 304
    lines = list(csv.DictReader(io.StringIO(grown.get(f"{LEVELS}?format=csv", LECTOR).body)))
    assert [line["asesores"] for line in lines] == [str(number) for _, number in expected[:5]]


def test_a_new_endpoint_is_in_the_document(grown: Api) -> None:
    operation = grown.get("/openapi.json").json()["paths"][LEVELS]["get"]
    assert operation["summary"] == "Advisors by level"
    assert "Roles: analytics_lector." in operation["description"]
    assert operation["operationId"] == "advisor_levels"
    assert [one["name"] for one in operation["parameters"]] == ["limit", "ciudad", "format"]
    assert {"200", "304", "400", "401", "403", "412", "503", "504"} <= set(operation["responses"])
    content = operation["responses"]["200"]["content"]
    assert content["text/csv"]["example"] == "nivel,asesores\r\nORO,4\r\n"
    assert content["application/json"]["example"] == [{"nivel": "ORO", "asesores": 4}]


def echoed(answer: Any) -> list[str]:
    """Return the view and the parts that the echo got."""
    assert answer.status == 200, answer.body
    return [row["part"] for row in answer.json()]


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("", []),
        ("?", []),
        ("?&&", []),
        ("?ciudad=Bogot%C3%A1+D.C.&nivel=&limit=3", ["ciudad=Bogotá D.C.", "nivel=", "limit=3"]),
        ("?&a=1&&b=2&", ["a=1", "b=2"]),
        ("?order=-mes&offset=7&select=x&or=(a.eq.1)", None),
        ("?a=b=c%3Dd%26e&x=%25%2541%22%7B%2C%7D%5C", ["a=b=c=d&e", 'x=%%41"{,}\\']),
        ("?a=eq.1&not=is.null&view=other&consulta=x", None),
        ("?format=json&a=1", ["a=1"]),
        ("?a=1&format=json&b=2", ["a=1", "b=2"]),
        ("?a=1&format=json", ["a=1"]),
        ("?formats=1&xformat=2", None),
        ("?from=2026-01&to=2026-12", None),
        ("?a=%0A%09%F0%9F%98%80%27%3B", ["a=\n\t😀';"]),
        ("?a=NULL&b=null", None),
        ("?" + "&".join(f"p{number}=1" for number in range(MOST_PARAMETERS)), None),
    ],
)
def test_any_parameters_reach_a_function_that_takes_any(
    grown: Api, query: str, parts: list[str] | None
) -> None:
    expected = query.removeprefix("?").split("&") if parts is None else parts
    answer = grown.get(f"{ECHO}/mv_X1{query}", LECTOR)
    assert echoed(answer) == ["mv_X1", *expected]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?a", "parameter a has no value"),
        ("?=1", "the query string has an unknown parameter"),
        ("?a=1&=", "the query string has an unknown parameter"),
        ("?a%3Db=1", "the query string has an unknown parameter"),
        ("?ciuda%64=1", "the query string has an unknown parameter"),
        ("?not.in=1", "the query string has an unknown parameter"),
        (f"?{'n' * 64}=1", "the query string has an unknown parameter"),
        ("?a=1&a=2", "parameter a is repeated"),
        ("?a=%ff", "the query string is not percent-encoded UTF-8"),
        ("?a=%00", "the query string is not percent-encoded UTF-8"),
        ("?a=1;b=2", "a semicolon in a parameter must be sent as %3B"),
        ("?format=xml", "parameter format must be csv or json"),
        (
            "?" + "&".join(f"p{number}=1" for number in range(MOST_PARAMETERS + 1)),
            f"the query string has more than {MOST_PARAMETERS} parameters",
        ),
    ],
)
def test_what_can_not_be_a_parameter_is_refused_at_any_path(
    grown: Api, query: str, message: str
) -> None:
    error = refused(grown.get(f"{ECHO}/mv_x{query}", LECTOR), 400)
    assert error["message"].startswith(message)
    if "UTF-8" not in message and "semicolon" not in message:
        assert error["hint"] == "The parameters of this path: limit, format, and others."


@pytest.mark.parametrize(
    "part", ["", "a.b", "a-b", "a%20b", "a/b", "x" * 64, "%C3%B1", "..", "a%2Fb", "a;b"]
)
def test_what_can_not_be_the_variable_part_of_a_path_is_404(grown: Api, part: str) -> None:
    refused(grown.get(f"{ECHO}/{part}", LECTOR), 404)


def test_a_404_of_the_function_reaches_the_client(grown: Api) -> None:
    error = refused(grown.get(f"{ECHO}/nothing?a=1", LECTOR), 404)
    assert (error["message"], error["hint"]) == ("there is no view nothing", "Try another.")
    answer = grown.get(f"{ECHO}/nothing", LECTOR)
    assert "x-error-body" not in answer.headers
    # At /rest/ it is PostgREST that answers.
    answer = grown.get("/rest/rpc/echo?view=nothing&consulta=", LECTOR)
    assert (answer.status, answer.json()["message"]) == (404, "there is no view nothing")


def test_a_function_that_takes_any_can_be_called_at_rest(grown: Api) -> None:
    path = "/rest/rpc/echo?view=mv_x&consulta="
    assert echoed(grown.get(path, LECTOR)) == ["mv_x"]
    assert echoed(grown.get(f"{path}a=1&consulta=b=%C3%A1", LECTOR)) == ["mv_x", "a=1", "b=á"]


def test_csv_of_a_path_with_a_variable_part(grown: Api) -> None:
    answer = grown.get(f"{ECHO}/mv_x?a=%22q%22&format=csv&b=%3D1%2B1", LECTOR)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.body == 'place,part\r\n1,mv_x\r\n2,"a=""q"""\r\n3,b==1+1\r\n'


# -- entries that are wrong --------------------------------------------------------------------

ROWS = {200: rows(record(n=count(1)))}
NAME = parameter("nivel", "Level.", {"type": "string"}, "ORO")
IN_PATH = parameter("view", "Which.", {"type": "string"}, "mv_x", place="path")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            Endpoint("get", "/x", "reading", ROWS),
            "the method is 'get': it must be GET, POST, PUT or DELETE",
        ),
        (Endpoint("GET", "x", "reading", ROWS), "the path must be lower-case words"),
        (Endpoint("GET", "/X", "reading", ROWS), "the path must be lower-case words"),
        (Endpoint("GET", "/x;}", "reading", ROWS), "the path must be lower-case words"),
        (Endpoint("GET", "/x/", "reading", ROWS), "the path must be lower-case words"),
        (Endpoint("GET", "/{view}/x", "reading", ROWS, (IN_PATH,)), "the path must be lower-case"),
        (Endpoint("GET", "/rest/x", "reading", ROWS), "/rest and /docs are taken"),
        (Endpoint("GET", "/x", "reading", ROWS, function="a b"), "'a b' can't be the name of a"),
        (Endpoint("GET", "/2x", "reading", ROWS), "name one with function="),
        (Endpoint("GET", "/x", "other", ROWS), "the tag is 'other': it must be reading, watching"),
        (Endpoint("GET", "/x", "reading", {}), "answers has no schema of an answer"),
        (Endpoint("GET", "/x", "reading", {503: {}}), "answers has no schema of an answer"),
        (Endpoint("POST", "/x", "reading", ROWS, cached=True), "what writes can't be cached"),
        (Endpoint("GET", "/x/{view}", "reading", ROWS), 'the path needs parameter\\("view"'),
        (Endpoint("GET", "/x", "reading", ROWS, (IN_PATH,)), "the path has no variable part view"),
        (Endpoint("GET", "/x", "reading", ROWS, rest="a b"), "rest is 'a b'"),
        (Endpoint("GET", "/x", "reading", ROWS, (NAME, NAME)), "parameter nivel is there twice"),
        (
            Endpoint("GET", "/x", "reading", ROWS, ({**NAME, "name": "Nivel"},)),
            "parameter 'Nivel' must be a lower-case name",
        ),
        (
            Endpoint("GET", "/x", "reading", ROWS, ({**NAME, "name": "format"},)),
            "parameter format is the gateway's own",
        ),
        (
            Endpoint("GET", "/x", "reading", ROWS, ({**NAME, "name": "order"},)),
            "parameter order is a word of PostgREST's own",
        ),
        (
            Endpoint("GET", "/health", "watching", ROWS),
            "there are two entries for this path and method",
        ),
        (
            Endpoint("GET", "/materialized-views/refresh", "refreshing", ROWS),
            "of several entries for a path, the first one is GET, and the others write",
        ),
        (
            Endpoint("POST", "/metrics", "watching", ROWS, function="x"),
            "a path with several methods has no variable part",
        ),
        (
            Endpoint("DELETE", "/health", "watching", ROWS, function="x"),
            "a path with several methods has no variable part",
        ),
    ],
)
def test_an_entry_with_a_mistake_is_a_clear_error(entry: Endpoint, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        placeholders((*ENDPOINTS, entry))
    assert str(caught.value).startswith(f"{entry.method} {entry.path}: ")
    assert "scripts/webapi/endpoints.py" in str(caught.value.hint)


def test_the_list_has_no_mistake() -> None:
    assert list(checked(ENDPOINTS)) == list(ENDPOINTS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            Endpoint("GET", MONTHS, "reading", ROWS, (NAME,)),
            r"takes \(start_month, end_month, limite\), the entry has \(nivel\)",
        ),
        (
            Endpoint("GET", MONTHS, "reading", ROWS, rest="consulta"),
            r"the entry has \(VARIADIC consulta\)",
        ),
        (Endpoint("POST", "/health", "watching", ROWS), "api.health is not VOLATILE"),
        (
            Endpoint("GET", "/scheduler/trigger-refresh", "scheduler", ROWS),
            "api.scheduler_trigger_refresh is VOLATILE",
        ),
        (
            Endpoint("GET", "/health", "watching", ROWS, media="text/plain"),
            "api.health returns json, the entry's media is text/plain",
        ),
        (Endpoint("GET", "/metrics", "watching", ROWS), "api.metrics returns text/plain"),
        (Endpoint("GET", "/x", "reading", ROWS), "function api.x is missing in the database"),
    ],
)
def test_an_entry_that_its_function_denies_is_a_clear_error(
    api: Api, entry: Endpoint, message: str
) -> None:
    with api.database.session() as connection, pytest.raises(UserError, match=message):
        openapi.described(connection, entry)


def test_a_function_without_comment_or_grant_is_a_clear_error(system_database: Database) -> None:
    entry = Endpoint("GET", "/x", "reading", ROWS)
    system_database.execute(
        "CREATE SCHEMA api",
        "CREATE FUNCTION api.x() RETURNS json LANGUAGE sql STABLE RETURN '[]'::json",
    )
    for statement, message in (
        ("REVOKE ALL ON FUNCTION api.x() FROM public", "api.x has no COMMENT"),
        ("COMMENT ON FUNCTION api.x() IS 'X.'", "api.x has no GRANT to a role of the API"),
        (
            "CREATE FUNCTION api.x(a text) RETURNS json LANGUAGE sql STABLE RETURN '[]'::json",
            r"the database has 2 functions api\.x",
        ),
    ):
        system_database.execute(statement)
        with system_database.session() as connection, pytest.raises(UserError, match=message):
            openapi.described(connection, entry)


def test_render_says_which_entry_is_wrong_and_writes_nothing(api: Api, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    environment = render_environment(api.gateway)
    target = tmp_path / "rendered"
    entry = LEVELS_ENTRY.replace("limit(20, 5)", "parameter('order', '', {}, '')")
    add(project, entry, "advisor_levels", LEVELS_FILE)
    done = run(project, "gateway.py", "render", "--directory", str(target), **environment)
    assert done.returncode == 1
    assert f"GET {LEVELS}: parameter order is a word of PostgREST's own" in done.stderr
    assert "ENDPOINTS of scripts/webapi/endpoints.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert not target.exists()


# -- what is rendered --------------------------------------------------------------------------


def map_of(configuration: str, name: str) -> dict[str, str]:
    """Return what a map block of nginx.conf gives for each whole path."""
    block = re.search(rf"^    map \$\w+ \${name} {{$(.*?)^    }}$", configuration, re.M | re.S)
    assert block, name
    return dict(re.findall(r'^ +"([/~][^"]+)" "([^"]*)";$', block[1], re.M))


def further_methods_of(configuration: str, name: str) -> dict[str, str]:
    """Return what a map block of nginx.conf gives for each further method of a path."""
    block = re.search(rf"^    map [^;{{]+ \${name} {{$(.*?)^    }}$", configuration, re.M | re.S)
    assert block, name
    return dict(re.findall(r'^ +"([A-Z]+ /[^"]+)" "([^"]*)";$', block[1], re.M))


def test_nginx_has_the_paths_methods_and_parameters_of_the_list(tmp_path: Path) -> None:
    ports = {"gateway": 1, "postgrest": 2, "admin": 3, "inner": 4}
    written = configuration(tmp_path, ports, Settings())["nginx.conf"]
    assert not PLACEHOLDER.search(written)
    # One path that has a part which varies, and takes whatever parameters the view has.
    (any_view,) = [one for one in ENDPOINTS if one.segment]
    more = more_methods(ENDPOINTS)
    assert {one.method for one in more} == {"POST", "DELETE"}
    first = [one for one in ENDPOINTS if one not in more]
    functions = map_of(written, "function_of_path")
    (expression,) = [path for path in functions if path.startswith("~")]
    # Python knows no \z; fullmatch() is as strict.
    pattern = expression[1:].removesuffix(r"\z")
    assert re.fullmatch(pattern, path_of(any_view))
    assert not re.fullmatch(pattern, f"{path_of(any_view)}/x")
    assert not re.fullmatch(pattern, f"{path_of(any_view)}\n")
    written_as = {one.path: expression if one.segment else one.path for one in first}
    assert functions == {written_as[one.path]: one.function for one in first}
    assert further_methods_of(written, "function") == {
        f"{one.method} {one.path}": one.function for one in more
    }
    assert further_methods_of(written, "is_further_method").keys() == {
        f"{one.method} {one.path}" for one in more
    }
    methods = {
        path: found for path, found in map_of(written, "methods").items() if path in functions
    }
    assert methods == {
        written_as[one.path]: ", ".join(
            "GET, HEAD" if other.method == "GET" else other.method
            for other in ENDPOINTS
            if other.path == one.path
        )
        for one in first
    }
    assert map_of(written, "parameters_of_path") == {
        written_as[one.path]: ", ".join([*one.query_names, *(["and others"] if one.rest else [])])
        for one in first
        if one.query_names
    }
    assert further_methods_of(written, "parameters") == {
        f"{one.method} {one.path}": ", ".join(one.query_names) for one in more
    }


# -- CSV ---------------------------------------------------------------------------------------


def cells_of(answer: Any, *, varies: bool = True) -> list[dict[str, str]]:
    """Check that an answer is CSV; return its rows."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert not varies or "Accept" in answer.headers["vary"].split(", ")
    assert answer.body.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(answer.body, newline=""), strict=True))


def as_text(value: object) -> str:
    """Return a value of JSON as a cell of CSV has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else str(value)


RESTATEMENTS = "/materialized-views/restatements"
WITH_ROWS = [
    path_of(one).partition("?")[0]
    + ("?view=monthly" if one.path.endswith("/live") else "?limit=50")
    for one in ENDPOINTS
    if one.answers_rows
]


@dataclass(frozen=True)
class Restated:
    """A month that is closed and was changed since, its path, and the answer before."""

    month: str
    path: str
    before: list[dict[str, Any]]


@pytest.fixture(scope="module")
def restated(api: Api) -> Restated:
    """A request of a closed month turns out to be a year older."""
    ((identifier, month),) = api.database.rows(
        "SELECT id::text, to_char(created_at AT TIME ZONE 'America/Bogota', 'YYYY-MM') "
        "FROM public.solicitudes "
        "WHERE created_at < now() - interval '100 days' "
        # Other modules change requests of closed months in the same database.
        "AND date_trunc('month', created_at AT TIME ZONE 'America/Bogota')::date "
        "NOT IN (SELECT period FROM analytics.restatements) "
        "ORDER BY created_at DESC, id LIMIT 1"
    )
    path = f"/materialized-views/kpis/mv_metricas_mensuales?from={month}&to={month}"
    before = api.get(path, LECTOR).json()
    api.database.execute(
        "UPDATE public.solicitudes SET created_at = created_at - interval '1 year' "
        f"WHERE id = '{identifier}'",
        "SELECT * FROM analytics.refresh_all_mv()",
    )
    api.forget_cache()
    return Restated(str(month), path, before)


def test_restatements_follow_the_rights_of_the_caller(api: Api, restated: Restated) -> None:
    """No 304 for what another role got, or the same role before."""
    view = "mv_metricas_mensuales"
    first = api.get(RESTATEMENTS, LECTOR)
    tag = {"If-None-Match": first.headers["etag"]}
    assert view in {row["view"] for row in first.json()}
    assert api.get(RESTATEMENTS, LECTOR, headers=tag).status == 304
    api.database.execute(f"REVOKE SELECT ON analytics.{view} FROM analytics_lector")
    try:
        api.forget_cache()
        again = api.get(RESTATEMENTS, LECTOR, headers=tag)
        assert again.status == 200
        assert view not in {row["view"] for row in again.json()}
    finally:
        api.database.execute(f"GRANT SELECT ON analytics.{view} TO analytics_lector")
        api.forget_cache()
    assert api.get(RESTATEMENTS, LECTOR, headers=tag).status == 304


def test_a_restated_month_end_to_end(api: Api, restated: Restated) -> None:
    created = restated.before[0]["solicitudes_creadas"]
    assert api.get(restated.path, LECTOR).json()[0]["solicitudes_creadas"] == created - 1
    assert api.get(f"{restated.path}&reported=true", LECTOR).json() == restated.before
    listed = f"{RESTATEMENTS}?view=mv_metricas_mensuales&period={restated.month}"
    changes = api.get(listed, LECTOR).json()
    (one,) = [row for row in changes if row["column"] == "solicitudes_creadas"]
    assert (one["period"], one["reported"], one["current"], one["difference"]) == (
        f"{restated.month}-01",
        created,
        created - 1,
        -1,
    )
    assert one["requests_changed"] == 1


@pytest.fixture(scope="module")
def goals(api: Api) -> Iterator[None]:
    """Some targets and notes."""
    api.database.execute(
        "SELECT analytics.set_target('mv_embudo_operativo', 'solicitudes_creadas', day::date, 5.5) "
        "FROM generate_series(timestamp '2026-01-01', '2026-01-12', '1 day') AS day",
        "SELECT analytics.add_note(day::date, 'nota ' || day::date) "
        "FROM generate_series(timestamp '2026-01-01', '2026-01-12', '1 day') AS day",
    )
    api.forget_cache()
    yield
    api.database.execute("DELETE FROM kpi_engine.targets", "DELETE FROM kpi_engine.notes")


def test_what_the_gate_holds_back_is_accepted_over_http(api: Api) -> None:
    ((usual,),) = api.database.rows("SELECT analytics.setting('gate_closed_pct')")
    held = "SELECT DISTINCT view_name FROM analytics.gate_holds"
    gate = "/materialized-views/gate?view={}&reason=a%20late%20correction"
    try:
        api.database.execute(
            "SELECT analytics.set_setting('gate_closed_pct', '1')",
            "UPDATE public.solicitudes SET created_at = created_at - interval '2 years' "
            "WHERE id IN (SELECT id FROM public.solicitudes "
            "WHERE created_at BETWEEN now() - interval '150 days' AND now() - interval '120 days' "
            "ORDER BY created_at LIMIT 60)",
            "SELECT * FROM analytics.refresh_all_mv()",
        )
        views = [str(view) for (view,) in api.database.rows(held)]
        assert "mv_metricas_mensuales" in views
        refused(api.post(gate.format(views[0]), LECTOR), 403, "42501")
        assert len(api.database.rows(held)) == len(views)
        refused(api.post(f"{gate.format('changes')}&how=normal", OPERADOR), 400)
        for view in views:
            answer = api.post(gate.format(view), OPERADOR)
            assert answer.status == 200, answer.body
            assert answer.headers["cache-control"] == "no-store"
            body = answer.json()
            assert body["accepted"] == len(body["findings"]) > 0
            assert "would" in body["findings"][0]
        api.database.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert api.database.rows(held) == []
        refused(api.post(gate.format(views[0]), OPERADOR), 404)
    finally:
        api.database.execute(f"SELECT analytics.set_setting('gate_closed_pct', '{usual}')")


@pytest.mark.parametrize("path", WITH_ROWS)
@pytest.mark.usefixtures("restated", "goals")
def test_csv_has_what_json_has(api: Api, path: str) -> None:
    answer = api.get(path, LECTOR)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    parsed = [
        {name: float(cell) if is_number(cell) else cell for name, cell in row.items()}
        for row in cells_of(api.get(f"{path}&format=csv", LECTOR))
    ]
    expected = [
        {
            name: float(cell) if is_number(as_text(cell)) else as_text(cell)
            for name, cell in row.items()
        }
        for row in answer.json()
    ]
    assert len(expected) > 10
    assert parsed == expected
    assert [list(row) for row in parsed] == [list(row) for row in answer.json()]


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number: 3.50 and 3.5 are one."""
    return bool(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell))


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("text/csv", "", "csv"),
        ("Text/CSV; charset=utf-8", "", "csv"),
        ("text/csv, */*;q=0.1", "", "csv"),
        ("image/png, text/csv", "", "csv"),
        ("application/json, text/csv", "", "json"),
        ("*/*", "", "json"),
        ("application/json", "format=csv", "csv"),
        ("text/csv", "format=json", "json"),
        ("text/csv", "limit=2&format=csv&end_month=2100-01", "csv"),
    ],
)
def test_csv_comes_where_it_is_asked_for(api: Api, accept: str, query: str, kind: str) -> None:
    answer = api.get(f"{MONTHS}?{query}", LECTOR, headers={"Accept": accept})
    assert answer.status == 200, answer.body
    assert ("csv" in answer.headers["content-type"]) == (kind == "csv")


def test_csv_of_no_rows_is_the_header(api: Api) -> None:
    for path, parameters in ((MONTHS, "end_month=0001-01"), (RANKINGS, "ciudad=nowhere")):
        assert api.get(f"{path}?{parameters}", LECTOR).json() == []
        empty = api.get(f"{path}?{parameters}&format=csv", LECTOR).body
        full = api.get(f"{path}?format=csv", LECTOR).body
        assert empty == full.splitlines(keepends=True)[0]


def test_csv_and_json_share_no_tag_and_no_cached_answer(api: Api) -> None:
    token = api.token(LECTOR)
    for _ in range(3):
        plain, wanted = (api.get(f"{MONTHS}{more}", token=token) for more in ("", "?format=csv"))
        by_header = api.get(MONTHS, token=token, headers={"Accept": "text/csv"})
        assert plain.body.startswith("[")
        assert wanted.body == by_header.body
        assert wanted.body.startswith("mes,")
        assert wanted.headers["etag"] == by_header.headers["etag"] != plain.headers["etag"]
    for tag, status in ((wanted.headers["etag"], 304), (plain.headers["etag"], 200)):
        asked = {"Accept": "text/csv", "If-None-Match": tag}
        assert api.get(MONTHS, token=token, headers=asked).status == status


def test_errors_are_json_where_csv_is_asked_for(api: Api) -> None:
    refused(api.get(f"{MONTHS}?format=csv&limit=0", LECTOR), 400)
    refused(api.get(f"{MONTHS}?format=csv"), 401, "42501")
    # A path that answers one object has no CSV.
    refused(api.get("/materialized-views/status?format=csv", LECTOR), 400)
    for path, accept in (
        ("/rest/rpc/status", "text/csv"),
        ("/rest/mv_ranking_asesores?limit=2", "text/vnd.teloo.csv"),
    ):
        answer = api.get(path, LECTOR, headers={"Accept": accept})
        assert (answer.status, answer.json()["code"]) == (406, "TELOO406"), answer.body


def test_functions_at_rest_give_the_same_csv(api: Api) -> None:
    native = api.get("/rest/rpc/monthly_metrics?limite=3", LECTOR, headers={"Accept": "text/csv"})
    assert cells_of(native, varies=False)
    assert native.body == api.get(f"{MONTHS}?limit=3&format=csv", LECTOR).body


@pytest.mark.parametrize(
    ("rows_in_json", "expected"),
    [
        ('[{"a": 1, "b": null}, {"a": -2.50, "b": ""}]', 'a,b\r\n1,\r\n-2.50,""\r\n'),
        ('[{"a": "x,y"}, {"a": "q\\"q"}, {"a": "l\\nm"}]', 'a\r\n"x,y"\r\n"q""q"\r\n"l\nm"\r\n'),
        ('[{"a": "=1+1"}, {"a": "-1"}, {"a": "@x"}]', "a\r\n'=1+1\r\n'-1\r\n'@x\r\n"),
        ('[{"a": "\\t=1"}, {"a": "+1,2"}]', "a\r\n'\t=1\r\n\"'+1,2\"\r\n"),
        (
            '[{"a": true, "b": [1, "x"], "c": {"d": 1}}]',
            'a,b,c\r\ntrue,"[1, ""x""]","{""d"": 1}"\r\n',
        ),
        ('[{"z": "ñ", "a": " x "}]', "z,a\r\nñ, x \r\n"),
        ("[]", "p,q\r\n"),
    ],
)
def test_lines_of_csv(api: Api, rows_in_json: str, expected: str) -> None:
    with api.database.session() as connection:
        [[written]] = connection.execute(
            'SELECT kpi_engine.csv_lines(%s::json, \'["p", "q"]\')', [rows_in_json]
        ).fetchall()
    assert written == expected
