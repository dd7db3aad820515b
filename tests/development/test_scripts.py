"""What the command-line tools say: causes first, what is lost, who is in the way, where it is."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import psycopg
import pytest

import doctor
import migrate as migrate_module
import uninstall
from cluster import PROJECT, Cluster
from commandline import console
from commandline.console import UserError
from conftest import TEST_SETTINGS, Database, Server
from database import capture
from development.bench_data import SEVEN, VIEWS, files_without
from development.bench_report import Record, Result
from development.demo_source import load_source_schema
from migrate import migrate
from source_indexes import build_missing

SYSTEM_SERVER_IS_ENOUGH = True
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no handler of an earlier test write into a stream that is closed."""
    monkeypatch.setattr(console.LOGGER, "handlers", [])


def diagnosis(url: str, *options: str) -> tuple[int, str]:
    """Run the doctor; return its exit code and its report."""
    output = io.StringIO()
    with redirect_stdout(output):
        code = doctor.main(["--database-url", url, "--no-counts", *options])
    return code, output.getvalue()


def login(database: Database, name: str, *rights: str) -> str:
    """Make a role that may log in, with rights; return its connection string."""
    role = f"{name}_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'", *(right.format(role=role) for right in rights)
    )
    return database.url_as(role, "pw")


# -- doctor ------------------------------------------------------------------------------------


def test_doctor_of_a_database_without_the_package_says_one_line(database: Database) -> None:
    code, text = diagnosis(database.url)
    assert code == 1
    assert text == f"teloo-analytics is not installed in database {database.name}: make migrate\n"


def test_doctor_of_a_schema_of_somebody_else_says_one_line(database: Database) -> None:
    database.execute("CREATE SCHEMA analytics")
    code, text = diagnosis(database.url)
    assert (code, len(text.splitlines())) == (1, 1)
    assert "there is a schema analytics" in text


def test_doctor_without_the_right_to_see_the_data_directory_did_not_fail(
    migrated: Database,
) -> None:
    url = login(migrated, "ana", "GRANT analytics_owner TO {role}")
    report = json.loads(diagnosis(url, "--json")[1])
    [disk] = [check for check in report["checks"] if check["name"] == "disk"]
    assert disk["status"] == "unchecked"
    assert not [check for check in report["checks"] if check["status"] == "failed"]


def test_doctor_of_an_installation_without_its_functions_tells_to_migrate(
    migrated: Database,
) -> None:
    migrated.execute("DROP FUNCTION kpi_engine.doctor_check CASCADE")
    code, text = diagnosis(migrated.url)
    assert code == 1
    assert "sql/functions/doctor/doctor_check.sql is not applied as it is here" in text
    first = text.partition("What to do\n\n1. ")[2].partition("\n\n2. ")[0]
    assert first.startswith("wrong, files: ")
    assert first.count("function kpi_engine.doctor_check is missing") >= 30
    migrate(migrated.url)
    assert "doctor_check" not in diagnosis(migrated.url)[1]


@pytest.mark.parametrize(
    ("fault", "cause", "mended_by"),
    [
        (
            "REVOKE SELECT ON public.solicitudes FROM analytics_owner",
            "right to read",
            "GRANT SELECT ON public.solicitudes TO analytics_owner",
        ),
        (
            "REVOKE SELECT ON public.ofertas FROM analytics_owner",
            "right to read",
            "GRANT SELECT ON public.ofertas TO analytics_owner",
        ),
    ],
)
def test_doctor_folds_what_follows_from_one_cause_under_it(
    migrated: Database, fault: str, cause: str, mended_by: str
) -> None:
    migrated.execute("SELECT * FROM analytics.refresh_all_mv()", fault)
    with migrated.session() as connection:
        connection.execute("SELECT set_config('lock_timeout', '1s', false)")
        with suppress(psycopg.Error):
            connection.execute("SELECT * FROM analytics.refresh_all_mv(true)")
    code, text = diagnosis(migrated.url)
    assert code == 1
    items = re.split(r"\n\n(?=\d+\. )", text.partition("What to do")[2])
    first = next(item for item in items if re.search(r"^\s*1\. ", item))
    assert f"wrong, {cause}: " in first.splitlines()[0] + first
    assert mended_by in first
    assert first.count("hence ") >= 2
    table = fault.split()[3].removeprefix("public.")
    for item in items:
        if item is not first:
            assert f"permission denied for table {table}" not in item
            assert not re.search(rf"may not read .* of table (\w+\.)?{table}\b", item)
    report = json.loads(diagnosis(migrated.url, "--json")[1])
    findings = [finding for check in report["checks"] for finding in check["findings"]]
    said = ("permission denied", "may not read")
    assert [f for f in findings if f["cause"] and any(text in f["message"] for text in said)]
    assert len(report["causes"]) >= 1


# -- standby -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standby(system_server: Server) -> Iterator[str]:
    """A standby of an installation, made by pg_basebackup; its connection string."""
    primary = Cluster(
        f"test-primary-{os.getpid()}",
        database="teloo",
        settings=TEST_SETTINGS + "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on\n",
    )
    primary.start()
    copy = Cluster(f"test-standby-{os.getpid()}", database="teloo", settings=TEST_SETTINGS)
    try:
        load_source_schema(primary.url())
        migrate(primary.url())
        hba = primary.data / "pg_hba.conf"
        with hba.open("a") as file:
            file.write("\nhost replication all 127.0.0.1/32 scram-sha-256\n")
        primary.must("reload", primary.binaries / "pg_ctl", "-D", primary.data, "reload")
        location = copy.make_location()
        (copy.home / "binaries").write_text(str(primary.binaries))
        (copy.home / "password").write_text(primary.password)
        primary.must(
            "pg_basebackup",
            "env",
            f"PGPASSWORD={primary.password}",
            primary.binaries / "pg_basebackup",
            "-h127.0.0.1",
            f"-p{primary.port}",
            "-Upostgres",
            "-D",
            location / "data",
            "-R",
            "-Xs",
            "-cfast",
        )
        (copy.home / "ready").touch()
        from cluster import free_port

        (copy.home / "port").write_text(str(free_port()))
        copy.must(
            "start",
            copy.binaries / "pg_ctl",
            "-D",
            copy.data,
            "-l",
            copy.log,
            "-w",
            "-o",
            f"-p {copy.port}",
            "start",
        )
        yield copy.url()
    finally:
        copy.remove()
        primary.remove()


@pytest.mark.parametrize(
    "script",
    [
        "migrate.py",
        "migrate.py --dry-run",
        "doctor.py",
        "uninstall.py",
        "uninstall.py --dry-run",
        "source_indexes.py",
        "scheduler.py --once",
        "notifier.py --once",
    ],
)
def test_on_a_standby_each_script_says_one_clear_line(standby: str, script: str) -> None:
    ended = subprocess.run(
        [sys.executable, *script.split()],
        cwd=SCRIPTS,
        env={
            **os.environ,
            "DATABASE_URL": standby,
            "ALERT_WEBHOOK_URL": "http://127.0.0.1:1/hook",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (1, 2)
    [line] = ended.stderr.splitlines()
    assert line.startswith("ERROR: this server is a standby, so it is read-only")
    assert "127.0.0.1" in line, "it names the primary"


def test_doctor_of_sql_works_on_a_standby(standby: str) -> None:
    with psycopg.connect(standby) as connection:
        rows = connection.execute(
            "SELECT check_name, status, message FROM analytics.doctor()"
        ).fetchall()
    assert [row for row in rows if row[1] == "failed"] == []
    said = {name: (status, message) for name, status, message in rows}
    assert (
        "a standby: what mends something has to be run on its primary"
        in (said["version and encoding"][1])
    )
    assert said["pg_cron"] == ("ok", "a standby runs no jobs")
    assert said["contract"][0] == "ok"


# -- migrate and change capture ----------------------------------------------------------------


def test_dry_run_of_migrate_says_nothing_as_if_it_were_done(
    migrated: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    migrated.execute("UPDATE analytics.migration_ledger SET checksum = '' WHERE name ~ 'city_key'")
    assert migrate_module.main(["--database-url", migrated.url, "--dry-run"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "would have: changed functions/facts/city_key.sql" in lines
    assert [line for line in lines if line.startswith(("changed", "applied", "removed"))] == []


@pytest.mark.parametrize("way", ["migrate", "procedure"])
def test_busy_tables_are_named_with_who_holds_them(
    migrated: Database, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "PATIENCE_SECONDS", 0.5)
    migrated.execute("ALTER TABLE public.ofertas DISABLE TRIGGER USER")
    with migrated.session() as holder:
        holder.execute("SET application_name = 'nightly import'")
        holder.execute("BEGIN")
        holder.execute(
            "LOCK TABLE public.ofertas IN ROW EXCLUSIVE MODE; "
            "SELECT 'ALTER ROLE x PASSWORD ''S3CRET''' -- PASSWORD 'S3CRET'"
        )
        pid = holder.info.backend_pid
        if way == "migrate":
            with pytest.raises(UserError) as raised:
                capture.apply(migrated.url)
            said = raised.value.hint
        else:
            with migrated.session() as owner, pytest.raises(psycopg.errors.LockNotAvailable) as no:
                owner.execute("CALL analytics.apply_change_capture(interval '500 ms')")
            said = str(no.value.diag.message_detail)
        holder.execute("ROLLBACK")
    assert "ofertas: process" in said
    assert f"process {pid} of postgres (nightly import), idle in transaction" in said
    assert "LOCK TABLE public.ofertas" in said
    assert "S3CRET" not in said


@contextmanager
def migrating_over_a_busy_table(database: Database) -> Iterator[subprocess.Popen[str]]:
    """Migrate a new database up to change capture, which waits for a table."""
    load_source_schema(database.url)
    with database.session() as holder:
        holder.execute("BEGIN; LOCK TABLE public.ofertas IN ROW EXCLUSIVE MODE")
        process = subprocess.Popen(
            # Whoever starts the tests in the background has SIGINT ignored.
            [
                "env",
                "--default-signal=INT",
                sys.executable,
                str(SCRIPTS / "migrate.py"),
                "--database-url",
                database.url,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            database.wait_until(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'teloo-analytics change capture'"
            )
            yield process
        finally:
            process.kill()
            process.wait()
            holder.execute("ROLLBACK")


def check_that_only_capture_is_missing(database: Database, said: str) -> None:
    assert "migrate is done, but change capture is not: " in said
    assert "nothing was changed" not in said
    assert database.rows("SELECT count(*) > 100 FROM analytics.migration_ledger") == [(True,)]
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'teloo_analytics%'"
    assert database.rows(triggers) == [(0,)]
    found = re.search(r"CALL analytics[.\w]+\(\);", said)
    assert found
    database.execute(found[0])
    assert database.rows(triggers) != [(0,)]
    assert migrate(database.url) == []


@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_migrate_that_is_interrupted_before_change_capture_says_what_landed(
    database: Database, sent: signal.Signals, code: int, word: str
) -> None:
    with migrating_over_a_busy_table(database) as process:
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.endswith(f"{word}\n")
    check_that_only_capture_is_missing(database, said)


def test_a_migrate_that_loses_its_session_before_change_capture_says_what_landed(
    database: Database,
) -> None:
    with migrating_over_a_busy_table(database) as process:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'teloo-analytics change capture' "
            "AND datname = current_database()"
        )
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    check_that_only_capture_is_missing(database, said)


def test_an_event_trigger_that_refuses_only_change_capture_is_named_with_what_landed(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    load_source_schema(database.url)
    database.execute(
        "CREATE FUNCTION public.no_triggers() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN "
        "IF current_setting('application_name') = 'teloo-analytics change capture' THEN "
        "RAISE EXCEPTION 'not on a Friday'; END IF; END; $f$",
        "CREATE EVENT TRIGGER night_freeze ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') "
        "EXECUTE FUNCTION public.no_triggers()",
    )
    assert migrate_module.main(["--database-url", database.url]) == 1
    said = capsys.readouterr().err
    assert "change capture is not: not on a Friday (SQLSTATE P0001)" in said
    assert "ALTER EVENT TRIGGER night_freeze DISABLE;" in said
    database.execute("ALTER EVENT TRIGGER night_freeze DISABLE")
    check_that_only_capture_is_missing(database, said)


def test_a_prepared_transaction_that_holds_a_table_is_named(migrated: Database) -> None:
    assert migrated.rows(
        "SELECT kpi_engine.table_lockers(ARRAY['public.ofertas'::regclass]) IS NULL"
    ) == [(True,)]


# -- uninstall ---------------------------------------------------------------------------------


def test_uninstall_says_what_is_lost_and_how_to_set_it_again_and_what_stays(
    migrated: Database, caplog: pytest.LogCaptureFixture
) -> None:
    build_missing(migrated.url)
    reader = f"reader_{migrated.name}"
    migrated.execute(
        "SELECT analytics.set_setting('alert_after_minutes', '7')",
        "SELECT analytics.set_schedule('02:30', 'America/Lima')",
        "SELECT * FROM analytics.refresh_all_mv()",
        f"CREATE ROLE {reader}",
        f"GRANT SELECT ON analytics.mv_metricas_mensuales TO {reader}",
        f"GRANT analytics_lector TO {reader}",
    )
    console.LOGGER.propagate = True
    try:
        caplog.set_level("INFO")
        uninstall.uninstall(migrated.url, dry_run=True)
        dry = caplog.text
        caplog.clear()
        assert migrated.rows("SELECT count(*) > 0 FROM analytics.refresh_log") == [(True,)]
        uninstall.uninstall(migrated.url)
        said = caplog.text
    finally:
        console.LOGGER.propagate = False
        migrated.execute(f"DROP OWNED BY {reader}", f"DROP ROLE {reader}")
    statements = [
        "SELECT analytics.set_setting('alert_after_minutes', '7');",
        "SELECT analytics.set_setting('schedule_time', '02:30');",
        "SELECT analytics.set_setting('schedule_time_zone', 'America/Lima');",
        f"GRANT SELECT ON analytics.mv_metricas_mensuales TO {reader};",
        f"GRANT analytics_lector TO {reader};",
    ]
    for text in (dry, said):
        for statement in statements:
            assert statement in text
        assert "lost: the log of refreshes, " in text
        assert re.search(r"stays: index public\.teloo_analytics_\w+, .*DROP INDEX CONC", text)
    assert "would remove: " in dry
    assert not re.search(r"(?<!would )remove[d]: ", dry)
    assert "removed: " in said
    # What was printed sets it again.
    migrate(migrated.url)
    migrated.execute(*statements[:3])
    assert migrated.rows("SELECT analytics.setting('schedule_time_zone')") == [("America/Lima",)]


def test_a_refused_uninstall_says_of_nothing_that_it_was_removed(
    migrated: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    migrated.execute(
        "CREATE VIEW public.mine AS SELECT count(*) FROM analytics.mv_metricas_mensuales"
    )
    assert uninstall.main(["--database-url", migrated.url]) == 1
    said = capsys.readouterr().err
    assert "nothing was changed" in said
    assert "removed" not in said
    assert "dropped" not in said


# -- source and zones --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone",
    [
        "Factory",
        "localtime",
        "EST",
        "HST",
        "MST",
        "CET",
        "EST5EDT",
        "PST8PDT",
        "posix/Europe/Paris",
    ],
)
def test_a_zone_that_is_no_place_is_refused(migrated: Database, zone: str) -> None:
    for name in ("time_zone", "schedule_time_zone"):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            migrated.rows(f"SELECT analytics.set_setting('{name}', '{zone}')")
        assert "such as" in str(refused.value)


@pytest.mark.parametrize("zone", ["UTC", "GMT", "Etc/GMT+5", "Japan", "NZ", "America/Nuuk", "PRC"])
def test_a_zone_that_means_one_thing_is_taken(migrated: Database, zone: str) -> None:
    migrated.execute(f"SELECT analytics.set_setting('schedule_time_zone', '{zone}')")


def test_domains_over_domains_of_a_good_type_are_accepted(database: Database) -> None:
    load_source_schema(database.url)
    database.execute(
        "CREATE DOMAIN public.money_1 AS numeric(14, 2)",
        "CREATE DOMAIN public.money_2 AS public.money_1 CHECK (VALUE >= 0)",
        "CREATE DOMAIN public.money_3 AS public.money_2",
        "ALTER TABLE public.ofertas_historicas ALTER monto_total TYPE public.money_3",
        "CREATE TYPE public.state AS ENUM ('ACTIVO', 'INACTIVO', 'SUSPENDIDO')",
        "CREATE DOMAIN public.state_1 AS public.state",
        "CREATE DOMAIN public.state_2 AS public.state_1",
        "ALTER TABLE public.asesores ALTER estado DROP DEFAULT, "
        "ALTER estado TYPE public.state_2 USING estado::text::public.state",
        "CREATE DOMAIN public.moment_1 AS timestamptz",
        "CREATE DOMAIN public.moment_2 AS public.moment_1",
        "ALTER TABLE public.solicitudes ALTER updated_at DROP DEFAULT, "
        "ALTER updated_at TYPE public.moment_2",
    )
    migrate(database.url)
    assert database.rows("SELECT DISTINCT refresh_status FROM analytics.refresh_all_mv()") == [
        ("SUCCESS",)
    ]


def test_a_domain_over_a_domain_of_a_wrong_type_is_still_refused(database: Database) -> None:
    load_source_schema(database.url)
    database.execute(
        "CREATE DOMAIN public.list_1 AS text[]",
        "CREATE DOMAIN public.list_2 AS public.list_1",
        "ALTER TABLE public.asesores ALTER punto_venta TYPE public.list_2 USING ARRAY[punto_venta]",
    )
    with pytest.raises(UserError) as refused:
        migrate(database.url)
    assert "punto_venta" in str(refused.value) + refused.value.hint


# -- the end of a tool -------------------------------------------------------------------------


def test_a_tool_that_is_terminated_stops_what_it_started() -> None:
    program = (
        "import time\nfrom commandline import console\n"
        "def main():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        # A signal just before a sleep is noticed after it.
        "        for _ in range(600):\n"
        "            time.sleep(0.1)\n"
        "    finally:\n"
        "        print('stopped', flush=True)\n"
        "    return 0\n"
        "console.run_tool(main)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (143, "stopped\n", "terminated\n")


def test_a_bench_keeps_each_row_when_it_is_measured(tmp_path: Path) -> None:
    record = Record("15.18", "make bench", tmp_path, "small")
    for count, measure in enumerate(("day of work", "one changed request"), 1):
        record.add(Result(measure, "small", "speedup", [10.0, 11.0, 12.0], [66.0], "ms", "full"))
        written = json.loads(record.path.read_text(encoding="utf-8"))
        assert [row["measure"] for row in written["results"]][-1] == measure
        assert len(written["results"]) == count
        assert written["results"][-1]["value"] == 6.0


def test_the_bench_can_leave_the_other_views_out(database: Database) -> None:
    load_source_schema(database.url)
    migrate(database.url)
    with files_without(SEVEN) as directory:
        changes = migrate(database.url, directory=directory)
        assert {f"removed views/kpis/{view}.sql" for view in SEVEN} < set(changes)
        assert "dropped derived table week_totals" in changes
    shown = database.rows("SELECT view_name FROM kpi_engine.materialized_views() ORDER BY 1")
    assert [view for (view,) in shown] == list(VIEWS)


def test_each_parameter_of_a_test_that_takes_turns_has_its_turn() -> None:
    def collected(turn: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/kpis/test_segments.py"],
            cwd=PROJECT,
            env={**os.environ, "TELOO_TURN": turn, "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        return {line for line in done.stdout.split("\n") if "test_a_changed_limit" in line}

    first, second, third = days = [collected(turn) for turn in ("739950", "739951", "739952")]
    assert first | second | third == collected("")
    assert sum(map(len, days)) == len(first | second | third) == len(collected("")) > 3
    assert min(map(len, days)) > 0
