"""Mints a token of the HTTP API, signed with the secret of a gateway (see docs/api.md)."""

import base64
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt

from cluster import LOCAL
from commandline.console import Parser, UserError, report, run_tool, set_up_logging

AUDIENCE = "teloo-analytics"
ROLES = ("analytics_lector", "analytics_operador")
LEAST_SECRET = 32
LEAST_RSA_BITS = 2048
# What is read of a key, by its type. Anything else could hold what PostgREST can't read.
KEY_PARTS = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "OKP": ("crv", "x"), "oct": ("k",)}
CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}
PRIVATE_PARTS = {"d", "p", "q", "dp", "dq", "qi", "oth"}
ALGORITHMS = {
    "EC": {"ES256", "ES384", "ES512"},
    "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    "OKP": {"EdDSA"},
    "oct": {"HS256", "HS384", "HS512"},
}
DEFAULT_TTL = 3600
GREATEST_TTL = 366 * 24 * 3600
# As kpi_engine.check_scope() takes them.
MOST_CITIES = 100
LONGEST_CITY = 200


def octets(text: str) -> bytes:
    """Decode base64url as JOSE has it: no padding, one spelling. Raises ValueError."""
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != text:
        raise ValueError("not base64url without padding")
    return decoded


def check_key(key: object) -> None:
    """Raise ValueError where PostgREST can't read a key of a JWKS, or must not have it."""
    if not isinstance(key, dict):
        raise ValueError("it is no object")
    kind = key.get("kty")
    if kind not in KEY_PARTS:
        raise ValueError(f"kty must be one of {', '.join(KEY_PARTS)}, not {kind!r}")
    if kind != "oct" and PRIVATE_PARTS & key.keys():
        raise ValueError("it is a private key, which belongs to who signs alone")
    missing = [name for name in KEY_PARTS[kind] if not isinstance(key.get(name), str)]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be there, as text")
    odd = sorted(key.keys() - {"kty", "kid", "alg", "use", "key_ops", *KEY_PARTS[kind]})
    if odd:
        raise ValueError(f"leave out {', '.join(odd)}")
    if kind in CURVES and key["crv"] not in CURVES[kind]:
        raise ValueError(f"crv must be one of {', '.join(CURVES[kind])}")
    if key.get("key_ops", ["verify"]) != ["verify"] or key.get("use", "sig") != "sig":
        raise ValueError('it is not for signatures (use "sig", key_ops ["verify"])')
    kid = key.get("kid", "")
    if not isinstance(kid, str) or not kid.isprintable():
        raise ValueError("kid must be a printable text")
    if key.get("alg", min(ALGORITHMS[kind])) not in ALGORITHMS[kind]:
        raise ValueError(f"alg must be one of {', '.join(sorted(ALGORITHMS[kind]))}")
    parts = {name: octets(key[name]) for name in KEY_PARTS[kind] if name != "crv"}
    if kind == "oct" and len(parts["k"]) < LEAST_SECRET:
        raise ValueError(f"k has {len(parts['k'])} bytes; it needs {LEAST_SECRET}")
    if kind == "RSA" and any(part[:1] in (b"", b"\0") for part in parts.values()):
        raise ValueError("n and e must be numbers without zeros in front")
    if kind == "RSA" and int.from_bytes(parts["n"]).bit_length() < LEAST_RSA_BITS:
        raise ValueError(f"n must have {LEAST_RSA_BITS} bits or more")
    jwt.PyJWK({**key, "alg": None})


def check_key_set(text: str) -> None:
    """Raise ValueError where PostgREST can't read a JWK or JWKS: it would be a secret then."""
    document: Any = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    keys = [document]
    if "kty" not in document:
        keys = document.get("keys", [])
        if document.keys() != {"keys"} or not isinstance(keys, list) or not keys:
            raise ValueError('it must have "keys", a list of one or more, and nothing else')
    for number, key in enumerate(keys, 1):
        try:
            check_key(key)
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise ValueError(f"key {number}: {error}") from error


def is_key_set(secret: str) -> bool:
    """Tell whether this is meant as public keys (JWKS), with which nobody here can sign."""
    return secret.lstrip().startswith(("{", "["))


def check_secret(secret: str, source: str) -> str:
    """Return a secret or a JWKS; raise UserError where it would be no secret.

    Whatever PostgREST can't read as a JWKS is a secret to it, byte for byte: with a JWKS that has a
    fault, or with a public key as it is, anybody who knows that could sign.
    """
    if is_key_set(secret):
        try:
            check_key_set(secret)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"the key set (JWKS) in {source} is not one that PostgREST reads: {error}",
                "It would take the text for a secret, with which anybody who knows the public "
                "keys could sign. How one looks: docs/api.md, Tokens.",
            ) from error
        return secret
    if secret.lstrip().startswith("-----BEGIN"):
        raise UserError(
            f"{source} holds a key in PEM, which PostgREST would take for a secret",
            "Give it the public key as a JWKS: docs/api.md, Tokens.",
        )
    if not secret.isprintable():
        raise UserError(
            f"the JWT secret in {source} has line ends or other characters that can't be printed",
            "It must be one line of text: openssl rand -base64 48",
        )
    size = len(secret.encode())
    if size < LEAST_SECRET:
        raise UserError(
            f"the JWT secret in {source} has {size} bytes; it needs {LEAST_SECRET}",
            "Shorter, PostgREST would start and refuse every token. A good one: "
            "openssl rand -base64 48",
        )
    return secret


def secret_path(name: str) -> Path:
    """Return where the secret is: what JWT_SECRET_FILE names, else the cluster's file."""
    given = os.environ.get("JWT_SECRET_FILE")
    return Path(given) if given else LOCAL / name / "jwt-secret"


def read_secret(path: Path) -> str:
    """Return the secret that a file holds."""
    try:
        # PostgREST leaves out one line end, too.
        text = path.read_bytes().decode().removesuffix("\n")
    except FileNotFoundError as error:
        raise UserError(
            f"there is no JWT secret in {path}",
            "make demo makes one; or name another file: JWT_SECRET_FILE=…",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the JWT secret in {path} can't be read: {error}") from error
    return check_secret(text, str(path))


def city_names(text: str) -> list[str]:
    """Return the names of a list such as "Bogotá, Cali"; raise UserError where it has none."""
    cities = [name.strip() for name in text.split(",") if name.strip()]
    if not 1 <= len(cities) <= MOST_CITIES or any(len(name) > LONGEST_CITY for name in cities):
        raise UserError(
            f"CIUDADES must be 1 to {MOST_CITIES} names of cities, not {text!r}",
            "Write them with commas between them: CIUDADES=Bogotá,Cali",
        )
    return cities


def mint(
    secret: str,
    role: str,
    ttl: int = DEFAULT_TTL,
    subject: str | None = None,
    cities: Sequence[str] = (),
) -> str:
    """Return a token for a role that ends after so many seconds.

    With cities, in any spelling, it reads figures of these cities alone.
    """
    if role not in ROLES:
        raise UserError(
            f"{role or 'no role'!s} is not a role of the API", f"Roles: {', '.join(ROLES)}."
        )
    if not 1 <= ttl <= GREATEST_TTL:
        raise UserError(
            f"TTL must be 1 to {GREATEST_TTL} seconds (a year), not {ttl}",
            "A token can't be taken back; keep it short.",
        )
    if is_key_set(secret):
        raise UserError(
            "the gateway checks tokens by public keys (JWKS): who holds the private key mints them",
            "See docs/api.md, Tokens.",
        )
    now = int(time.time())
    claims = {
        "role": role,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + ttl,
        "sub": subject or f"make token ({role})",
        **({"ciudades": list(cities)} if cities else {}),
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def main(arguments: list[str] | None = None) -> int:
    """Print a token; return the exit code."""
    parser = Parser(
        prog="jwt_token.py",
        description="Prints a token of the HTTP API. The secret is the demo's, or in the file "
        "that JWT_SECRET_FILE names.",
    )
    parser.add_argument("role", help=" or ".join(ROLES))
    parser.add_argument("--ttl", default=str(DEFAULT_TTL), help="seconds; default: 3600")
    parser.add_argument("--sub", help="who the token is for: the log of refreshes names them")
    parser.add_argument(
        "--ciudades", help="cities with commas between them: the token reads figures of these alone"
    )
    parser.add_argument("--name", default="demo", help="whose secret; default: demo")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        if not re.fullmatch(r"[0-9]{1,9}", options.ttl):
            raise UserError(f"TTL must be a number of seconds, not {options.ttl!r}")
        path = secret_path(options.name)
        cities = [] if options.ciudades is None else city_names(options.ciudades)
        print(mint(read_secret(path), options.role, int(options.ttl), options.sub, cities))
    except UserError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    run_tool(main)
