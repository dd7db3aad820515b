"""A release as one SQL file: it equals make migrate, upgrades, and leaves nothing half done."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from conftest import SERVERS, Database, Server, server_of_kind
from development.demo_source import load_source_schema
from installations import differences, installation
from marketplace import load_schema_b
from migrate import migrate

PASSWORD = "secret"  # noqa: S105
OWNER_OF_DATABASE = "duena"


@pytest.fixture(scope="module", params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this module's own: nobody has made the roles yet."""
    for server in server_of_kind(request.param):
        Database(server.cluster, "postgres").execute(
            f"CREATE ROLE {OWNER_OF_DATABASE} LOGIN CREATEROLE PASSWORD '{PASSWORD}'"
        )
        yield server


def psql(database: Database, file: object, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["psql", "-X", "-f", str(file), *arguments, database.url_as(OWNER_OF_DATABASE, PASSWORD)],
        capture_output=True, text=True, check=False,
    )


def test_quick(own_server, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", "production")
    dbs = []
    for n in ("one", "two"):
        name = own_server.new_name(n)
        Database(own_server.cluster, "postgres").execute(f"CREATE DATABASE {name} OWNER {OWNER_OF_DATABASE}")
        d = Database(own_server.cluster, name)
        load_source_schema(d.url_as(OWNER_OF_DATABASE, PASSWORD))
        dbs.append(d)
    r = psql(dbs[0], "/tmp/rel/teloo.sql", "-1")
    print(r.stdout[-2000:], r.stderr[-3000:])
    assert r.returncode == 0
    dbs[0].execute("SET ROLE duena; CALL analytics.apply_change_capture()") if 0 else None
    ch = migrate(dbs[1].url_as(OWNER_OF_DATABASE, PASSWORD))
    c2 = migrate(dbs[0].url_as(OWNER_OF_DATABASE, PASSWORD))
    print("second", c2)
    d = differences(installation(dbs[0]), installation(dbs[1]))
    print(len(d)); print("\n".join(d[:60]))
    assert not d
