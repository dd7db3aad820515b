"""A marketplace behind a real gateway, and a client that sees every byte of its answers."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jwt

from cluster import SERVER_USER_UNDER_ROOT, free_port
from conftest import Database, Server
from database.sql_files import literal_rows
from demo import Scale, load
from gateway import (
    CONFIG,
    PORT_VARIABLES,
    Gateway,
    Settings,
    page_answers,
    ports_from,
    wait_until,
)
from jwt_token import AUDIENCE
from migrate import migrate
from webapi.endpoints import Endpoint

# Enough for all that a page or an answer shows; ten times as much takes ten seconds more.
FEW = Scale(4_000, 400)
INSTALLED = "/var/lib/teloo-analytics"
ERROR_KEYS = {"code", "message", "details", "hint"}
# Whom PostgREST answers as, and how long one statement of theirs may take.
API_ROLES = {
    str(role): limit for _, role, _, limit, _ in literal_rows("package_roles") if limit is not None
}


@dataclass(frozen=True)
class Response:
    """One answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> str:
        """The body as text."""
        return self.content.decode()

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.content)


class Api:
    """The gateway, its database, and tokens for it."""

    def __init__(self, gateway: Gateway, database: Database) -> None:
        self.gateway = gateway
        self.database = database

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return self.gateway.url

    def mint(self, claims: Mapping[str, object], secret: str | None = None) -> str:
        """Return a token with these claims, whatever they are."""
        return jwt.encode(dict(claims), secret or self.gateway.secret(), algorithm="HS256")

    def token(self, role: str) -> str:
        """Return a good token of a role."""
        claims = {"role": role, "aud": AUDIENCE, "sub": "test", "exp": int(time.time()) + 3600}
        return self.mint(claims)

    def request(
        self,
        method: str,
        path: str,
        role: str | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Response:
        """Ask, over a connection of its own; the path goes out as it is written."""
        sent = dict(headers or {})
        if role:
            token = self.token(role)
        if token:
            sent["Authorization"] = f"Bearer {token}"
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            received: dict[str, str] = {}
            for name, value in answer.getheaders():
                before = received.get(name.lower())
                received[name.lower()] = value if before is None else f"{before}, {value}"
            return Response(answer.status, received, answer.read())
        finally:
            connection.close()

    def get(
        self,
        path: str,
        role: str | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Ask with GET."""
        return self.request("GET", path, role, token=token, headers=headers)

    def post(self, path: str, role: str | None = None, body: str | None = None) -> Response:
        """Ask with POST."""
        return self.request("POST", path, role, body=body)

    def forget_cache(self) -> None:
        """Wait until the micro-cache holds nothing of before."""
        time.sleep(1.1)


def path_of(endpoint: Endpoint) -> str:
    """Return what a client asks an endpoint for: with the parameters that it needs, no others."""
    path = endpoint.path
    needed = []
    for one in endpoint.parameters:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one["example"]))
        elif one["required"]:
            needed.append(f"{one['name']}=1")
    return "?".join([path, *(["&".join(needed)] if needed else [])])


def right_path_of(endpoint: Endpoint) -> str:
    """Return what a client asks an endpoint for: the parameters that it needs have right values."""
    needed = [
        f"{one['name']}={quote(str(one['example']))}"
        for one in endpoint.parameters
        if one["required"] and one["in"] == "query"
    ]
    return "?".join([path_of(endpoint).partition("?")[0], *(["&".join(needed)] if needed else [])])


def native_path_of(endpoint: Endpoint) -> str:
    """Return the path of an endpoint's function at /rest/, with the arguments that it needs."""
    needed = [
        f"{one['name']}={one['example']}" for one in endpoint.parameters if one["in"] == "path"
    ]
    needed += [f"{endpoint.rest}="] if endpoint.rest else []
    return "?".join([f"/rest/rpc/{endpoint.function}", *(["&".join(needed)] if needed else [])])


def refused(answer: Response, status: int, code: str = "") -> dict[str, str]:
    """Check that an answer is an error in PostgREST's shape; return it."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    error: dict[str, str] = answer.json()
    assert set(error) == ERROR_KEYS
    assert error["code"] == (code or f"TELOO{status}")
    return error


def raw(api: Api, request: bytes) -> Response:
    """Send bytes as they are; return what came back."""
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, content = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Response(int(lines[0].split()[1]), headers, content)


@contextmanager
def locked(api: Api, relation: str) -> Iterator[None]:
    """Keep everybody from a relation, for as long as this lasts."""
    with api.database.connect(autocommit=False) as other:
        if relation.startswith("mv_"):
            other.execute(f"ALTER MATERIALIZED VIEW analytics.{relation} RENAME TO busy")
        else:
            other.execute(f"LOCK TABLE kpi_engine.{relation} IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


def waiting(api: Api) -> int:
    """Return how many sessions of the API wait for a lock."""
    rows = api.database.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND usename = 'analytics_authenticator' AND datname = current_database()"
    )
    return int(str(rows[0][0]))


@contextmanager
def patient_roles(database: Database) -> Iterator[None]:
    """Give gateways that start meanwhile readers and operators with ten minutes instead of 10 s.

    PostgREST reads the limits of its roles when it starts. For tests in which requests wait for
    what the test holds: on a busy machine the limit would end them before the test lets go.
    """
    limit = "ALTER ROLE {} SET statement_timeout = '{}'"
    database.execute(*(limit.format(role, "10min") for role in API_ROLES))
    try:
        yield
    finally:
        database.execute(*(limit.format(role, usual) for role, usual in API_ROLES.items()))


@contextmanager
def started(database: Database, name: str, settings: Settings | None = None) -> Iterator[Api]:
    """Run a gateway over a database; stop it at the end."""
    gateway = Gateway(database.cluster, database.name, name, settings or Settings())
    gateway.start()
    try:
        yield Api(gateway, database)
    finally:
        gateway.stop()


@dataclass
class Rendered(Gateway):
    """A gateway whose files are where ``gateway.py render`` wrote them."""

    where: Path = Path()
    rendered_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.where

    @property
    def ports(self) -> dict[str, int]:
        return ports_from(self.rendered_for)

    @property
    def secret_file(self) -> Path:
        return self.where / "jwt-secret"


def render_environment(gateway: Gateway) -> dict[str, str]:
    """Return the variables that ``gateway.py render`` needs for a second gateway, on free ports."""
    return {
        "DATABASE_URL": gateway.database_uri(gateway.set_password()),
        "ADMIN_DATABASE_URL": gateway.cluster.url(gateway.database),
        **{variable: str(free_port()) for variable in PORT_VARIABLES.values()},
    }


def command(unit: str, setting: str, directory: Path, program: Path) -> list[str]:
    """Return a command of a unit, for another folder."""
    text = (CONFIG / "systemd" / f"teloo-{unit}.service").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{setting}=(.*)$", text, re.MULTILINE)
    return shlex.split(
        line.replace(INSTALLED, str(directory)).replace("/usr/local/bin/postgrest", str(program))
    )


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    with suppress(OSError):
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return False


@contextmanager
def running(rendered: Rendered, program: Path) -> Iterator[list[int]]:
    """Start PostgREST and nginx over rendered files, with the commands of their units.

    Hands out their processes. At the end they stop, and the files are removed.
    """
    cluster, target = rendered.cluster, rendered.directory
    if cluster.under_root:
        for path in [target, *target.rglob("*")]:
            shutil.chown(path, SERVER_USER_UNDER_ROOT, SERVER_USER_UNDER_ROOT)
    pids: list[int] = []
    try:
        for unit in ("postgrest", "gateway"):
            start = command(unit, "ExecStart", target, program)
            script = 'setsid "$@" >>"$0" 2>&1 </dev/null & echo $!'
            pids.append(
                int(cluster.must(unit, "sh", "-c", script, str(target / f"{unit}.log"), *start))
            )
        ready = f"http://127.0.0.1:{rendered.ports['admin']}/ready"
        assert wait_until(lambda: page_answers(ready)), (target / "postgrest.log").read_text()
        assert wait_until(lambda: page_answers(f"{rendered.url}/openapi.json"))
        yield pids
    finally:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        assert wait_until(lambda: not any(map(is_alive, pids)))
        shutil.rmtree(target)


@contextmanager
def marketplace(server: Server) -> Iterator[Database]:
    """A small generated marketplace up to now, installed and refreshed."""
    name = server.new_name("api")
    with server.janitor(name):
        database = Database(server.cluster, name)
        load(database.url, "small", 2026, datetime.now(UTC), FEW)
        migrate(database.url)
        indexes = database.rows(
            "SELECT replace(statement, ' CONCURRENTLY', '') FROM analytics.source_indexes() "
            "WHERE NOT is_present"
        )
        database.execute(
            *(str(statement) for (statement,) in indexes),
            # What else the machine does is no problem of the health here.
            "SELECT analytics.set_setting('slow_refresh_least_ms', '3600000')",
            # Tests change what is closed as they please.
            "SELECT analytics.set_setting('restatement_alert_pct', 'off')",
            "CALL analytics.tick()",
            "SELECT * FROM refresh_all_mv()",
        )
        yield database
