"""Makes a release: checks everything, then writes the version, its SQL file and META.json."""

import datetime
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from commandline.console import Parser, UserError, report, run_tool, set_up_logging
from database.release_file import pgxn_meta, release_text
from database.version import PYPROJECT, package_version, version_key

PROJECT = PYPROJECT.parent
RELEASES = PROJECT / "releases"
CHANGELOG = PROJECT / "CHANGELOG.md"
META = PROJECT / "META.json"
# It tells users which file to install.
INSTALLING = PROJECT / "docs" / "installing.md"
UNRELEASED = "## [Unreleased]"
CHECKS = {
    "all": ["scripts/run_tests.py"],
    "lint": ["scripts/run_tests.py", "--lint-only"],
    "none": [],
}


def file_of(version: str) -> Path:
    """Return the path of the file of a release."""
    return RELEASES / f"teloo-analytics--{version}.sql"


def released() -> list[str]:
    """Return the versions that have a file, the oldest first."""
    names = [path.stem.removeprefix("teloo-analytics--") for path in RELEASES.glob("*--*.sql")]
    return sorted(names, key=version_key)


def git(*arguments: str) -> str:
    """Return what git says."""
    result = subprocess.run(
        ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise UserError(f"git {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout.strip()


def section(changelog: str, heading: str) -> str | None:
    """Return what stands under a heading of the changelog; None where there is no such heading."""
    found = re.search(
        rf"^{re.escape(heading)}[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    return found[1].strip() if found else None


def problems(version: str) -> list[str]:
    """Return why this version can't be released now."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        return [f"{version!r} is no version: three numbers, such as 0.1.0"]
    found = []
    changed = git("status", "--porcelain")
    if changed:
        found.append(f"the tree is not clean: commit or remove\n{changed}")
    if file_of(version).exists():
        found.append(f"{version} is released: releases/{file_of(version).name} is never edited")
    elif released() and version_key(version) < version_key(released()[-1]):
        found.append(f"{released()[-1]} is released, and newer than {version}")
    if version_key(version) < version_key(package_version()):
        found.append(f"pyproject.toml has the newer version {package_version()}")
    if git("tag", "--list", f"v{version}"):
        found.append(f"the tag v{version} is there")
    text = CHANGELOG.read_text(encoding="utf-8")
    own, open_section = section(text, f"## [{version}]"), section(text, UNRELEASED)
    if own is None and not open_section:
        found.append(f"CHANGELOG.md says nothing under [Unreleased] or [{version}]")
    elif own == "":
        found.append(f"CHANGELOG.md says nothing under [{version}]")
    elif own and open_section:
        found.append(f"CHANGELOG.md has changes under [Unreleased] and under [{version}]")
    return found


def check(which: str) -> None:
    """Run the checks; UserError where one fails."""
    if not CHECKS[which]:
        return
    # Each test with all its parameters, whatever day it is.
    result = subprocess.run(
        [sys.executable, *CHECKS[which]],
        cwd=PROJECT,
        env={**os.environ, "TELOO_TURN": ""},
        check=False,
    )
    if result.returncode:
        raise UserError("a check failed; nothing was written", "Mend it, then make release again.")


def write(version: str) -> list[str]:
    """Write all files of a release; return what was done."""
    done = []
    # Made first: it fails with nothing written.
    made = release_text(version)
    text = PYPROJECT.read_text(encoding="utf-8")
    description = str(tomllib.loads(text)["project"]["description"])
    if package_version() != version:
        text = re.sub(r'^version = "[^"]*"', f'version = "{version}"', text, count=1, flags=re.M)
        PYPROJECT.write_text(text, encoding="utf-8")
        done.append(f"pyproject.toml: version {package_version()} became {version}")
    text = CHANGELOG.read_text(encoding="utf-8")
    if section(text, f"## [{version}]") is None:
        today = datetime.datetime.now(datetime.UTC).date()
        heading = f"{UNRELEASED}\n\n## [{version}] - {today}"
        CHANGELOG.write_text(text.replace(UNRELEASED, heading, 1), encoding="utf-8")
        done.append(f"CHANGELOG.md: [Unreleased] became [{version}]")
    path = file_of(version)
    text = INSTALLING.read_text(encoding="utf-8")
    named = re.sub(r"teloo-analytics--[0-9.]+\.sql", path.name, text)
    if named != text:
        INSTALLING.write_text(named, encoding="utf-8")
        done.append(f"docs/installing.md: names {path.name}")
    META.write_text(
        pgxn_meta(version, description, path.relative_to(PROJECT).as_posix()), encoding="utf-8"
    )
    done.append("META.json: written for PGXN")
    RELEASES.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(made)
    done.append(f"releases/{path.name}: written, {len(made.encode()) // 1024} KB")
    return done


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(
        prog="release.py",
        description="Makes a release: the version in pyproject.toml, its section of CHANGELOG.md, "
        "its name in docs/installing.md, releases/teloo-analytics--VERSION.sql and META.json. "
        "It commits nothing.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage.",
    )
    parser.add_argument("version", help="such as 0.1.0")
    parser.add_argument(
        "--checks",
        choices=list(CHECKS),
        default="all",
        help="what is run before: all linters and tests (default), the linters, or nothing",
    )
    options = parser.parse_args(arguments)
    set_up_logging()
    try:
        found = problems(options.version)
        if found:
            raise UserError(f"{options.version} was not released", "\n".join(found))
        check(options.checks)
        done = write(options.version)
    except UserError as error:
        return report(error)
    for line in done:
        print(line)
    if options.checks != "all":
        print("not run: the tests. make test")
    print(
        "now: .local/venv/bin/pytest -n0 tests/database/test_release.py, which upgrades from this "
        f"file too; then git add -A && git commit -m 'Release {options.version}' && "
        f"git tag v{options.version}"
    )
    return 0


if __name__ == "__main__":
    run_tool(main)
