"""The client examples of docs/clients.md, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import LOCAL, PROJECT
from gateway_testing import Api

EXAMPLES = dict(
    re.findall(
        r"^```(bash|python|javascript)\n(.*?)^```$",
        (PROJECT / "docs" / "clients.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.mark.parametrize("language", ["bash", "python", "javascript"])
def test_examples_of_the_docs_work(api: Api, tmp_path: Path, language: str) -> None:
    commands = {
        "bash": ["bash", "-e", "-o", "pipefail", "example"],
        "python": [sys.executable, "example"],
        "javascript": ["node", "example.mjs"],
    }
    command = commands[language]
    example = tmp_path / command[-1]
    example.write_text(EXAMPLES[language], encoding="utf-8")
    if language == "javascript":
        (tmp_path / "node_modules").symlink_to(LOCAL / "node" / "node_modules")
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "GATEWAY": api.url,
            "TOKEN": api.token("analytics_operador"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    newest = str(
        api.database.rows("SELECT max(mes)::text FROM analytics.mv_metricas_mensuales")[0][0]
    )
    assert newest in result.stdout
    assert "true" in result.stdout.lower()
    # The best of the city that the example asks for, whichever of the equals it is.
    city = "Bogotá" if language == "bash" else "Cali"
    best = api.database.rows(
        "SELECT asesor_nombre FROM analytics.mv_ranking_asesores "
        f"WHERE analytics.city_key(ciudad) = analytics.city_key('{city}') AND ranking_ciudad = 1"
    )
    assert any(str(name) in result.stdout for (name,) in best), result.stdout
