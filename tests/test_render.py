"""The files that `gateway.py render` writes, started by hand with the commands of the units."""

import contextlib
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import gateway
from cluster import SERVER_USER_UNDER_ROOT, free_port
from console import UserError
from gateway import CONFIG, Gateway, page_answers, wait_until
from gateway_testing import Api, refused
from jwt_token import mint, read_secret

INSTALLED = "/var/lib/teloo-analytics"
LECTOR = "analytics_lector"
MONTHS = "/materialized-views/monthly-metrics"


@dataclass
class Rendered(Gateway):
    """A gateway whose files are where render wrote them."""

    where: Path = Path()

    @property
    def directory(self) -> Path:
        return self.where

    @property
    def ports(self) -> dict[str, int]:
        return gateway.ports_from(os.environ)

    @property
    def secret_file(self) -> Path:
        return self.where / "jwt-secret"


def command(unit: str, setting: str, directory: Path, program: Path) -> list[str]:
    """Return a command of a unit, for another folder."""
    text = (CONFIG / "systemd" / f"teloo-{unit}.service").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{setting}=(.*)$", text, re.MULTILINE)
    return shlex.split(
        line.replace(INSTALLED, str(directory)).replace("/usr/local/bin/postgrest", str(program))
    )


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    with contextlib.suppress(OSError):
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return False


@pytest.fixture
def rendered(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Api, list[int]]]:
    """A second PostgREST and nginx, over the files of render."""
    cluster = api.gateway.cluster
    target = cluster.location / "rendered"
    password = (cluster.home / "authenticator-password").read_text(encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", api.gateway.database_uri(password))
    monkeypatch.setenv("ADMIN_DATABASE_URL", api.database.url)
    monkeypatch.setenv("API_PUBLIC_URL", "https://kpis.example/analytics")
    for variable in gateway.PORT_VARIABLES.values():
        monkeypatch.setenv(variable, str(free_port()))
    assert gateway.main(["render", "--directory", str(target)]) == 0
    if cluster.under_root:
        for path in [target, *target.rglob("*")]:
            shutil.chown(path, SERVER_USER_UNDER_ROOT, SERVER_USER_UNDER_ROOT)
    pids: list[int] = []
    try:
        for unit in ("postgrest", "gateway"):
            start = command(unit, "ExecStart", target, api.gateway.program())
            script = 'setsid "$@" >>"$0" 2>&1 </dev/null & echo $!'
            pids.append(
                int(cluster.must(unit, "sh", "-c", script, str(target / f"{unit}.log"), *start))
            )
        yield Api(Rendered(cluster, where=target), api.database), pids
    finally:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        assert wait_until(lambda: not any(map(is_alive, pids)))
        shutil.rmtree(target)


def test_rendered_files_work_with_the_commands_of_the_units(
    rendered: tuple[Api, list[int]],
) -> None:
    other, (postgrest, nginx) = rendered
    target = other.gateway.directory
    cluster = other.gateway.cluster
    ready = f"http://127.0.0.1:{other.gateway.ports['admin']}/ready"
    assert wait_until(lambda: page_answers(ready)), (target / "postgrest.log").read_text()
    assert wait_until(lambda: page_answers(f"{other.url}/openapi.json"))
    assert gateway.main(["check", "--directory", str(target)]) == 0
    token = mint(read_secret(target / "jwt-secret"), LECTOR)
    assert other.get(MONTHS, token=token).status == 200
    refused(other.get(MONTHS), 401, "42501")
    assert other.get("/docs/").status == 200
    description = other.get("/rest/", token=token).json()
    assert (description["host"], description["basePath"]) == (
        "kpis.example:443",
        "/analytics/rest",
    )
    assert description["schemes"] == ["https"]
    # The other commands of the gateway's unit, as they stand there.
    for setting in ("ExecStartPre", "ExecReload"):
        cluster.must(setting, *command("gateway", setting, target, Path()))
    assert other.get(MONTHS, token=token).status == 200
    # With a new secret, no old token is right.
    (target / "jwt-secret").write_text("n" * 40, encoding="utf-8")
    os.kill(postgrest, signal.SIGUSR2)
    assert wait_until(lambda: other.get(MONTHS, token=token).status == 401)
    new = mint(read_secret(target / "jwt-secret"), LECTOR)
    assert wait_until(lambda: other.get(MONTHS, token=new).status == 200)
    os.kill(nginx, signal.SIGQUIT)
    assert wait_until(lambda: not is_alive(nginx))


def test_a_secret_that_is_there_is_kept_and_checked(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://analytics_authenticator:x@127.0.0.1/x")
    monkeypatch.setenv("ADMIN_DATABASE_URL", api.database.url)
    secret = tmp_path / "jwt-secret"
    secret.write_text("k" * 40, encoding="utf-8")
    assert gateway.main(["render", "--directory", str(tmp_path)]) == 0
    assert secret.read_text(encoding="utf-8") == "k" * 40
    secret.write_text('{"keys": [{"kty": "EC"}]}', encoding="utf-8")
    with pytest.raises(UserError, match="key 1"):
        gateway.render(tmp_path)


def test_ports_and_addresses_reach_the_files(tmp_path: Path) -> None:
    environment = {
        "GATEWAY_PORT": "9002",
        "API_POSTGREST_PORT": "9000",
        "API_ADMIN_PORT": "9001",
        "API_INNER_PORT": "9003",
    }
    ports = gateway.ports_from(environment)
    assert ports == {"gateway": 9002, "postgrest": 9000, "admin": 9001, "inner": 9003}
    listen = gateway.listen_address({"API_LISTEN": "::"})
    files = gateway.configuration(tmp_path, ports, gateway.Settings(), listen=listen)
    assert "listen [::]:9002 default_server" in files["nginx.conf"]
    assert "server 127.0.0.1:9000;" in files["nginx.conf"]
    assert files["nginx.conf"].count("listen 127.0.0.1:9003") == 2
    assert "server-port = 9000" in files["postgrest.conf"]
    assert "admin-server-port = 9001" in files["postgrest.conf"]
    assert '"http://127.0.0.1:9002/rest"' in files["postgrest.conf"]
    assert gateway.ports_from({}) == gateway.PREFERRED_PORTS


@pytest.mark.parametrize("value", ["0", "65536", "http", "-1", "80 81"])
def test_ports_that_are_none_are_refused(value: str) -> None:
    for variable in gateway.PORT_VARIABLES.values():
        with pytest.raises(UserError, match=variable):
            gateway.ports_from({variable: value})


@pytest.mark.parametrize("value", ["localhost", "127.0.0.1:80", "0.0.0.0; include x", "[::]"])
def test_addresses_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(UserError, match="API_LISTEN"):
        gateway.listen_address({"API_LISTEN": value})


def test_two_ports_that_are_the_same_are_refused(tmp_path: Path) -> None:
    ports = gateway.ports_from({"GATEWAY_PORT": "3000"})
    with pytest.raises(UserError, match="the same: GATEWAY_PORT 3000, API_POSTGREST_PORT 3000"):
        gateway.configuration(tmp_path, ports, gateway.Settings())
