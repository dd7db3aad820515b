"""Who may dump the database, and what is restored from a dump that has only part of us."""

import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pytest

import doctor
import migrate as migrate_script
import uninstall as uninstall_script
from checkup.doctor_checks import OK, Finding
from commandline.console import UserError
from conftest import SERVERS, Database, Server, fresh_database, install, made_once, server_of_kind
from database.prerequisites import ROLES
from database.sql_files import SQL_DIRECTORY
from database.test_restore import program
from development.demo_source import load_source_schema
from health.test_problems import RUNBOOK
from marketplace import change, fill
from migrate import migrate
from sequences import refresh, view_differences
from uninstall import uninstall

TAKES_MINUTES = True
SERVERS_TAKE_TURNS = True

NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
HOLLOW = "restored without its data"


@pytest.fixture(scope="module", params=SERVERS)
def role_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that no other test uses: roles are shared by all databases of a server."""
    yield from server_of_kind(request.param)


@pytest.fixture
def owned(role_server: Server) -> Iterator[tuple[Database, str, str]]:
    """A database that a plain role owns and dumps, with its tables; migrated by nobody yet."""
    name, password = role_server.new_name("dumper"), secrets.token_hex(8)
    for database in fresh_database(role_server):
        database.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}'",
            f"ALTER DATABASE {database.name} OWNER TO {name}",
        )
        url = database.url_as(name, password)
        load_source_schema(url)
        yield database, name, url
        uninstall(database.url)
        for role in ROLES:
            database.execute(f"DROP ROLE IF EXISTS {role}")


def dump(database: Database, url: str, *options: str) -> Path:
    """Dump as a role, with three workers where that goes."""
    path = database.cluster.location / f"{database.name}.dump"
    database.cluster.as_server_user("rm", "-rf", path)
    program(database.cluster, url, "pg_dump", "-Fc", "-f", path, *options)
    return path


def statements_of(text: str) -> list[str]:
    return re.findall(r"(?:GRANT|ALTER DEFAULT PRIVILEGES) [^;]+", text)


def findings_of(database: Database, name: str) -> list[Finding]:
    for check, _, findings in doctor.diagnose(database.url, with_counts=False, timeout=120):
        if check.name == name:
            return [finding for finding in findings if finding.status != OK]
    raise AssertionError(name)


def test_migrate_and_doctor_tell_what_lets_the_owner_of_the_database_dump_it_again(
    owned: tuple[Database, str, str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    database, name, url = owned
    dump(database, url).unlink()
    with caplog.at_level(logging.WARNING, "teloo_analytics"):
        caplog.handler.setLevel(logging.WARNING)
        logging.getLogger("teloo_analytics").propagate = True
        migrate(database.url)
    with pytest.raises(UserError, match="pg_dump failed") as refused:
        dump(database, url)
    assert "permission denied for schema " in refused.value.hint
    (warning,) = [text for text in caplog.messages if "pg_dump" in text]
    assert f"as role {name}" in warning
    (finding,) = findings_of(database, "right to dump")
    told = [fix.command.rstrip(";") for fix in finding.fixes if fix.run == "sql"]
    assert told == statements_of(warning)
    database.execute(*told)
    dump(database, url).unlink()
    assert findings_of(database, "right to dump") == []
    # Also after the next version, which has more tables.
    shutil.copytree(SQL_DIRECTORY, tmp_path / "sql")
    (tmp_path / "sql" / "migrations" / "0999_more.sql").write_text(
        "CREATE TABLE kpi_engine.more (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);\n"
    )
    caplog.clear()
    migrate(database.url, directory=tmp_path / "sql")
    assert "pg_dump" not in caplog.text
    dump(database, url).unlink()
    # No more than that: he reads, and can't act as the owner of our objects.
    with database.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM analytics.settings")


def test_a_role_for_backups_is_named_and_one_that_reads_everything_is_not(
    owned: tuple[Database, str, str],
) -> None:
    database, owner, _ = owned
    backup, other = f"backup_{owner}", f"other_{owner}"
    password = secrets.token_hex(8)
    database.execute(
        f"GRANT pg_read_all_data TO {owner}",
        f"CREATE ROLE {backup} LOGIN PASSWORD '{password}'",
        f"CREATE ROLE {other} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {backup}",
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {backup}",
        f"GRANT SELECT ON public.ofertas TO {other}",
    )
    try:
        migrate(database.url)
        dump(database, owned[2]).unlink()
        (finding,) = findings_of(database, "right to dump")
        assert backup in finding.message
        database.execute(*(fix.command for fix in finding.fixes if fix.run == "sql"))
        dump(database, database.url_as(backup, password)).unlink()
        assert findings_of(database, "right to dump") == []
        uninstall(database.url)
        dump(database, database.url_as(backup, password)).unlink()
    finally:
        for role in (backup, other):
            database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


# -- part of us -----------------------------------------------------------------------------------


@pytest.fixture
def working(database: Database) -> Database:
    made_once(database, "twenty changes wait", make_working)
    return database


def make_working(database: Database) -> None:
    install(database)
    with database.session() as connection:
        fill(connection, 7, "A", TODAY)
    refresh(database, NOW)
    with database.session() as connection:
        change(connection, 9, "A", TODAY, count=20)


@contextmanager
def restored(working: Database, server: Server, path: Path, *options: str) -> Iterator[Database]:
    """A new database with what a dump has."""
    name = server.new_name("restored")
    with server.janitor(name):
        database = Database(server.cluster, name)
        program(server.cluster, database.url, "pg_restore", "-d", name, *options, path)
        yield database
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "options",
    [["--schema-only"], ["--exclude-table-data=kpi_engine.*"]],
    ids=["schema only", "without our data"],
)
def test_a_restore_without_our_data_is_recognised_and_installed_anew(
    working: Database,
    server: Server,
    options: list[str],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = dump(working, working.url, *options)
    with restored(working, server, path, "--exit-on-error") as database:
        # The application writes as ever.
        with database.session() as connection:
            if options == ["--schema-only"]:
                fill(connection, 7, "A", TODAY)
            change(connection, 10, "A", TODAY, count=5)
        for statement in (
            "SELECT * FROM analytics.refresh_all_mv()",
            "SELECT * FROM analytics.refresh_all_mv(true)",
            "CALL analytics.rebuild()",
            "CALL analytics.tick()",
            "SELECT analytics.audit()",
            "SELECT * FROM analytics.explain_refresh()",
        ):
            with (
                database.session() as connection,
                pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=HOLLOW),
            ):
                connection.execute(statement.encode())
        with pytest.raises(UserError, match=HOLLOW) as told:
            migrate(database.url)
        assert "make uninstall" in told.value.hint
        assert migrate_script.main(["status", "--database-url", database.url]) == 1
        (finding,) = findings_of(database, "files")
        assert HOLLOW in finding.message
        assert doctor.main(["--database-url", database.url]) == 1
        assert "check itself failed" not in capsys.readouterr().out
        assert uninstall_script.main(["--dry-run", "--database-url", database.url]) == 0
        assert uninstall_script.main(["--database-url", database.url]) == 0
        assert (
            database.rows("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'teloo_analytics%'")
            == []
        )
        assert migrate(database.url)
        assert refresh(database, NOW)[0] == "full"
        assert view_differences(database, NOW) == []


def test_a_restore_without_owners_is_recognised_and_the_doctor_gives_them_back(
    working: Database, server: Server
) -> None:
    path = dump(working, working.url)
    with restored(working, server, path, "--exit-on-error", "--no-owner") as database:
        for command in (migrate, uninstall):
            with pytest.raises(UserError, match="restored without its owners") as told:
                command(database.url)
            assert "\\gexec" in told.value.hint
        rows = "FROM analytics.doctor('installation') WHERE check_name = 'owners'"
        assert database.rows(
            f"SELECT count(*) {rows} AND status = 'wrong' AND message LIKE '%of a superuser%'"
        ) == database.rows(
            "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace IN ("
            "'analytics'::regnamespace, 'kpi_engine'::regnamespace, 'api'::regnamespace)"
        )
        # Each of them can be run: by a superuser, and by a plain owner in their order.
        role, password = server.new_name("restorer"), secrets.token_hex(8)
        database.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE analytics_owner",
            f"ALTER DATABASE {database.name} OWNER TO {role}",
            *(
                str(text).replace("TO analytics_owner", f"TO {role}")
                for (text,) in database.rows(f"SELECT statement {rows}")
            ),
        )
        with database.connect(database.url_as(role, password)) as session:
            for (text,) in session.execute(f"SELECT statement {rows}").fetchall():
                session.execute(text)
        assert database.rows(f"SELECT status {rows}") == [("ok",)]
        database.execute(
            f"ALTER DATABASE {database.name} OWNER TO CURRENT_USER", f"DROP ROLE {role}"
        )
        migrate(database.url)
        assert migrate(database.url) == []
        refresh(database, NOW)
        assert view_differences(database, NOW) == []


@pytest.mark.parametrize(
    "table",
    ["solicitud_facts_*", "month_*", "historica_facts_*", "*_facts_[ab]", "asesor_totals_*"],
)
@pytest.mark.takes_turns(2)
def test_a_restore_without_some_of_our_tables_computes_everything_again(
    working: Database, server: Server, table: str
) -> None:
    path = dump(working, working.url, f"--exclude-table-data=kpi_engine.{table}")
    with restored(working, server, path, "--exit-on-error") as database:
        assert refresh(database, NOW)[0] == "full"
        assert view_differences(database, NOW) == []


@pytest.mark.parametrize("table", ["engine_state", "settings", "migration_ledger", "installation"])
@pytest.mark.takes_turns(2)
def test_a_restore_without_a_table_that_has_to_have_rows_is_recognised(
    working: Database, server: Server, table: str
) -> None:
    path = dump(working, working.url, f"--exclude-table-data=kpi_engine.{table}")
    with restored(working, server, path, "--exit-on-error") as database:
        with pytest.raises(UserError, match=HOLLOW):
            migrate(database.url)
        uninstall(database.url)
        assert migrate(database.url)
        assert refresh(database, NOW)[0] == "full"
        assert view_differences(database, NOW) == []


# -- the operational schema alone -----------------------------------------------------------------


def test_a_dump_of_the_operational_schema_alone_is_restored_without_our_triggers(
    working: Database, server: Server
) -> None:
    """By the commands of the runbook."""
    path = dump(working, working.url, "-n", "public")
    section = RUNBOOK.partition("**The operational schema alone**")[2].partition("make migrate")[0]
    commands = re.findall(r"^(?:psql|createdb|pg_restore) .*$", section, re.MULTILINE)
    assert len(commands) == 4
    name = server.new_name("restored")
    listed = f"{path}.list"
    names = {"public.dump": str(path), "public.list": listed, "teloo": name}
    script = re.sub(
        r"\b(?:public\.dump|public\.list|teloo)\b(?!_)",
        lambda found: names[found[0]],
        "\n".join(commands),
    )
    postgres = Database(server.cluster, "postgres")
    try:
        program(server.cluster, postgres.url, "bash", "-ec", f"{script}\nrm {listed}")
        path.unlink()
        database = Database(server.cluster, name)
        assert migrate(database.url)
        assert refresh(database, NOW)[0] == "full"
        assert view_differences(database, NOW) == []
    finally:
        postgres.execute(f"DROP DATABASE IF EXISTS {name}")


def test_restoring_the_rows_of_the_operational_schema_over_itself_computes_everything_again(
    working: Database,
) -> None:
    path = dump(working, working.url, "-n", "public")
    with working.session() as connection:
        change(connection, 11, "A", TODAY, count=20)
    refresh(working, NOW)
    tables = working.rows(
        "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )[0][0]
    replica = "PGOPTIONS=-c session_replication_role=replica"
    for command in (["pg_restore", "--disable-triggers"], ["env", replica, "pg_restore"]):
        working.execute(f"TRUNCATE {tables}")
        options = ("--data-only", "--exit-on-error", "--single-transaction", "-d", working.name)
        program(working.cluster, working.url, *command, *options, path)
        assert refresh(working, NOW)[0] == "full"
        assert view_differences(working, NOW) == []
        with working.session() as connection:
            change(connection, 12, "A", TODAY, count=20)
        working.execute("CALL analytics.tick()")
        refresh(working, NOW)
        assert view_differences(working, NOW) == []
    path.unlink()


def test_replacing_the_operational_tables_from_a_dump_takes_an_uninstall_first(
    working: Database,
) -> None:
    path = dump(working, working.url, "-n", "public")
    options = ("--clean", "--if-exists", "--exit-on-error", "--single-transaction")
    arguments = (*options, "-d", working.name)
    with pytest.raises(UserError, match="pg_restore failed") as refused:
        program(working.cluster, working.url, "pg_restore", *arguments, path)
    assert "depend" in refused.value.hint
    uninstall(working.url)
    listed = f"{path}.list"
    program(
        working.cluster,
        working.url,
        "bash",
        "-ec",
        f"pg_restore -l {path} | grep -v ' teloo_analytics_' > {listed}; "
        f"pg_restore {' '.join(arguments)} -L {listed} {path}; rm {listed}",
    )
    path.unlink()
    assert migrate(working.url)
    assert refresh(working, NOW)[0] == "full"
    assert view_differences(working, NOW) == []
