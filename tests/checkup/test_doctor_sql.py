"""analytics.doctor(): every check of SQL by psql alone, the same findings as make doctor's."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import doctor
from checkup import doctor_checks
from checkup.test_doctor import SETTINGS, SETTLE, TRIGGER_OFF, TRIGGER_ON, examine
from cluster import Cluster, embedded_binaries, system_binaries
from commandline.console import UserError
from conftest import SERVERS, TEST_SETTINGS, Database
from database import prerequisites
from development.demo_source import load_source_schema
from migrate import migrate
from uninstall import uninstall

SERVERS_TAKE_TURNS = True
DOCTOR = "SELECT * FROM analytics.doctor()"
# Each is a finding of another check, and has a statement.
FAULTS = {
    "owners": "ALTER FUNCTION analytics.explain_refresh() OWNER TO postgres",
    "attributes": "ALTER ROLE analytics_anon CREATEDB",
    "memberships": "GRANT pg_read_all_data TO analytics_scheduler",
    "what they need": "ALTER ROLE analytics_lector RESET statement_timeout; "
    "ALTER ROLE analytics_authenticator RESET log_parameter_max_length",
    "right to cancel": "REVOKE pg_signal_backend FROM analytics_owner",
    "nothing for PUBLIC": "GRANT SELECT ON analytics.settings TO public",
    "values": "UPDATE analytics.settings SET value = '25:00' WHERE name = 'schedule_time'",
    "right to read": "REVOKE SELECT ON public.auditorias_tiendas FROM analytics_owner",
    "change capture": "DROP TRIGGER teloo_analytics_update ON public.ofertas",
    "ways around capture": "ALTER ROLE analytics_lector SET session_replication_role = replica",
    "health": "UPDATE analytics.view_state SET last_success_at = now() - interval '27 hours'",
    "last runs": "UPDATE analytics.refresh_log SET refresh_status = 'ERROR', error_message = 'no', "
    "error_sqlstate = 'XX000' WHERE run_id = (SELECT max(run_id) FROM analytics.refresh_log)",
    "autovacuum of our tables": "ALTER TABLE kpi_engine.settings SET (autovacuum_enabled = off)",
    "what holds vacuum back": "SELECT pg_create_physical_replication_slot('olvidado', true)",
    "usage": "ALTER ROLE analytics_authenticator RESET track_functions",
}


@pytest.fixture(scope="module", params=SERVERS)
def clinic(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A healthy installation on a server of its own: findings of roles concern all databases."""
    cluster = Cluster(
        f"doctor-sql-{request.param}-{os.getpid()}",
        binaries=system_binaries() if request.param == "system" else embedded_binaries(),
        database="cron",
        settings=TEST_SETTINGS + SETTINGS,
    )
    cluster.start()
    try:
        cluster.make_database("clinic")
        database = Database(cluster, "clinic")
        load_source_schema(database.url)
        migrate(database.url)
        database.execute("CREATE INDEX ON public.ofertas (created_at)")
        yield database
    finally:
        cluster.remove()


@pytest.fixture
def patient(clinic: Database) -> Database:
    """Refreshed, with a tick just now; in it the doctor finds nothing."""
    clinic.execute(*SETTLE)
    return clinic


@pytest.fixture
def ill(patient: Database) -> Iterator[Database]:
    """The same with many faults at once."""
    patient.execute(TRIGGER_OFF, *FAULTS.values(), TRIGGER_ON)
    yield patient
    patient.execute(
        *(
            str(text)
            for (text,) in patient.rows(
                f"SELECT statement FROM ({DOCTOR}) AS found WHERE statement !~ '^--' "
                "AND status <> 'failed'"
            )
        )
    )
    # The server's own shared memory shows a setting of a role at the next connection.
    migrate(patient.url)
    patient.execute(*SETTLE)
    assert findings(patient.connect()) == []


def rows(connection: psycopg.Connection, query: str = DOCTOR) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return list(cursor.execute(query.encode()).fetchall())


def findings(connection: psycopg.Connection, query: str = DOCTOR) -> list[dict[str, Any]]:
    return [row for row in rows(connection, query) if row["status"] != "ok"]


def sql_checks(connection: psycopg.Connection) -> list[str]:
    query = "SELECT check_name FROM kpi_engine.doctor_checks() ORDER BY place"
    return [name for (name,) in connection.execute(query).fetchall()]


def test_doctor_makes_each_check_of_sql_once_in_their_order(patient: Database) -> None:
    with patient.session() as connection:
        found = rows(connection)
        assert [row["check_name"] for row in found] == sql_checks(connection)
        assert {row["status"] for row in found} == {"ok"}, found
        assert len(found) >= 35
        connection.execute("SET search_path = public, analytics")
        assert rows(connection, "SELECT * FROM doctor()") == found
        groups = list(dict.fromkeys(row["group_name"] for row in found))
        for group in groups:
            part = rows(connection, f"SELECT * FROM analytics.doctor('{group}')")
            assert part == [row for row in found if row["group_name"] == group]
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            rows(connection, "SELECT * FROM analytics.doctor('kidneys')")
        assert all(group in str(refused.value.diag.message_hint) for group in groups)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT * FROM kpi_engine.doctor_check('kidneys')")


def test_the_doctor_names_derived_tables_that_nothing_reads(patient: Database) -> None:
    patient.execute("DROP MATERIALIZED VIEW analytics.mv_salud_marketplace CASCADE")
    try:
        with patient.session() as connection:
            found = [
                (row["status"], row["message"], row["statement"])
                for row in rows(connection, "SELECT * FROM analytics.doctor('installation')")
                if row["check_name"] == "derived tables"
            ]
    finally:
        migrate(patient.url)
        patient.execute(*SETTLE)
    assert found == [
        (
            "warning",
            f"nothing reads derived table {name}, and each refresh keeps it up to date",
            f"-- $ rm sql/views/totals/recomputed_{name}.sql\n-- $ make migrate",
        )
        for name in ("week_registrations", "week_totals")
    ]


def test_python_and_sql_say_the_same(ill: Database) -> None:
    report = examine(ill)
    machine = {check.name for check in doctor_checks.CHECKS} | {"pg_cron"}
    said = {
        (
            entry["group"],
            entry["name"],
            finding["status"],
            finding["message"],
            "\n".join(doctor_checks.Fix(**fix).line() for fix in finding["fixes"]) or None,
        )
        for entry in report.data["checks"]
        if entry["name"] not in machine
        for finding in entry["findings"]
        if finding["status"] != "ok"
    }
    with ill.connect() as connection:
        found = [row for row in findings(connection) if row["check_name"] not in machine]
        # Each fault is found, and each check of SQL is in Python's report.
        assert set(FAULTS) <= {row["check_name"] for row in found}
        assert set(sql_checks(connection)) <= {entry["name"] for entry in report.data["checks"]}
    assert {
        tuple(row[name] for name in ("group_name", "check_name", "status", "message", "statement"))
        for row in found
    } == said


def test_nothing_is_changed_and_the_order_is_the_same_twice(ill: Database) -> None:
    with ill.connect(autocommit=False) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        before = rows(connection)
        assert connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
        connection.rollback()
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("SET enable_hashagg = off")
        connection.execute("SET enable_hashjoin = off")
        after = rows(connection)
        connection.rollback()
    # Those fail for the right that is missing, none for a write.
    assert [row for row in before if row["status"] == "failed" and not row["cause"]] == []
    assert after == before
    heads = [row for row in before if row["cause"] is None]
    worst = list(doctor.STATUSES)
    alone = [
        row
        for row in heads
        if f"{row['check_name']}: {row['message']}" not in {row["cause"] for row in before}
    ]
    places = [worst.index(row["status"]) for row in alone]
    assert places == sorted(places)


def test_cause_comes_first_and_what_follows_from_it_directly_after(patient: Database) -> None:
    patient.execute("REVOKE SELECT ON public.solicitudes FROM analytics_owner")
    try:
        with patient.session() as connection:
            found = findings(connection)
    finally:
        patient.execute("GRANT SELECT ON public.solicitudes TO analytics_owner")
    first = found[0]
    assert (first["check_name"], first["cause"]) == ("right to read", None)
    assert first["statement"] == "GRANT SELECT ON public.solicitudes TO analytics_owner;"
    followers = [row for row in found if row["cause"]]
    assert len(followers) >= 2
    assert {row["cause"] for row in followers} == {f"right to read: {first['message']}"}
    assert found[1 : 1 + len(followers)] == followers
    assert "failed" in {row["status"] for row in followers}


def test_an_owner_that_was_renamed_gets_its_name_back(patient: Database) -> None:
    cure = "ALTER ROLE datos RENAME TO analytics_owner;"
    patient.execute("ALTER ROLE analytics_owner RENAME TO datos")
    try:
        for command in (migrate, uninstall):
            with pytest.raises(UserError, match="analytics_owner was renamed to datos") as refused:
                command(patient.url)
            assert f"    {cure}" in refused.value.hint
        with patient.session() as connection:
            found = findings(connection)
    finally:
        patient.execute(cure)
    first, *others = found
    assert (first["check_name"], first["status"]) == ("attributes", "wrong")
    assert first["message"] == "role analytics_owner is missing: it was renamed to datos"
    assert (first["statement"], first["cause"]) == (cure, None)
    wrong = [row for row in others if row["status"] != "warning"]
    assert {row["cause"] for row in wrong} == {f"attributes: {first['message']}"}
    assert findings(patient.connect()) == []


def test_owner_who_is_no_superuser_sees_all_but_the_sessions_of_others(ill: Database) -> None:
    password = secrets.token_hex(8)
    ill.execute(
        f"CREATE ROLE duena LOGIN PASSWORD '{password}'",
        "GRANT analytics_owner TO duena",
        f"CREATE ROLE sin_herencia LOGIN NOINHERIT PASSWORD '{password}'",
        "GRANT analytics_owner TO sin_herencia",
    )
    try:
        with ill.connect() as connection:
            everything = findings(connection)
        with ill.connect(ill.url_as("duena", password)) as connection:
            seen = findings(connection)
        code = examine(ill, url=ill.url_as("duena", password)).code
        without = examine(ill, url=ill.url_as("sin_herencia", password))
        with ill.connect(ill.url_as("sin_herencia", password)) as connection:
            connection.execute("SET ROLE analytics_owner")
            acting = findings(connection)
    finally:
        ill.execute("DROP ROLE duena", "DROP ROLE sin_herencia")
    hidden = "transactions of other roles are hidden from this one"
    for found, role in ((seen, "duena"), (acting, "analytics_owner")):
        more = [row for row in found if row["message"] == hidden]
        assert [row["statement"].partition(";")[0] for row in more] == [
            f"GRANT pg_read_all_stats TO {role}"
        ]
        assert [row for row in found if row not in more] == everything
    assert code == 1
    assert without.data["counts"]["failed"] == examine(ill).data["counts"]["failed"]
    assert without.data["counts"]["wrong"] == examine(ill).data["counts"]["wrong"]


def test_operators_are_told_what_they_may_not_see_and_readers_nothing(
    patient: Database,
) -> None:
    password = secrets.token_hex(8)
    for role in ("lector", "operador"):
        patient.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{password}'", f"GRANT analytics_{role} TO {role}"
        )
    try:
        with patient.connect(patient.url_as("operador", password)) as connection:
            seen = {row["check_name"]: row for row in rows(connection)}
        with (
            patient.connect(patient.url_as("lector", password)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            rows(connection)
    finally:
        patient.execute("DROP ROLE lector", "DROP ROLE operador")
    assert {row["status"] for row in seen.values()} == {"ok", "unchecked"}
    for check in ("health", "last runs", "rebuild", "attributes", "values", "objects", "usage"):
        assert seen[check]["status"] == "ok", check
    for check in ("contract", "right to read", "change capture", "jobs", "pg_cron"):
        assert seen[check]["status"] == "unchecked", check
        assert seen[check]["message"].startswith("role operador may not: permission denied for")
        assert "as a superuser" in seen[check]["statement"]


def test_gap_of_capture_is_told_as_it_is(patient: Database) -> None:
    with patient.session() as connection:
        connection.execute("BEGIN")
        connection.execute("ALTER TABLE public.ofertas DISABLE TRIGGER USER")
        gap = connection.execute("SELECT analytics.capture_gap()").fetchone()
        found = {row["check_name"]: row for row in rows(connection)}
        connection.execute("ROLLBACK")
    assert gap == (found["change capture"]["message"],)


def test_check_that_fails_or_waits_for_a_lock_takes_no_other_with_it(patient: Database) -> None:
    with patient.session() as connection, patient.session() as blocker:
        connection.execute("BEGIN")
        connection.execute("DROP FUNCTION analytics.capture_gap()")
        found = {row["check_name"]: row for row in rows(connection)}
        connection.execute("ROLLBACK")
        assert (found["change capture"]["status"], found["health"]["status"]) == (
            "failed",
            "failed",
        )
        assert "capture_gap() does not exist" in found["change capture"]["message"]
        assert (found["objects"]["status"], found["objects"]["statement"]) == (
            "wrong",
            "-- $ make migrate",
        )
        assert found["change capture"]["cause"].startswith("objects: ")
        assert {row["status"] for name, row in found.items() if name == "indexes"} == {"ok"}
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE kpi_engine.refresh_log IN ACCESS EXCLUSIVE MODE")
        connection.execute("SET lock_timeout = '20s'")
        found = {
            row["check_name"]: row
            for row in rows(connection, "SELECT * FROM analytics.doctor('refresh')")
        }
        assert found["last runs"]["status"] == "unchecked"
        assert "something holds a lock for over 2 s" in found["last runs"]["message"]
        assert found["rebuild"]["status"] == "ok"
        assert connection.execute("SHOW lock_timeout").fetchone() == ("20s",)


def cancel_sleep(database: Database, connection: psycopg.Connection) -> None:
    """Cancel what a session does, once it sleeps."""
    pid = connection.info.backend_pid
    database.wait_until(f"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = {pid}")
    database.execute(f"SELECT pg_cancel_backend({pid})")


def test_time_limit_ends_one_check_and_leaves_the_others_unmade(patient: Database) -> None:
    sleeps = (
        "CREATE OR REPLACE FUNCTION kpi_engine.foreign_code() RETURNS TABLE (relation oid, object "
        "text, routine text, owner text) LANGUAGE sql SET search_path = pg_catalog, pg_temp AS "
        "$$ SELECT 0::oid, '', '', '' FROM pg_sleep(600) $$"
    )
    with patient.session() as connection:
        connection.execute("BEGIN")
        connection.execute(sleeps)
        # Time enough for the check before it, also on a busy machine.
        connection.execute("SET LOCAL statement_timeout = '12500ms'")
        started = time.monotonic()
        found = {
            row["check_name"]: row
            for row in rows(connection, "SELECT * FROM analytics.doctor('source')")
        }
        assert time.monotonic() - started < 300
        assert found["contract"]["status"] == "ok"
        assert found["code of others"]["status"] == "unchecked"
        assert found["code of others"]["message"] == "it took longer than 12.5 s"
        assert "SET statement_timeout = '125s';" in found["code of others"]["statement"]
        for check in ("change capture", "indexes", "requests without a month"):
            assert "no time was left" in found[check]["message"]
        assert len(found) == 9
        # Somebody who cancels it ends it.
        connection.execute("SET LOCAL statement_timeout = '1h'")
        canceller = threading.Thread(target=cancel_sleep, args=[patient, connection])
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            rows(connection, "SELECT * FROM analytics.doctor('source')")
        canceller.join()
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("table", ["installation", "settings", "engine_state", "scheduler_state"])
def test_restore_without_data_is_one_finding(patient: Database, table: str) -> None:
    with patient.session() as connection:
        connection.execute("BEGIN")
        connection.execute(f"TRUNCATE kpi_engine.{table} CASCADE")
        found = {row["check_name"]: row for row in rows(connection)}
        connection.execute("ROLLBACK")
    assert found["data"]["status"] == "wrong"
    assert f"without its data: kpi_engine.{table} is empty" in found["data"]["message"]
    assert {row["status"] for row in found.values()} == {"wrong", "unchecked", "ok"}
    assert [name for name, row in found.items() if row["status"] == "ok"] == [
        "version and encoding",
        "vacuum and statistics",
        "connections",
        "attributes",
        "memberships",
        "right to cancel",
    ]


def test_what_the_caller_says_is_heeded(patient: Database) -> None:
    with patient.session() as connection:
        (pool,) = findings(connection, "SELECT * FROM analytics.doctor('server', p_pool => 120)")
        assert "ALTER SYSTEM SET max_connections = 128;" in pool["statement"]
        uncounted = findings(connection, "SELECT * FROM analytics.doctor(p_counts => false)")
        assert [row["check_name"] for row in uncounted] == [
            "requests without a month",
            "values that can't be counted",
        ]
        connection.execute("SELECT analytics.set_setting('allow_pinned_clock', 'on')")
        query = "SELECT * FROM analytics.doctor('settings', p_production => {})"
        assert findings(connection, query.format("false")) == []
        (clock,) = findings(connection, query.format("true"))
        connection.execute(clock["statement"].encode())
        assert findings(connection, query.format("true")) == []


def test_search_path_of_the_session_is_not_taken_for_that_of_the_database(
    patient: Database,
) -> None:
    default = "SELECT kpi_engine.default_search_path()"
    patient.execute("ALTER DATABASE clinic RESET search_path")
    try:
        for options in ("", "-c search_path=analytics"):
            url = psycopg.conninfo.make_conninfo(patient.url, options=options)
            with patient.connect(url) as connection:
                assert connection.execute(default).fetchone() == ('"$user", public',)
                connection.execute("SET search_path = analytics, public")
                (row,) = findings(connection)
                assert row["check_name"] == "search_path"
                assert 'search_path of the database ("$user", public) has no' in row["message"]
    finally:
        migrate(patient.url)


# Functions whose query the tools run from the file, with arguments.
QUERIES: list[tuple[str, dict[str, prerequisites.Value]]] = [
    ("server_problems", {}),
    ("package_needs", {}),
    ("setting_defaults", {}),
    ("database_search_path", {}),
    ("doctor_checks", {}),
    ("path_elements", {"p_path": '"a,b", "c ""d""" ,X'}),
    (
        "shadowing_objects",
        {"p_path": "public, analytics", "p_views": ["ofertas", "mv_metricas_mensuales"]},
    ),
    ("source_needs", {"p_schema": "public", "p_tables": ["ofertas", "no_hay", "clientes"]}),
    ("cron_jobs", {"p_database": "it's"}),
]


@pytest.mark.parametrize(("name", "arguments"), QUERIES, ids=[name for name, _ in QUERIES])
def test_query_in_the_file_gives_what_the_function_gives(
    patient: Database, name: str, arguments: dict[str, prerequisites.Value]
) -> None:
    with patient.session() as connection:
        connection.execute("SET search_path = pg_catalog, pg_temp")
        answer = prerequisites.ask(connection, name, **arguments)
        function = connection.execute(
            f"SELECT * FROM kpi_engine.{name}({', '.join(['%s'] * len(arguments))})",
            list(arguments.values()),
        ).fetchall()
    assert answer == function
    assert answer or name == "server_problems"


def test_each_setting_has_a_default_that_is_right_and_migrate_puts_back_what_is_gone(
    patient: Database,
) -> None:
    problem = (
        "SELECT name FROM kpi_engine.setting_defaults() "
        "WHERE kpi_engine.setting_problem(name, value) IS NOT NULL"
    )
    assert patient.rows(problem) == []
    same = (
        "SELECT name, description FROM analytics.settings "
        "EXCEPT SELECT name, description FROM kpi_engine.setting_defaults()"
    )
    assert patient.rows(same) == []
    patient.execute(
        "SELECT analytics.set_setting('refresh_retries', '7')",
        "DELETE FROM analytics.settings WHERE name = 'refresh_max_minutes'",
    )
    assert migrate(patient.url) == ["added 1 setting(s)"]
    query = (
        "SELECT name, value FROM analytics.settings "
        "WHERE name IN ('refresh_max_minutes', 'refresh_retries') ORDER BY 1"
    )
    assert patient.rows(query) == [("refresh_max_minutes", "360"), ("refresh_retries", "7")]
    patient.execute("SELECT analytics.set_setting('refresh_retries', '2')")
