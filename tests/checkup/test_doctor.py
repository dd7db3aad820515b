"""scripts/doctor.py: every finding from its real cause, mended by the very command it prints."""

import io
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

import doctor
import notifier
from checkup import doctor_checks
from checkup.doctor_checks import Check
from cluster import PROJECT, Cluster, embedded_binaries, free_port, system_binaries
from conftest import SERVERS, TEST_SETTINGS, Database
from database.sql_files import text_of
from development.demo_source import load_source_schema
from migrate import migrate

TAKES_MINUTES = True
SYSTEM_SERVER_IS_ENOUGH = True
SETTINGS = """
wal_level = logical
max_wal_senders = 4
max_replication_slots = 4
max_prepared_transactions = 4
"""
SETTLE = ("SELECT * FROM analytics.refresh_all_mv()", "CALL analytics.tick()")
TRIGGER_OFF = "ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting"
TRIGGER_ON = "ALTER TABLE kpi_engine.settings ENABLE TRIGGER validate_setting"


class Somebody:
    """Whom every notice reaches."""

    places: ClassVar = ["somebody"]

    def send(
        self, notice: notifier.Notice, places: list[str]
    ) -> Iterator[tuple[str, Exception | None]]:
        for place in places:
            yield place, None


@dataclass
class Report:
    """What one run of the doctor said."""

    code: int
    data: dict[str, Any]

    def status(self, check: str) -> str:
        return str(self.entry(check)["status"])

    def entry(self, check: str) -> dict[str, Any]:
        [entry] = [entry for entry in self.data["checks"] if entry["name"] == check]
        return dict(entry)

    def findings(self, check: str) -> list[dict[str, Any]]:
        return [finding for finding in self.entry(check)["findings"] if finding["status"] != "ok"]


def examine(
    database: Database, *options: str, url: str | None = None, only: str | None = None
) -> Report:
    """Run the command line for scripts; ``only`` one of the checks is a fraction of the time."""
    output = io.StringIO()
    one = [] if only is None else ["--only", only]
    with redirect_stdout(output):
        code = doctor.main(["--database-url", url or database.url, "--json", *one, *options])
    return Report(code, json.loads(output.getvalue()))


def findings_of(database: Database, check: str) -> list[dict[str, Any]]:
    """Run one check."""
    return examine(database, only=check).findings(check)


def check_names(database: Database) -> list[str]:
    """Return the names of all checks."""
    with database.session() as connection:
        return [check.name for check in doctor_checks.all_checks(connection, doctor_checks.CHECKS)]


@contextmanager
def constant(database: Database, function: str, name: str, value: str) -> Iterator[None]:
    """Let a function of the doctor have another constant."""
    text = text_of(function)
    changed, count = re.subn(rf"({name} constant \w+ := )[^;]+;", rf"\g<1>{value};", text)
    assert count == 1
    database.execute(changed)
    try:
        yield
    finally:
        database.execute(text)


def carry_out(database: Database, fix: dict[str, str]) -> None:
    """Do what the doctor printed: run the command, or the statement as the superuser."""
    if fix["run"] == "sql":
        name = fix["note"].partition("in database ")[2].partition(",")[0]
        target = Database(database.cluster, name) if name else database
        target.execute(fix["command"])
    elif fix["run"] == "shell":
        command = fix["command"].replace(
            "make scheduler", f"{sys.executable} scripts/scheduler.py --once"
        )
        subprocess.run(
            ["bash", "-c", command],
            cwd=PROJECT,
            check=True,
            env={**os.environ, "DATABASE_URL": database.url},
            capture_output=True,
        )


def mend(database: Database, check: str, report: Report | None = None) -> None:
    """Carry out what the doctor printed for a check, and see the findings gone."""
    for finding in (report or examine(database, only=check)).findings(check):
        for fix in finding["fixes"]:
            carry_out(database, fix)
    wait_for_no_findings(database, check)


def wait_for_no_findings(database: Database, check: str) -> None:
    # The server reads its configuration a moment later; what pg_cron ran in between is its last
    # run until the next minute.
    deadline = time.monotonic() + 240
    while (after := examine(database, only=check)).findings(check):
        assert time.monotonic() < deadline, after.findings(check)
        time.sleep(0.2)


@pytest.fixture(scope="module", params=SERVERS)
def clinic(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A healthy installation on a server of its own: findings of roles concern all databases."""
    binaries = system_binaries() if request.param == "system" else embedded_binaries()
    cluster = Cluster(
        f"doctor-{request.param}-{os.getpid()}",
        binaries=binaries,
        database="cron",
        settings=TEST_SETTINGS + SETTINGS,
    )
    cluster.start()
    try:
        cluster.make_database("clinic")
        database = Database(cluster, "clinic")
        load_source_schema(database.url)
        migrate(database.url)
        database.execute(
            "CREATE INDEX ON public.ofertas (created_at)",
            "ALTER ROLE analytics_scheduler PASSWORD 'secret'",
        )
        yield database
    finally:
        cluster.remove()


@pytest.fixture
def patient(clinic: Database) -> Database:
    """Refreshed, with a tick just now; in it the doctor finds nothing."""
    clinic.execute(*SETTLE)
    return clinic


def test_fresh_installation_is_only_told_to_refresh_and_then_nothing_is_wrong(
    migrated: Database,
) -> None:
    migrated.execute("CALL analytics.tick()")
    fresh = examine(migrated)
    assert fresh.code == 1
    assert [entry["name"] for entry in fresh.data["checks"] if entry["status"] == "wrong"] == [
        "health"
    ]
    assert "never_populated" in fresh.findings("health")[0]["message"]
    mend(migrated, "health", fresh)
    mend(migrated, "indexes")
    report = examine(migrated, "--strict")
    assert (report.code, report.data["status"]) == (0, "ok"), report.data
    assert report.data["counts"]["ok"] == len(check_names(migrated))


# Check, what brings it about, its status, what it says, what sets right what the fix leaves.
PROVOKED: list[tuple[str, list[str], str, str, list[str]]] = [
    (
        "vacuum and statistics",
        ["ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"],
        "warning",
        "autovacuum is off",
        [],
    ),
    (
        "connections",
        ["ALTER ROLE analytics_authenticator CONNECTION LIMIT 5"],
        "warning",
        "limited to 5",
        [],
    ),
    ("connections", ["ALTER DATABASE clinic CONNECTION LIMIT 20"], "warning", "clinic is", []),
    ("files", ["DROP FUNCTION analytics.explain_refresh()"], "wrong", "explain_refresh", []),
    ("search_path", ["ALTER DATABASE clinic RESET search_path"], "wrong", "no schema", []),
    (
        "search_path",
        ["CREATE FUNCTION public.get_mv_stats() RETURNS integer LANGUAGE sql AS 'SELECT 1'"],
        "wrong",
        "would win over ours",
        ["DROP SCHEMA analytics_previous CASCADE"],
    ),
    (
        "owners",
        ["ALTER MATERIALIZED VIEW analytics.mv_ranking_asesores OWNER TO postgres"],
        "wrong",
        "belongs to postgres",
        [],
    ),
    (
        "owners",
        ["ALTER FUNCTION analytics.explain_refresh() OWNER TO postgres"],
        "wrong",
        "belongs to postgres: it runs with the rights of a superuser",
        [],
    ),
    (
        "owners",
        ["ALTER FUNCTION analytics.city_key(text) OWNER TO postgres"],
        "warning",
        "belongs to postgres: analytics_owner can't",
        [],
    ),
    ("attributes", ["ALTER ROLE analytics_owner LOGIN"], "wrong", "may log in", []),
    ("attributes", ["ALTER ROLE analytics_scheduler NOLOGIN"], "wrong", "may not log in", []),
    ("attributes", ["ALTER ROLE analytics_authenticator INHERIT"], "wrong", "inherits", []),
    ("attributes", ["ALTER ROLE analytics_operador NOINHERIT"], "wrong", "does not inherit", []),
    ("attributes", ["ALTER ROLE analytics_lector SUPERUSER"], "wrong", "has SUPERUSER", []),
    ("attributes", ["ALTER ROLE analytics_owner BYPASSRLS"], "wrong", "has BYPASSRLS", []),
    ("attributes", ["ALTER ROLE analytics_anon CREATEDB"], "wrong", "has CREATEDB", []),
    (
        "attributes",
        ["ALTER ROLE analytics_scheduler VALID UNTIL '2020-01-01'"],
        "wrong",
        "has expired",
        [],
    ),
    (
        "attributes",
        ["ALTER ROLE analytics_scheduler SET statement_timeout = '1ms'"],
        "warning",
        "has statement_timeout=1ms",
        ["ALTER ROLE analytics_scheduler RESET statement_timeout"],
    ),
    (
        "attributes",
        ["ALTER ROLE analytics_scheduler IN DATABASE clinic SET statement_timeout = 5000"],
        "warning",
        "has statement_timeout=5000",
        ["ALTER ROLE analytics_scheduler IN DATABASE clinic RESET ALL"],
    ),
    ("memberships", ["GRANT analytics_owner TO analytics_lector"], "wrong", "analytics_owner", []),
    ("memberships", ["GRANT pg_read_all_data TO analytics_scheduler"], "wrong", "read_all", []),
    (
        "what they need",
        ["REVOKE analytics_anon FROM analytics_authenticator"],
        "wrong",
        "GRANT",
        [],
    ),
    (
        "what they need",
        ["REVOKE EXECUTE ON FUNCTION pg_current_xact_id() FROM public, analytics_owner"],
        "wrong",
        "GRANT EXECUTE ON FUNCTION pg_catalog.clock_timestamp()",
        ["GRANT EXECUTE ON FUNCTION pg_current_xact_id() TO public"],
    ),
    (
        "what they need",
        ["REVOKE USAGE ON SCHEMA analytics FROM analytics_lector, analytics_anon"],
        "wrong",
        "GRANT USAGE ON SCHEMA analytics",
        [],
    ),
    (
        "objects",
        ["COMMENT ON MATERIALIZED VIEW analytics.mv_ranking_asesores IS NULL"],
        "wrong",
        "1 view(s) have no COMMENT",
        [],
    ),
    (
        "what they need",
        ["ALTER ROLE analytics_lector RESET statement_timeout"],
        "wrong",
        "statement_timeout",
        [],
    ),
    (
        "what they need",
        ["REVOKE TEMPORARY ON DATABASE clinic FROM public, analytics_owner"],
        "wrong",
        "GRANT TEMPORARY",
        ["GRANT TEMPORARY ON DATABASE clinic TO public"],
    ),
    (
        "right to cancel",
        ["REVOKE pg_signal_backend FROM analytics_owner"],
        "warning",
        "can't be cancelled",
        [],
    ),
    (
        "nothing for PUBLIC",
        [
            "GRANT SELECT ON analytics.settings TO public",
            "GRANT SELECT (name) ON analytics.settings TO public",
            "GRANT EXECUTE ON FUNCTION api.health() TO public",
            "GRANT USAGE ON SCHEMA api TO public",
            'GRANT USAGE ON TYPE api."text/plain" TO public',
        ],
        "wrong",
        "PUBLIC has rights on",
        [],
    ),
    (
        "grants",
        ["REVOKE EXECUTE ON FUNCTION api.health() FROM analytics_anon"],
        "wrong",
        "has lost EXECUTE",
        [],
    ),
    (
        "grants",
        ["GRANT SELECT ON analytics.mv_ranking_asesores TO analytics_anon"],
        "wrong",
        "does not give",
        [],
    ),
    (
        "values",
        [
            TRIGGER_OFF,
            "UPDATE analytics.settings SET value = '25:00' WHERE name = 'schedule_time'",
            TRIGGER_ON,
        ],
        "wrong",
        "HH:MM",
        [],
    ),
    (
        "values",
        [TRIGGER_OFF, "INSERT INTO analytics.settings VALUES ('color', 'x', 'x')", TRIGGER_ON],
        "wrong",
        "no setting of this name",
        [],
    ),
    (
        "values",
        ["DELETE FROM analytics.settings WHERE name = 'refresh_retries'"],
        "wrong",
        "refresh_retries is gone",
        [],
    ),
    (
        "contract",
        ["ALTER TABLE public.asesores ADD COLUMN nivel_actual integer"],
        "wrong",
        "src_asesores",
        [],
    ),
    (
        "contract",
        ["ALTER TABLE public.ofertas ENABLE ROW LEVEL SECURITY"],
        "wrong",
        "row-level security",
        [
            "ALTER TABLE public.ofertas DISABLE ROW LEVEL SECURITY",
            "ALTER ROLE analytics_owner NOBYPASSRLS",
        ],
    ),
    ("right to read", ["REVOKE SELECT ON public.ofertas FROM analytics_owner"], "wrong", "", []),
    (
        "change capture",
        ["DROP TRIGGER teloo_analytics_update ON public.ofertas"],
        "wrong",
        "public.ofertas",
        [],
    ),
    (
        "change capture",
        ["ALTER TABLE public.ofertas DISABLE TRIGGER teloo_analytics_insert"],
        "wrong",
        "public.ofertas",
        [],
    ),
    (
        "change capture",
        ["ALTER TABLE public.ofertas ENABLE TRIGGER teloo_analytics_insert"],
        "wrong",
        "public.ofertas",
        [],
    ),
    (
        "change capture",
        [
            "CREATE TABLE public.ofertas_2027 () INHERITS (public.ofertas)",
            # Without a row there is nothing to miss.
            "INSERT INTO public.ofertas_2027 (id, solicitud_id, asesor_id, tiempo_entrega_dias) "
            "VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 3)",
        ],
        "wrong",
        "public.ofertas_2027",
        ["DROP TABLE public.ofertas_2027"],
    ),
    (
        "change capture",
        [
            "CREATE FOREIGN DATA WRAPPER lejos",
            "CREATE SERVER lejos FOREIGN DATA WRAPPER lejos",
            "CREATE FOREIGN TABLE public.ofertas_lejos () INHERITS (public.ofertas) SERVER lejos",
        ],
        "wrong",
        "a view or foreign table",
        [
            "DROP FOREIGN DATA WRAPPER lejos CASCADE",
            "SELECT analytics.set_setting('change_capture', 'on')",
            "CALL analytics.apply_change_capture()",
        ],
    ),
    (
        "change capture",
        ["SELECT analytics.set_setting('change_capture', 'off')"],
        "warning",
        "not needed",
        [
            "SELECT analytics.set_setting('change_capture', 'on')",
            "CALL analytics.apply_change_capture()",
        ],
    ),
    (
        "ways around capture",
        ["ALTER ROLE analytics_lector SET session_replication_role = replica"],
        "warning",
        "ROLE analytics_lector has",
        [],
    ),
    (
        "ways around capture",
        ["ALTER DATABASE clinic SET session_replication_role = replica"],
        "warning",
        "DATABASE clinic has",
        [],
    ),
    (
        "ways around capture",
        ["ALTER TABLE public.auditorias_tiendas SET UNLOGGED"],
        "warning",
        "is UNLOGGED",
        [],
    ),
    (
        "ways around capture",
        ["ALTER ROLE analytics_lector SET temp_file_limit = '1GB'"],
        "warning",
        "ROLE analytics_lector has a temp_file_limit",
        [],
    ),
    ("indexes", ["DROP INDEX public.ofertas_created_at_idx"], "warning", "ofertas (created_", []),
    (
        "health",
        ["UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '4 minutes'"],
        "wrong",
        "scheduler_down",
        [],
    ),
    (
        "health",
        ["UPDATE analytics.view_state SET last_success_at = now() - interval '27 hours'"],
        "wrong",
        "stale",
        [],
    ),
    (
        "health",
        ["UPDATE analytics.view_state SET last_success_at = now() - interval '25.5 hours'"],
        "warning",
        "aging",
        [],
    ),
    (
        "health",
        [
            "INSERT INTO analytics.audit_log (table_name, column_name, cells, is_healed) "
            "VALUES ('asesor_totals', 'offers', 3, false)"
        ],
        "wrong",
        "drift",
        [],
    ),
    (
        "jobs",
        [
            "SELECT kpi_engine.queue_refresh(false, 'ana')",
            "UPDATE analytics.refresh_jobs SET requested_at = now() - interval '1 hour'",
        ],
        "warning",
        "nobody takes it",
        [],
    ),
    (
        "autovacuum of our tables",
        ["ALTER TABLE kpi_engine.change_log SET (autovacuum_enabled = off)"],
        "warning",
        "kpi_engine.change_log",
        [],
    ),
    (
        "what holds vacuum back",
        ["SELECT pg_create_physical_replication_slot('olvidado', true)"],
        "warning",
        "olvidado",
        [],
    ),
]


@pytest.mark.parametrize(
    ("check", "causes", "status", "message", "afterwards"),
    PROVOKED,
    ids=[f"{case[0]}: {case[3] or case[1][0]}".replace(" ", "-") for case in PROVOKED],
)
@pytest.mark.takes_turns(4)
def test_finding_is_gone_when_its_command_was_carried_out(
    patient: Database,
    check: str,
    causes: list[str],
    status: str,
    message: str,
    afterwards: list[str],
) -> None:
    assert findings_of(patient, check) == []
    patient.execute(*causes)
    try:
        deadline = time.monotonic() + 120
        while not (report := examine(patient, only=check)).findings(check):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert report.status(check) == status
        assert message in report.findings(check)[0]["message"]
        if status == "wrong":
            assert report.code == 1
        assert examine(patient, "--strict", only=check).code == 1
        mend(patient, check, report)
    finally:
        patient.execute(*afterwards)
    wait_for_no_findings(patient, check)


def test_pool_that_the_server_has_no_room_for(
    patient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_POOL", "120")
    [finding] = findings_of(patient, "connections")
    assert finding["status"] == "warning"
    assert "ALTER SYSTEM SET max_connections = 128;" in [fix["command"] for fix in finding["fixes"]]


def test_time_zones_of_another_year_are_seen(patient: Database, tmp_path: Path) -> None:
    (tmp_path / "America").mkdir()
    madrid = next(
        Path(folder, "Europe", "Madrid")
        for folder in zoneinfo.TZPATH
        if Path(folder, "Europe", "Madrid").exists()
    )
    (tmp_path / "America" / "Bogota").write_bytes(madrid.read_bytes())
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        [finding] = findings_of(patient, "time zones")
    finally:
        zoneinfo.reset_tzpath(before)
    assert finding["status"] == "warning"
    assert "tzdata" in finding["fixes"][0]["command"]
    assert findings_of(patient, "time zones") == []


def test_clock_that_can_be_pinned_in_production(
    patient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.execute("SELECT analytics.set_setting('allow_pinned_clock', 'on')")
    assert examine(patient, only="clock").status("clock") == "ok"
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert "allow_pinned_clock" in findings_of(patient, "clock")[0]["message"]
    mend(patient, "clock")
    patient.execute("SELECT analytics.set_setting('allow_pinned_clock', 'on')")


def test_edited_migration_and_changed_column_are_named(patient: Database) -> None:
    ledger = "UPDATE analytics.migration_ledger SET checksum = reverse(checksum) WHERE version = 1"
    patient.execute(ledger)
    [finding] = findings_of(patient, "files")
    assert (finding["status"], "0001_foundation.sql was edited" in finding["message"]) == (
        "wrong",
        True,
    )
    patient.execute(ledger, "ALTER TABLE public.ofertas RENAME tiempo_entrega_dias TO dias")
    [finding] = findings_of(patient, "contract")
    assert "tiempo_entrega_dias is missing" in finding["message"]
    patient.execute("ALTER TABLE public.ofertas RENAME dias TO tiempo_entrega_dias")
    assert examine(patient).code == 0


def test_exactly_the_requests_without_a_month_are_counted(patient: Database) -> None:
    patient.execute("ALTER TABLE public.solicitudes ALTER created_at DROP NOT NULL")
    user = patient.rows(
        "INSERT INTO public.usuarios (id, nombre, apellido, email, telefono, rol, estado) "
        "VALUES (gen_random_uuid(), 'Ana', 'Ruiz', 'ana@example.com', '1', 'CLIENT', 'ACTIVO') "
        "RETURNING id"
    )[0][0]
    client = patient.rows(
        "INSERT INTO public.clientes (id, usuario_id, ciudad, departamento) "
        f"VALUES (gen_random_uuid(), '{user}', 'Cali', 'Valle') RETURNING id"
    )[0][0]
    instants = (
        "1999-12-31 23:59:59-05",
        "2000-01-01 00:00:00-05",
        "2099-12-31 23:59:59-05",
        "2100-01-01 00:00:00-05",
        "infinity",
        None,
    )
    with patient.session() as connection:
        for instant in instants:
            connection.execute(
                "INSERT INTO public.solicitudes (id, cliente_id, estado, ciudad_origen, "
                "departamento_origen, created_at) VALUES "
                "(gen_random_uuid(), %s, 'ABIERTA', 'Cali', 'Valle', %s)",
                [client, instant],
            )
    for settle in ((), SETTLE):
        patient.execute(*settle)
        [finding] = findings_of(patient, "requests without a month")
        assert finding["status"] == "warning"
        assert finding["message"].startswith("4 request(s)")
        assert finding["message"].endswith("2 dated before 2000 or after 2099, 2 without a date")
        assert len(patient.rows(finding["fixes"][0]["command"])) == 4
        left_out = examine(patient, "--no-counts")
        assert left_out.status("requests without a month") == "unchecked"
    patient.execute("DELETE FROM public.solicitudes", "DELETE FROM public.clientes")
    assert findings_of(patient, "requests without a month") == []


def test_subscription_writes_unseen_and_is_named(patient: Database) -> None:
    publisher = Database(patient.cluster, "cron")
    table = "CREATE TABLE public.auditorias_tiendas (LIKE public.plantilla INCLUDING ALL)"
    columns = patient.rows(
        "SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' "
        "ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'public.auditorias_tiendas'::regclass "
        "AND attnum > 0 AND NOT attisdropped"
    )[0][0]
    publisher.execute(
        f"CREATE TABLE public.plantilla ({columns})",
        table,
        "CREATE PUBLICATION kpis FOR TABLE public.auditorias_tiendas",
        "SELECT pg_create_logical_replication_slot('kpis', 'pgoutput')",
    )
    try:
        patient.execute(
            f"CREATE SUBSCRIPTION kpis CONNECTION '{publisher.url}' PUBLICATION kpis "
            "WITH (create_slot = false, slot_name = 'kpis', copy_data = false)"
        )
        [finding] = findings_of(patient, "change capture")
        assert (finding["status"], "auditorias_tiendas" in finding["message"]) == ("wrong", True)
        mend(patient, "change capture")
    finally:
        patient.execute("DROP SUBSCRIPTION IF EXISTS kpis")
        publisher.execute(
            "DROP PUBLICATION IF EXISTS kpis", "DROP TABLE auditorias_tiendas, plantilla"
        )
        patient.execute(
            "SELECT analytics.set_setting('change_capture', 'on')",
            "CALL analytics.apply_change_capture()",
        )


def test_failed_view_and_its_error_are_shown(patient: Database) -> None:
    patient.execute(
        "CREATE MATERIALIZED VIEW analytics.mv_rota AS SELECT 1 / count(*) AS x "
        "FROM public.ofertas WITH NO DATA",
        "ALTER MATERIALIZED VIEW analytics.mv_rota OWNER TO analytics_owner",
        SETTLE[0],
    )
    report = examine(patient)
    message = report.findings("last runs")[0]["message"]
    assert "division by zero: in its query write nullif(…, 0)" in message
    assert message.endswith("(SQLSTATE 22012)")
    assert any("refresh_failed" in found["message"] for found in report.findings("health"))
    # What the gate holds, another refresh holds again.
    held = "UPDATE kpi_engine.refresh_log SET error_sqlstate = '{}' WHERE error_sqlstate = '{}'"
    patient.execute(held.format("TA001", "22012"))
    [finding] = findings_of(patient, "last runs")
    assert finding["status"] == "warning"
    assert [fix["run"] for fix in finding["fixes"]] == ["advice"]
    patient.execute(held.format("22012", "TA001"))
    patient.execute("DROP MATERIALIZED VIEW analytics.mv_rota")
    mend(patient, "last runs", report)
    assert examine(patient).code == 0


def test_job_without_its_session_and_refresh_that_takes_too_long(patient: Database) -> None:
    with patient.session() as running:
        running.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        assert findings_of(patient, "jobs") == []
        # As kpi_engine.show_refresh_start() shows a start, but of seven hours ago.
        running.execute(
            "SELECT pg_advisory_lock_shared("
            "kpi_engine.refresh_start_lock_class()::bigint::integer, "
            "extract(epoch FROM now() - interval '7 hours' "
            "- timestamptz '2020-01-01 00:00:00Z')::integer)"
        )
        [finding] = findings_of(patient, "jobs")
        assert "over 360 minutes" in finding["message"]
        command = f"SELECT pg_terminate_backend({running.info.backend_pid});"
        assert [fix["command"] for fix in finding["fixes"]] == [command]
        assert patient.rows(command) == [(True,)]
    wait_for_no_session(patient)
    patient.execute("SELECT kpi_engine.queue_refresh(false, 'ana')")
    with patient.session() as running:
        running.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        running.execute("SELECT kpi_engine.claim_refresh_job()")
        assert findings_of(patient, "jobs") == []
    wait_for_no_session(patient)
    assert "without a session" in findings_of(patient, "jobs")[0]["message"]
    mend(patient, "jobs")


def test_notices_that_do_not_arrive(patient: Database) -> None:
    def look(message: str) -> dict[str, Any]:
        [finding] = findings_of(patient, "notices")
        assert finding["status"] == "warning"
        assert message in finding["message"]
        return dict(finding)

    def raise_alert() -> None:
        patient.execute(
            "SELECT analytics.set_setting('alert_after_minutes', '0')",
            "ALTER TABLE public.asesores DISABLE TRIGGER USER",
            "CALL analytics.tick()",
        )

    def clear_alert() -> None:
        patient.execute("CALL analytics.apply_change_capture()", "CALL analytics.tick()")

    def notify(way: notifier.Way) -> None:
        # What is due later is due now.
        patient.execute(
            "UPDATE analytics.alert_outbox SET next_attempt_at = least(clock_timestamp(), "
            "next_attempt_at) WHERE next_attempt_at < 'infinity'"
        )
        one = notifier.Notifier([way], threading.Event())
        with patient.session() as connection:
            while one.deliver_next(connection):
                pass

    nobody = notifier.Webhook(f"http://127.0.0.1:{free_port()}/", None)
    somebody = Somebody()
    try:
        # No notifier is in use: what nobody takes is no fault, however old it is.
        raise_alert()
        patient.execute(
            "UPDATE analytics.alert_outbox SET next_attempt_at = now() - interval '1 day', "
            "created_at = now() - interval '80 hours'"
        )
        assert findings_of(patient, "notices") == []
        # The problem still lasts, so a notifier that comes late tells it.
        notify(nobody)
        assert findings_of(patient, "notices") == []
        notify(somebody)
        clear_alert()
        raise_alert()
        for _ in range(4):
            assert findings_of(patient, "notices") == []
            notify(nobody)
        assert "ConnectError" in look("do not arrive: webhook: ")["message"]
        notify(somebody)
        assert findings_of(patient, "notices") == []
        # Its process is gone.
        clear_alert()
        patient.execute(
            "UPDATE analytics.alert_outbox SET next_attempt_at = now() - interval '11 minutes' "
            "WHERE delivered_at IS NULL AND next_attempt_at < 'infinity'"
        )
        assert look("1 notice(s)")["fixes"][0]["command"] == "make notifier"
        notify(somebody)
        assert findings_of(patient, "notices") == []
        # Given up, and acknowledged.
        raise_alert()
        notify(nobody)
        patient.execute(
            "UPDATE analytics.alert_outbox SET first_attempt_at = now() - interval '73 hours' "
            "WHERE delivered_at IS NULL AND next_attempt_at < 'infinity'"
        )
        notify(nobody)
        assert "ConnectError" in look("were given up: webhook: ")["message"]
        mend(patient, "notices")
        assert patient.rows(
            "SELECT count(*) FROM analytics.alert_outbox WHERE delivered_at IS NULL"
        ) == [(0,)]
    finally:
        clear_alert()
        patient.execute(
            "SELECT analytics.set_setting('alert_after_minutes', '1')",
            "DELETE FROM analytics.alerts",
        )


def wait_for_no_session(database: Database) -> None:
    deadline = time.monotonic() + 120
    while database.rows("SELECT pid IS NULL FROM analytics.running_refresh()") != [(True,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rebuild_that_stopped(patient: Database) -> None:
    with patient.session() as stopping:
        stopping.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        stopping.execute("SELECT kpi_engine.begin_rebuild(true)")
        assert findings_of(patient, "rebuild") == []
    wait_for_no_session(patient)
    assert "stopped after 0 of" in findings_of(patient, "rebuild")[0]["message"]
    mend(patient, "rebuild")


def test_large_change_log_and_dead_rows(patient: Database) -> None:
    with (
        constant(patient, "doctor_refresh", "c_log_bytes", "1048576"),
        constant(patient, "doctor_storage", "c_dead_rows", "1000"),
    ):
        look_for_large_change_log_and_dead_rows(patient)


def look_for_large_change_log_and_dead_rows(patient: Database) -> None:
    patient.execute(
        "INSERT INTO kpi_engine.change_log SELECT 'asesor', "
        "'00000000-0000-0000-0000-000000000001' FROM generate_series(1, 50000)"
    )
    report = examine(patient)
    assert "the change log has 3 MB" in report.findings("changes that wait")[0]["message"]
    mend(patient, "changes that wait", report)
    # autovacuum does not come by before the doctor does.
    patient.execute("ALTER TABLE kpi_engine.change_log SET (autovacuum_enabled = off)")
    with patient.session() as connection:
        connection.execute(
            "INSERT INTO kpi_engine.change_log SELECT 'asesor', gen_random_uuid() "
            "FROM generate_series(1, 5000)"
        )
        connection.execute("DELETE FROM kpi_engine.change_log")
        connection.execute("SELECT pg_stat_force_next_flush()")
    found = findings_of(patient, "size and dead rows")
    patient.execute("ALTER TABLE kpi_engine.change_log RESET (autovacuum_enabled)")
    assert any("kpi_engine.change_log has " in finding["message"] for finding in found)
    mend(patient, "size and dead rows")


def test_index_whose_build_was_interrupted(patient: Database) -> None:
    with patient.session() as blocker, patient.session() as building:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE kpi_engine.refresh_log IN ROW EXCLUSIVE MODE")
        building.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            building.execute("CREATE INDEX CONCURRENTLY medio ON kpi_engine.refresh_log (mode)")
        blocker.execute("ROLLBACK")
    assert "kpi_engine.medio" in findings_of(patient, "invalid indexes")[0]["message"]
    mend(patient, "invalid indexes")
    patient.execute("DROP INDEX kpi_engine.medio")


def test_long_and_prepared_transactions(patient: Database) -> None:
    with patient.connect(autocommit=False) as forgotten, patient.session() as preparing:
        forgotten.execute("SELECT pg_current_xact_id()")
        preparing.execute("BEGIN")
        preparing.execute("SELECT pg_current_xact_id()")
        preparing.execute("PREPARE TRANSACTION 'olvidada'")
        assert findings_of(patient, "what holds vacuum back") == []
        with constant(patient, "doctor_storage", "c_long", "interval '0'"):
            messages = [
                found["message"] for found in findings_of(patient, "what holds vacuum back")
            ]
            assert len(messages) == 2
            assert "'olvidada'" in messages[0]
            assert f"process {forgotten.info.backend_pid} " in messages[1]
            mend(patient, "what holds vacuum back")
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")


def test_disk_with_too_little_room(patient: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine(patient, only="disk").status("disk") == "ok"
    monkeypatch.setattr(doctor_checks, "LEAST_FREE_BYTES", 1024**6)
    [finding] = findings_of(patient, "disk")
    assert (finding["status"], finding["fixes"][0]["command"][:5]) == ("warning", "df -h")


def test_plain_roles_are_told_what_could_not_be_checked(patient: Database) -> None:
    password = secrets.token_hex(8)
    patient.execute(
        f"CREATE ROLE ana LOGIN PASSWORD '{password}'",
        "GRANT analytics_operador TO ana",
        f"CREATE ROLE nadie LOGIN PASSWORD '{password}'",
    )
    try:
        reader = examine(patient, url=patient.url_as("ana", password))
        nobody = examine(patient, url=patient.url_as("nadie", password))
        patient.execute("UPDATE analytics.scheduler_state SET last_tick_at = '2020-01-01'")
        ill = examine(patient, url=patient.url_as("ana", password))
        patient.execute("ALTER ROLE analytics_owner LOGIN")
        open_owner = examine(patient, url=patient.url_as("ana", password))
    finally:
        patient.execute("DROP ROLE ana", "DROP ROLE nadie", "ALTER ROLE analytics_owner NOLOGIN")
    for report in (reader, nobody):
        assert report.code == 0
        assert report.data["counts"]["failed"] == 0
        assert report.data["counts"]["wrong"] == 0
        assert "may not" in report.findings("files")[0]["message"]
        assert report.status("disk") == "unchecked"
    assert [reader.status(name) for name in ("health", "last runs", "attributes")] == ["ok"] * 3
    assert nobody.status("health") == "unchecked"
    assert (ill.code, ill.status("health")) == (1, "wrong")
    assert (open_owner.code, open_owner.status("attributes")) == (1, "wrong")


def test_it_writes_nothing_and_could_not(
    patient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes(patient: doctor_checks.Patient) -> Iterator[doctor_checks.Finding]:
        patient.rows("INSERT INTO kpi_engine.change_log VALUES ('everything', NULL) RETURNING 1")
        yield doctor_checks.ok()

    next_transaction = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
    for _ in range(30):
        # pg_cron and autovacuum write as they please.
        before = patient.rows(next_transaction)
        examine(patient)
        if patient.rows(next_transaction) == before:
            break
    else:
        pytest.fail("something was written in each of 30 examinations")
    writing = Check("test", "writes", writes, True, True)
    monkeypatch.setattr(doctor, "CHECKS", [writing, *doctor_checks.CHECKS])
    report = examine(patient)
    assert report.code == 1
    assert "read-only transaction (SQLSTATE 25006)" in report.findings("writes")[0]["message"]
    assert report.data["counts"]["failed"] == 1
    assert [entry["name"] for entry in report.data["checks"] if entry["status"] != "ok"] == [
        "writes"
    ]


def test_check_that_fails_waits_or_takes_too_long_is_reported_and_the_others_go_on(
    patient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeps(patient: doctor_checks.Patient) -> Iterator[doctor_checks.Finding]:
        yield doctor_checks.ok(str(patient.value("SELECT pg_sleep(300)")))

    sleeping = Check("test", "sleeps", sleeps, True, True)
    monkeypatch.setattr(doctor, "CHECKS", [sleeping, *doctor_checks.CHECKS])
    with patient.session() as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE kpi_engine.installation IN ACCESS EXCLUSIVE MODE")
        # Time enough for all others, also on a busy machine.
        report = examine(patient, "--timeout", "15")
    assert "longer than 15 s" in report.findings("sleeps")[0]["message"]
    assert "holds a lock" in report.findings("contract")[0]["message"]
    assert (report.code, report.status("values")) == (0, "ok")
    monkeypatch.setattr(doctor, "CHECKS", doctor_checks.CHECKS)
    patient.execute("DROP FUNCTION analytics.health_problems()")
    report = examine(patient)
    assert (report.code, report.status("health")) == (1, "failed")
    assert report.status("rebuild") == "ok"
    mend(patient, "files", report)
    assert examine(patient).code == 0


def test_database_without_the_package(clinic: Database) -> None:
    clinic.cluster.make_database("vacia")
    empty = Database(clinic.cluster, "vacia")
    report = examine(empty)
    assert report.code == 1
    assert report.findings("files")[0]["fixes"][0]["command"] == "make migrate"
    assert report.status("health") == "unchecked"
    assert report.data["counts"]["failed"] == 0


def test_wrong_usage_and_a_database_that_is_not_there(
    clinic: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main([]) == 2
    assert "DATABASE_URL" in capsys.readouterr().err
    assert doctor.main(["--database-url", clinic.cluster.url("no_hay")]) == 2
    assert doctor.main(["--database-url", "postgresql://ana@127.0.0.1:1/x"]) == 2
    assert "no connection" in capsys.readouterr().err
    for arguments in (["--wrong"], ["--timeout", "0"]):
        with pytest.raises(SystemExit) as ended:
            doctor.main(["--database-url", clinic.url, *arguments])
        assert ended.value.code == 2
    monkeypatch.setenv("ENVIRONMENT", "otro")
    assert doctor.main(["--database-url", clinic.url]) == 2


def test_make_doctor_prints_a_line_for_each_check_and_what_to_do(patient: Database) -> None:
    patient.execute("ALTER ROLE analytics_anon CREATEDB")
    result = subprocess.run(
        ["make", "doctor"],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": patient.url},
        text=True,
        capture_output=True,
        check=False,
    )
    patient.execute("ALTER ROLE analytics_anon NOCREATEDB")
    for name in check_names(patient):
        assert f"  {name}" in result.stdout
    assert "     ALTER ROLE analytics_anon NOCREATEDB;" in result.stdout.splitlines()
    assert result.returncode == 2, "make's own code for a recipe that failed"


@pytest.fixture(scope="module")
def cron_clinic() -> Iterator[Database]:
    """The database that pg_cron lives in, with its jobs, and another one on the same server."""
    cluster = Cluster(
        f"doctor-cron-{os.getpid()}",
        binaries=system_binaries(),
        database="cron",
        settings=TEST_SETTINGS,
    )
    cluster.start()
    try:
        database = Database(cluster, "cron")
        load_source_schema(database.url)
        migrate(database.url)
        cluster.make_database("otra")
        other = Database(cluster, "otra")
        load_source_schema(other.url)
        migrate(other.url)
        database.execute(*SETTLE)
        yield database
    finally:
        cluster.remove()


CRON: list[tuple[list[str], str]] = [
    (["SELECT cron.alter_job(jobid, active := false) FROM cron.job"], "is not active"),
    (["SELECT cron.alter_job(jobid, schedule := '0 * * * *') FROM cron.job"], "runs at"),
    (["SELECT cron.unschedule(jobid) FROM cron.job"], "is missing"),
    (["SELECT cron.schedule('otra vez', '* * * * *', 'CALL analytics.tick()')"], "again"),
    (
        [
            "SELECT cron.unschedule(jobid) FROM cron.job",
            "CREATE ROLE se_va LOGIN",
            "SELECT cron.schedule_in_database(command, '* * * * *', command, 'cron', 'se_va', "
            "false) FROM unnest('{CALL analytics.tick(),CALL analytics.work()}'::text[]) "
            "AS command",
            "DROP ROLE se_va",
        ],
        "se_va, is gone",
    ),
    (
        [
            "CREATE ROLE sin_entrada NOLOGIN",
            "UPDATE cron.job SET username = 'sin_entrada'",
        ],
        "may not log in",
    ),
]


@pytest.mark.system_only("pg_cron")
@pytest.mark.parametrize(("causes", "message"), CRON, ids=[case[1] for case in CRON])
def test_jobs_of_real_pg_cron(cron_clinic: Database, causes: list[str], message: str) -> None:
    cron_clinic.execute("CALL analytics.tick()")
    wait_for_no_findings(cron_clinic, "pg_cron")
    cron_clinic.execute(*causes)
    report = examine(cron_clinic)
    assert any(message in found["message"] for found in report.findings("pg_cron"))
    mend(cron_clinic, "pg_cron", report)
    if "sin_entrada" in str(causes):
        cron_clinic.execute("SELECT cron.unschedule(jobid) FROM cron.job", "DROP ROLE sin_entrada")
        mend(cron_clinic, "pg_cron")


@pytest.mark.system_only("pg_cron")
def test_database_that_pg_cron_does_not_live_in(cron_clinic: Database) -> None:
    other = Database(cron_clinic.cluster, "otra")
    report = examine(other)
    assert len(report.findings("pg_cron")) == 2
    mend(other, "pg_cron", report)
    assert "2 jobs as analytics_scheduler" in str(examine(other).entry("pg_cron"))


@pytest.mark.system_only("pg_cron")
def test_jobs_are_seen_by_who_may_act_as_their_role_and_is_no_superuser(
    cron_clinic: Database,
) -> None:
    password = secrets.token_hex(8)
    cron_clinic.execute(
        f"CREATE ROLE duena LOGIN PASSWORD '{password}'", "GRANT analytics_owner TO duena"
    )
    question = "SELECT status, message, current_user::text FROM kpi_engine.doctor_check('pg_cron')"
    try:
        cron_clinic.execute("CALL analytics.tick()")
        wait_for_no_findings(cron_clinic, "pg_cron")
        with cron_clinic.connect(cron_clinic.url_as("duena", password)) as connection:
            [(status, message, _)] = connection.execute(question).fetchall()
            assert (status, "analytics_scheduler" in message) == ("unchecked", True)
            cron_clinic.execute("GRANT analytics_scheduler TO duena")
            for role in ("duena", "analytics_owner"):
                connection.execute(f"SET ROLE {role}")
                assert connection.execute(question).fetchall() == [
                    ("ok", "2 jobs as analytics_scheduler", role)
                ]
                assert connection.execute("SHOW role").fetchone() == (role,)
            cron_clinic.execute("SELECT cron.alter_job(jobid, active := false) FROM cron.job")
            found = connection.execute(question).fetchall()
            assert [status for status, _, _ in found] == ["wrong", "wrong", "ok"]
    finally:
        cron_clinic.execute(
            "SELECT cron.alter_job(jobid, active := true) FROM cron.job", "DROP ROLE duena"
        )


@pytest.mark.system_only("pg_cron")
def test_missing_ticks_are_explained_as_far_as_the_caller_sees(cron_clinic: Database) -> None:
    cron_clinic.execute("CALL analytics.tick()")
    wait_for_no_findings(cron_clinic, "pg_cron")
    with cron_clinic.connect(autocommit=False) as keeper:
        keeper.execute("LOCK TABLE kpi_engine.tick_lock IN EXCLUSIVE MODE")
        cron_clinic.execute(
            "UPDATE kpi_engine.scheduler_state SET last_tick_at = now() - interval '10 minutes'"
        )
        [finding] = findings_of(cron_clinic, "pg_cron")
        assert "no tick for 3 minutes: job" in finding["message"]
        [health] = [
            found
            for found in findings_of(cron_clinic, "health")
            if "scheduler_down" in found["message"]
        ]
    assert health["message"].endswith(": see check pg_cron")
    assert [fix["run"] for fix in health["fixes"]] == ["sql"]
    cron_clinic.execute("CALL analytics.tick()")
    wait_for_no_findings(cron_clinic, "pg_cron")


@pytest.mark.system_only("pg_cron")
def test_job_whose_last_run_failed(cron_clinic: Database) -> None:
    wait_for_no_findings(cron_clinic, "pg_cron")
    cron_clinic.execute("REVOKE EXECUTE ON PROCEDURE analytics.tick FROM analytics_scheduler")
    deadline = time.monotonic() + 300
    while not examine(cron_clinic).findings("pg_cron"):
        assert time.monotonic() < deadline
        time.sleep(1)
    report = examine(cron_clinic)
    [finding] = report.findings("pg_cron")
    assert "the job teloo-analytics tick failed" in finding["message"]
    assert "permission denied for procedure tick" in finding["message"]
    assert cron_clinic.rows(finding["fixes"][0]["command"])
    mend(cron_clinic, "grants", report)
