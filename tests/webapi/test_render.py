"""The files that `gateway.py render` writes, started by hand with the commands of the units."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from cluster import Cluster, free_port
from commandline.console import UserError
from gateway import wait_until
from gateway_testing import (
    Api,
    Rendered,
    command,
    is_alive,
    refused,
    render_environment,
    running,
)
from jwt_token import mint, read_secret

PUBLIC_URL = "https://kpis.example/analytics"
LECTOR = "analytics_lector"
MONTHS = "/materialized-views/monthly-metrics"


@pytest.fixture
def rendered(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Api, list[int]]]:
    """A second PostgREST and nginx, over the files of render."""
    target = api.gateway.cluster.location / "rendered"
    environment = {**render_environment(api.gateway), "API_PUBLIC_URL": PUBLIC_URL}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert gateway.main(["render", "--directory", str(target)]) == 0
    second = Rendered(api.gateway.cluster, where=target, rendered_for=environment)
    with running(second, api.gateway.program()) as pids:
        yield Api(second, api.database), pids


def test_rendered_files_work_with_the_commands_of_the_units(
    rendered: tuple[Api, list[int]],
) -> None:
    other, (postgrest, nginx) = rendered
    target = other.gateway.directory
    cluster = other.gateway.cluster
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


def test_a_folder_that_can_not_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        assert gateway.main(["check", "--directory", str(directory)]) == 1
        said = capsys.readouterr().err
        assert str(tmp_path / "file") in said and "Traceback" not in said


def test_a_port_that_is_named_counts_at_each_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster("none")
    cluster.home = tmp_path
    first, second = free_port(), free_port()
    gateway.Gateway(cluster, prefer={"gateway": first}).choose_ports()
    kept = gateway.Gateway(cluster).ports
    assert kept["gateway"] == first
    # Nothing is named: the ports of the last start, whatever is usual.
    again = gateway.Gateway(cluster, prefer={"gateway": second})
    again.choose_ports()
    assert again.ports == kept
    named = gateway.Gateway(cluster, named={"gateway": second})
    named.choose_ports()
    assert named.ports == {**kept, "gateway": second}
    with socket.create_server(("127.0.0.1", first)):
        taken = gateway.Gateway(cluster, named={"gateway": first})
        taken.choose_ports()
    assert taken.ports["gateway"] not in (first, second)
    assert f"port {first} of GATEWAY_PORT is taken" in caplog.text


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
