"""Checks everything about an installation; says what is wrong and what mends it."""

import argparse
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import psycopg
from psycopg import sql

import prerequisites
from console import LOGGER, UserError, database_url, environment, report, set_up_logging
from doctor_checks import (
    ADVICE,
    CHECKS,
    FAILED,
    OK,
    UNCHECKED,
    WARNING,
    WRONG,
    Check,
    Finding,
    Fix,
    Patient,
)
from prerequisites import OWNER, SCHEMA

# Worst first.
STATUSES = {
    FAILED: "check failed",
    WRONG: "wrong",
    UNCHECKED: "not checked",
    WARNING: "warning",
    ADVICE: "advice",
    OK: "ok",
}
CONNECT_SECONDS = 10
LOCK_TIMEOUT = "2s"
Result = tuple[Check, str, list[Finding]]


def from_user_error(error: UserError) -> Finding:
    """Return what another tool refuses to go on with, with the statements of its hint."""
    statements = re.findall(r"^    (.+)$", error.hint, re.MULTILINE)
    words = " ".join(
        line for line in error.hint.splitlines() if line.strip() and not line.startswith("    ")
    )
    fixes = [Fix("sql", text) for text in statements]
    message = str(error).replace("; nothing was changed", "")
    return Finding(WRONG, message, (*([Fix("advice", words)] if words else []), *fixes))


def from_error(error: psycopg.Error, patient: Patient, timeout: int) -> Finding:
    """Return what became of a check that the server broke off."""
    message = f"{error.diag.message_primary or error} (SQLSTATE {error.sqlstate})"
    if isinstance(error, psycopg.errors.QueryCanceled):
        advice = Fix("shell", f"scripts/doctor.py --timeout {10 * timeout}", "gives it more time")
        return Finding(UNCHECKED, f"it took longer than {timeout} s", (advice,))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return Finding(UNCHECKED, f"something holds a lock for over {LOCK_TIMEOUT}: {message}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and not patient.may_act_as_owner:
        role = patient.connection.info.user
        advice = Fix("advice", "Run the doctor as the role that ran migrate, or as a superuser.")
        return Finding(UNCHECKED, f"role {role} may not: {message}", (advice,))
    return Finding(FAILED, f"the check itself failed: {message}")


@contextmanager
def warnings_of(findings: list[Finding]) -> Iterator[None]:
    """Take warnings that other tools log for findings."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: findings.append(  # type: ignore[method-assign]
        Finding(WARNING, record.getMessage())
    )
    LOGGER.addHandler(handler)
    before = LOGGER.handlers[:]
    LOGGER.handlers = [
        other
        for other in before
        if other is handler or not isinstance(other, logging.StreamHandler)
    ]
    LOGGER.addFilter(_show_progress)
    try:
        yield
    finally:
        LOGGER.removeFilter(_show_progress)
        LOGGER.handlers = [other for other in before if other is not handler]


def _show_progress(record: logging.LogRecord) -> bool:
    """Print what a long check says about itself."""
    if record.levelno < logging.WARNING:
        print(record.getMessage(), file=sys.stderr, flush=True)
        return False
    return True


def examine(check: Check, patient: Patient, timeout: int) -> list[Finding]:
    """Run one check in a read-only transaction of its own; what fails is a finding, too."""
    findings: list[Finding] = []
    connection = patient.connection
    try:
        with connection.transaction(force_rollback=True):
            prerequisites.pin_settings(connection)
            connection.execute(f"SET LOCAL statement_timeout = '{timeout}s'")
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            if check.as_owner and patient.may_act_as_owner:
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
            with warnings_of(findings):
                findings.extend(check.look(patient))
    except UserError as error:
        findings.append(from_user_error(error))
    except psycopg.Error as error:
        if connection.closed:
            raise
        findings.append(from_error(error, patient, timeout))
    except Exception as error:
        findings.append(Finding(FAILED, f"the check itself failed: {error!r}"))
    return findings


def is_without_data(patient: Patient) -> bool:
    """Tell whether the package was restored without its rows; False where that can't be seen."""
    try:
        with patient.connection.transaction(force_rollback=True):
            prerequisites.pin_settings(patient.connection)
            if patient.may_act_as_owner:
                patient.connection.execute(
                    sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER))
                )
            prerequisites.refuse_hollow(patient.connection)
    except UserError:
        return True
    except psycopg.Error:
        return False
    return False


def diagnose(url: str, *, with_counts: bool, timeout: int) -> Iterator[Result]:
    """Run all checks, one after the other; yield each with its status and its findings.

    Changes nothing. Raises psycopg.OperationalError where the database can't be reached.
    """
    url = psycopg.conninfo.make_conninfo(url, connect_timeout=CONNECT_SECONDS)
    with prerequisites.connect(url, "doctor") as connection:
        connection.read_only = True
        patient = Patient(
            connection,
            url,
            prerequisites.default_search_path(connection),
            with_counts=with_counts,
        )
        is_installed = patient.value("SELECT true FROM pg_namespace WHERE nspname = %s", SCHEMA)
        if prerequisites.role_exists(connection, OWNER):
            right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
            patient.may_act_as_owner = (
                patient.value("SELECT pg_has_role(%s, %s)", OWNER, right) is True
            )
        connection.commit()
        is_hollow = bool(is_installed) and is_without_data(patient)
        for check in CHECKS:
            if check.needs_package and not is_installed:
                findings = [Finding(UNCHECKED, "teloo-analytics is not installed here")]
            elif check.needs_package and is_hollow:
                findings = [Finding(UNCHECKED, f"schema {SCHEMA} was restored without its data")]
            else:
                findings = examine(check, patient, timeout)
            statuses = {finding.status for finding in findings} or {OK}
            yield check, next(name for name in STATUSES if name in statuses), findings


def summary_of(findings: list[Finding], status: str) -> str:
    """Return the text of a check's line."""
    texts = [finding.message for finding in findings if finding.status == status]
    if status == OK:
        return "; ".join(filter(None, texts))
    more = len([finding for finding in findings if finding.status != OK]) - 1
    return f"{texts[0]}{f' (and {more} more, below)' if more else ''}"


def printed(fix: Fix) -> str:
    """Return a fix as a line to paste."""
    if fix.run == "advice":
        return fix.command
    command = f"$ {fix.command}" if fix.run == "shell" else fix.command
    comment = "#" if fix.run == "shell" else "--"
    return f"{command}  {comment} {fix.note}" if fix.note else command


def print_report(results: Iterator[Result]) -> list[Result]:
    """Print a line for each check as it is done, then what to do; return the results."""
    done = []
    group = ""
    for check, status, findings in results:
        if check.group != group:
            print(f"\n{check.group}" if group else check.group)
            group = check.group
        text = summary_of(findings, status)
        print(f"  {STATUSES[status]:13}{check.name:24} {text}".rstrip(), flush=True)
        done.append((check, status, findings))
    number = 0
    for check, _, findings in done:
        for finding in findings:
            if finding.status == OK:
                continue
            if not number:
                print("\nWhat to do")
            number += 1
            print(f"\n{number}. {STATUSES[finding.status]}, {check.name}: {finding.message}")
            for fix in finding.fixes:
                print(f"     {printed(fix)}")
    return done


def as_json(results: list[Result], database: str) -> str:
    """Return the results for scripts."""
    counts = Counter(status for _, status, _ in results)
    return json.dumps(
        {
            "database": database,
            "status": next((name for name in STATUSES if counts[name]), OK),
            "counts": {name: counts[name] for name in STATUSES},
            "checks": [
                {
                    "group": check.group,
                    "name": check.name,
                    "status": status,
                    "findings": [
                        asdict(finding) for finding in findings if finding.message or finding.fixes
                    ],
                }
                for check, status, findings in results
            ],
        },
        ensure_ascii=False,
        indent=2,
    )


def exit_code(results: list[Result], *, strict: bool) -> int:
    """Return 1 where something is wrong or a check failed, with ``strict`` on a warning too."""
    bad = {WRONG, FAILED, WARNING} if strict else {WRONG, FAILED}
    return int(any(finding.status in bad for _, _, findings in results for finding in findings))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="doctor.py",
        description="Checks everything about an installation and prints what is wrong with the "
        "command that mends it. Changes nothing.",
        epilog="Exit codes: 0 well (advice, warnings, and what could not be checked, are no "
        "failure), 1 something is wrong or a check failed (--strict: or is a warning), "
        "2 wrong usage, or the database can't be reached. "
        "ENVIRONMENT=production also checks what only matters there.",
    )
    parser.add_argument("--database-url", help="connection string; default: DATABASE_URL")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--strict", action="store_true", help="a warning is a failure, too")
    parser.add_argument(
        "--no-counts", action="store_true", help="leave out what counts rows and may take long"
    )
    parser.add_argument(
        "--timeout", type=int, default=30, help="seconds for one statement; default: 30"
    )
    options = parser.parse_args(arguments)
    set_up_logging()
    if not 1 <= options.timeout <= 86400:
        parser.error("--timeout must be from 1 to 86400")
    try:
        environment()
        url = database_url(options.database_url)
        results = diagnose(url, with_counts=not options.no_counts, timeout=options.timeout)
        if options.json:
            done = list(results)
            print(as_json(done, str(psycopg.conninfo.conninfo_to_dict(url).get("dbname", ""))))
        else:
            done = print_report(results)
    except UserError as error:
        report(error)
        return 2
    except psycopg.Error as error:
        report(prerequisites.explained(error))
        return 2
    code = exit_code(done, strict=options.strict)
    if not options.json:
        counts = Counter(status for _, status, _ in done)
        print(
            "\n"
            + ", ".join(f"{counts[name]} {STATUSES[name]}" for name in reversed(STATUSES))
            + (": nothing is wrong" if not code else "")
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
