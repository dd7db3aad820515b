"""A session that is idle in a transaction after reading the real-time view, and large audits."""

import secrets

import psycopg
import pytest

from conftest import Database
from sequences import REAL_TIME_VIEW
from upkeep.test_engine import differences, disturb, market, session, template

__all__ = ["market", "template"]


@pytest.mark.parametrize(
    "read",
    [f"SELECT * FROM analytics.{REAL_TIME_VIEW}", "SELECT count(*) FROM kpi_engine.month_totals"],
)
def test_rebuild_goes_on_without_the_reader_who_is_idle_in_his_transaction(
    market: Database, read: str
) -> None:
    # What is to be swapped in differs from what is shown.
    market.execute(
        "UPDATE kpi_engine.solicitud_facts SET offers = offers + 1",
        "UPDATE kpi_engine.month_totals SET offers = offers + 7",
        "DELETE FROM kpi_engine.asesor_totals",
    )
    disturb(market, 29)
    with market.connect(autocommit=False) as reader, session(market) as rebuilding:
        reader.execute("SET application_name = 'forgotten report'")
        reader.execute(read)
        told: list[str] = []
        rebuilding.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        rebuilding.execute("SET statement_timeout = '55s'")
        rebuilding.execute("CALL analytics.rebuild()")
        said = " ".join(told)
        # The real-time view reads the sets themselves: the swap does not wait for it.
        is_told = f"process {reader.info.backend_pid}" in said and "forgotten report" in said
        assert is_told == ("kpi_engine" in read), said
        # He sees what he saw, and goes on.
        reader.execute(read)
        reader.rollback()
    assert differences(market) == []
    assert market.rows("SELECT analytics.audit()") == [(0,)]
    assert market.rows("SELECT count(*) FROM analytics.rebuild_progress") == [(0,)]
    disturb(market, 30)
    with session(market) as connection:
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        connection.execute("CALL analytics.rebuild()")
    assert differences(market) == []


def test_first_refresh_does_not_wait_for_who_reads_the_empty_tables(migrated: Database) -> None:
    with migrated.connect(autocommit=False) as reader, migrated.session() as refreshing:
        reader.execute(f"SELECT * FROM analytics.{REAL_TIME_VIEW}")
        refreshing.execute("SET statement_timeout = '55s'")
        rows = refreshing.execute(
            "SELECT refresh_status FROM analytics.refresh_all_mv()"
        ).fetchall()
        assert {row[0] for row in rows} == {"SUCCESS"}
    assert differences(migrated) == []


def test_large_audit_warns_once(market: Database) -> None:
    market.execute(
        "UPDATE kpi_engine.solicitud_facts SET offers = offers + 1",
        "UPDATE kpi_engine.month_totals SET requests_open = requests_open + 1",
        "UPDATE kpi_engine.month_marcas SET requests = requests + 1",
        "UPDATE kpi_engine.asesor_facts SET punto_venta = 'x' || coalesce(punto_venta, '')",
        "DELETE FROM kpi_engine.auditoria_facts",
    )
    with session(market) as connection:
        told: list[tuple[str, str, str]] = []
        connection.add_notice_handler(
            lambda notice: told.append(
                (
                    str(notice.message_primary),
                    str(notice.message_detail),
                    str(notice.message_hint),
                )
            )
        )
        ((cells,),) = connection.execute("SELECT analytics.audit()").fetchall()
    assert len(told) == 1
    message, detail, hint = told[0]
    assert f"{cells} wrong cell(s)" in message
    assert "solicitud_facts.offers" in detail
    assert "analytics.audit_log" in hint
    assert market.rows("SELECT analytics.audit()") == [(0,)]


CALLABLE = {
    # The contract of the role, and the two procedures' steps.
    "analytics.tick()",
    "analytics.work()",
    "kpi_engine.tick_step(text)",
    "kpi_engine.work_step(text,bigint,boolean,text,text)",
    "analytics.trim_cron_history(integer)",
    "kpi_engine.refresh_lock_key()",
    "kpi_engine.run_rebuild_steps(boolean,bigint,text,text)",
    "kpi_engine.begin_rebuild(boolean,bigint)",
    "kpi_engine.continue_rebuild(integer)",
    # The doctor looks at the jobs of pg_cron as this role.
    "kpi_engine.cron_jobs(text)",
    "kpi_engine.cron_problems(text,text,boolean)",
    "kpi_engine.package_roles()",
    # The notifier's.
    "kpi_engine.pin_settings()",
    "analytics.scheduler_down_reason()",
    "kpi_engine.take_notice()",
    "kpi_engine.report_notice(bigint,text[],text)",
    "kpi_engine.update_alerts()",
    # The digests.
    "kpi_engine.take_digest()",
    "kpi_engine.report_digest(bigint,text)",
    "kpi_engine.digest_contents(text,text[],date)",
    # Names whose event trigger stopped a rebuild.
    "kpi_engine.event_trigger_in(text)",
}


@pytest.fixture
def scheduler(market: Database) -> psycopg.Connection:
    """A session of the scheduler's role."""
    password = secrets.token_hex(8)
    market.execute(f"ALTER ROLE analytics_scheduler PASSWORD '{password}'")
    return market.connect(market.url_as("analytics_scheduler", password))


def test_scheduler_may_call_what_it_needs_and_nothing_else(
    market: Database, scheduler: psycopg.Connection
) -> None:
    scheduler.execute("SET search_path = pg_catalog")
    rows = scheduler.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = ANY ("
        "'{analytics, kpi_engine, api}'::regnamespace[]) "
        "AND has_function_privilege(oid, 'EXECUTE')"
    ).fetchall()
    assert {row[0] for row in rows} == CALLABLE
    scheduler.execute("RESET search_path")
    scheduler.execute("CALL analytics.tick()")
    scheduler.execute("CALL analytics.work()")


@pytest.mark.parametrize(
    "call",
    [
        "kpi_engine.work_step('claim')",
        "kpi_engine.work_step('run', 1)",
        "kpi_engine.work_step('fail', 1, false, 'no', 'XX000')",
        "kpi_engine.work_step('plan', 1)",
        "kpi_engine.begin_rebuild(true)",
        "kpi_engine.continue_rebuild(1)",
    ],
)
def test_steps_do_nothing_without_the_refresh_lock(
    market: Database, scheduler: psycopg.Connection, call: str
) -> None:
    market.execute("INSERT INTO analytics.refresh_jobs (triggered_by) VALUES ('request')")
    jobs = market.rows("SELECT * FROM analytics.refresh_jobs")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        scheduler.execute(f"SELECT {call}")
    assert market.rows("SELECT * FROM analytics.refresh_jobs") == jobs


def test_no_rebuild_is_completed_without_all_its_batches(market: Database) -> None:
    """Else the requests of the others would be gone from all figures, and nothing would say so."""
    complete = "SELECT kpi_engine.continue_rebuild()"
    market.execute("SELECT analytics.set_setting('rebuild_batch_requests', '100')")
    before = market.rows("SELECT count(*) FROM kpi_engine.solicitud_facts")
    with market.connect() as operator:
        operator.execute("SET ROLE analytics_operador")
        operator.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match="batches are missing"
        ):
            operator.execute(complete)
        rows = operator.execute("SELECT unnest(kpi_engine.begin_rebuild(true))").fetchall()
        for batch in rows[1:]:
            operator.execute("SELECT kpi_engine.continue_rebuild(%s)", batch)
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match="batches are missing"
        ):
            operator.execute(complete)
        assert market.rows("SELECT count(*) FROM kpi_engine.solicitud_facts") == before
        operator.execute("SELECT kpi_engine.continue_rebuild(%s)", rows[0])
        operator.execute(complete)
    assert len(rows) > 1
    assert differences(market) == []


def test_scheduler_can_not_end_the_job_of_another_session(
    market: Database, scheduler: psycopg.Connection
) -> None:
    market.execute(
        "INSERT INTO analytics.refresh_jobs (triggered_by, state, pid, started_at, attempts) "
        "VALUES ('request', 'RUNNING', 1, now(), 1)"
    )
    scheduler.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
    scheduler.execute(
        "SELECT kpi_engine.work_step('fail', max_id, false, 'no', 'XX000') "
        "FROM (SELECT 1::bigint AS max_id) AS job"
    )
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("RUNNING",)]
    for step in ("no such step", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            scheduler.execute("SELECT kpi_engine.tick_step(%s)", [step])
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            scheduler.execute("SELECT kpi_engine.work_step(%s)", [step])


@pytest.mark.parametrize("rebuilds", [1, 2])
def test_a_snapshot_from_before_a_rebuild_shows_what_it_showed(
    market: Database, rebuilds: int
) -> None:
    shown = (
        f"SELECT md5(string_agg(v::text, ',' ORDER BY mes)) FROM analytics.{REAL_TIME_VIEW} AS v",
        "SELECT (v_kpis_en_vivo.*)::text FROM analytics.v_kpis_en_vivo",
        "SELECT md5(string_agg(v::text, ',' ORDER BY v::text)) FROM kpi_engine.rows_of_part("
        "'analytics.mv_finanzas_mensuales', '2026-01-01', '2026-12-31') AS v",
    )
    disturb(market, 31)
    with session(market) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = [reader.execute(query).fetchone() for query in shown]
        reader.execute("COMMIT")
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        # A snapshot, and no lock on what will be swapped.
        reader.execute("SELECT count(*) FROM public.usuarios")
        for _ in range(rebuilds):
            market.execute("CALL analytics.rebuild()")
        after = [reader.execute(query).fetchone() for query in shown]
        reader.execute("COMMIT")
    assert after == before
