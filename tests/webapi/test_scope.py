"""Tokens for some cities (claim ciudades): what they see, tried as somebody who wants more."""

import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from commandline.console import UserError
from conftest import KPI_VIEWS
from gateway_testing import Api, Response, path_of, raw, refused
from jwt_token import AUDIENCE, city_names, main
from webapi.endpoints import ENDPOINTS

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
RANKING = "/materialized-views/advisor-rankings"
TOP = "/materialized-views/top-advisors"
CITIES = "/materialized-views/city-summary"
KPIS = "/materialized-views/kpis"
HEALTH = "/materialized-views/health"
RESTATEMENTS = "/materialized-views/restatements"
# KPI views with a city, and the column in which a row has it.
WITH_CITY = {
    "mv_ranking_asesores": "ciudad",
    "mv_segmentos_asesores": "ciudad",
    "mv_demanda_ciudades": "ciudad_key",
}
NARROWED = {"advisor_rankings", "top_advisors", "city_summary", "kpi", "restatements"}
WITHOUT_FIGURES = {"kpis", "health"}
KEYS = ["BOGOTA", "CALI"]


def token(api: Api, cities: object, role: str = LECTOR) -> str:
    """Return a token with the claim ciudades, whatever that is."""
    return api.mint(
        {
            "role": role,
            "aud": AUDIENCE,
            "sub": "test",
            "exp": int(time.time()) + 3600,
            "ciudades": cities,
        }
    )


def seen(api: Api, path: str, cities: object = ("Bogotá", " cali"), **options: Any) -> Response:
    """Ask with a token for some cities."""
    return api.get(path, token=token(api, cities), **options)


def keys_in(api: Api, cities: Sequence[str]) -> set[str]:
    """Return the keys of spellings."""
    with api.database.session() as connection:
        rows = connection.execute(
            "SELECT DISTINCT analytics.city_key(city) FROM unnest(%s::text[]) AS city",
            [list(cities)],
        ).fetchall()
    return {str(key) for (key,) in rows}


def test_an_answer_has_the_rows_of_the_tokens_cities_alone(api: Api) -> None:
    everything = api.get(f"{RANKING}?limit=500", LECTOR).json()
    expected = [row for row in everything if keys_in(api, [row["ciudad"]]) <= set(KEYS)]
    assert 0 < len(expected) < len(everything)
    answer = seen(api, f"{RANKING}?limit=500")
    assert answer.status == 200, answer.body
    ids = {row["asesor_id"] for row in answer.json()}
    assert {row["asesor_id"] for row in expected} <= ids
    assert keys_in(api, [row["ciudad"] for row in answer.json()]) == set(KEYS)

    ((count,),) = api.database.rows(
        "SELECT count(*) FROM analytics.mv_ranking_asesores "
        "WHERE analytics.city_key(ciudad) = ANY ('{BOGOTA, CALI}')"
    )
    assert len(ids) == min(int(str(count)), 500)
    top = seen(api, TOP).json()
    assert top["total_found"] == count
    assert keys_in(api, [row["ciudad"] for row in top["top_advisors"]]) <= set(KEYS)

    summary = seen(api, CITIES).json()
    assert keys_in(api, [row["ciudad"] for row in summary["cities"]]) == set(KEYS)
    whole = {row["ciudad"]: row for row in api.get(CITIES, LECTOR).json()["cities"]}
    assert [whole[row["ciudad"]] for row in summary["cities"]] == summary["cities"]


ASKED = [
    *((view, asked) for view in WITH_CITY for asked in ("", "&as_of={now}", "&format=csv")),
    *(
        ("mv_demanda_ciudades", asked)
        for asked in ("&reported=true", "&fill=true", "&compare=previous", "&compare=year")
    ),
]


@pytest.mark.parametrize(("view", "parameters"), ASKED)
def test_a_kpi_view_shows_these_cities_whatever_is_asked(
    api: Api, view: str, parameters: str
) -> None:
    ((now,),) = api.database.rows(
        "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    )
    path = f"{KPIS}/{view}?limit=1000{parameters.format(now=now)}"
    answer = seen(api, path)
    assert answer.status == 200, answer.body
    column = WITH_CITY[view]
    if "csv" in parameters:
        header, *lines = answer.body.splitlines()
        place = header.split(",").index(column)
        found = [line.split(",")[place] for line in lines]
    else:
        found = [row[column] for row in answer.json()]
    assert keys_in(api, found) == set(KEYS)
    plain = api.get(path, LECTOR)
    others = plain.body
    assert any(other in others.upper() for other in ("MEDELL", "BARRANQUILLA", "CARTAGENA"))


def test_another_city_is_refused_and_no_empty_answer(api: Api) -> None:
    for path in (RANKING, TOP, f"{KPIS}/mv_ranking_asesores", f"{KPIS}/mv_segmentos_asesores"):
        error = refused(seen(api, f"{path}?ciudad=Medell%C3%ADn"), 403)
        assert "BOGOTA, CALI" in error["details"]
        assert seen(api, f"{path}?ciudad=BOGOT%C3%81").status == 200
    refused(seen(api, f"{KPIS}/mv_demanda_ciudades?ciudad=Medellin"), 403)
    assert seen(api, f"{KPIS}/mv_demanda_ciudades?ciudad=Medellin", ["Medellín"]).status == 200


@pytest.mark.parametrize("role", [LECTOR, OPERADOR])
def test_every_path_that_is_not_narrowed_is_refused(api: Api, role: str) -> None:
    narrow = token(api, KEYS, role)
    for endpoint in ENDPOINTS:
        answer = api.request(endpoint.method, path_of(endpoint), token=narrow)
        if endpoint.function in WITHOUT_FIGURES:
            assert answer.status in (200, 503), endpoint.path
        elif endpoint.function == "kpi":
            refused(answer, 403)
        elif endpoint.function in NARROWED:
            assert answer.status == 200, endpoint.path
        else:
            error = refused(answer, 403)
            assert "some cities" in error["message"], endpoint.path
    for view in KPI_VIEWS:
        status = api.get(f"{KPIS}/{view}", token=narrow).status
        assert status == (200 if view in WITH_CITY else 403), view


def test_functions_and_views_at_rest_are_the_same(api: Api) -> None:
    narrow = token(api, KEYS, OPERADOR)
    functions = api.database.rows(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'api'::regnamespace "
        "AND prokind = 'f' AND has_function_privilege('analytics_operador', oid, 'EXECUTE')"
    )
    assert len(functions) >= len({endpoint.function for endpoint in ENDPOINTS})
    for (name,) in functions:
        for method, body in (("GET", None), ("POST", "{}")):
            answer = api.request(method, f"/rest/rpc/{name}", token=narrow, body=body)
            if str(name) in NARROWED | WITHOUT_FIGURES:
                assert answer.status not in (401, 500), (name, answer.body)
            else:
                assert answer.status in (403, 404, 405), (name, answer.status, answer.body)
    views = api.database.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'api'::regnamespace "
        "AND relkind IN ('v', 'm', 'r', 'p', 'f')"
    )
    assert {str(view) for (view,) in views} >= set(KPI_VIEWS)
    for (view,) in views:
        answer = api.get(f"/rest/{view}", token=narrow)
        if str(view) in WITH_CITY:
            assert keys_in(api, [row[WITH_CITY[str(view)]] for row in answer.json()]) == set(KEYS)
        else:
            assert answer.status == 403, view


@pytest.mark.parametrize("view", WITH_CITY)
def test_what_a_client_asks_at_rest_brings_no_other_city(api: Api, view: str) -> None:
    narrow = token(api, KEYS)
    column = WITH_CITY[view]
    ((count,),) = api.database.rows(
        f"SELECT count(*) FROM analytics.{view} "
        f"WHERE analytics.city_key({column}) = ANY ('{{BOGOTA, CALI}}')"
    )
    for query in (
        "",
        f"?or=({column}.ilike.*mede*,{column}.not.is.null)",
        f"?{column}=neq.nothing&order={column}.desc",
        "?ciudad_key=eq.MEDELLIN",
        f"?{column}=not.in.(BOGOTA,CALI)",
    ):
        answer = api.get(f"/rest/{view}{query}", token=narrow, headers={"Prefer": "count=exact"})
        assert answer.status in (200, 206), answer.body
        assert keys_in(api, [row[column] for row in answer.json()]) <= set(KEYS)
        assert int(answer.headers["content-range"].partition("/")[2]) <= int(str(count))
    head = api.request("HEAD", f"/rest/{view}", token=narrow, headers={"Prefer": "count=exact"})
    assert head.headers["content-range"].partition("/")[2] == str(count)
    csv = api.get(f"/rest/{view}?select={column}", token=narrow, headers={"Accept": "text/csv"})
    assert keys_in(api, csv.body.replace('"', "").splitlines()[1:]) == set(KEYS)


@pytest.mark.parametrize(
    "prefer", ["count=planned", "count=estimated", "tx=commit, Count = planned", 'count="planned"']
)
def test_estimates_that_count_all_cities_are_refused(api: Api, prefer: str) -> None:
    for role in (LECTOR, OPERADOR):
        answer = api.get(
            "/rest/mv_segmentos_asesores?limit=1",
            token=token(api, KEYS, role),
            headers={"Prefer": prefer},
        )
        error = refused(answer, 403)
        assert "count=exact" in error["message"]
    plain = api.get("/rest/mv_segmentos_asesores?limit=1", LECTOR, headers={"Prefer": prefer})
    assert plain.status in (200, 206)


def test_no_error_tells_of_rows_of_other_cities(api: Api) -> None:
    """A pattern that ends in an escape fails at the row that it reaches: only at a visible one."""
    narrow = token(api, KEYS)
    # This view has no index that would find the rows of a city first.
    ((other, own),) = api.database.rows(
        "WITH advisor AS (SELECT left(asesor_nombre, -1) AS start, asesor_nombre, "
        "analytics.city_key(ciudad) IN ('BOGOTA', 'CALI') AS is_visible "
        "FROM analytics.mv_segmentos_asesores) "
        "SELECT min(start) FILTER (WHERE NOT is_visible AND NOT EXISTS (SELECT FROM advisor AS own "
        "WHERE own.is_visible AND own.asesor_nombre LIKE advisor.start || '%')), "
        "min(start) FILTER (WHERE is_visible) FROM advisor"
    )
    path = "/rest/mv_segmentos_asesores?asesor_nombre=like.{}%5C"
    hidden = api.get(path.format(quote(str(other))), token=narrow)
    assert (hidden.status, hidden.json()) == (200, [])
    # The same of a row that it sees, and of the hidden one for who sees all: there is an error.
    assert api.get(path.format(quote(str(own))), token=narrow).status == 400
    assert api.get(path.format(quote(str(other))), LECTOR).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/rest/rpc/./live",
        "/rest/rpc//live",
        "/rest//mv_metricas_mensuales",
        "/rest/mv_metricas_mensuales/",
        "/rest/rpc/%6Cive",
        "/rest/RPC/live",
        "/rest/mv_ranking_asesores/../mv_metricas_mensuales",
        "/rest/rpc/kpi?view=mv_metricas_mensuales",
        "/rest/rpc/kpi?view=mv_finanzas_mensuales&consulta={limit=1}",
        "/materialized-views/kpis/mv_ranking_asesores%2F..%2Fmv_metricas_mensuales",
    ],
)
def test_no_spelling_of_a_path_gets_around_it(api: Api, path: str) -> None:
    answer = raw(
        api,
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {token(api, KEYS, OPERADOR)}\r\n\r\n".encode(),
    )
    assert answer.status in (400, 401, 403, 404, 405), answer.body
    assert "solicitudes_creadas" not in answer.body


@pytest.mark.parametrize(
    "claim",
    [
        None,
        True,
        7,
        "BOGOTA",
        {},
        {"0": "BOGOTA"},
        [],
        [""],
        ["  "],
        [7],
        [["BOGOTA"]],
        [None],
        ["BOGOTA", ""],
        ["B" * 201],
        ["BOGOTA"] * 101,
    ],
    ids=lambda claim: json.dumps(claim)[:20],
)
def test_a_claim_of_a_wrong_form_is_no_token(api: Api, claim: object) -> None:
    for path in (RANKING, f"{KPIS}/mv_demanda_ciudades", "/rest/mv_ranking_asesores", CITIES):
        error = refused(seen(api, path, claim), 401)
        assert "ciudades" in error["details"]


def test_the_health_has_no_figures_for_such_a_token(api: Api) -> None:
    """What is restated, held by the gate or off its target is told with figures of all cities."""
    move = "UPDATE analytics.view_state SET last_success_at = last_success_at {} interval '27 h'"
    api.database.execute(move.format("-"))
    try:
        api.forget_cache()
        narrow, nobody, reader = (
            answer.json()["problems"]
            for answer in (seen(api, HEALTH), api.get(HEALTH), api.get(HEALTH, LECTOR))
        )
    finally:
        api.database.execute(move.format("+"))
        api.forget_cache()
    assert narrow
    assert narrow == nobody != reader


def test_a_city_without_advisors_shows_nothing(api: Api) -> None:
    assert seen(api, RANKING, ["Macondo"]).json() == []
    assert seen(api, CITIES, ["Macondo"]).json()["cities"] == []
    assert seen(api, TOP, ["Macondo"]).json()["total_found"] == 0
    assert seen(api, "/rest/mv_segmentos_asesores", ["Macondo"]).json() == []


def test_two_tokens_never_share_an_answer(api: Api) -> None:
    """Not in the gateway's cache, and not by If-None-Match in the client's."""
    first = seen(api, RANKING, ["Bogotá"])
    second = seen(api, RANKING, ["Cali"])
    everything = api.get(RANKING, LECTOR)
    assert len({first.body, second.body, everything.body}) == 3
    tags = {answer.headers["etag"] for answer in (first, second, everything)}
    assert len(tags) == 3
    for tag in tags - {first.headers["etag"]}:
        assert seen(api, RANKING, ["Bogotá"], headers={"If-None-Match": tag}).status == 200
    again = {"If-None-Match": first.headers["etag"]}
    assert seen(api, RANKING, ["Bogota"], headers=again).status == 304


def test_restatements_are_those_of_the_cities(api: Api) -> None:
    api.database.execute(
        "UPDATE public.solicitudes SET created_at = created_at - interval '1 year' "
        "WHERE id IN (SELECT DISTINCT ON (analytics.city_key(ciudad_origen)) id "
        "FROM public.solicitudes WHERE created_at < now() - interval '100 days' "
        "AND analytics.city_key(ciudad_origen) IN ('BOGOTA', 'MEDELLIN') "
        # A year before the first month would be twelve months without figures: the gate's case.
        "ORDER BY analytics.city_key(ciudad_origen), created_at DESC, id)",
        "SELECT * FROM analytics.refresh_all_mv()",
    )
    api.forget_cache()
    path = f"{RESTATEMENTS}?limit=1000&view=mv_demanda_ciudades"
    everything = {row["key"]["ciudad_key"] for row in api.get(path, LECTOR).json()}
    assert everything >= {"BOGOTA", "MEDELLIN"}
    # Other modules restate months of other cities in the same database.
    visible = everything & set(KEYS)
    for asked in (path, f"{RESTATEMENTS}?limit=1000"):
        rows = seen(api, asked).json()
        assert {row["view"] for row in rows} == {"mv_demanda_ciudades"}
        assert {row["key"]["ciudad_key"] for row in rows} == visible
        # It counts the requests of all cities.
        assert {row["requests_changed"] for row in rows} == {None}
    refused(seen(api, f"{RESTATEMENTS}?view=mv_metricas_mensuales"), 403)


@pytest.mark.parametrize("path", [None, "", "/rpc/live", "/mv_metricas_mensuales"])
def test_a_path_that_is_not_known_is_refused(api: Api, path: str | None) -> None:
    """Another PostgREST may say no path: then nothing passes."""
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": 4102444800, "ciudades": KEYS}
    settings = {
        "request.jwt.claims": json.dumps(claims),
        "app.settings.api_audience": AUDIENCE,
        **({"request.path": path} if path is not None else {}),
    }
    with api.database.session() as connection:
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        with pytest.raises(psycopg.DatabaseError, match="some cities only") as caught:
            connection.execute("SELECT analytics.check_request()")
        assert '"status" : 403' in str(caught.value.diag.message_detail)
        connection.execute("SELECT set_config('request.path', '/mv_ranking_asesores', false)")
        connection.execute("SELECT analytics.check_request()")


def test_sql_sessions_see_all(api: Api) -> None:
    with api.database.session() as connection:
        counts = set()
        for role in (LECTOR, OPERADOR):
            connection.execute(f"SET ROLE {role}")
            counts.add(
                connection.execute("SELECT count(*) FROM api.mv_ranking_asesores").fetchone()
            )
        connection.execute("RESET ROLE")
        everybody = connection.execute("SELECT count(*) FROM analytics.mv_ranking_asesores")
        assert counts == {everybody.fetchone()}


def test_make_token_has_the_cities(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert city_names("Bogotá, Cali,") == ["Bogotá", "Cali"]
    for wrong in ("", " , ", ",".join(["x"] * 101), "x" * 201):
        with pytest.raises(UserError, match="CIUDADES"):
            city_names(wrong)
    monkeypatch.setenv("JWT_SECRET_FILE", str(api.gateway.secret_file))
    assert main([LECTOR, "--ciudades", "Bogotá,Cali"]) == 0
    printed = capsys.readouterr().out.strip()
    assert keys_in(api, [row["ciudad"] for row in api.get(RANKING, token=printed).json()]) <= set(
        KEYS
    )
    assert main([LECTOR, "--ciudades", ""]) == 1
    assert "CIUDADES" in capsys.readouterr().err
