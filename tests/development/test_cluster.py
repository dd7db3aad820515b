"""The clusters that the demo and the tests run on."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import cluster as cluster_module
from cluster import (
    PROJECT,
    Cluster,
    connection_environment,
    copy_programs,
    embedded_binaries,
    free_port,
    is_free,
)
from commandline.console import UserError
from conftest import TEST_SETTINGS, Server


def test_copied_server_finds_its_libraries(tmp_path: Path) -> None:
    """Where the server's user can't reach the virtual environment, as below /root."""
    binaries = copy_programs(embedded_binaries(), tmp_path)
    initdb = binaries / "initdb"
    initdb.chmod(0o755)
    run = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "PostgreSQL) 18." in run.stdout


def test_cluster_starts_stops_and_goes_without_a_trace() -> None:
    cluster = Cluster(f"test-cluster-{os.getpid()}", settings=TEST_SETTINGS)
    cluster.start()
    try:
        location = cluster.location
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (id integer)")
        assert (cluster.home / "password").stat().st_mode & 0o077 == 0
        assert location.stat().st_mode & 0o077 == 0
        assert location.stat().st_uid != 0
        cluster.start()
        assert cluster.stop()
        assert not cluster.stop()
        cluster.start()
        with psycopg.connect(cluster.url()) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        assert cluster.remove()
    assert not location.exists()
    assert not cluster.home.exists()
    assert not cluster.remove()


def test_a_path_with_a_space_or_an_accent_gets_a_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx could not be given it, which make demo found out after a minute."""
    monkeypatch.setattr(cluster_module, "LOCAL", tmp_path / "Mis análisis")
    monkeypatch.delenv("TELOO_CLUSTERS", raising=False)
    cluster = Cluster("test-path")
    location = cluster.make_location()
    try:
        assert cluster.home.is_relative_to(tmp_path)
        assert location.parent == Path("/var", "tmp")
        assert cluster.location == location
    finally:
        location.rmdir()


@pytest.mark.parametrize("stored", ["", ".", "/", "/etc/elsewhere", "teloo-analytics-x"])
def test_no_folder_but_its_own_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str
) -> None:
    """A full disk leaves the file empty, and make demo emptied the folder where it was called."""
    monkeypatch.setattr(cluster_module, "LOCAL", tmp_path / ".local")
    (tmp_path / "teloo-analytics-x").mkdir()
    (tmp_path / "teloo-analytics-x" / "precious").touch()
    monkeypatch.chdir(tmp_path)
    cluster = Cluster("demo")
    cluster.home.mkdir(parents=True)
    (cluster.home / "location").write_text(stored)
    assert cluster.location == cluster.home / "server"
    assert cluster.remove()
    assert (tmp_path / "teloo-analytics-x" / "precious").exists()


def test_the_cluster_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sudo, the data of an ordinary user's demo looked as if they were gone."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    monkeypatch.setattr(cluster_module, "LOCAL", tmp_path)
    monkeypatch.delenv("TELOO_CLUSTERS", raising=False)
    cluster = Cluster("demo")
    location = cluster.make_location()
    (cluster.home / "ready").touch()
    os.chown(location, 65534, 65534)
    try:
        for call in (cluster.start, cluster.stop, cluster.remove):
            with pytest.raises(UserError, match="belongs to nobody"):
                call()
        assert location.exists()
    finally:
        location.rmdir()


def test_password_is_needed(system_server: Server) -> None:
    # The rule of a new cluster is one for all roles; tests let the superuser in without.
    url = system_server.cluster.url(user="analytics_reader", password="wrong")  # noqa: S106
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_psql_is_told_the_password_in_its_environment() -> None:
    assert connection_environment("postgresql://ana:se%40cret@127.0.0.1:5499/teloo") == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "5499",
        "PGUSER": "ana",
        "PGDATABASE": "teloo",
        "PGPASSWORD": "se@cret",
    }


def test_free_port_is_free() -> None:
    assert 1024 < free_port() < 65536


def test_free_port_is_nobody_elses_before_its_server_listens() -> None:
    """Two sessions of tests chose one port, and PostgREST said: Address in use."""
    port = free_port()
    ask = f"import cluster, sys; sys.exit(not cluster.hold({port}))"
    command = [sys.executable, "-c", ask]
    assert subprocess.run(command, cwd=PROJECT / "scripts", check=False).returncode == 1
    assert is_free(port)


def test_commands_say_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster_module.main(["url", "--name", "test-none"]) == 1
    assert "is not running" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        cluster_module.main(["start", "--name", "../etc"])
    assert ended.value.code == 2
