"""Runs all checks and tests and prints one summary; fails when any of them did not run."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from console import Parser, run_tool

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / ".local" / "venv" / "bin"

LINTERS: dict[str, list[str]] = {
    "ruff check": ["ruff", "check", "--quiet", "."],
    "ruff format": ["ruff", "format", "--check", "--quiet", "."],
    "mypy": ["mypy"],
    "sqlfluff": [
        "sqlfluff",
        "lint",
        "--nocolor",
        "--disable-progress-bar",
        "sql",
        "tests/naive",
        "tests/pgtap",
    ],
}
# Five parts at the same time, each with clusters of its own; a new file is in the last. The second
# and the third wait for pg_cron most of the time.
PARTS = [
    [f"tests/test_{name}.py" for name in names]
    for names in (
        (
            "capture",
            "engine",
            "live",
            "poison",
            "races",
            "sequences",
            "source_indexes",
            "swap",
        ),
        ("backup_rights", "crashes", "cron", "neighbours", "pgbouncer", "restore", "standby"),
        (
            "clock",
            "doctor",
            "notifier",
            "problems",
            "schedule",
            "scheduler_service",
            "strangers",
            "usage",
        ),
        (
            "alert_texts",
            "foreign_code",
            "scripts",
            "secrets",
            "settings",
            "source_binding",
            "writers",
        ),
    )
]
TESTS: dict[str, list[str]] = {
    **{
        f"pytest {number}": ["python", "-m", "pytest", *part]
        for number, part in enumerate(PARTS, start=1)
    },
    f"pytest {len(PARTS) + 1}": [
        "python",
        "-m",
        "pytest",
        *(f"--ignore={path}" for part in PARTS for path in part),
    ],
}


def run(name: str, command: list[str], output: IO[str] | None = None) -> tuple[str, bool, float]:
    """Run one check; return its name, whether it passed, and its seconds."""
    print(f"\n== {name}: {' '.join(command)}", flush=True, file=output)
    started = time.monotonic()
    program = BIN / command[0]
    if not program.exists():
        print(f"{program} is missing: run make install", flush=True, file=output)
        return name, False, 0.0
    result = subprocess.run(
        [str(program), *command[1:]],
        cwd=PROJECT,
        check=False,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
    )
    return name, result.returncode == 0, time.monotonic() - started


def run_together(checks: dict[str, list[str]]) -> list[tuple[str, bool, float]]:
    """Run checks at the same time; show the last as it goes, the others when they are done."""
    *others, last = checks.items()
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        outputs = [stack.enter_context(TemporaryFile("w+")) for _ in others]
        running = [
            pool.submit(run, name, command, output)
            for (name, command), output in zip(others, outputs, strict=True)
        ]
        shown = run(*last)
        results = []
        for future, output in zip(running, outputs, strict=True):
            results.append(future.result())
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout)
        return [*results, shown]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when everything ran and passed, else 1."""
    parser = Parser(
        prog="run_tests.py",
        description="Runs the linters, the type checker and all tests on clusters of their own.",
    )
    parser.add_argument("--lint-only", action="store_true", help="leave the tests out")
    options = parser.parse_args(arguments)
    results = [run(name, command) for name, command in LINTERS.items()]
    if not options.lint_only:
        results += run_together(TESTS)
    print("\n== summary")
    for name, passed, seconds in results:
        print(f"{'passed' if passed else 'FAILED':7} {name:12} {seconds:6.1f} s")
    failed = sum(not passed for _, passed, _ in results)
    print(f"checks: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    run_tool(main)
