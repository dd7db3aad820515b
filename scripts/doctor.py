"""Checks everything about an installation; says what is wrong and what mends it."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from checkup.doctor_checks import (
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
    all_checks,
    findings_of,
)
from commandline.console import (
    Parser,
    UserError,
    database_url,
    environment,
    report,
    run_tool,
    safe,
    set_up_logging,
)
from database import prerequisites
from database.prerequisites import ENGINE_SCHEMA, OWNER, SCHEMA

# Worst first.
STATUSES = {
    FAILED: "check failed",
    WRONG: "wrong",
    UNCHECKED: "not checked",
    WARNING: "warning",
    ADVICE: "advice",
    OK: "ok",
}
# The check of the files, and the one that tells whether our tables have their rows.
FILES, DATA = "files", "data"
NOT_INSTALLED = "teloo-analytics is not installed"
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


def from_error(error: psycopg.Error, check: Check, patient: Patient, timeout: int) -> Finding:
    """Return what became of a check that the server broke off."""
    connection = patient.connection
    with connection.transaction(force_rollback=True):
        prerequisites.pin_settings(connection)
        (finding,) = findings_of(
            prerequisites.ask(
                connection,
                "doctor_error",
                p_sqlstate=error.sqlstate,
                p_message=error.diag.message_primary or str(error),
                p_role=connection.info.user,
                p_is_owners=check.as_owner and patient.may_act_as_owner,
                p_seconds=timeout if isinstance(error, psycopg.errors.QueryCanceled) else 0,
            )
        )
    return finding


def examine(check: Check, patient: Patient, timeout: int) -> list[Finding]:
    """Run one check in a read-only transaction of its own; what fails is a finding, too."""
    findings: list[Finding] = []
    connection = patient.connection
    if check.counts_rows and patient.with_counts:
        print(f"{check.name}: counting (--no-counts leaves it out)", file=sys.stderr, flush=True)
    try:
        with connection.transaction(force_rollback=True):
            prerequisites.pin_settings(connection)
            connection.execute(f"SET LOCAL statement_timeout = '{timeout}s'")
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            if (check.as_owner and patient.may_act_as_owner) or patient.must_act_as_owner:
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
            # What it found before an error stays.
            findings.extend(check.look(patient))
    except UserError as error:
        findings.append(from_user_error(error))
    except psycopg.Error as error:
        if connection.closed:
            raise
        findings.append(from_error(error, check, patient, timeout))
    except Exception as error:
        findings.append(Finding(FAILED, f"the check itself failed: {error!r}"))
    return [
        Finding(
            finding.status,
            safe(finding.message),
            tuple(Fix(fix.run, safe(fix.command), fix.note) for fix in finding.fixes),
        )
        for finding in findings
    ]


@contextmanager
def visit(url: str, *, with_counts: bool = True) -> Iterator[Patient]:
    """Connect to the database that is to be looked at; nothing can be changed over this.

    Raises psycopg.OperationalError where it can't be reached.
    """
    url = psycopg.conninfo.make_conninfo(url, connect_timeout=CONNECT_SECONDS)
    with prerequisites.connect(url, "doctor") as connection:
        connection.read_only = True
        prerequisites.refuse_standby(connection)
        patient = Patient(
            connection,
            url,
            prerequisites.default_search_path(connection),
            with_counts=with_counts,
        )
        prerequisites.pin_settings(connection)
        patient.is_installed = bool(
            patient.value(
                "SELECT true FROM pg_class "
                "INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
                "WHERE nspname = %s AND relname = 'migration_ledger'",
                ENGINE_SCHEMA,
            )
        )
        patient.has_doctor = bool(
            patient.value(
                "SELECT true FROM pg_proc "
                "INNER JOIN pg_namespace ON pg_namespace.oid = pronamespace "
                "WHERE nspname = %s AND proname = 'doctor_check'",
                ENGINE_SCHEMA,
            )
        )
        if prerequisites.role_exists(connection, OWNER):
            right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
            patient.may_act_as_owner = (
                patient.value("SELECT pg_has_role(%s, %s)", OWNER, right) is True
            )
        if patient.is_installed and patient.may_act_as_owner:
            patient.must_act_as_owner = not patient.value(
                "SELECT has_schema_privilege(%s, 'USAGE')", ENGINE_SCHEMA
            )
        connection.commit()
        yield patient


def diagnose(
    url: str,
    *,
    with_counts: bool,
    timeout: int,
    only: str | None = None,
    show: Callable[[Iterator[Result]], list[Result]] = list,
) -> list[Result]:
    """Run all checks, or one, and find their causes. Changes nothing.

    ``show`` gets each result as soon as it is there, and returns those that count.
    """
    with visit(url, with_counts=with_counts) as patient:
        return with_causes(show(make_checks(patient, timeout, only)), patient)


def make_checks(patient: Patient, timeout: int, only: str | None) -> Iterator[Result]:
    """Make the checks one after the other.

    Raises UserError where none has the name ``only``.
    """
    checks = all_checks(patient.connection, CHECKS)
    patient.connection.commit()
    names = [check.name for check in checks]
    if only is not None and only not in names:
        raise UserError(f"there is no check {only!r}", "One of: " + ", ".join(names))
    if not patient.is_installed:
        for check in sorted(checks, key=lambda check: check.name != FILES):
            if check.name == FILES:
                yield check, WRONG, [not_installed(patient)]
            elif only in (None, check.name):
                yield check, UNCHECKED, [Finding(UNCHECKED, NOT_INSTALLED)]
        return
    is_empty = False
    for check in checks:
        if only not in (None, check.name) and check.name != DATA:
            continue
        if check.needs_package and is_empty:
            findings = [Finding(UNCHECKED, "teloo-analytics was restored without its data")]
        else:
            findings = examine(check, patient, timeout)
        statuses = {finding.status for finding in findings} or {OK}
        is_empty = is_empty or (check.name == DATA and WRONG in statuses)
        if only in (None, check.name):
            yield check, next(name for name in STATUSES if name in statuses), findings


def not_installed(patient: Patient) -> Finding:
    """Return the one finding about a database without the package."""
    text = f"{NOT_INSTALLED} in database {patient.connection.info.dbname}"
    if patient.value("SELECT true FROM pg_namespace WHERE nspname = %s", SCHEMA):
        return Finding(
            WRONG,
            f"{text}, but there is a schema {SCHEMA}",
            (Fix("shell", "make migrate", "says what to do with it"),),
        )
    return Finding(WRONG, text, (Fix("shell", "make migrate", "installs it"),))


def with_causes(results: list[Result], patient: Patient) -> list[Result]:
    """Give each finding that follows from another one its cause, and each its place."""
    findings = [
        {
            "check": check.name,
            "status": finding.status,
            "message": finding.message,
            "fixes": [fix.line() for fix in finding.fixes],
        }
        for check, _, all_of_it in results
        for finding in all_of_it
    ]
    with patient.connection.transaction(force_rollback=True):
        prerequisites.pin_settings(patient.connection)
        causes = iter(
            prerequisites.ask(patient.connection, "doctor_causes", p_findings=Jsonb(findings))
        )

    def placed(finding: Finding) -> Finding:
        _, cause, place = next(causes)
        text = cause and "{check}: {message}".format(**findings[cause - 1])
        return replace(finding, cause=text or "", place=place)

    return [
        (check, status, [placed(finding) for finding in all_of_it])
        for check, status, all_of_it in results
    ]


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
    """Print a line for each check as it is done; return the results."""
    done = []
    group = ""
    for check, status, findings in results:
        if is_missing(findings):
            # All else follows from it.
            list(results)
            print(f"{findings[0].message}: {findings[0].fixes[0].command}")
            return [(check, status, findings)]
        if any(finding.message == NOT_INSTALLED for finding in findings):
            continue
        if check.group != group:
            print(f"\n{check.group}" if group else check.group)
            group = check.group
        text = summary_of(findings, status)
        print(f"  {STATUSES[status]:13}{check.name:24} {text}".rstrip(), flush=True)
        done.append((check, status, findings))
    return done


def is_missing(findings: list[Finding]) -> bool:
    """Tell whether these are those of a database without the package."""
    return any(
        finding.status == WRONG and finding.message.startswith(NOT_INSTALLED)
        for finding in findings
    )


def print_findings(results: list[Result]) -> None:
    """Print what to do: causes with what follows from them first, then the others."""
    found = [
        (check, finding)
        for check, _, findings in results
        for finding in findings
        if finding.status != OK
    ]
    number = 0
    for check, finding in sorted(found, key=lambda entry: entry[1].place):
        if finding.cause:
            print(f"   hence {check.name}: {finding.message}")
            continue
        number += 1
        if number == 1:
            print("\nWhat to do")
        print(f"\n{number}. {STATUSES[finding.status]}, {check.name}: {finding.message}")
        for fix in finding.fixes:
            print(f"     {printed(fix)}")


def as_json(results: list[Result], database: str) -> str:
    """Return the results for scripts."""
    counts = Counter(status for _, status, _ in results)
    return json.dumps(
        {
            "database": database,
            "status": next((name for name in STATUSES if counts[name]), OK),
            "counts": {name: counts[name] for name in STATUSES},
            "causes": sorted(
                {finding.cause for _, _, findings in results for finding in findings} - {""}
            ),
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
    parser = Parser(
        prog="doctor.py",
        description="Checks everything about an installation and prints what is wrong with the "
        "command that mends it. Changes nothing.",
        epilog="Exit codes: 0 well (advice, warnings, and what could not be checked, are no "
        "failure), 1 something is wrong or a check failed (--strict: or is a warning), "
        "2 wrong usage, or the database can't be reached. "
        "ENVIRONMENT=production also checks what only matters there.",
    )
    parser.add_database_url()
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--strict", action="store_true", help="a warning is a failure, too")
    parser.add_argument(
        "--no-counts", action="store_true", help="leave out what counts rows and may take long"
    )
    parser.add_argument(
        "--timeout", type=int, default=30, help="seconds for one statement; default: 30"
    )
    parser.add_argument("--only", metavar="CHECK", help="make one check, such as 'right to read'")
    options = parser.parse_args(arguments)
    set_up_logging()
    if not 1 <= options.timeout <= 86400:
        parser.error("--timeout must be from 1 to 86400")
    try:
        environment()
        url = database_url(options.database_url)
        done = diagnose(
            url,
            with_counts=not options.no_counts,
            timeout=options.timeout,
            only=options.only,
            show=list if options.json else print_report,
        )
        if options.json:
            print(as_json(done, str(psycopg.conninfo.conninfo_to_dict(url).get("dbname", ""))))
        elif not is_missing(done[0][2]):
            print_findings(done)
    except UserError as error:
        report(error)
        return 2
    except psycopg.Error as error:
        report(prerequisites.explained(error))
        return 2
    code = exit_code(done, strict=options.strict)
    if not options.json and not is_missing(done[0][2]):
        counts = Counter(status for _, status, _ in done)
        print(
            "\n"
            + ", ".join(f"{counts[name]} {STATUSES[name]}" for name in reversed(STATUSES))
            + (": nothing is wrong" if not code else "")
        )
    return code


if __name__ == "__main__":
    run_tool(main)
