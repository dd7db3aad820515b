"""What confines PostgREST and nginx: users, rights on files, memory, system calls."""

import base64
import configparser
import contextlib
import hmac
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import gateway
from cluster import PROJECT
from gateway import CONFIG, Settings
from gateway_testing import Api, started
from jwt_token import AUDIENCE

TAKES_MINUTES = True
LECTOR = "analytics_lector"
UNITS = sorted((CONFIG / "systemd").glob("*.service"))


def service(unit: Path) -> dict[str, list[str]]:
    """Return the section Service of a unit; a setting may come more than once."""

    class Values(dict[str, object]):
        def __setitem__(self, key: str, value: object) -> None:
            if isinstance(value, list) and key in self:
                self[key].extend(value)  # type: ignore[attr-defined]
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Values, strict=False)  # type: ignore[arg-type]
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text(encoding="utf-8"))
    return {name: str(value).split("\n") for name, value in parser["Service"].items()}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_unit_is_confined(unit: Path) -> None:
    settings = service(unit)
    assert int(settings["MemoryMax"][0].removesuffix("M")) <= 1280
    assert settings["MemorySwapMax"] == ["0"]
    assert settings["UMask"] == ["0077"]
    assert settings["SystemCallFilter"][0] == "@system-service"
    assert "~@privileged" in settings["SystemCallFilter"][1]
    assert settings["CapabilityBoundingSet"] == [""]
    assert settings["NoNewPrivileges"] == ["yes"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_each_unit_little_exposed(unit: Path) -> None:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: it is in the package systemd"
    result = subprocess.run(
        [program, "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_nginx_and_postgrest_are_different_users() -> None:
    users = [service(unit)["User"] for unit in UNITS]
    assert len({user for (user,) in users}) == len(UNITS)
    for unit in UNITS:
        assert service(unit)["User"] == service(unit)["Group"]
    # systemd would give a common folder to the one that starts last.
    assert "StateDirectory" not in service(CONFIG / "systemd" / "teloo-postgrest.service")
    nginx = service(CONFIG / "systemd" / "teloo-gateway.service")
    assert nginx["StateDirectory"] == ["teloo-analytics/gateway"]


def test_what_nginx_writes_is_beside_what_it_reads_and_secrets_are_closed(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://analytics_authenticator:x@127.0.0.1/x")
    monkeypatch.setenv("ADMIN_DATABASE_URL", api.database.url)
    target = tmp_path / "rendered"
    assert gateway.main(["render", "--directory", str(target)]) == 0
    for name in ("jwt-secret", "database-uri"):
        assert (target / name).stat().st_mode & 0o007 == 0
    readable = ["nginx.conf", "postgrest.conf", "static/openapi.json", "static/docs/index.html"]
    (style,) = target.glob("static/assets/*/style.css")
    for name in (*readable, "static/index.html", str(style.relative_to(target))):
        assert (target / name).stat().st_mode & 0o004
    for folder in (target, target / "static", target / "static" / "docs"):
        assert folder.stat().st_mode & 0o005 == 0o005
    written = re.findall(
        r"^\s*(?:pid|error_log|access_log|\w+_temp_path|proxy_cache_path) (/\S+?);?(?:\s|$)",
        (target / "nginx.conf").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(written) >= 9
    assert all(path.startswith(f"{target}/gateway/") for path in written)
    commands = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    assert "chown root:teloo-postgrest" in commands
    assert "useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin teloo-gateway" in (
        commands
    )


def test_a_signed_token_with_a_huge_number_does_not_fill_the_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent to PostgREST itself, past the gateway: its heap is limited, as in its unit.

    The heap is a third of the unit's, which takes half a minute to fill. make test-long fills it.
    """

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    postgrest = service(CONFIG / "systemd" / "teloo-postgrest.service")
    assert postgrest["Environment"] == [f"GHCRTS={gateway.POSTGREST_HEAP}"]
    heap = int(gateway.POSTGREST_HEAP.removeprefix("-M").removesuffix("m"))
    limit = int(postgrest["MemoryMax"][0].removesuffix("M")) * 1024
    if not os.environ.get("TELOO_LONG"):
        heap //= 3
        monkeypatch.setattr(gateway, "POSTGREST_HEAP", f"-M{heap}m")
    claims = json.dumps({"role": LECTOR, "aud": AUDIENCE, "exp": "@"}).replace('"@"', "1e999999999")
    text = f"{encoded(json.dumps({'alg': 'HS256'}).encode())}.{encoded(claims.encode())}"
    secret = api.gateway.secret().encode()
    token = f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"
    with started(api.database, "heap", Settings(workers="1")) as other:
        pid = other.gateway.pid("postgrest")
        assert pid
        port = other.gateway.ports["postgrest"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        with contextlib.suppress(http.client.HTTPException, OSError):
            connection.request(
                "GET", "/mv_metricas_mensuales", headers={"Authorization": f"Bearer {token}"}
            )
            assert connection.getresponse().status != 200
        connection.close()
        # The client has gone. PostgREST answers nobody until its heap is full. Then it answers
        # again, or it ends, and the unit starts it again.
        peak, deadline = 0, time.monotonic() + 180
        while True:
            assert time.monotonic() < deadline, "it still answers nobody"
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            except (FileNotFoundError, ProcessLookupError):
                break
            # A process that has ended and is not waited for has no memory.
            now = re.search(r"VmHWM:\s+(\d+) kB", status)
            if not now:
                break
            peak = int(now[1])
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
            with (
                contextlib.closing(client),
                contextlib.suppress(http.client.HTTPException, OSError),
            ):
                client.request("GET", "/")
                client.getresponse()
                break
        assert heap * 1024 < peak < limit, "it never reached the number, or took too much"
        other.gateway.restart("postgrest")
        assert other.get("/rest/mv_metricas_mensuales?limit=1", LECTOR).status == 200
