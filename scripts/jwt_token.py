"""Mints a token of the HTTP API, signed with the secret of a gateway (see docs/api.md)."""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import jwt

from cluster import LOCAL
from console import UserError, report, set_up_logging

AUDIENCE = "teloo-analytics"
ROLES = ("analytics_lector", "analytics_operador")
LEAST_SECRET = 32
DEFAULT_TTL = 3600
GREATEST_TTL = 366 * 24 * 3600


def check_secret(secret: str, source: str) -> str:
    """Return a secret or a JWKS; raise UserError where PostgREST would refuse every token."""
    if len(secret) < LEAST_SECRET:
        raise UserError(
            f"the JWT secret in {source} has {len(secret)} characters; it needs {LEAST_SECRET}",
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
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise UserError(
            f"there is no JWT secret in {path}",
            "make demo makes one; or name another file: JWT_SECRET_FILE=…",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the JWT secret in {path} can't be read: {error}") from error
    return check_secret(text, str(path))


def mint(secret: str, role: str, ttl: int = DEFAULT_TTL, subject: str | None = None) -> str:
    """Return a token for a role that ends after so many seconds."""
    if role not in ROLES:
        raise UserError(
            f"{role or 'no role'!s} is not a role of the API", f"Roles: {', '.join(ROLES)}."
        )
    if not 1 <= ttl <= GREATEST_TTL:
        raise UserError(
            f"TTL must be 1 to {GREATEST_TTL} seconds (a year), not {ttl}",
            "A token can't be taken back; keep it short.",
        )
    if secret.startswith("{"):
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
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def main(arguments: list[str] | None = None) -> int:
    """Print a token; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="jwt_token.py",
        description="Prints a token of the HTTP API. The secret is the demo's, or in the file "
        "that JWT_SECRET_FILE names.",
    )
    parser.add_argument("role", help=" or ".join(ROLES))
    parser.add_argument("--ttl", default=str(DEFAULT_TTL), help="seconds; default: 3600")
    parser.add_argument("--sub", help="who the token is for: the log of refreshes names them")
    parser.add_argument("--name", default="demo", help="whose secret; default: demo")
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        if not re.fullmatch(r"[0-9]{1,9}", options.ttl):
            raise UserError(f"TTL must be a number of seconds, not {options.ttl!r}")
        path = secret_path(options.name)
        print(mint(read_secret(path), options.role, int(options.ttl), options.sub))
    except UserError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
