"""Each problem of the health: its real cause raises the alert, and it clears when that goes."""

import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from conftest import Database, install, made_once, wait_for_the_new_day
from database.sql_files import SQL_DIRECTORY
from marketplace import fill
from migrate import migrate
from source_indexes import build_missing

SYSTEM_SERVER_IS_ENOUGH = True

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
REFRESH = "SELECT * FROM analytics.refresh_all_mv()"
PROBLEM_NAMES = re.findall(
    r"^ +'(\w+)', (?:'(?:unhealthy|degraded)'|\w+\.severity),$",
    (ROOT / "sql" / "functions" / "health" / "health_problems.sql").read_text(encoding="utf-8"),
    re.MULTILINE,
) + re.findall(
    r"^ +'(source_\w+)', (?:true|false), ",
    (ROOT / "sql" / "functions" / "source" / "source_problems.sql").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@dataclass
class Patient:
    """A healthy installation whose clock the test moves, as an alerted operator sees it."""

    database: Database
    now: datetime
    events: list[str] = field(default_factory=list)

    def run(self, *statements: str) -> None:
        with self.database.session() as connection:
            connection.execute(
                "SELECT set_config('analytics.now', %s, false)", [self.now.isoformat()]
            )
            for statement in statements:
                connection.execute(statement)

    def look(self) -> list[str]:
        """Tick, and return what the alerts have newly said."""
        self.run("CALL analytics.tick()")
        rows = self.database.rows(
            "SELECT event || ' ' || problem FROM analytics.alert_outbox "
            "JOIN analytics.alerts USING (alert_id) ORDER BY notice_id"
        )
        new = [str(event) for (event,) in rows][len(self.events) :]
        self.events += new
        return sorted(new)


# By cluster: when the patient that all others are copies of was refreshed.
REFRESHED_AT: dict[str, datetime] = {}


@pytest.fixture
def patient(database: Database) -> Patient:
    """A filled, refreshed, healthy database, just after a daily refresh."""
    wait_for_the_new_day()
    made_once(database, "patient", make_patient)
    patient = Patient(database, REFRESHED_AT[database.cluster.name])
    assert patient.look() == []
    return patient


def make_patient(database: Database) -> None:
    install(database)
    ((now,),) = database.rows("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    REFRESHED_AT[database.cluster.name] = now
    with database.session() as connection:
        fill(connection, 5, "A", now.date())
    build_missing(database.url)
    # The next slot is in 23 hours, whatever the time is now.
    slot = f"{(now - timedelta(hours=1)).astimezone(UTC):%H:%M}"
    patient = Patient(database, now)
    patient.run(
        "SELECT analytics.set_setting('alert_after_minutes', '0')",
        # What else the machine does is no problem of the health here.
        "SELECT analytics.set_setting('slow_refresh_least_ms', '3600000')",
        f"SELECT analytics.set_schedule('{slot}', 'UTC')",
        REFRESH,
    )
    assert patient.look() == []


def seen_and_gone(patient: Patient, problem: str, mend: Callable[[], object]) -> None:
    assert patient.look() == [f"raised {problem}"]
    assert patient.look() == []
    mend()
    assert patient.look() == [f"cleared {problem}"]
    assert patient.look() == []


def with_lock(patient: Patient, seconds: float, statement: str) -> None:
    """Run a statement that waits for so long, because somebody has a source table locked."""
    with patient.database.session() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("BEGIN; LOCK TABLE public.solicitudes IN ACCESS EXCLUSIVE MODE")
        running = pool.submit(patient.run, statement)
        try:
            patient.database.wait_until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted "
                "AND relation = 'public.solicitudes'::regclass"
            )
            time.sleep(seconds)
        finally:
            holder.execute("COMMIT")
        running.result(timeout=120)


def test_never_populated(patient: Patient) -> None:
    patient.run(
        "CREATE MATERIALIZED VIEW analytics.mv_nueva AS SELECT 1 AS value WITH NO DATA",
        "CREATE UNIQUE INDEX ON analytics.mv_nueva (value)",
        "ALTER MATERIALIZED VIEW analytics.mv_nueva OWNER TO analytics_owner",
    )
    assert patient.look() == []
    patient.run("UPDATE analytics.alerts SET first_seen_at = first_seen_at - interval '25 hours'")
    seen_and_gone(patient, "never_populated", lambda: patient.run(REFRESH))


def test_old_rules(patient: Patient, tmp_path: Path) -> None:
    """tests/kpis/test_changed_rules.py has more rules."""
    tree = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    rule = tree / "functions" / "kpis" / "percentage.sql"
    text = rule.read_text(encoding="utf-8")
    assert text.count("100 * p_part") == 1
    rule.write_text(text.replace("100 * p_part", "99 * p_part"), encoding="utf-8")
    migrate(patient.database.url, directory=tree)
    # The daily refresh does it.
    assert patient.look() == []
    patient.run("UPDATE analytics.alerts SET first_seen_at = first_seen_at - interval '25 hours'")
    seen_and_gone(patient, "old_rules", lambda: patient.run(REFRESH))


@pytest.mark.parametrize(
    "cause",
    [
        "REFRESH MATERIALIZED VIEW analytics.mv_ranking_asesores WITH NO DATA",
        "DROP MATERIALIZED VIEW analytics.mv_ranking_asesores CASCADE",
    ],
)
def test_view_that_lost_its_contents_is_not_waited_for(patient: Patient, cause: str) -> None:
    patient.run(cause)
    assert patient.look() == ["raised never_populated"]
    ((message,),) = patient.database.rows("SELECT message FROM analytics.alerts")
    assert "lost its contents" in str(message)
    # What the rule TelooViewEmpty looks at.
    ((metrics,),) = patient.database.rows("SELECT api.metrics()")
    lines = re.findall(
        r'_view_(\w+)\{view="mv_ranking_asesores"\} [0-9]', str(metrics), re.MULTILINE
    )
    assert "last_success_timestamp_seconds" in lines and "rows" not in lines
    migrate(patient.database.url)
    patient.run(REFRESH)
    assert patient.look() == ["cleared never_populated"]


def test_aging_then_stale(patient: Patient) -> None:
    patient.now += timedelta(hours=23, minutes=30)
    # The daily refresh is queued; nobody works.
    assert patient.look() == []
    patient.now += timedelta(minutes=31)
    assert patient.look() == ["raised missed_slot"]
    patient.now += timedelta(hours=1)
    assert patient.look() == []
    patient.run("UPDATE analytics.alerts SET first_seen_at = first_seen_at - interval '15 minutes'")
    assert patient.look() == ["raised aging"]
    patient.now += timedelta(hours=1)
    assert patient.look() == ["cleared aging", "raised stale"]
    patient.run("CALL analytics.work()")
    assert patient.look() == ["cleared missed_slot", "cleared stale"]


def test_refresh_failed(patient: Patient) -> None:
    tables = ("month_totals_a", "month_totals_b")
    patient.run(
        *(f"ALTER TABLE kpi_engine.{name} ADD CHECK (requests < 0) NOT VALID" for name in tables),
        "UPDATE public.solicitudes SET estado = 'ABIERTA'",
        REFRESH,
    )

    def mend() -> None:
        patient.run(
            *(
                f"ALTER TABLE kpi_engine.{name} DROP CONSTRAINT {name}_requests_check"
                for name in tables
            ),
            REFRESH,
        )

    seen_and_gone(patient, "refresh_failed", mend)


def test_source_moved(patient: Patient) -> None:
    rename = "ALTER TABLE public.auditorias_tiendas RENAME TO {}"
    back = "ALTER TABLE public.audits RENAME TO auditorias_tiendas"
    patient.run(rename.format("audits"))
    seen_and_gone(patient, "source_moved", lambda: patient.run(back))


def test_source_hidden(patient: Patient) -> None:
    policies = "ALTER TABLE public.ofertas {} ROW LEVEL SECURITY"
    patient.run(policies.format("ENABLE"))
    seen_and_gone(patient, "source_hidden", lambda: patient.run(policies.format("DISABLE")))


def test_scheduler_down(patient: Patient) -> None:
    """Without ticks the notifier looks. tests/upkeep/test_crashes.py really stops them."""
    look = "SELECT kpi_engine.update_alerts()"
    patient.run(
        "UPDATE analytics.scheduler_state SET last_tick_at = now() - interval '181 s'", look
    )
    # What said so before a tick is cleared by the tick.
    assert patient.look() == ["cleared scheduler_down", "raised scheduler_down"]


def test_drift(patient: Patient) -> None:
    patient.run("UPDATE kpi_engine.solicitud_facts SET offers = offers + 1", REFRESH)
    assert patient.look() == []
    patient.run("SELECT analytics.audit()")
    seen_and_gone(patient, "drift", lambda: patient.run(REFRESH))


def test_slow(patient: Patient) -> None:
    for number in range(6):
        patient.run(f"UPDATE public.solicitudes SET estado = 'E{number}'", REFRESH)
    ((milliseconds,),) = patient.database.rows(
        "SELECT max(refresh_time_ms)::float FROM analytics.refresh_log WHERE view_name IS NULL"
    )
    assert isinstance(milliseconds, float)
    patient.run("UPDATE public.solicitudes SET estado = 'ABIERTA'")
    # No refresh is slow that takes only as long as those before.
    least = max(2000, round(2 * milliseconds))
    patient.run(f"SELECT analytics.set_setting('slow_refresh_least_ms', '{least}')")
    with_lock(patient, 2 * least / 1000, REFRESH)

    def mend() -> None:
        patient.run("UPDATE public.solicitudes SET estado = 'E1'", REFRESH)

    seen_and_gone(patient, "slow", mend)


def test_missing_indexes(patient: Patient) -> None:
    ((index,),) = patient.database.rows(
        "SELECT min(index_name) FROM analytics.source_indexes() "
        "WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = index_name::regclass)"
    )
    patient.run(f"DROP INDEX {index}")

    def mend() -> None:
        """As the message says, with psql alone."""
        ((message,),) = patient.database.rows(
            "SELECT message FROM analytics.alerts WHERE cleared_at IS NULL"
        )
        (query,) = re.findall(r"SELECT [^;]+", str(message))
        patient.database.execute(*(str(row[0]) for row in patient.database.rows(query)))

    seen_and_gone(patient, "missing_indexes", mend)


def test_row_drop(patient: Patient) -> None:
    patient.run(
        "TRUNCATE public.asesores CASCADE",
        REFRESH,
    )
    seen_and_gone(patient, "row_drop", lambda: patient.run(REFRESH))


def test_gate(patient: Patient) -> None:
    patient.run(
        "SELECT analytics.set_setting('gate_least_requests', '1')",
        "UPDATE public.solicitudes SET created_at = created_at - interval '1 day'",
        REFRESH,
    )
    seen_and_gone(
        patient,
        "gate",
        lambda: patient.run(
            "SELECT analytics.accept_gate('changes', 'once', 'it is right')",
            "SELECT analytics.set_setting('gate', 'off')",
            "SELECT analytics.set_setting('restatement_alert_pct', 'off')",
            REFRESH,
        ),
    )


def test_restated(patient: Patient) -> None:
    patient.run(
        "SELECT analytics.set_setting('gate', 'off')",
        "SELECT analytics.set_setting('breaker_pct', 'off')",
        "SELECT analytics.set_setting('gate_least_requests', '1')",
        "DELETE FROM public.adjudicaciones_repuesto",
        REFRESH,
    )
    assert patient.look() == ["raised restated"]
    patient.now += timedelta(hours=23)
    assert [event for event in patient.look() if "restated" in event] == []
    patient.now += timedelta(hours=1, minutes=1)
    assert "cleared restated" in patient.look()


def test_target_missed(patient: Patient) -> None:
    """An alert for each day, and none when it is over: a closed day stays missed."""
    patient.run(
        "SELECT analytics.set_setting('target_alert', 'mv_embudo_operativo')",
        "SELECT analytics.set_target('mv_embudo_operativo', 'solicitudes_creadas', "
        "analytics.today(), 1000000)",
    )
    assert patient.look() == []
    patient.now += timedelta(days=7)
    patient.run("SELECT * FROM analytics.refresh_all_mv(true)")
    told = [event for event in patient.look() if "target_missed" in event]
    assert told == ["raised target_missed", "raised target_missed"]
    assert patient.look() == []
    patient.now += timedelta(days=1, minutes=1)
    assert [event for event in patient.look() if "target_missed" in event] == []
    assert patient.database.rows(
        "SELECT count(*) FROM analytics.alerts WHERE problem = 'target_missed' "
        "AND cleared_at IS NULL"
    ) == [(0,)]


def test_capture_gap(patient: Patient) -> None:
    patient.run(
        "ALTER TABLE public.asesores OWNER TO CURRENT_USER",
        "ALTER TABLE public.asesores DISABLE TRIGGER USER",
        "REVOKE TRIGGER ON public.asesores FROM analytics_owner",
    )
    seen_and_gone(
        patient, "capture_gap", lambda: patient.run("CALL analytics.apply_change_capture()")
    )


def test_missed_slot(patient: Patient) -> None:
    """No tick between the slot and the end of the grace period, as while a server is down."""
    patient.now += timedelta(hours=24, minutes=30)
    # However soon the catch-up is done.
    patient.run("SELECT analytics.set_setting('alert_after_minutes', '1')")
    assert patient.look() == ["raised missed_slot"]
    patient.run("CALL analytics.work()")
    assert patient.look() == ["cleared missed_slot"]


def test_slot_that_waits_for_another_refresh_is_not_missed(patient: Patient) -> None:
    patient.now += timedelta(hours=23, minutes=30)
    assert patient.look() == []
    patient.now += timedelta(minutes=40)
    with patient.database.session() as rebuilding:
        rebuilding.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        assert patient.look() == []
    # It gets as long again when the other ended without a success, or was an audit.
    assert patient.look() == []
    patient.now += timedelta(minutes=61)
    assert patient.look() == ["raised missed_slot"]


def test_lagging(patient: Patient) -> None:
    """No work() runs. tests/schedule/test_target_lag.py has the other causes."""
    patient.run(
        "SELECT analytics.set_setting('target_lag', '1 minute')",
        "UPDATE public.solicitudes SET estado = 'E1'",
    )
    patient.now += timedelta(minutes=2)
    assert patient.look() == []
    patient.now += timedelta(seconds=1)
    seen_and_gone(patient, "lagging", lambda: patient.run("CALL analytics.work()"))


def test_replica_lag(patient: Patient) -> None:
    """A subscription that stands still. tests/capture/test_subscriber.py has real publishers."""
    patient.run(
        "CREATE SUBSCRIPTION away CONNECTION 'dbname=away' PUBLICATION operational "
        "WITH (connect = false, slot_name = NONE)",
        "SET allow_system_table_mods = on",
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "SELECT oid, 'public.ofertas'::regclass, 'r' FROM pg_subscription WHERE subname = 'away'",
    )
    try:
        patient.database.execute("CALL analytics.apply_change_capture()")
        patient.run("SELECT * FROM analytics.refresh_all_mv()")
        seen_and_gone(
            patient,
            "replica_lag",
            lambda: patient.run("SELECT analytics.set_setting('replica_lag', 'off')"),
        )
    finally:
        patient.database.execute("DROP SUBSCRIPTION away")


def test_outside_source(patient: Patient) -> None:
    """A table that its triggers do not watch. tests/outside has the other causes."""
    patient.run(
        "CREATE SCHEMA soporte",
        "CREATE TABLE soporte.reclamos (asesor_id uuid)",
        "GRANT USAGE ON SCHEMA soporte TO analytics_owner",
        "GRANT SELECT ON soporte.reclamos TO analytics_owner",
        "CREATE MATERIALIZED VIEW analytics.mv_reclamos AS SELECT asesor_id FROM soporte.reclamos",
        "CREATE UNIQUE INDEX ON analytics.mv_reclamos (asesor_id)",
        "ALTER MATERIALIZED VIEW analytics.mv_reclamos OWNER TO analytics_owner",
        "SELECT kpi_engine.declare_outside_source("
        "'analytics.mv_reclamos', 'soporte.reclamos', 'triggers')",
        "SELECT * FROM analytics.refresh_all_mv()",
    )
    seen_and_gone(
        patient,
        "outside_source",
        lambda: patient.run("SELECT analytics.watch_outside_sources()"),
    )


def test_hub_site(patient: Patient) -> None:
    """A site that is away. tests/hub has real hubs and sites."""
    patient.run(
        "INSERT INTO kpi_engine.hub_sites (site, server_name, state, message) "
        "VALUES ('cali', 'teloo_site_cali', 'away', 'could not establish connection')"
    )
    seen_and_gone(
        patient,
        "hub_site",
        lambda: patient.run("UPDATE kpi_engine.hub_sites SET state = 'ok'"),
    )
    patient.run("DELETE FROM kpi_engine.hub_sites")


def test_clock(patient: Patient) -> None:
    patient.run(
        "UPDATE analytics.view_state SET last_success_at = last_success_at + interval '1 year'"
    )
    assert patient.look() == ["raised clock"]
    patient.run("CALL analytics.work()")
    assert patient.look() == []
    patient.now += timedelta(minutes=61)
    assert patient.look() == ["cleared clock"]


def test_lock_blocked(patient: Patient) -> None:
    patient.run("CREATE ROLE cualquiera LOGIN PASSWORD 'secret'")
    try:
        with patient.database.connect(patient.database.url_as("cualquiera", "secret")) as stranger:
            stranger.execute(
                "SELECT pg_advisory_lock(hashtextextended('teloo-analytics refresh', 0))"
            )
            seen_and_gone(patient, "lock_blocked", lambda: ended(patient, stranger))
    finally:
        patient.run("DROP ROLE cualquiera")


def ended(patient: Patient, session: psycopg.Connection) -> None:
    """End a session, and wait until the server has."""
    pid = session.info.backend_pid
    session.close()
    while patient.database.rows(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") != [
        (0,)
    ]:
        pass


def test_uncountable_rows(patient: Patient) -> None:
    """Noted as if it were: tests/source/test_poison.py has real ones, in wider columns."""
    patient.run(
        "INSERT INTO analytics.uncountable_rows (table_name, row_id, column_names) "
        "SELECT 'usuarios', id, 'nombre' FROM public.usuarios LIMIT 1"
    )
    seen_and_gone(
        patient,
        "uncountable_rows",
        lambda: patient.run("UPDATE public.usuarios SET nombre = nombre || 'x'", REFRESH),
    )


def test_quiet_day_raises_nothing(patient: Patient) -> None:
    for _ in range(25):
        patient.now += timedelta(hours=1)
        assert patient.look() == []
        patient.run("CALL analytics.work()")
        assert patient.look() == []
    assert patient.database.rows(
        "SELECT count(*) FROM analytics.refresh_jobs WHERE state = 'SUCCESS'"
    ) == [(1,)]


def test_migrate_again_raises_nothing(patient: Patient) -> None:
    migrate(patient.database.url)
    assert patient.look() == []


def test_every_problem_has_general_words(migrated: Database) -> None:
    known = migrated.rows("SELECT * FROM kpi_engine.known_problems()")
    assert {name for name, *_ in known} == set(PROBLEM_NAMES)
    for name, english, spanish, cure in known:
        assert english and spanish and str(cure).endswith("."), name


def test_every_problem_is_provoked_and_in_the_runbook() -> None:
    # The patterns still find them.
    assert len(set(PROBLEM_NAMES)) >= 24
    source = Path(__file__).read_text(encoding="utf-8")
    for name in PROBLEM_NAMES:
        assert f'"raised {name}"' in source or f'"{name}",' in source
        assert f"\n## {name}\n" in RUNBOOK


@pytest.mark.parametrize("block", re.findall(r"```sql\n(.*?)```", RUNBOOK, re.DOTALL))
def test_statements_of_the_runbook_run(migrated: Database, block: str) -> None:
    for statement in block.strip().removesuffix(";").split(";\n"):
        migrated.execute(statement)


@pytest.mark.parametrize("call", sorted(set(re.findall(r"`((?:CALL|SELECT) [^`]*);?`", RUNBOOK))))
def test_statements_in_the_runbooks_text_run(migrated: Database, call: str) -> None:
    if "cron." in call:
        with pytest.raises(psycopg.errors.UndefinedTable):
            migrated.execute(call)
    elif "forget_subscription" in call:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="from_shop"):
            migrated.execute(call)
    else:
        # psql runs what the query gives.
        migrated.execute(call.removesuffix(r"\gexec"))
