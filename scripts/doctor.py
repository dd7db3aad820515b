"""Checks everything about an installation; says what is wrong and what mends it."""

import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import psycopg
from psycopg import sql

import prerequisites
from console import (
    LOGGER,
    Parser,
    UserError,
    database_url,
    environment,
    report,
    run_tool,
    safe,
    set_up_logging,
)
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
from prerequisites import ENGINE_SCHEMA, OWNER, SCHEMA

# Worst first.
STATUSES = {
    FAILED: "check failed",
    WRONG: "wrong",
    UNCHECKED: "not checked",
    WARNING: "warning",
    ADVICE: "advice",
    OK: "ok",
}
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
    message = f"{error.diag.message_primary or error} (SQLSTATE {error.sqlstate})"
    if isinstance(error, psycopg.errors.QueryCanceled):
        advice = Fix("shell", f"scripts/doctor.py --timeout {10 * timeout}", "gives it more time")
        return Finding(UNCHECKED, f"it took longer than {timeout} s", (advice,))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return Finding(UNCHECKED, f"something holds a lock for over {LOCK_TIMEOUT}: {message}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and not (
        check.as_owner and patient.may_act_as_owner
    ):
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


def is_without_data(patient: Patient) -> bool:
    """Tell whether the package was restored without its rows; False where that can't be seen."""
    try:
        with patient.connection.transaction(force_rollback=True):
            prerequisites.pin_settings(patient.connection)
            patient.connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
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
        prerequisites.refuse_standby(connection)
        patient = Patient(
            connection,
            url,
            prerequisites.default_search_path(connection),
            with_counts=with_counts,
        )
        is_installed = patient.value(
            "SELECT true FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = %s AND relname = 'migration_ledger'",
            ENGINE_SCHEMA,
        )
        if prerequisites.role_exists(connection, OWNER):
            right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
            patient.may_act_as_owner = (
                patient.value("SELECT pg_has_role(%s, %s)", OWNER, right) is True
            )
        connection.commit()
        is_hollow = bool(is_installed) and is_without_data(patient)
        for check in (
            CHECKS if is_installed else sorted(CHECKS, key=lambda one: one.name != "files")
        ):
            if not is_installed and check.name == "files":
                findings = [not_installed(patient)]
            elif not is_installed and (check.needs_package or check.group == "roles"):
                findings = [Finding(UNCHECKED, NOT_INSTALLED)]
            elif check.needs_package and is_hollow:
                findings = [Finding(UNCHECKED, "teloo-analytics was restored without its data")]
            else:
                findings = examine(check, patient, timeout)
            statuses = {finding.status for finding in findings} or {OK}
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


# Objects that a message of the server, a check or a statement names as what is not right.
CULPRITS = (
    r"permission denied for (?:table|view|materialized view|schema|function|sequence|relation)"
    r" ([\w.]+)",
    r"may not read .*\b(?:of|in) (?:table|view) ([\w.]+)",
    r'(?:relation|function|schema|role|type|column|view|table) "?([\w.]+)"?'
    r"(?:\([^)]*\))? (?:does not exist|is missing|is gone)",
)
# Of several findings about one object that with a statement for it is the cause.
CAUSES = re.compile(r"\b(GRANT|CREATE|ALTER|make migrate)\b")


def culprit_of(finding: Finding) -> str | None:
    """Return the name, without its schema, of the object that a finding complains of."""
    for pattern in CULPRITS:
        found = re.search(pattern, finding.message)
        if found:
            return found[1].rpartition(".")[2]
    return None


def is_about(finding: Finding, name: str) -> bool:
    """Tell whether a finding names an object, in its message or its statements."""
    texts = [finding.message, *(fix.command for fix in finding.fixes)]
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for text in texts)


def with_causes(results: list[Result]) -> list[Result]:
    """Name for each finding that follows from another one its cause.

    Several checks fail for one lost right, one role or table that is gone. The cause is the
    finding of a check that was made for it, with the statement that mends it; where there is
    none, the first one.
    """
    bad = [
        (check, finding)
        for check, _, findings in results
        for finding in findings
        if finding.status in (WRONG, FAILED, UNCHECKED)
    ]
    cause_of: dict[int, str] = {}
    for name in dict.fromkeys(filter(None, (culprit_of(finding) for _, finding in bad))):
        group = [
            (check, finding)
            for check, finding in bad
            if id(finding) not in cause_of and is_about(finding, name)
        ]
        if len(group) < 2:
            continue
        causes = [
            entry
            for entry in group
            if entry[1].status == WRONG
            and any(CAUSES.search(fix.command) for fix in entry[1].fixes)
            and entry[0].name != "health"
        ]
        # What is missing comes before a right on it.
        first = min(causes or group, key=lambda entry: "is missing" not in entry[1].message)
        for _, finding in group:
            if finding is not first[1]:
                cause_of[id(finding)] = f"{first[0].name}: {first[1].message}"
    return [
        (
            check,
            status,
            [
                replace(finding, cause=cause_of[id(finding)])
                if id(finding) in cause_of
                else finding
                for finding in findings
            ],
        )
        for check, status, findings in results
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
    """Print a line for each check as it is done, then what to do; return the results."""
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
    print_findings(done := with_causes(done))
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
    hence: dict[str, list[str]] = {}
    for check, finding in found:
        if finding.cause:
            hence.setdefault(finding.cause, []).append(f"{check.name}: {finding.message}")
    heads = [(check, finding) for check, finding in found if not finding.cause]
    heads.sort(key=lambda entry: f"{entry[0].name}: {entry[1].message}" not in hence)
    for number, (check, finding) in enumerate(heads, 1):
        if number == 1:
            print("\nWhat to do")
        print(f"\n{number}. {STATUSES[finding.status]}, {check.name}: {finding.message}")
        for fix in finding.fixes:
            print(f"     {printed(fix)}")
        followers = hence.get(f"{check.name}: {finding.message}", [])
        for follower in followers:
            print(f"   hence {follower}")


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
            done = with_causes(list(results))
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
