"""What one reader, one token or one cell of a text could do to the others."""

import base64
import csv
import hmac
import io
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest

from gateway import Settings, huge_number_in_base64, wait_until
from gateway_testing import Api, locked, patient_roles, refused, started, waiting
from jwt_token import AUDIENCE

LECTOR = "analytics_lector"
MONTHS = "/rest/mv_metricas_mensuales"
ADVISORS = "/rest/mv_ranking_asesores"
# Back-references: exponential for PostgreSQL's regular expressions.
COSTLY = r"^(.*)(.*)(.*)(.*)\1\2\3\4x$"

# -- costly filters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        f"asesor_nombre=match.{quote(COSTLY)}",
        f"asesor_nombre=not.imatch.{quote(COSTLY)}",
        f"asesor_nombre=match(any).{{{quote(COSTLY)},a}}",
        f"asesor_nombre=match%28any%29.{{{quote(COSTLY)}}}",
        f"or=(asesor_nombre.match.{quote(COSTLY)},ciudad.eq.x)",
        f"and=(ciudad.eq.x,or(ciudad.not.imatch.{quote(COSTLY)}))",
        f"not.or=%28asesor_nombre.match.{quote(COSTLY)}%29",
        "asesor_nombre=m%61tch.a",
        "asesor%5Fnombre=match.a",
        "asesor_nombre=match%2Ea",
        "asesor_nombre=match.a{255}",
        f"asesor_nombre=match.{'a*' * 31}",
        f"asesor_nombre=like.{'*a' * 21}",
        f"asesor_nombre=ilike.{'%25a' * 21}",
        "or=(" + ",".join(f"ciudad.like.a{number}" for number in range(11)) + ")",
        "&".join("asesor_nombre=fts.a" for _ in range(11)),
        f"or={'(or' * 21}(ciudad.eq.a,ciudad.eq.b){')' * 21}",
    ],
)
def test_costly_operators_are_refused_in_each_spelling(api: Api, query: str) -> None:
    assert len(query) < 8000
    began = time.monotonic()
    refused(api.get(f"{ADVISORS}?{query}", LECTOR), 400, "TELOO400")
    # The database would go on for the 10 seconds of a reader, and the answer be another one.
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    "query",
    [
        "ciudad=match.^B.*a$",
        "ciudad=imatch.bogot%C3%A1|cali",
        "ciudad=not.match.^B",
        "ciudad=ilike.*bog*",
        "ciudad=in.(Cali,Bello)",
        "or=(ciudad.eq.Cali,and(ciudad.eq.Bello,ranking_ciudad.lt.5))",
        "asesor_nombre=eq.rematch.org",
        "ciudad=fts(spanish).cali",
        "select=asesor_nombre,total:volumen_total_ofertas&order=ranking_nacional&limit=3&offset=2",
    ],
)
def test_ordinary_filters_pass(api: Api, query: str) -> None:
    answer = api.get(f"{ADVISORS}?{query}", LECTOR)
    assert answer.status == 200, answer.body


def test_one_tokens_requests_leave_places_for_the_others(api: Api) -> None:
    settings = Settings(rate=100000, burst=10000, read_seconds=600)
    # The greedy one's requests stay: nobody gets a place or a connection because they time out.
    with ExitStack() as stack, ThreadPoolExecutor(40) as pool:
        with patient_roles(api.database):
            busy = stack.enter_context(started(api.database, "places", settings))
        greedy, other = (
            busy.token(LECTOR),
            busy.mint(
                {"role": LECTOR, "aud": AUDIENCE, "sub": "b", "exp": int(time.time()) + 3600}
            ),
        )
        with locked(busy, "mv_ranking_asesores"):
            held = [
                pool.submit(busy.get, f"{path}?limit={number + 1}", token=greedy)
                for number in range(16)
                for path in (ADVISORS, "/materialized-views/advisor-rankings")
            ]
            assert wait_until(lambda: waiting(busy) == settings.token_readers)
            answers = [
                busy.get(f"{MONTHS}?limit={number + 1}", token=other) for number in range(20)
            ]
            assert {answer.status for answer in answers} == {200}
            assert waiting(busy) == settings.token_readers
        statuses = {done.result().status for done in held}
    assert statuses <= {200, 429, 500, 504}
    assert 429 in statuses


# -- numbers that PostgREST would write out ----------------------------------------------------


@pytest.mark.parametrize("name", ["limit", "offset", "api.limit"])
@pytest.mark.parametrize("value", ["1e999999999", "1e3", "-1", "", "99999999999", "0x10", "1.5"])
def test_limit_and_offset_are_plain_numbers(api: Api, name: str, value: str) -> None:
    for path in ("/rest/rpc/health", ADVISORS):
        refused(api.get(f"{path}?{name}={value}", LECTOR), 400, "TELOO400")
    refused(api.get(f"{ADVISORS}?l%69mit=1e999999999", LECTOR), 400, "TELOO400")


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "x"])
@pytest.mark.parametrize("number", ["1e999999999", "-1.5E+99999999", " 12e88888888"])
def test_a_token_with_a_huge_number_is_refused_before_postgrest(
    api: Api, claim: str, number: str
) -> None:
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) + 300, claim: "@"}
    pid = api.gateway.pid("postgrest")
    assert pid

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    for padding in ("", "x", "xy"):
        payload = json.dumps({"sub": padding, **claims}).replace('"@"', number)
        text = f"{encoded(json.dumps({'alg': 'HS256'}).encode())}.{encoded(payload.encode())}"
        secret = api.gateway.secret().encode()
        token = f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"
        for path in (MONTHS, "/materialized-views/monthly-metrics", "/health"):
            error = refused(api.get(path, token=token), 401)
            assert "exponent" in error["details"]
    assert memory_of(pid) < 1024


def test_ordinary_tokens_are_not_taken_for_ones_with_huge_numbers() -> None:
    shape = re.compile(r"[^.]*\." + huge_number_in_base64())
    for number in range(3000):
        token = jwt.encode(
            {"sub": str(uuid.uuid4()), "jti": uuid.uuid4().hex, "iat": number * 1e5, "exp": 1.7e9},
            "x" * 32,
        )
        assert not shape.match(f"Bearer {token}")


def test_a_long_token_is_refused(api: Api) -> None:
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) + 300, "x": "y" * 6100}
    error = refused(api.get(MONTHS, token=api.mint(claims)), 401)
    assert "8000" in error["details"]
    claims["x"] = "y" * 3000
    assert api.get(MONTHS, token=api.mint(claims)).status == 200


# -- claims that PostgreSQL can't hold ---------------------------------------------------------


@pytest.mark.parametrize("path", [MONTHS, "/materialized-views/monthly-metrics", "/health"])
@pytest.mark.parametrize(
    "change",
    [
        {"sub": "a\0b"},
        {"x": {"y": ["\0"]}},
        {"role": f"{LECTOR}\0"},
        {"role": "nobody"},
        {"x\0": 1},
        {"x": json.loads("[" * 900 + "]" * 900), "exp": "never"},
    ],
    ids=["sub", "nested", "role", "no role", "name", "deep"],
)
def test_a_token_with_an_unreadable_claim_is_plainly_401(
    api: Api, path: str, change: dict[str, object]
) -> None:
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) + 300, **change}
    answer = api.get(path, token=api.mint(claims))
    refused(answer, 401, answer.json()["code"])
    assert "www-authenticate" in answer.headers


def test_a_claim_that_only_looks_like_a_nul_passes(api: Api) -> None:
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) + 300, "sub": "a\\u0000b"}
    assert api.get(MONTHS, token=api.mint(claims)).status == 200


# -- a 401 tells how ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", [MONTHS, "/materialized-views/status", "/rest/rpc/status"])
def test_a_401_tells_to_send_a_token_and_where_one_comes_from(api: Api, path: str) -> None:
    expired = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) - 300}
    stranger = {"role": LECTOR, "aud": "somebody", "exp": int(time.time()) + 300}
    answers = [
        api.get(path),
        api.get(path, headers={"Authorization": "Basic eDp5"}),
        api.get(path, token="x.y.z"),  # noqa: S106
        api.get(path, token=api.mint(expired)),
        api.get(path, token=api.mint(stranger)),
        api.get(path, token=api.mint({**expired, "exp": None})),
        api.get(path, token="x" * 9000),
    ]
    for answer in answers:
        error = refused(answer, 401, answer.json()["code"])
        assert "send Authorization: Bearer" in error["message"]
        assert "make token" in error["hint"]
    assert answers[3].json()["message"].startswith("JWT expired")
    assert answers[3].json()["code"] == "PGRST301"
    assert "error_description" in answers[3].headers["www-authenticate"]


# -- what others create in public ---------------------------------------------------------------

# For these arguments better matches than PostgreSQL's json_agg(anyelement), which PostgREST calls.
TRAPS = """
CREATE FUNCTION public.evil(text, {0}) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RETURN current_user || current_setting('request.headers'); END $$;
CREATE OR REPLACE FUNCTION public.evil(text) RETURNS json LANGUAGE sql
AS 'SELECT json_build_array($1)';
CREATE AGGREGATE public.json_agg({0}) (SFUNC = public.evil, STYPE = text, FINALFUNC = public.evil)
"""


def test_no_request_runs_what_others_create_in_public(api: Api) -> None:
    # A statement that PostgREST has prepared keeps its functions: so nobody has sent these.
    paths = (
        f"{MONTHS}?limit=1&mes=gt.2020-02-02",
        "/rest/rpc/kpi?view=mv_salud_marketplace&consulta=limit=1",
        "/materialized-views/advisor-rankings?ciudad=Cali&limit=2",
    )
    api.database.execute(*(TRAPS.format(kind) for kind in ("record", "json")))
    try:
        answers = [api.get(path, LECTOR) for path in paths]
    finally:
        api.database.execute(
            *(
                f"DROP AGGREGATE public.json_agg({kind}); DROP FUNCTION public.evil(text, {kind})"
                for kind in ("record", "json")
            ),
            "DROP FUNCTION public.evil(text)",
        )
    assert [answer.status for answer in answers] == [200, 200, 200]
    for answer in answers:
        assert "analytics_lector" not in answer.body
        assert "authorization" not in answer.body
        assert len(answer.json()) in {1, 2}


def test_a_postgrest_of_an_older_configuration_runs_none_of_it_either(api: Api) -> None:
    with api.database.session() as connection:
        connection.execute("SET search_path = api, public")
        connection.execute("BEGIN")
        connection.execute("SELECT analytics.check_request()")
        assert connection.execute("SHOW search_path").fetchone() == ("api, pg_temp",)
        connection.execute("COMMIT")
        assert connection.execute("SHOW search_path").fetchone() == ("api, public",)


# -- tokens in queries -------------------------------------------------------------------------


def test_an_encoded_token_in_a_query_is_in_no_log(api: Api) -> None:
    token = api.token(LECTOR)
    signature = token.rpartition(".")[2]
    spellings = {
        "plain": token,
        "one letter": "%65" + token[1:],
        "its first letters": "".join(f"%{ord(letter):02x}" for letter in token[:3]) + token[3:],
        "all of it": "".join(f"%{ord(letter):02X}" for letter in token),
        "twice": "".join(f"%25{ord(letter):02X}" for letter in token),
    }
    for spelling in spellings.values():
        for path in (
            f"{MONTHS}?access%5Ftoken={spelling}",
            f"{MONTHS}?mes=eq.{spelling}",
            f"/rest/rpc/status?access_token={spelling}",
            f"/rest/rpc/monthly_metrics?limite={spelling}",
            f"/materialized-views/advisor-rankings?ciudad={spelling}",
            f"/health?%61ccess_token={spelling}",
            f"/nope?token={spelling}",
            f"/rest/{spelling}",
        ):
            api.get(path[:8000], LECTOR)
    time.sleep(1.2)
    wanted = [signature, signature[5:25], spellings["all of it"][-60:], spellings["twice"][-80:]]
    for log in api.gateway.logs.values():
        text = log.read_text(encoding="utf-8")
        for secret in wanted:
            assert secret not in text, log


def test_a_server_that_logs_each_statement_logs_no_token(api: Api) -> None:
    role = "ALTER ROLE analytics_authenticator {} log_statement"
    api.database.execute(role.format("SET") + " = 'all'")
    try:
        api.gateway.restart("postgrest")
        token = api.token(LECTOR)
        assert api.get(f"{MONTHS}?limit=7", token=token).status == 200
        # A role that is none fails with all parameters.
        stranger = api.mint({"role": "nobody", "aud": AUDIENCE, "exp": int(time.time()) + 300})
        assert api.get(f"{MONTHS}?limit=7", token=stranger).status == 401
    finally:
        api.database.execute(role.format("RESET"))
        api.gateway.restart("postgrest")
    log = api.database.cluster.log.read_text(encoding="utf-8", errors="replace")
    assert "analytics_authenticator@" in log
    assert "set_config" in log
    for secret in (token, stranger):
        assert secret.rpartition(".")[2] not in log


# -- CSV ---------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def test_a_text_in_csv_never_begins_as_a_formula(api: Api) -> None:
    with api.database.session() as connection:
        rows = connection.execute("SELECT asesor_id FROM mv_ranking_asesores LIMIT 6").fetchall()
        ids = [str(asesor) for (asesor,) in rows]
        kept = connection.execute(
            "SELECT u.id, u.nombre, a.id, a.ciudad FROM asesores a JOIN usuarios u "
            "ON u.id = a.usuario_id WHERE a.id = ANY (%s)",
            [ids],
        ).fetchall()
        assert len(kept) == len(FORMULAS)
        for formula, (user, _, asesor, _) in zip(FORMULAS, kept, strict=True):
            connection.execute("UPDATE usuarios SET nombre = %s WHERE id = %s", [formula, user])
            connection.execute("UPDATE asesores SET ciudad = %s WHERE id = %s", [formula, asesor])
        connection.execute("SELECT * FROM refresh_all_mv()")
        try:
            chosen = f"{ADVISORS}?asesor_id=in.({','.join(ids)})"
            for query in (
                "",
                "&select=asesor_nombre,ciudad,ciudad_key",
                "&select=x:asesor_nombre,y:ciudad",
            ):
                for accept in ("text/csv", "text/csv, */*;q=0.1", "image/png, Text/CSV"):
                    answer = api.get(chosen + query, LECTOR, headers={"Accept": accept})
                    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
                    cells = [
                        cell
                        for row in csv.reader(io.StringIO(answer.body, newline=""))
                        for cell in row
                    ]
                    assert len(cells) >= 7 * 2
                    bad = [cell for cell in cells if re.match(r"[=+@\t\r]|-(?![\d.]+$)", cell)]
                    assert bad == []
                    assert {"'=1+1", "'-1", "'@SUM(A1)"} <= set(cells)
                    assert [cell for cell in cells if re.fullmatch(r"'=1\+1 .*", cell)]
            # JSON is as it was, also where CSV is only second.
            for accept in ("application/json", "*/*", "application/json, text/csv"):
                answer = api.get(chosen, LECTOR, headers={"Accept": accept})
                assert {row["ciudad"] for row in answer.json()} == set(FORMULAS)
        finally:
            for user, name, asesor, city in kept:
                connection.execute("UPDATE usuarios SET nombre = %s WHERE id = %s", [name, user])
                connection.execute("UPDATE asesores SET ciudad = %s WHERE id = %s", [city, asesor])
            connection.execute("SELECT * FROM refresh_all_mv()")


def test_a_negative_number_in_csv_stays_a_number(api: Api) -> None:
    """No text column means no apostrophe; every text column of a view is guarded."""
    unguarded = api.database.rows(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE relnamespace = 'api'::regnamespace AND relkind = 'v' AND atttypid IN "
        "('text'::regtype, 'varchar'::regtype, 'name'::regtype, 'json'::regtype, 'jsonb'::regtype) "
        "AND pg_get_viewdef(attrelid) !~ ('csv_text\\([^\\n]*\\) AS ' || attname)"
    )
    assert unguarded == []
    assert api.database.rows("SELECT kpi_engine.csv_text(NULL), kpi_engine.csv_text('a=b')") == [
        (None, "a=b")
    ]


# -- cities ------------------------------------------------------------------------------------


def test_a_city_filtered_by_its_key_has_all_its_advisors(api: Api) -> None:
    cities = api.database.rows(
        "SELECT analytics.city_key(ciudad), count(*), count(DISTINCT ciudad) "
        "FROM analytics.mv_ranking_asesores WHERE ciudad IS NOT NULL GROUP BY 1"
    )
    assert [city for city in cities if city[0] == "CALI" and int(str(city[2])) > 1]
    for key, advisors, _ in cities:
        answer = api.get(f"{ADVISORS}?select=asesor_id&ciudad_key=eq.{quote(str(key))}", LECTOR)
        assert len(answer.json()) == advisors, key
    by_function = api.get("/materialized-views/city-summary", LECTOR).json()["cities"]
    assert sum(city["total_asesores"] for city in by_function) == sum(
        int(str(advisors)) for _, advisors, _ in cities
    )


def test_the_key_comes_after_the_columns_of_the_contract(api: Api) -> None:
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0"
    view, api_view = (
        [name for (name,) in api.database.rows(f"{columns.format(relation)} ORDER BY attnum")]
        for relation in ("analytics.mv_ranking_asesores", "api.mv_ranking_asesores")
    )
    assert api_view == [*view, "ciudad_key"]
    answer = api.get("/materialized-views/advisor-rankings?limit=1", LECTOR)
    assert list(answer.json()[0]) == view
