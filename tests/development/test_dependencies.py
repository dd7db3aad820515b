"""What is installed is what the repository names: each package by version and checksum."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
CONFIG = PROJECT / "config"
LOCKS = ["requirements.txt", "requirements-test.txt"]


def locked(name: str) -> dict[str, list[str]]:
    """Return the checksums of each package of a lock of Python's."""
    packages: dict[str, list[str]] = {}
    lines = (CONFIG / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = re.match(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?==([^ ;]+)", line)
            assert requirement, f"{name}: no exact version: {line[:80]}"
            packages[requirement[1].lower()] = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return packages


@pytest.mark.parametrize("name", LOCKS)
def test_each_python_package_has_a_version_and_checksums(name: str) -> None:
    packages = locked(name)
    assert packages
    assert [package for package, checksums in packages.items() if not checksums] == []


def test_the_locks_have_what_the_project_names_and_agree() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, test = (locked(name) for name in LOCKS)
    for needs, packages in (
        (project["project"]["dependencies"], runtime),
        (project["dependency-groups"]["test"], test),
    ):
        names = {re.split(r"[\[<>=!~ ]", need)[0].lower() for need in needs}
        assert names <= set(packages), "run make lock"
    # Each version of a package is a set of files: what users run is what the tests ran.
    assert {name: test.get(name) for name in runtime} == runtime


def test_each_npm_package_has_a_checksum() -> None:
    lock = json.loads((CONFIG / "package-lock.json").read_text(encoding="utf-8"))
    wanted = json.loads((CONFIG / "package.json").read_text(encoding="utf-8"))
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", entry["integrity"]), name


def test_installed_packages_fit_together() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout
