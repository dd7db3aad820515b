"""A session that is idle in a transaction after reading the real-time view, and large audits."""

import secrets

import psycopg
import pytest

from conftest import Database
from sequences import REAL_TIME_VIEW
from test_engine import differences, disturb, market, session, template

__all__ = ["market", "template"]


@pytest.mark.parametrize(
    "read",
    [f"SELECT * FROM analytics.{REAL_TIME_VIEW}", "SELECT count(*) FROM analytics.month_totals"],
)
def test_rebuild_goes_on_without_the_reader_who_is_idle_in_his_transaction(
    market: Database, read: str
) -> None:
    # What is to be swapped in differs from what is shown.
    market.execute(
        "UPDATE analytics.solicitud_facts SET offers = offers + 1",
        "UPDATE analytics.month_totals SET offers = offers + 7",
        "DELETE FROM analytics.asesor_totals",
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
        assert f"process {reader.info.backend_pid}" in said and "forgotten report" in said
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
    with migrated.connect(autocommit=False) as reader, migrated.connect() as refreshing:
        reader.execute(f"SELECT * FROM analytics.{REAL_TIME_VIEW}")
        refreshing.execute("SET statement_timeout = '55s'")
        rows = refreshing.execute(
            "SELECT refresh_status FROM analytics.refresh_all_mv()"
        ).fetchall()
        assert {row[0] for row in rows} == {"SUCCESS"}
    assert differences(migrated) == []


def test_large_audit_warns_once(market: Database) -> None:
    market.execute(
        "UPDATE analytics.solicitud_facts SET offers = offers + 1",
        "UPDATE analytics.month_totals SET requests_open = requests_open + 1",
        "UPDATE analytics.month_marcas SET requests = requests + 1",
        "UPDATE analytics.asesor_facts SET punto_venta = 'x' || coalesce(punto_venta, '')",
        "DELETE FROM analytics.auditoria_facts",
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
    "analytics.tick_step(text)",
    "analytics.work_step(text,bigint,boolean,text,text)",
    "analytics.trim_cron_history(integer)",
    "analytics.refresh_lock_key()",
    "analytics.run_rebuild_steps(boolean,text,text)",
    "analytics.begin_rebuild(boolean)",
    "analytics.continue_rebuild(integer)",
    # The notifier's.
    "analytics.pin_settings()",
    "analytics.scheduler_down_reason()",
    "analytics.take_notice()",
    "analytics.report_notice(bigint,text[],text)",
    "analytics.update_alerts()",
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
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = ANY (ARRAY["
        "'analytics'::regnamespace, (SELECT oid FROM pg_namespace WHERE nspname = 'api')]) "
        "AND has_function_privilege(oid, 'EXECUTE')"
    ).fetchall()
    assert {row[0] for row in rows} == CALLABLE
    scheduler.execute("RESET search_path")
    scheduler.execute("CALL analytics.tick()")
    scheduler.execute("CALL analytics.work()")


@pytest.mark.parametrize(
    "call",
    [
        "analytics.work_step('claim')",
        "analytics.work_step('run', 1)",
        "analytics.work_step('fail', 1, false, 'no', 'XX000')",
        "analytics.work_step('plan', 1)",
        "analytics.begin_rebuild(true)",
        "analytics.continue_rebuild(1)",
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


def test_scheduler_can_not_end_the_job_of_another_session(
    market: Database, scheduler: psycopg.Connection
) -> None:
    market.execute(
        "INSERT INTO analytics.refresh_jobs (triggered_by, state, pid, started_at, attempts) "
        "VALUES ('request', 'RUNNING', 1, now(), 1)"
    )
    scheduler.execute("SELECT pg_advisory_lock(analytics.refresh_lock_key())")
    scheduler.execute(
        "SELECT analytics.work_step('fail', max_id, false, 'no', 'XX000') "
        "FROM (SELECT 1::bigint AS max_id) AS job"
    )
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("RUNNING",)]
    for step in ("no such step", None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            scheduler.execute("SELECT analytics.tick_step(%s)", [step])
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            scheduler.execute("SELECT analytics.work_step(%s)", [step])
