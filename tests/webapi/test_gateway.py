"""The gateway alone: what nginx refuses, caches, limits, logs, and what it does without PostgREST.

What the endpoints answer is in test_api.py.
"""

import base64
import gzip
import hmac
import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

import jwt_token
from cluster import Cluster
from commandline.console import UserError
from gateway import CONFIG, Gateway, Settings, settings_from, wait_until
from gateway_testing import ERROR_KEYS, Api, path_of, raw, refused, started
from webapi.endpoints import ENDPOINTS, Endpoint

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
MONTHS = "/materialized-views/monthly-metrics"
RANKINGS = "/materialized-views/advisor-rankings"
ORIGIN = "https://dashboard.example"


@pytest.fixture(scope="module")
def edge(api: Api) -> Iterator[Api]:
    """A gateway of this module's own, which it may stop, with CORS on."""
    settings = Settings(rate=100000, burst=10000, cors_origins=(ORIGIN,), workers="1")
    with started(api.database, "edge", settings) as edge:
        yield edge


def log_lines(api: Api) -> list[dict[str, object]]:
    """Return the access log of a gateway with one worker; it is written once a second."""
    last = f"last-{secrets.token_hex(8)}"
    api.get("/openapi.json", headers={"X-Request-Id": last})
    log = api.gateway.logs["requests"]
    assert wait_until(lambda: last in log.read_text(encoding="utf-8"))
    text = log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# -- the start ------------------------------------------------------------------------------


def test_nginx_has_no_advice_for_its_configuration_when_it_starts(edge: Api) -> None:
    assert "could not build optimal" not in edge.gateway.logs["nginx"].read_text(encoding="utf-8")


# -- paths and methods ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/rest",
        "/health/",
        "/HEALTH",
        "/.error",
        "/materialized-views",
        "/materialized-views/",
        "/materialized-views/status/",
        "/materialized-views/Status",
        "/materialized-views/statusx",
        "/docs/nope.js",
        "/assets",
        "/assets/",
        "/assets/0123456789abcdef/js/main.js",
        "/assets/../jwt-secret",
        "/docs/../jwt-secret",
        "/rpc/status",
        "/nope.html",
        "/materialized-views/status.json",
        "/health%0A",
        "/materialized-views/status%0A",
        "/materialized-views/kpis/mv_ranking_asesores%0A",
        "/rest/mv_ranking_asesores%0A",
    ],
)
def test_unknown_path_is_404(api: Api, path: str) -> None:
    refused(api.get(path, LECTOR), 404)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_other_methods_are_405_and_the_right_ones_are_named(api: Api, endpoint: Endpoint) -> None:
    methods = [one.method for one in ENDPOINTS if one.path == endpoint.path]
    right = {*methods, *(["HEAD"] if "GET" in methods else [])}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO"} - right:
        answer = api.request(method, path_of(endpoint), OPERADOR)
        assert answer.status == 405, method
        assert set(answer.headers["allow"].split(", ")) == right
        if method != "HEAD":
            refused(answer, 405)


def test_head_answers_as_get_without_a_body(api: Api) -> None:
    for path in (MONTHS, "/health", "/metrics", "/openapi.json"):
        answer = api.request("HEAD", path, LECTOR)
        assert (answer.status, answer.content) == (200, b"")


def test_views_can_not_be_changed_at_rest(api: Api) -> None:
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        refused(api.request(method, "/rest/mv_metricas_mensuales", OPERADOR), 405)


# -- query parameters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "start_month=%zz",
        "start_month=%",
        "start_month=%4",
        "start_month=%00",
        "start_month=a%00b",
        "start_month=%ff",
        "start_month=%c0%80",
        "start_month=%e2%82",
        "start_month=%ed%a0%80",
        "start_month=%f4%90%80%80",
        "start_month=%f0%80%80%80",
        "start_month=a;limit=1",
        "limit",
        "=1",
        "limi%74=1",
        "LIMIT=1",
        "limite=1",
        "nope=1",
        "limit=1&nope=",
        "nope",
        "limit=1&limit=1",
        "limit=1&start_month=2026-01&limit=2",
    ],
)
def test_bad_query_strings_are_refused(api: Api, query: str) -> None:
    error = refused(api.get(f"{MONTHS}?{query}", LECTOR), 400)
    assert "start_month, end_month, limit" in error["hint"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nope=1", "parameter nope is unknown"),
        ("limit=1&LIMIT=1", "parameter LIMIT is unknown"),
        (f"{'n' * 40}=1", f"parameter {'n' * 40} is unknown"),
        (f"{'n' * 41}=1", "the query string has an unknown parameter"),
        ("a%22b=1", "the query string has an unknown parameter"),
        ('a"b=1', "the query string has an unknown parameter"),
        ("limi%74=1", "the query string has an unknown parameter"),
        ("=1", "the query string has an unknown parameter"),
        ("limit", "parameter limit has no value: it must be sent as name=value"),
        ("start_month=2026-01&nope&x=1", "parameter nope has no value: it must be"),
        ("a%22", "the query string has a part that is not name=value"),
        ("limit=1&limit=2", "parameter limit is repeated"),
        ("start_month=1&end_month=&start_month=1", "parameter start_month is repeated"),
        ("limit=%zz", "the query string is not percent-encoded UTF-8"),
        ("limit=1;", "a semicolon in a parameter must be sent as %3B"),
        ("limit=1&format=xml", "parameter format must be csv or json"),
        ("format=", "parameter format must be csv or json"),
        ("format=csv2", "parameter format must be csv or json"),
        ("format=csv&format=json", "parameter format is repeated"),
    ],
)
def test_the_message_names_the_parameter(api: Api, query: str, message: str) -> None:
    error = refused(api.get(f"{MONTHS}?{query}", LECTOR), 400)
    assert error["message"].startswith(message)


def test_a_token_in_the_query_is_refused_and_in_no_log(edge: Api) -> None:
    """PostgREST logs the URL of what it refuses."""
    token = edge.token(LECTOR)
    for path in (
        f"/rest/mv_metricas_mensuales?x={token}",
        f"/rest/mv_metricas_mensuales?mes=eq.{token}",
        f"/rest/rpc/status?access_token={token}",
        f"{RANKINGS}?limit={token}",
        f"{RANKINGS}?ciudad={token}",
    ):
        error = refused(edge.get(path, LECTOR), 400)
        assert error["message"].startswith("the query string holds a token")
    refused(edge.get(f"/rest/{token}", LECTOR), 404)
    refused(edge.get(f"/rest/rpc/{token}", LECTOR), 404)
    assert len(log_lines(edge)) > 7
    for log in edge.gateway.logs.values():
        assert token not in log.read_text(encoding="utf-8")


def test_raw_bytes_that_are_not_utf8_are_refused_and_utf8_passes(api: Api) -> None:
    token = api.token(LECTOR).encode()
    for city, status in (("Bogotá".encode(), 200), ("Bogotá".encode("latin-1"), 400)):
        answer = raw(
            api,
            b"GET " + RANKINGS.encode() + b"?ciudad=" + city + b"&limit=1 HTTP/1.0\r\n"
            b"Authorization: Bearer " + token + b"\r\n\r\n",
        )
        assert answer.status == status, answer.body
        if status == 200:
            assert [row["ciudad"].strip() for row in answer.json()] == ["Bogotá"]


def test_path_without_parameters_says_so(api: Api) -> None:
    error = refused(api.get("/materialized-views/status?limit=1", LECTOR), 400)
    assert error["hint"] == "This path takes no query parameters."


@pytest.mark.parametrize("query", ["", "?", "?&", "?limit=1&", "?&limit=1", "?limit=1&&"])
def test_empty_parts_of_the_query_are_no_parameters(api: Api, query: str) -> None:
    assert api.get(MONTHS + query, LECTOR).status == 200


def test_badly_encoded_query_is_refused_at_rest_too(api: Api) -> None:
    refused(api.get("/rest/mv_metricas_mensuales?mes=%zz", LECTOR), 400)


def test_values_reach_the_function_decoded_once(api: Api) -> None:
    # In a query string PostgREST would take the last ones for filters.
    filters = ("eq.x", "not.is.null", "in.(a,b)", "like(any).{a}", "fts(spanish).x")
    for city in (
        *("a%26b%3Dc", "100%25", "%2541", "a%27b%22", "a%0Ab", "a+b", "%F0%9F%98%80"),
        *filters,
    ):
        assert api.get(f"{RANKINGS}?ciudad={city}", LECTOR).json() == []
    answer = api.get(f"{MONTHS}?start_month=%2541+%26%3B%22", LECTOR)
    assert refused(answer, 400)["details"] == 'Got "%41 &;"".'
    answer = api.request(
        "PUT", "/materialized-views/scheduler/reschedule?hour=%2541+%26%3B", OPERADOR
    )
    assert refused(answer, 400)["details"] == 'Got "%41 &;".'


def test_bodies_are_ignored(api: Api) -> None:
    answer = api.post("/materialized-views/refresh?force=maybe", OPERADOR, body='{"force":"true"')
    assert "parameter force" in refused(answer, 400)["message"]


# -- sizes ---------------------------------------------------------------------------------


def test_too_long_urls_headers_and_bodies_are_refused(api: Api) -> None:
    assert api.get(f"{RANKINGS}?ciudad={'a' * 7900}", LECTOR).json() == []
    for length in (8000, 20000, 40000):
        refused(api.get(f"{RANKINGS}?ciudad={'a' * length}", LECTOR), 414)
    refused(api.request("GET", "/health", headers={"X-Long": "a" * 33000}), 431)
    for path in ("/materialized-views/refresh", "/rest/rpc/refresh"):
        refused(api.post(path, OPERADOR, body="x" * 70000), 413)


@pytest.mark.parametrize("path", ["/health%00", "/health%zz", "/%", "/../../etc/passwd"])
def test_broken_requests_are_refused_in_json(api: Api, path: str) -> None:
    refused(api.get(path), 400)


# -- headers -------------------------------------------------------------------------------


def test_every_answer_has_security_headers_and_names_no_version(api: Api) -> None:
    for path in (MONTHS, "/nope", "/metrics", "/rest/mv_metricas_mensuales", "/docs/"):
        headers = api.get(path, LECTOR).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["server"] == "nginx"
        assert "content-location" not in headers
        assert not [name for name in headers if name.startswith("access-control")]


def test_clients_accept_and_prefer_play_no_part(api: Api) -> None:
    others = {"Prefer": "tx=rollback", "Range": "bytes=0-1"}
    for accept in ("application/vnd.pgrst.object+json", "nonsense", "text/vnd.teloo.csv"):
        answer = api.get(f"{MONTHS}?limit=2", LECTOR, headers={"Accept": accept, **others})
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert len(answer.json()) == 2
    # CSV is for rows; one object is JSON.
    answer = api.get("/materialized-views/status", LECTOR, headers={"Accept": "text/csv", **others})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    metrics = api.get("/metrics", LECTOR, headers={"Accept": "application/json"})
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    refused(api.get("/metrics"), 401, "42501")


def test_request_id_is_taken_if_it_is_harmless_and_else_made(api: Api) -> None:
    def answered(given: str) -> str:
        return api.get("/health", headers={"X-Request-Id": given}).headers["x-request-id"]

    for good in ("Trace.1_a-b", "a" * 50):
        assert answered(good) == good
    for bad in ("a b", 'a"b', "a" * 51, "ñ", ""):
        assert re.fullmatch(r"[0-9a-f]{32}", answered(bad)), bad


def test_compressed_where_asked_for(api: Api) -> None:
    answer = api.get(f"{RANKINGS}?limit=50", LECTOR, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["vary"]
    plain = api.get(f"{RANKINGS}?limit=50", LECTOR)
    assert "content-encoding" not in plain.headers
    assert json.loads(gzip.decompress(answer.content)) == plain.json()


# -- the pages -----------------------------------------------------------------------------


def test_the_page_and_its_files_are_served_without_a_token(api: Api) -> None:
    page = api.get("/?vista=embudo&ciudad=Bogot%C3%A1")
    assert (page.status, page.body) == (200, api.get("/").body)
    assert page.headers["content-type"].startswith("text/html")
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.body)
    assert any(source.endswith("/js/main.js") for source in sources)
    # Relative: they hold below a path of another proxy, too.
    assert all(source.startswith("assets/") for source in sources)
    types = {"js": "application/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for source in sources:
        answer = api.get(f"/{source}")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(types[source.rsplit(".", 1)[1]])
    assert "<script>" not in page.body
    assert api.get("/index.html").status == 404


def test_docs_page_is_served_without_a_token(api: Api) -> None:
    # Relative: it holds below a path of another proxy, too.
    assert api.get("/docs").status == 301
    assert api.get("/docs").headers["location"] == "docs/"
    page = api.get("/docs/")
    assert page.headers["content-type"].startswith("text/html")
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.body):
        assert api.get(f"/docs/{source}").status == 200
    # Nothing in the page needs more than the policy allows.
    assert "<script>" not in page.body
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert api.get("/openapi.json").json()["openapi"].startswith("3.1")


# -- CORS ----------------------------------------------------------------------------------


def test_cors_is_for_listed_origins(edge: Api) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    preflight = edge.request("OPTIONS", MONTHS, headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    for path in (MONTHS, "/rest/mv_metricas_mensuales", "/nope"):
        answer = edge.get(path, LECTOR, headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


def test_cors_lets_a_page_write(edge: Api) -> None:
    for method, path in (
        ("POST", "/materialized-views/refresh"),
        ("POST", "/materialized-views/scheduler/trigger-refresh"),
        ("PUT", "/materialized-views/scheduler/reschedule"),
    ):
        asked = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        preflight = edge.request("OPTIONS", path, headers=asked)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert preflight.headers["access-control-allow-methods"] == method
        allowed = preflight.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "content-type"} <= set(allowed)
        answer = edge.request(method, path, LECTOR, headers={"Origin": ORIGIN})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (403, ORIGIN)
    answer = edge.request(
        "PUT",
        "/materialized-views/scheduler/reschedule?hour=1",
        OPERADOR,
        headers={"Origin": ORIGIN},
    )
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)


def test_cors_is_not_for_other_origins_and_off_by_default(api: Api, edge: Api) -> None:
    for asked in (edge, api):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        assert asked.request("OPTIONS", MONTHS, headers=headers).status == 405
        for path in (MONTHS, "/rest/mv_metricas_mensuales"):
            answer = asked.get(path, LECTOR, headers=headers)
            assert answer.status == 200
            assert "access-control-allow-origin" not in answer.headers
    assert Settings().cors_origins == ()


# -- the log -------------------------------------------------------------------------------


def test_access_log_is_json_and_holds_no_token(edge: Api) -> None:
    token = edge.token(LECTOR)
    asked = {"X-Request-Id": "logged-1"}
    edge.get(f"{MONTHS}?limit=3", token=token, headers=asked)
    edge.get(f"{MONTHS}?limit=3", token=token, headers=asked)
    edge.get(f"/health?access_token={token}", headers={"X-Request-Id": "logged-2"})
    edge.get(f"/{token}", headers={"X-Request-Id": "logged-3"})
    raw(edge, b'GET /a"\\\xff?\xff HTTP/1.0\r\nX-Request-Id: logged-4\r\n\r\n')
    lines = {str(line["request_id"]): line for line in log_lines(edge)}
    line = lines["logged-1"]
    assert (line["method"], line["path"], line["args"]) == ("GET", MONTHS, "limit=3")
    assert (line["status"], line["client"]) == (200, "127.0.0.1")
    assert set(line) == {
        *("time", "request_id", "client", "method", "path", "args", "status", "bytes"),
        *("seconds", "upstream_seconds", "cache"),
    }
    assert lines["logged-2"]["args"] == "(hidden: it holds a token)"
    assert lines["logged-3"]["path"] == "(hidden: it holds a token)"
    assert lines["logged-4"]["path"] == "(hidden: it is not ASCII)"
    for path in edge.gateway.logs.values():
        assert token not in path.read_text(encoding="utf-8")


# -- parts that are down -------------------------------------------------------------------


def test_without_postgrest_it_is_503_and_it_comes_back(edge: Api) -> None:
    edge.gateway.stop_program("postgrest")
    try:
        for path in (MONTHS, "/health", "/metrics", "/rest/mv_metricas_mensuales"):
            refused(edge.get(path, LECTOR), 503)
        refused(edge.post("/materialized-views/refresh", OPERADOR), 503)
        assert edge.get("/openapi.json").status == 200
        assert not edge.gateway.is_running
    finally:
        edge.gateway.start_postgrest()
    assert edge.get(MONTHS, LECTOR).status == 200


def test_while_the_database_is_down_it_is_503_and_it_comes_back(api: Api) -> None:
    token = api.token(LECTOR)
    cluster = api.database.cluster
    cluster.stop()
    try:
        time.sleep(1.1)
        for path in (MONTHS, "/health", "/rest/mv_metricas_mensuales"):
            answer = api.get(path, token=token)
            assert answer.status == 503
            assert answer.json().keys() == ERROR_KEYS
            for secret in (str(cluster.port), "analytics_authenticator", "127.0.0.1"):
                assert secret not in answer.body
    finally:
        cluster.start()
    assert wait_until(lambda: api.get(MONTHS, token=token).status == 200)


def test_parts_can_be_restarted_and_reloaded(edge: Api) -> None:
    before = edge.gateway.ports
    for program in ("nginx", "postgrest"):
        old = edge.gateway.pid(program)
        edge.gateway.restart(program)
        assert edge.gateway.pid(program) not in (None, old)
        assert edge.get(MONTHS, LECTOR).status == 200
    edge.gateway.reload()
    assert edge.get("/health").status == 200
    running = {program: edge.gateway.pid(program) for program in ("nginx", "postgrest")}
    edge.gateway.start()
    assert {program: edge.gateway.pid(program) for program in running} == running
    assert edge.gateway.ports == before


def test_stale_pid_files_are_seen_through(edge: Api) -> None:
    edge.gateway.stop()
    for program in ("nginx", "postgrest"):
        edge.gateway.write(f"{program}.pid", "1")
    assert not edge.gateway.is_running
    assert not edge.gateway.stop()
    edge.gateway.start()
    assert edge.get("/health").status == 200


# -- tokens --------------------------------------------------------------------------------


def base64url(data: bytes) -> bytes:
    """Encode as JWT does."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_tokens_of_a_key_pair_are_checked_by_its_public_key(api: Api, tmp_path: Path) -> None:
    """As in docs/api.md: the gateway's side holds no secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = {**ECAlgorithm(ECAlgorithm.SHA256).to_jwk(key.public_key(), as_dict=True), "kid": "1"}
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [public]}), encoding="utf-8")
    gateway = Gateway(api.gateway.cluster, api.database.name, "jwks", secret_path=jwks)
    claims = {"role": LECTOR, "aud": jwt_token.AUDIENCE, "exp": int(time.time()) + 3600}
    gateway.start()
    try:
        other = Api(gateway, api.database)
        token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "1"})
        assert other.get(MONTHS, token=token).status == 200
        wrong = ec.generate_private_key(ec.SECP256R1())
        token = jwt.encode(claims, wrong, algorithm="ES256", headers={"kid": "1"})
        refused(other.get(MONTHS, token=token), 401, "PGRST301")
        # Neither the text of the public key nor no signature at all will do.
        for algorithm in ("HS256", "none"):
            header = {"alg": algorithm, "typ": "JWT", "kid": "1"}
            text = b".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
            signature = hmac.digest(jwks.read_bytes(), text, "sha256")
            forged = b".".join([text, base64url(signature if algorithm != "none" else b"")])
            refused(other.get(MONTHS, token=forged.decode()), 401, "PGRST301")
        with pytest.raises(UserError, match="public keys"):
            jwt_token.mint(gateway.secret(), LECTOR)
    finally:
        gateway.stop()


def test_make_token_prints_a_token_that_works(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JWT_SECRET_FILE", str(api.gateway.secret_file))
    assert jwt_token.main([OPERADOR, "--ttl", "600", "--sub", "ana"]) == 0
    token = capsys.readouterr().out.strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 600
    assert (claims["role"], claims["sub"], claims["aud"]) == (OPERADOR, "ana", "teloo-analytics")
    assert api.get("/materialized-views/status", token=token).status == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analytics_owner"], "not a role of the API"),
        ([LECTOR, "--ttl", "0"], "TTL must be 1"),
        ([LECTOR, "--ttl", "1h"], "TTL must be a number"),
        ([LECTOR, "--name", "nobody"], "there is no JWT secret"),
    ],
)
def test_make_token_says_what_is_wrong(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    if "--name" not in arguments:
        monkeypatch.setenv("JWT_SECRET_FILE", str(api.gateway.secret_file))
    assert jwt_token.main(arguments) == 1
    printed = capsys.readouterr()
    assert (printed.out, message in printed.err) == ("", True)


# -- setting up ----------------------------------------------------------------------------


def test_secret_that_is_too_short_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    gateway = Gateway(Cluster("test-none"), secret_path=tmp_path / "jwt-secret")
    gateway.secret_file.write_text("too short", encoding="utf-8")
    with pytest.raises(UserError, match="9 bytes; it needs 32"):
        gateway.secret()
    gateway.secret_file.unlink()
    made = gateway.secret()
    assert len(made) >= 32
    assert gateway.secret() == made
    assert gateway.secret_file.stat().st_mode & 0o077 == 0


def test_secrets_are_for_the_server_alone(api: Api) -> None:
    for name in ("jwt-secret", "database-uri"):
        assert (api.gateway.directory / name).stat().st_mode & 0o077 == 0
    assert api.gateway.directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_RATE", "0"),
        ("API_RATE", "fast"),
        ("API_READERS", "23"),
        ("API_WORKERS", "many"),
        ("API_PUBLIC_URL", "kpis.example"),
        ("API_PUBLIC_URL", "https://kpis.example/"),
        ("API_PUBLIC_URL", 'https://kpis.example"'),
        ("API_CORS_ORIGINS", "*"),
        ("API_CORS_ORIGINS", 'https://a.example";'),
        ("API_CORS_ORIGINS", "https://a.example/path"),
    ],
)
def test_settings_that_make_no_sense_are_refused(variable: str, value: str) -> None:
    with pytest.raises(UserError, match=variable):
        settings_from({variable: value})


def test_settings_come_from_the_environment() -> None:
    environment = {"API_RATE": "7", "API_CORS_ORIGINS": "https://a.example http://b.example:81"}
    settings = settings_from(environment)
    assert settings.rate == 7
    assert settings.cors_origins == ("https://a.example", "http://b.example:81")


def test_units_and_compose_file_agree_with_what_is_written() -> None:
    units = [*(CONFIG / "systemd").glob("*.service")]
    assert len(units) == 4
    for unit in units:
        # What needs no more than a database keeps nothing.
        if unit.stem not in ("teloo-scheduler", "teloo-notifier"):
            assert "/var/lib/teloo-analytics/" in unit.read_text(encoding="utf-8")
        # A fault that lasts is tried again for as long as it lasts.
        text = unit.read_text(encoding="utf-8")
        seconds = int(re.findall(r"^RestartSec=(\d+)$", text, re.MULTILINE)[0])
        assert "\nRestart=always\n" in text
        assert "\nStartLimitIntervalSec=0\n" in text or seconds * 5 > 10
    if shutil.which("systemd-analyze"):
        result = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *map(str, units)],
            capture_output=True,
            text=True,
            check=False,
        )
        problems = [
            line
            for line in result.stderr.splitlines()
            if not re.search(r"/(postgrest|python) is not executable", line)
        ]
        assert problems == []
    compose = (CONFIG / "compose.yaml").read_text(encoding="utf-8")
    assert "/teloo/postgrest.conf" in compose
    assert "/teloo/nginx.conf" in compose
