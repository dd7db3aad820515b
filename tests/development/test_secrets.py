"""No script, log or error shows a password; a reader that goes away ends a script silently."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import digest
import doctor
import gateway
import migrate
import notifier
import openapi
import scheduler
import source_indexes
import uninstall
from commandline import console
from conftest import Database, Server
from development.demo_source import load_source_schema

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SECRET = "S3CRET"  # noqa: S105
# Typing errors in connection strings; the ports that are right answer nobody.
TYPING_ERRORS = (
    "postgresql+asyncpg://me:S3CRET@127.0.0.1/d",
    "postgresql+psycopg2://me:S3CRET@127.0.0.1:1/d",
    "jdbc:postgresql://127.0.0.1/d?user=me&password=S3CRET",
    "mysql://me:S3CRET@127.0.0.1/d",
    "postgresql://me:S3CRET%@127.0.0.1:1/d",
    "postgresql://me:%ZZS3CRET@127.0.0.1:1/d",
    "postgresql://me:%00S3CRET@127.0.0.1:1/d",
    "postgresql://me:p@S3CRET@127.0.0.1:1/d",
    "postgresql://me:S3CRET@x@127.0.0.1:1/d",
    "postgresql://me:S3CRET/x@127.0.0.1:1/d",
    "postgresql://me:12/S3CRET@127.0.0.1:1/d",
    "postgresql://me:1?S3CRET@127.0.0.1:1/d",
    "postgresql://me:[S3CRET@127.0.0.1:1/d",
    "postgresql://me:a S3CRET@127.0.0.1:1/d",
    "postgresql://me:S3CRET @127.0.0.1:1/d",
    "postgresql://me:S3CRET@127.0.0.1:1/d\n",
    " postgresql://me:S3CRET@127.0.0.1:1/d",
    '"postgresql://me:S3CRET@127.0.0.1:1/d"',
    "me:S3CRET@127.0.0.1/d",
    "postgresql:/me:S3CRET@127.0.0.1:1/d",
    "postgresql://me%3AS3CRET@127.0.0.1:1/d",
    "postgresql://me:S3CRET@127.0.0.1:port/d",
    "postgresql://me@127.0.0.1:1/d?pasword=S3CRET",
    "postgresql://me@127.0.0.1:1/d?password=a&S3CRET",
    "host=127.0.0.1 port=1 user=me password='S3CRET",
    "host=127.0.0.1 port=1 user=me password=a S3CRET",
    "host=127.0.0.1 port=1 user=me pasword=S3CRET",
    "host=127.0.0.1 port=1 user=me password = S3CRET dbname",
    "host=127.0.0.1 port=1 dbname='postgresql://me:S3CRET@h/d'",
    "postgresql://me:S3CRET@127.0.0.1:1/d?sslmode=S3CRET",
    # Nothing is wrong with these, but nobody answers.
    "postgresql://me:S3CRET@127.0.0.1:1/d",
    "host=127.0.0.1 port=1 user=me password='S3CRET' dbname=d",
)
TOOLS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "doctor": (doctor.main, []),
    "doctor as JSON": (doctor.main, ["--json"]),
    "migrate": (migrate.main, []),
    "dry run": (migrate.main, ["--dry-run"]),
    "status": (migrate.main, ["status"]),
    "uninstall": (uninstall.main, []),
    "indexes": (source_indexes.main, []),
    "scheduler": (scheduler.main, ["--once"]),
    "notifier": (notifier.main, ["--once"]),
    "digest": (digest.main, ["preview", "--frequency", "daily"]),
    "openapi": (openapi.main, []),
    "render": (gateway.main, ["render", "--directory"]),
}


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide only what this test's environment names."""
    monkeypatch.setattr(console, "_secrets", {})
    monkeypatch.setattr(console.LOGGER, "handlers", [])


def said(run: Callable[[], int], capfd: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Run a tool's main(); return its exit code and all that it wrote."""
    try:
        code: object = run()
    except SystemExit as ended:
        code = ended.code
    written = capfd.readouterr()
    return code, written.out + written.err


@pytest.mark.parametrize("production", [False, True], ids=["development", "production"])
@pytest.mark.parametrize("tool", TOOLS)
def test_no_script_shows_the_password_of_a_connection_string_however_it_is_written(
    tool: str,
    production: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    main, options = TOOLS[tool]
    if tool == "render":
        options = [*options, str(tmp_path / "api")]
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "http://127.0.0.1:1/hook")
    if production:
        monkeypatch.setenv("ENVIRONMENT", "production")
    for url in TYPING_ERRORS:
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("ADMIN_DATABASE_URL", url)
        code, text = said(lambda: main(options), capfd)
        assert code in (1, 2), (url, text)
        assert SECRET not in text, url
        assert text.strip()
        assert "Traceback" not in text, url


@pytest.mark.parametrize("url", TYPING_ERRORS)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--database-url"],
        ["--database-url="],
        ["--databse-url"],
        ["--databse-url="],
        [],
        ["status"],
    ],
    ids=["option", "with =", "mistyped option", "mistyped with =", "alone", "second"],
)
def test_no_connection_string_on_the_command_line_is_shown(
    url: str, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    if arguments and arguments[-1].endswith("="):
        given = [*arguments[:-1], arguments[-1] + url]
    else:
        given = [*arguments, url]
    for main in (migrate.main, doctor.main):
        code, text = said(lambda main=main: main(given), capfd)  # type: ignore[misc]
        assert code in (1, 2)
        assert SECRET not in text


def test_an_error_that_nobody_expected_shows_no_password() -> None:
    program = (
        "import logging\nfrom commandline import console\n"
        "def main():\n"
        "    console.set_up_logging()\n"
        "    console.LOGGER.warning('asked for %s', 'postgresql://me:' + 'S3CRET@h/d')\n"
        "    try:\n"
        "        raise ValueError('PGPASSWORD was ' + 'oth' + 'er-S3C')\n"
        "    except ValueError:\n"
        "        console.LOGGER.exception('ALTER ROLE a PASSWORD ' + \"'S3CRET'\")\n"
        "    raise RuntimeError('http://bob:' + 'S3CRET@proxy')\n"
        "console.run_tool(main)\n"
    )
    for production in ("development", "production"):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONPATH": str(SCRIPTS),
                "PGPASSWORD": "other-S3C",
                "ENVIRONMENT": production,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert "RuntimeError" in ended.stderr
        assert "asked for postgresql://me:***@h/d" in ended.stderr
        assert "S3C" not in ended.stderr.replace("ALTER ROLE a PASSWORD ' +", "").replace(
            "'oth' + 'er-S3C'", ""
        ), ended.stderr


def test_a_connection_string_that_works_is_used_as_it_is() -> None:
    for url in (
        "postgresql://me:S3CRET#x@127.0.0.1:1/d",
        "postgresql://me:a:b@127.0.0.1:1,127.0.0.1:2/d?target_session_attrs=any",
        "postgresql://[::1]:5432/d",
        "postgresql:///d?host=/var/run/postgresql",
        "postgres://me%40tenant:S3CRET%40x@db.example/d%40x",
        "postgresql://me:S3CRET@db.example/d@x",
        "host=/var/run/postgresql dbname=d password='it\\'s'",
        "service=teloo",
        "dbname=teloo",
    ):
        assert console.checked_url(url) == url


def test_other_words_than_the_password_stay(capfd: pytest.CaptureFixture[str]) -> None:
    console.checked_url("postgresql://teloo:teloo@127.0.0.1:1/teloo")
    console.checked_url("postgresql://ana:secret@127.0.0.1:1/teloo")
    console.set_up_logging()
    console.LOGGER.info("database teloo: the JWT secret; password authentication failed for ana")
    assert "teloo: the JWT secret; password authentication failed" in capfd.readouterr().err


def test_what_a_mail_server_repeats_of_a_login_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_SMTP_URL", "smtp://ana:S3%43RET-x@mail.example:587")
    console.hide_secrets_of_environment()
    plain = base64.b64encode(b"\0ana\0S3CRET-x").decode()
    login = base64.b64encode(b"S3CRET-x").decode()
    text = console.safe(f"501 AUTH PLAIN {plain}; {login}; S3CRET-x; S3%43RET-x")
    assert text == "501 AUTH PLAIN ***; ***; ***; ***"


def test_the_address_of_a_webhook_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "ALERT_WEBHOOK_URL", "https://hooks.example/services/T0001/abcdefghij-KLMNOP"
    )
    console.hide_secrets_of_environment()
    for text in (
        "for url 'https://hooks.example/services/T0001/abcdefghij-KLMNOP'",
        "no route /services/T0001/abcdefghij-KLMNOP",
        "abcdefghij-KLMNOP is unknown",
    ):
        assert "KLMNOP" not in console.safe(text)


def test_render_and_check_hand_no_wrong_connection_string_to_postgrest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """PostgREST's log would show it."""
    for name in gateway.RENDERED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x" * 40)
    (tmp_path / "database-uri").write_text("postgresql+asyncpg://me:S3CRET@h/d")
    code, text = said(lambda: gateway.main(["check", "--directory", str(tmp_path)]), capfd)
    assert (code, "database-uri is not right" in text, SECRET in text) == (1, True, False)


@pytest.fixture(scope="module")
def installed(system_server: Server) -> Iterator[Database]:
    """One installation for all tests of pipes."""
    name = system_server.new_name("pipes")
    with system_server.janitor(name):
        database = Database(system_server.cluster, name)
        load_source_schema(database.url)
        migrate.migrate(database.url)
        yield database


def ended_with(command: str, url: str) -> tuple[int, str]:
    """Run a pipe by bash; return the exit code of its first part and what stderr says."""
    ended = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=SCRIPTS,
        env={**os.environ, "DATABASE_URL": url, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stderr


def nobody_reads(command: str, url: str) -> tuple[int, str]:
    """Run a command by bash into a pipe whose other end is closed already."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(
            ["bash", "-c", f"{command}; exit $?"],
            cwd=SCRIPTS,
            env={**os.environ, "DATABASE_URL": url, "PYTHON": sys.executable},
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write_end)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    "script",
    [
        "doctor.py --no-counts",
        "doctor.py --no-counts --json",
        "doctor.py --help",
        "migrate.py status",
        "migrate.py --help",
        "source_indexes.py --list",
        "openapi.py",
        "uninstall.py --help",
        "notifier.py --help",
        "gateway.py --help",
        "jwt_token.py --help",
    ],
)
@pytest.mark.takes_turns(3)
def test_a_script_whose_reader_goes_away_ends_silently_with_141(
    installed: Database, script: str
) -> None:
    # Nobody reads: the other end is closed before the first word.
    assert ended_with(f"$PYTHON {script} | true", installed.url)[0] in (141, 0, 3)
    assert nobody_reads(f"$PYTHON {script}", installed.url) == (141, "")


def test_migrate_finishes_when_only_its_messages_are_cut_off(installed: Database) -> None:
    installed.execute("DROP FUNCTION analytics.usage_advice()")
    assert nobody_reads("$PYTHON migrate.py 2>&1", installed.url)[0] == 141
    assert installed.rows("SELECT to_regproc('analytics.usage_advice') IS NOT NULL") == [(True,)]
