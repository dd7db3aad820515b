"""Who may: secrets and key sets that PostgREST would misread, roles of tokens, its own login."""

import base64
import hmac
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

import gateway
from commandline.console import UserError
from gateway import Gateway
from gateway_testing import Api, raw, refused
from jwt_token import AUDIENCE, check_secret, mint, read_secret

LECTOR = "analytics_lector"
OPERADOR = "analytics_operador"
MONTHS = "/materialized-views/monthly-metrics"
REFRESH = "/materialized-views/refresh"

Key = dict[str, Any]

EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()
EC_PUBLIC: Key = ECAlgorithm(ECAlgorithm.SHA256).to_jwk(EC_KEY.public_key(), as_dict=True)
RSA_PUBLIC: Key = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
RSA_PUBLIC.pop("key_ops")
ED_PUBLIC: Key = OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True)
PEM = (
    EC_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


RSA_PEM = (
    RSA_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def base64url(data: bytes) -> str:
    """Encode as JOSE does."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set(*keys: object) -> str:
    """Return a JWKS."""
    return json.dumps({"keys": keys})


# -- secrets and key sets ------------------------------------------------------------------

WEAK_RSA = RSAAlgorithm.to_jwk(
    rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505
    as_dict=True,
)
WEAK_RSA.pop("key_ops")
FAULTS: dict[str, tuple[str, str]] = {
    "PEM": (PEM, "a key in PEM"),
    "PEM after a line end": ("\n" + PEM, "a key in PEM"),
    "PEM in one line": (PEM.replace("\n", " "), "a key in PEM"),
    "an array": (json.dumps([EC_PUBLIC]), "no object"),
    "no JSON": ('{"keys": [' + "x" * 40, "Expecting value"),
    "a JWKS after a byte order mark": ("\ufeff" + key_set(EC_PUBLIC), "can't be printed"),
    "no keys": (key_set(), "a list of one or more"),
    "something else in it": (json.dumps({"keys": [EC_PUBLIC], "x": 1}), "nothing else"),
    "keys of another kind": (json.dumps({"keys": "x" * 40}), "a list of one or more"),
    "a text as a key": (key_set("x" * 40), "key 1: it is no object"),
    "a second key that is none": (key_set(EC_PUBLIC, {"kty": "EC"}), "key 2: crv, x, y must"),
    "an unknown kty": (key_set({**EC_PUBLIC, "kty": "ec"}), "kty must be one of"),
    "a private key": (key_set({**EC_PUBLIC, "d": "AAAA"}), "private key"),
    "what identity providers add": (key_set({**RSA_PUBLIC, "x5c": ["AAAA"]}), "leave out x5c"),
    "another curve": (key_set({**EC_PUBLIC, "crv": "secp256k1"}), "crv must be one of"),
    "a point that is not on the curve": (
        key_set({**EC_PUBLIC, "x": base64url(b"\1" * 32)}),
        "key 1: ",
    ),
    "padding": (key_set({**EC_PUBLIC, "x": EC_PUBLIC["x"] + "="}), "without padding"),
    "a zero in front": (
        key_set({**RSA_PUBLIC, "e": base64url(b"\0\1\0\1")}),
        "without zeros in front",
    ),
    "few bits": (key_set(WEAK_RSA), "2048 bits"),
    "for encryption": (key_set({**EC_PUBLIC, "use": "enc"}), "not for signatures"),
    "for signing": (key_set({**EC_PUBLIC, "key_ops": ["sign"]}), "not for signatures"),
    "an odd alg": (key_set({**EC_PUBLIC, "alg": "none"}), "alg must be one of"),
    "a kid that is no text": (key_set({**EC_PUBLIC, "kid": 1}), "kid must be"),
    "a short k": (key_set({"kty": "oct", "k": base64url(b"x" * 31)}), "31 bytes; it needs 32"),
    "a short secret": ("é" * 15 + "x", "31 bytes; it needs 32"),
    "two lines": ("x" * 32 + "\n" + "x" * 32, "can't be printed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_postgrest_would_misread_as_a_secret_is_refused(fault: str) -> None:
    text, message = FAULTS[fault]
    with pytest.raises(UserError, match=message):
        check_secret(text, "jwt-secret")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 32,
        "é" * 16,
        key_set(EC_PUBLIC),
        key_set({**EC_PUBLIC, "kid": "1", "alg": "ES256", "use": "sig", "key_ops": ["verify"]}),
        json.dumps(EC_PUBLIC, indent=2),
    ],
)
def test_secrets_and_key_sets_pass(text: str) -> None:
    assert check_secret(text, "jwt-secret") == text


def signed(key: Any, algorithm: str) -> str:
    """Return a reader's token."""
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) + 600}
    return jwt.encode(claims, key, algorithm=algorithm)


def forged(text: str) -> str:
    """Return a reader's token signed with a text that PyJWT itself would not sign with."""
    head, claims, _ = signed("x" * 32, "HS256").split(".")
    signature = hmac.digest(text.encode(), f"{head}.{claims}".encode(), "sha256")
    return f"{head}.{claims}.{base64url(signature)}"


def test_postgrest_reads_what_passes(api: Api, tmp_path: Path) -> None:
    """One key of each type in one set, a key alone, and a secret with a line end after it."""
    octets = b"k" * 32
    secret = tmp_path / "secret"
    other = Api(
        Gateway(api.gateway.cluster, api.database.name, "keys", secret_path=secret), api.database
    )
    keys = [EC_PUBLIC, RSA_PUBLIC, ED_PUBLIC, {"kty": "oct", "k": base64url(octets)}]
    signers: list[tuple[Any, str]] = [
        (EC_KEY, "ES256"),
        (RSA_KEY, "RS256"),
        (RSA_KEY, "PS512"),
        (ED_KEY, "EdDSA"),
        (octets, "HS256"),
    ]
    contents: list[tuple[str, list[tuple[Any, str]]]] = [
        (key_set(*keys), signers),
        (json.dumps(EC_PUBLIC, indent=2), [(EC_KEY, "ES256")]),
    ]
    try:
        for text, accepted in contents:
            secret.write_text(text, encoding="utf-8")
            other.gateway.start()
            for key, algorithm in accepted:
                token = signed(key, algorithm)
                assert other.get(MONTHS, token=token).status == 200, algorithm
            # The text itself is no secret, nor is a public key in any of its spellings.
            for spelling in (text, PEM, PEM.strip(), RSA_PEM, EC_PUBLIC["x"], RSA_PUBLIC["n"]):
                refused(other.get(MONTHS, token=forged(spelling)), 401, "PGRST301")
        other.gateway.stop()
        # As `openssl rand -base64 48 >jwt-secret` leaves it, where no script copies it.
        secret.write_text("s" * 40 + "\n", encoding="utf-8")
        other.gateway.write_files()
        other.gateway.write("jwt-secret", secret.read_text(encoding="utf-8"))
        other.gateway.start_postgrest()
        other.gateway.start_nginx()
        token = mint(read_secret(secret), LECTOR)
        assert other.get(MONTHS, token=token).status == 200
    finally:
        other.gateway.stop()


def test_a_start_is_refused_with_a_key_set_that_is_none(api: Api, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(FAULTS["a second key that is none"][0], encoding="utf-8")
    other = Gateway(api.gateway.cluster, api.database.name, "refused", secret_path=secret)
    with pytest.raises(UserError, match="key 2"):
        other.start()
    assert not other.is_running


def test_check_refuses_a_folder_before_a_start(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> tuple[int, str]:
        result = gateway.main(["check", "--directory", str(tmp_path)])
        return result, capsys.readouterr().err

    assert check()[0] == 1
    (tmp_path / "static").mkdir()
    for name in gateway.RENDERED:
        shutil.copyfile(api.gateway.directory / name, tmp_path / name)
    assert check()[0] == 0
    (tmp_path / "jwt-secret").write_text(PEM, encoding="utf-8")
    assert check()[0] == 1
    assert "a key in PEM" in check()[1]
    (tmp_path / "nginx.conf").unlink()
    assert "there is no nginx.conf" in check()[1]


# -- forged tokens ---------------------------------------------------------------------------


def tampered(
    api: Api, header: object, claims: object, key: bytes | None = None, cut: str | None = None
) -> str:
    """Return a token of any header and claims, texts as they are, signed by the gateway's secret.

    ``cut`` replaces the signature.
    """
    parts = [
        base64url((part if isinstance(part, str) else json.dumps(part)).encode())
        for part in (header, claims)
    ]
    text = ".".join(parts)
    secret = api.gateway.secret().encode() if key is None else key
    return (
        f"{text}.{base64url(hmac.digest(secret, text.encode(), 'sha256')) if cut is None else cut}"
    )


def right_claims(**change: object) -> dict[str, object]:
    """Return an operator's claims, with others in their place."""
    return {"role": OPERADOR, "aud": AUDIENCE, "exp": int(time.time()) + 600} | change


HS = {"alg": "HS256", "typ": "JWT"}
SELF_SIGNED = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
FORGERIES: dict[str, Callable[[Api], str]] = {
    **{
        f"alg {alg!r}, {signature}": lambda api, alg=alg, cut=cut: tampered(  # type: ignore[misc]
            api, {"alg": alg}, right_claims(), cut=cut
        )
        for alg in ("none", "None", "NONE", "nOnE", "", None, 0, "HS256 ", "hs256", "XX256")
        for signature, cut in (("without a signature", ""), ("with another one", "AAAA"))
    },
    "no header": lambda api: "." + tampered(api, HS, right_claims()).split(".", 1)[1],
    "no alg": lambda api: tampered(api, {"typ": "JWT"}, right_claims()),
    "an empty signature": lambda api: tampered(api, HS, right_claims(), cut=""),
    "a short signature": lambda api: tampered(api, HS, right_claims())[:-8],
    "a longer signature": lambda api: tampered(api, HS, right_claims()) + "AAAA",
    "two parts": lambda api: tampered(api, HS, right_claims()).rpartition(".")[0],
    "four parts": lambda api: tampered(api, HS, right_claims()) + ".AAAA",
    "five parts, as if it were encrypted": lambda api: (
        tampered(api, {"alg": "dir", "enc": "A128CBC-HS256"}, right_claims()) + ".AAAA.AAAA"
    ),
    "an empty key": lambda api: tampered(api, HS, right_claims(), key=b""),
    "a key of zeros": lambda api: tampered(api, HS, right_claims(), key=b"\0" * 32),
    "the key's name as a key": lambda api: tampered(
        api, {**HS, "kid": "../../../../dev/null"}, right_claims(), key=b""
    ),
    "a kid that is SQL": lambda api: tampered(
        api, {**HS, "kid": "x' UNION SELECT 'key' --"}, right_claims(), key=b"key"
    ),
    "a key that it brings along": lambda api: jwt.encode(
        right_claims(), RSA_KEY, "RS256", headers={"jwk": SELF_SIGNED}
    ),
    "an address of keys": lambda api: jwt.encode(
        right_claims(), RSA_KEY, "RS256", headers={"jku": f"{api.url}/openapi.json", "kid": "1"}
    ),
    "a symmetric key that it brings along": lambda api: tampered(
        api, {**HS, "jwk": {"kty": "oct", "k": base64url(b"k" * 32)}}, right_claims(), key=b"k" * 32
    ),
    "claims of another token": lambda api: ".".join(
        [
            tampered(api, HS, right_claims(role=LECTOR)).split(".")[0],
            base64url(json.dumps(right_claims()).encode()),
            tampered(api, HS, right_claims(role=LECTOR)).split(".")[2],
        ]
    ),
    "over": lambda api: tampered(api, HS, right_claims(exp=int(time.time()) - 60)),
    "over, a moment long": lambda api: tampered(api, HS, right_claims(exp=1)),
    "not yet": lambda api: tampered(api, HS, right_claims(nbf=int(time.time()) + 3600)),
    "issued in the future": lambda api: tampered(
        api, HS, right_claims(iat=int(time.time()) + 3600)
    ),
    "for another audience": lambda api: tampered(api, HS, right_claims(aud="teloo-analytics2")),
    "for an audience that contains it": lambda api: tampered(
        api, HS, right_claims(aud="x teloo-analytics")
    ),
    "for nobody": lambda api: tampered(api, HS, right_claims(aud=[])),
    "the owner": lambda api: tampered(api, HS, right_claims(role="analytics_owner")),
    "the superuser": lambda api: tampered(api, HS, right_claims(role="postgres")),
    "the login of PostgREST": lambda api: tampered(
        api, HS, right_claims(role="analytics_authenticator")
    ),
    "a role in other letters": lambda api: tampered(
        api, HS, right_claims(role="ANALYTICS_OPERADOR")
    ),
    "a role with a space": lambda api: tampered(api, HS, right_claims(role=OPERADOR + " ")),
    "a role in a list": lambda api: tampered(api, HS, right_claims(role=[OPERADOR])),
    "claims that are a list": lambda api: tampered(api, HS, [right_claims()]),
    "claims that are a text": lambda api: tampered(api, HS, '"role"'),
    "claims that are nothing": lambda api: tampered(api, HS, "null"),
    "no claims": lambda api: tampered(api, HS, ""),
    "huge": lambda api: tampered(api, HS, right_claims(x="y" * 20000)),
}


def test_a_forged_token_is_401_everywhere(api: Api) -> None:
    paths = (("GET", MONTHS), ("POST", REFRESH), ("GET", "/rest/mv_metricas_mensuales"))
    passed = []
    for forgery, forge in FORGERIES.items():
        token = forge(api)
        for method, path in paths:
            answer = api.request(method, path, token=token)
            # A role that is there and that PostgREST may not become is 403.
            if answer.status == 403 and "permission denied" in answer.body:
                continue
            if answer.status != 401 or "www-authenticate" not in answer.headers:
                passed.append((forgery, path, answer))
            assert api.gateway.secret() not in answer.body
    assert passed == []


def test_the_tool_of_the_forgeries_makes_right_tokens_too(api: Api) -> None:
    assert api.get(MONTHS, token=tampered(api, HS, right_claims(role=LECTOR))).status == 200
    # Of two roles one counts, for PostgREST and for our checks: the same wherever it is looked at.
    refreshed = []
    for first, last in ((LECTOR, OPERADOR), (OPERADOR, LECTOR)):
        claims = json.dumps(right_claims(role=first))[:-1] + f', "role": "{last}"}}'
        refreshed.append(api.request("POST", REFRESH, token=tampered(api, HS, claims)).status)
    assert sorted(refreshed) in ([200, 403], [403, 409])
    for headers in ({"Authorization": "Bearer"}, {"Authorization": "bearer  "}):
        assert api.get(MONTHS, headers=headers).status == 401
    two = tampered(api, HS, right_claims())
    answer = raw(
        api,
        f"POST {REFRESH} HTTP/1.0\r\nAuthorization: Bearer x.y.z\r\n"
        f"Authorization: Bearer {two}\r\nContent-Length: 0\r\n\r\n".encode(),
    )
    assert answer.status in {400, 401}


# -- roles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["nobody", None, 1, True, "", "a\0b", ["x"], {"a": 1}, "'\""])
def test_a_role_that_does_not_exist_is_401(api: Api, role: object) -> None:
    claims = {"role": role, "aud": AUDIENCE, "exp": int(time.time()) + 600}
    token = api.mint(claims)
    for method, path in (
        ("GET", MONTHS),
        ("GET", f"{MONTHS}?limit=1"),
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/materialized-views/scheduler/status"),
        ("POST", REFRESH),
        ("PUT", "/materialized-views/scheduler/reschedule?hour=1"),
    ):
        error = refused(api.request(method, path, token=token), 401)
        assert error["message"].startswith("the token is not valid here: send Authorization")
        assert "analytics_lector or analytics_operador" in error["details"]
    assert api.get(MONTHS, token=token).headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "change",
    [
        {"exp": "tomorrow"},
        {"exp": None},
        {"exp": -1},
        {"nbf": "x"},
        {"iat": {}},
        {"aud": None},
        {"aud": 1},
        {"aud": [1]},
        {"role": "analytics_owner"},
        {"role": "analytics_scheduler"},
        {"role": "none"},
        {"role": "postgres"},
    ],
    ids=str,
)
def test_odd_claims_are_refused_in_json(api: Api, change: dict[str, object]) -> None:
    claims = {"role": LECTOR, "aud": AUDIENCE, "exp": int(time.time()) + 600, **change}
    answer = api.get(MONTHS, token=api.mint(claims))
    assert answer.status in (401, 403), answer.body
    refused(answer, answer.status, answer.json()["code"])
    assert answer.status == 403 or "www-authenticate" in answer.headers


def test_without_an_audience_no_token_is_right(api: Api) -> None:
    """As with a file that somebody broke by hand; PostgREST itself checks none then."""
    with api.database.session() as connection:
        for audience in ("teloo-analytics", ""):
            connection.execute(
                "SELECT set_config('app.settings.api_audience', %s, false)", [audience]
            )
            claims_to_try: tuple[object, ...] = ("teloo-analytics", "", None, [])
            for claimed in claims_to_try:
                claims = {"role": LECTOR, "exp": 1, "aud": claimed}
                connection.execute(
                    "SELECT set_config('request.jwt.claims', %s, false)", [json.dumps(claims)]
                )
                if claimed == audience != "":
                    connection.execute("SELECT analytics.check_request()")
                else:
                    with pytest.raises(psycopg.Error, match="TELOO401"):
                        connection.execute("SELECT analytics.check_request()")


@pytest.mark.parametrize("value", [b"Basic \xff", b"Bearer \xc3\xb1", b"\x80", b"Bearer a\x7fb"])
def test_an_authorization_that_is_not_ascii_is_401(api: Api, value: bytes) -> None:
    for path in (MONTHS, "/health", "/metrics", "/rest/mv_metricas_mensuales"):
        answer = raw(
            api, b"GET " + path.encode() + b" HTTP/1.0\r\nAuthorization: " + value + b"\r\n\r\n"
        )
        assert "not ASCII" in refused(answer, 401)["details"]


# -- the login of PostgREST ------------------------------------------------------------------


def test_the_authenticator_can_do_nothing_but_become_a_role_of_the_api(api: Api) -> None:
    password = (api.gateway.cluster.home / "authenticator-password").read_text(encoding="utf-8")
    url = api.database.url_as("analytics_authenticator", password)
    source = api.database.rows(
        "SELECT oid::regclass::text FROM pg_class WHERE relname = 'ofertas' AND relkind = 'r'"
    )[0][0]
    with api.database.connect(url) as connection:
        for statement in (
            "SELECT FROM api.mv_metricas_mensuales",
            "SELECT FROM analytics.mv_ranking_asesores",
            "SELECT FROM analytics.settings",
            f"SELECT FROM {source}",
            "SELECT api.health()",
            "SELECT api.status()",
            "SELECT api.scheduler_trigger_refresh()",
            "SELECT FROM analytics.refresh_all_mv()",
            "CALL analytics.tick()",
            "CREATE TABLE api.mine ()",
            "CREATE TABLE analytics.mine ()",
            "CREATE TABLE public.mine ()",
            "SET ROLE analytics_owner",
            "SET ROLE analytics_scheduler",
            "SET ROLE pg_read_all_data",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        connection.execute(f"SET ROLE {LECTOR}")
        assert connection.execute("SELECT FROM api.mv_metricas_mensuales").rowcount == 36
