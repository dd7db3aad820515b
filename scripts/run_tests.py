"""Runs all checks and tests and prints one summary; fails when any of them did not run."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path

from commandline.console import Parser, run_tool

PROJECT = Path(__file__).resolve().parent.parent
BIN = PROJECT / ".local" / "venv" / "bin"
# The programs that check the page's JavaScript.
NODE_BIN = PROJECT / ".local" / "node" / "node_modules" / ".bin"

LINTERS: dict[str, list[str]] = {
    "ruff check": ["ruff", "check", "--quiet", "."],
    "ruff format": ["ruff", "format", "--check", "--quiet", "."],
    "mypy": ["mypy"],
    "sqlfluff": [
        "sqlfluff",
        "lint",
        "--nocolor",
        *("--disable-progress-bar", "--processes", "0"),
        "sql",
        "tests/naive",
        "tests/pgtap",
    ],
    # migrate runs all in one transaction, and waits for locks by its own rules.
    "squawk": [
        "squawk",
        *("--pg-version", "15", "--assume-in-transaction", "--reporter", "gcc"),
        "--exclude",
        "require-lock-timeout,require-statement-timeout,"
        # In one transaction no index can be made concurrently. These are our own tables.
        "require-concurrent-index-creation,"
        # For counters and days: an integer is enough.
        "prefer-bigint-over-int,prefer-bigint-over-smallint",
        "sql/migrations/*.sql",
    ],
    "tsc": ["tsc", "-p", "config/web/tsconfig.json"],
    "eslint": ["eslint", "--config", "config/web/eslint.config.mjs", "--max-warnings", "0", "web"],
    "prettier": [
        "prettier",
        "--config",
        "config/web/prettier.json",
        *("--check", "--log-level", "warn"),
        *("web", "config/web"),
    ],
}
# Each worker runs whole files, for one of the servers, on clusters of its own. More of them than
# cores: some wait for the minute of pg_cron. tests/conftest.py puts what takes minutes first.
WORKERS = min(8, max(4, 2 * (os.cpu_count() or 1) + 1))
PYTEST = [
    *("python", "-m", "pytest", "-n", str(WORKERS)),
    *("--dist", "loadscope", "--no-loadscope-reorder"),
]
# pytest rewrites each test file before it compiles it. While the linters run, one process does it
# for all workers.
COMPILE = ["python", "-m", "pytest", "--collect-only", "--quiet"]
# Tests that take turns run each day with another part of their parameters (tests/conftest.py).
TURN = str(date.today().toordinal())
# What the long run does more of: each kill 25 times, 300 permutations, all parameters.
LONG_SETTINGS = {
    "TELOO_LONG": "1",
    "TELOO_TURN": "",
    "TELOO_KILLS": os.environ.get("TELOO_KILLS", "25"),
    "TELOO_PERMUTATIONS": os.environ.get("TELOO_PERMUTATIONS", "300"),
}
KILLED = "test_nothing_is_lost_or_counted_twice_when_a_part_is_killed"
LONG = [
    "tests/faults/test_crash_matrix.py",
    f"tests/capture/test_subscriber.py::{KILLED}",
    f"tests/hub/test_sites.py::{KILLED}",
    "tests/schedule/test_slots.py",
    "tests/faults/test_server_faults.py",
    "tests/faults/test_permutations.py",
]
# A verdict in two minutes: everything that computes, by the oracle, on one server and on the other.
FAST = [
    "tests/database/test_pgtap.py",
    "tests/kpis/test_golden.py",
    "tests/kpis/test_exactness.py::test_views_equal_the_oracle_on_each_server",
    "tests/kpis/test_exactness.py::test_an_empty_source_gives_no_rows_and_no_error",
    "tests/kpis/test_exactness.py::test_city_key_is_the_oracle_s_for_every_nasty_spelling",
    "tests/kpis/test_exactness.py::test_the_oracle_tells_a_wrong_cell_from_a_right_one",
]


def run(name: str, command: list[str]) -> tuple[str, bool, float]:
    """Run one check; return its name, whether it passed, and its seconds."""
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    program = (NODE_BIN if command[0] in ("tsc", "eslint", "prettier") else BIN) / command[0]
    if not program.exists():
        print(f"{program} is missing: run scripts/install.sh --test", flush=True)
        return name, False, 0.0
    result = subprocess.run(
        [str(program), *command[1:]], cwd=PROJECT, env=environment(), check=False
    )
    return name, result.returncode == 0, time.monotonic() - started


def environment() -> dict[str, str]:
    """Return the caller's environment, but Python keeps what it compiled, below .local/."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {
        "TELOO_TURN": TURN,
        **kept,
        "PYTHONPYCACHEPREFIX": str(PROJECT / ".local" / "pycache"),
    }


def tests_that_take_turns() -> list[str]:
    """Return the test files of which `make test` leaves out a part, as paths in the project."""
    return [
        str(file.relative_to(PROJECT))
        for file in sorted((PROJECT / "tests").rglob("test_*.py"))
        if re.search(r"^SERVERS_TAKE_TURNS|\.takes_turns", file.read_text(encoding="utf-8"), re.M)
    ]


@contextmanager
def compiling() -> Iterator[None]:
    """Meanwhile, compile the tests. What is wrong with them, the run of the tests itself says."""
    program = BIN / COMPILE[0]
    if not program.exists():
        yield
        return
    with subprocess.Popen(
        [str(program), *COMPILE[1:]],
        cwd=PROJECT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        yield


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when everything ran and passed, else 1."""
    parser = Parser(
        prog="run_tests.py",
        description="Runs the linters, the type checker and all tests on clusters of their own.",
    )
    parser.add_argument("--lint-only", action="store_true", help="leave the tests out")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="of the tests only pgTAP, the golden data and a few marketplaces: two minutes",
    )
    parser.add_argument(
        "--long",
        action="store_true",
        help="instead: daily slots over 10 years, each kill 25 times, all turns of tests, in hours",
    )
    options = parser.parse_args(arguments)
    if options.long:
        os.environ.update(LONG_SETTINGS)
        _, passed, _ = run("pytest", [*PYTEST, *LONG, *tests_that_take_turns()])
        return 0 if passed else 1
    with nullcontext() if options.lint_only else compiling():
        results = [run(name, command) for name, command in LINTERS.items()]
    if not options.lint_only:
        results.append(run("pytest", [*PYTEST, *(FAST if options.fast else [])]))
    print("\n== summary")
    for name, passed, seconds in results:
        print(f"{'passed' if passed else 'FAILED':7} {name:12} {seconds:6.1f} s")
    failed = sum(not passed for _, passed, _ in results)
    print(f"checks: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    run_tool(main)
