"""The refresh engine: rebuilds in steps, forced and failed refreshes, audit, explanation, log.

A rebuild is held by a trigger on the facts of the set that it fills, which takes an advisory
lock once a given number of batches is finished.
"""

import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

import demo
import oracle
from conftest import Database, Server, fresh_database
from database.sql_files import SQL_DIRECTORY
from development.demo_source import load_source_schema
from marketplace import BASE_SEED, SMALL, Size, change, fill
from migrate import migrate
from oracle_views import VIEWS, compute_seven, read_seven, seven_differences
from sequences import REAL_TIME_VIEW, audited, refresh
from upkeep.test_races import pid_of, wait_until_blocked

TAKES_MINUTES = True

NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
ZONE = "America/Bogota"
FORCED = "SELECT * FROM analytics.refresh_all_mv(force => true)"
GATE = 4711
SIZE = Size(6, 2, 6, 420, 3, 60, 50, 40)
# With the hand-picked ones.
REQUESTS = 425
CALL = "CALL analytics.rebuild()"
ANY_REQUEST = "(SELECT min(id::text)::uuid FROM public.solicitudes)"
ONE_CHANGE = "UPDATE public.solicitudes SET ciudad_origen = 'Cali' WHERE id = " + ANY_REQUEST
SCHEDULED = (
    "INSERT INTO analytics.refresh_jobs (triggered_by, slot_date, slot_at) "
    "VALUES ('schedule', '2026-11-23', '2026-11-23 01:00:00-05')"
)
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
BATCHES = "SELECT batch, finished_at FROM kpi_engine.rebuild_batches ORDER BY batch"
# For changes as large as accidents.
GATE_OFF = (
    "SELECT analytics.set_setting('gate', 'off'), analytics.set_setting('breaker_pct', 'off')"
)
MANY_REQUESTS = """
INSERT INTO public.solicitudes (id, cliente_id, ciudad_origen, departamento_origen, created_at)
SELECT gen_random_uuid(), (SELECT min(id::text)::uuid FROM public.clientes), 'Cali', 'Valle',
    timestamptz '2026-09-01 12:00:00-05' + number * interval '1 minute'
FROM generate_series(1, {count}) AS number
"""


@pytest.fixture(scope="module")
def template(system_server: Server) -> Iterator[str]:
    """A marketplace of some hundred requests whose views are up to date; to be copied."""
    name = system_server.new_name("engine")
    with system_server.janitor(name):
        database = Database(system_server.cluster, name)
        load_source_schema(database.url)
        migrate(database.url)
        with database.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SIZE)
        database.execute("SELECT analytics.set_setting('rebuild_batch_requests', '100')")
        assert refresh(database, NOW) == ("full", "it was never built")
        yield name


@pytest.fixture
def market(system_server: Server, template: str) -> Iterator[Database]:
    """A copy of the template."""
    yield from fresh_database(system_server, template)


def session(database: Database, now: str = NOW) -> psycopg.Connection:
    """Connect with a pinned clock."""
    connection = database.connect()
    connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
    return connection


def real_time_differences(database: Database, zone: str = ZONE) -> list[str]:
    """Compare the real-time view with what the committed rows give."""
    with session(database) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        months = oracle.compute_months(oracle.read_source(connection), zone)
        return oracle.differences(
            months, oracle.read_view(connection, REAL_TIME_VIEW, "mes"), "mes"
        )


def differences(database: Database, now: str = NOW, zone: str = ZONE) -> list[str]:
    """Compare all materialized views and the real-time view with what the rows give."""
    today = datetime.fromisoformat(now).astimezone(ZoneInfo(zone)).date()
    with session(database, now) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        expected = oracle.compute(connection, today, zone)
        found = oracle.all_differences(expected, oracle.read_views(connection))
        real_time = oracle.read_view(connection, REAL_TIME_VIEW, "mes")
        seven = compute_seven(oracle.read_source(connection), today, zone)
        found += seven_differences(seven, read_seven(connection))
    return found + oracle.differences(expected[0], real_time, "mes")


def published(database: Database) -> list[list[tuple[object, ...]]]:
    """Return what the materialized views show."""
    return [
        database.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY mes"),
        database.rows("SELECT * FROM analytics.mv_ranking_asesores ORDER BY asesor_id"),
    ]


def disturb(database: Database, seed: int, count: int = 30) -> None:
    """Change some things at random."""
    with database.session() as connection:
        change(connection, seed, "A", TODAY, count=count)


def last_run(database: Database) -> tuple[object, ...]:
    """Return mode, reason and requests of the last run."""
    return database.rows(
        "SELECT mode, reason, requests_recomputed FROM analytics.refresh_log "
        "WHERE view_name IS NULL ORDER BY log_id DESC LIMIT 1"
    )[0]


# -- analytics.rebuild() --------------------------------------------------------------------------


@contextmanager
def held_rebuild(
    database: Database, batches_done: int, call: str = CALL, role: str = "postgres"
) -> Iterator[tuple[Future[object], psycopg.Connection, int]]:
    """Call the rebuild, hold it after so many batches; let it go on at the end.

    Yields what it will return, the connection that can open the gate and the held process.
    """
    inactive = database.rows("SELECT 'kpi_engine.' || kpi_engine.set_of('solicitud_facts', true)")[
        0
    ][0]
    database.execute(
        "CREATE OR REPLACE FUNCTION public.wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF (SELECT count(finished_at) FROM kpi_engine.rebuild_batches) = "
        f"{batches_done} THEN PERFORM pg_advisory_xact_lock({GATE}); END IF; RETURN NULL; END $$",
        f"CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON {inactive} "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.wait_at_the_gate()",
    )
    with (
        database.session() as keeper,
        session(database) as rebuilder,
        ThreadPoolExecutor(1) as pool,
    ):
        rebuilder.execute(f"SET ROLE {role}")
        keeper.execute(f"SELECT pg_advisory_lock({GATE})")
        result: Future[object] = pool.submit(rebuilder.execute, call.encode())
        try:
            wait_until_blocked(database, pid_of(rebuilder), pid_of(keeper))
            yield result, keeper, pid_of(rebuilder)
        finally:
            keeper.execute("SELECT pg_advisory_unlock_all()")
            result.exception(timeout=120)
    database.execute(f"DROP TRIGGER gate ON {inactive}")


def interrupt(database: Database, how: str = "pg_cancel_backend") -> None:
    """Leave a rebuild behind of which two batches are done."""
    with held_rebuild(database, 2) as (result, _, pid):
        database.execute(f"SELECT {how}({pid})")
        expected = {
            "pg_cancel_backend": psycopg.errors.QueryCanceled,
            "pg_terminate_backend": psycopg.errors.AdminShutdown,
        }[how]
        with pytest.raises(expected):
            result.result(timeout=120)
        if how == "pg_terminate_backend":
            database.wait_until_gone(pid)


def test_rebuild_gives_what_the_oracle_gives(migrated: Database) -> None:
    with migrated.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    for seed in (1, 2):
        with session(migrated) as connection:
            connection.execute(CALL)
        assert differences(migrated) == []
        assert migrated.rows("SELECT count(*) FROM kpi_engine.rebuild_batches") == [(0,)]
        disturb(migrated, seed)
    with session(migrated) as connection:
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
    assert last_run(migrated)[0] == "incremental"
    assert differences(migrated) == []
    assert audited(migrated) == 0


def test_rebuild_is_refused_in_a_transaction_block_and_keeps_no_lock(market: Database) -> None:
    with market.connect(autocommit=False) as connection:
        with pytest.raises(psycopg.errors.InvalidTransactionTermination):
            connection.execute(CALL)
        assert market.rows(LOCKS) == [(0,)]


def test_rebuild_commits_each_batch_and_shows_how_far_it_is(market: Database) -> None:
    before = published(market)
    with held_rebuild(market, 2) as (result, keeper, _):
        done, batches, requests_done, requests, done_pct, about_left = market.rows(
            "SELECT batches_done, batches, requests_done, requests, done_pct, "
            "about_left > interval '0' FROM analytics.rebuild_progress"
        )[0]
        assert (done, batches, about_left) == (2, 5, True)
        assert 200 <= int(str(requests_done)) < int(str(requests))
        assert 0 < float(str(done_pct)) < 100
        # What is done is committed: another session sees it.
        assert (
            requests_done
            in market.rows(
                "SELECT (SELECT count(*) FROM kpi_engine.solicitud_facts_a), "
                "(SELECT count(*) FROM kpi_engine.solicitud_facts_b)"
            )[0]
        )
        assert published(market) == before
        assert real_time_differences(market) == []
        for statement in ("SELECT * FROM analytics.refresh_all_mv()", CALL):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                market.execute(statement)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            market.execute("SELECT analytics.audit()")
        keeper.execute("SELECT pg_advisory_unlock_all()")
        result.result(timeout=120)
    assert market.rows("SELECT * FROM analytics.rebuild_progress") == []
    assert differences(market) == []


def test_changes_that_are_committed_during_a_rebuild_are_not_lost(market: Database) -> None:
    for seed, batches_done in ((1, 0), (2, 3), (3, 2)):
        with held_rebuild(market, batches_done):
            disturb(market, seed)
            assert real_time_differences(market) == []
        assert differences(market) == []
    assert audited(market) == 0


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_interrupted_rebuild_goes_on_where_it_ended(market: Database, how: str) -> None:
    before = published(market)
    interrupt(market, how)
    assert market.rows(LOCKS) == [(0,)]
    assert published(market) == before
    assert real_time_differences(market) == []
    disturb(market, 4)
    assert real_time_differences(market) == []
    # An ordinary refresh meanwhile consumes changes that the rebuild needs, too.
    assert refresh(market, NOW)[0] == "incremental"
    assert differences(market) == []
    disturb(market, 5)
    assert refresh(market, NOW)[0] == "incremental"
    market.execute("CALL analytics.tick()")
    disturb(market, 6)
    assert audited(market) == 0
    done = market.rows(BATCHES)
    assert [row[1] is not None for row in done] == [True, True, False, False, False]
    with held_rebuild(market, 4):
        assert market.rows(BATCHES)[:2] == done[:2]
        assert real_time_differences(market) == []
        disturb(market, 7)
    assert market.rows("SELECT count(*) FROM kpi_engine.rebuild_batches") == [(0,)]
    assert differences(market) == []
    assert audited(market) == 0
    assert refresh(market, NOW)[0] == "unchanged"


def test_rebuild_interrupted_before_the_swap_goes_on(market: Database) -> None:
    # One reader of the facts for a moment is waited for; the swap is cancelled meanwhile, however
    # late that is.
    market.rewrite("kpi_engine.publish_set()", "interval '5 seconds'", "interval '1 hour'")
    with (
        market.connect(autocommit=False) as reader,
        session(market) as rebuilder,
        ThreadPoolExecutor(1) as pool,
    ):
        reader.execute("SELECT count(*) FROM kpi_engine.solicitud_facts")
        result = pool.submit(rebuilder.execute, CALL)
        with market.session() as observer:
            observer.execute("SET statement_timeout = '2min'")
            observer.execute(
                f"DO $$ BEGIN WHILE NOT {pid_of(reader)} = ANY (pg_blocking_pids("
                f"{pid_of(rebuilder)})) LOOP PERFORM pg_sleep(0.002); END LOOP; END $$"
            )
        assert market.rows("SELECT batches_done, batches FROM analytics.rebuild_progress") == [
            (5, 5)
        ]
        # PostgreSQL forgets a cancel that comes in the instant of a lock timeout: say it again.
        while not result.done():
            market.execute(f"SELECT pg_cancel_backend({pid_of(rebuilder)})")
            time.sleep(0.02)
        with pytest.raises(psycopg.Error):
            result.result(timeout=120)
        assert market.rows(LOCKS) == [(0,)]
    assert differences(market) == []
    disturb(market, 8)
    with session(market) as connection:
        connection.execute(CALL)
    assert differences(market) == []
    assert audited(market) == 0


def test_rebuild_with_p_restart_starts_over(market: Database) -> None:
    interrupt(market)
    done = market.rows(BATCHES)[:2]
    with held_rebuild(market, 3, "CALL analytics.rebuild(p_restart => true)"):
        again = market.rows(BATCHES)[:3]
        assert all(new[1] > old[1] for new, old in zip(again, done, strict=False))  # type: ignore[operator]
    assert differences(market) == []


def test_rebuild_starts_over_when_the_time_zone_changed_since(market: Database) -> None:
    interrupt(market)
    done = market.rows(BATCHES)[:2]
    market.execute("SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')")
    assert real_time_differences(market, "Asia/Tokyo") == []
    with held_rebuild(market, 3):
        again = market.rows(BATCHES)[:3]
        assert all(new[1] > old[1] for new, old in zip(again, done, strict=False))  # type: ignore[operator]
    assert differences(market, zone="Asia/Tokyo") == []
    assert audited(market) == 0


def test_time_zone_can_not_change_during_a_batch(market: Database) -> None:
    # The batches wait for a source table before they take the snapshot they compute in.
    with held_rebuild(market, 1) as (result, keeper, pid):
        with market.connect(autocommit=False) as writer:
            waits = ThreadPoolExecutor(1)
            locked = waits.submit(
                writer.execute, "LOCK TABLE public.ofertas_detalle IN ACCESS EXCLUSIVE MODE"
            )
            wait_until_blocked(market, pid_of(writer), pid)
            keeper.execute("SELECT pg_advisory_unlock_all()")
            locked.result(timeout=60)
            wait_until_blocked(market, pid, pid_of(writer))
            with pytest.raises(psycopg.errors.LockNotAvailable):
                market.execute(
                    "SET lock_timeout = '100ms'",
                    "SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')",
                )
            writer.commit()
            waits.shutdown()
        result.exception(timeout=60)
    refresh(market, NOW)
    assert differences(market) == []


RETYPED = (
    "BEGIN",
    "SELECT analytics.release_source()",
    "ALTER TABLE public.ofertas_detalle ALTER COLUMN precio_unitario TYPE numeric(14, 2) "
    "USING precio_unitario / 10",
    "SELECT analytics.bind_source()",
    "COMMIT",
)


def batches_begun(rebuilder: psycopg.Connection) -> list[int]:
    """Begin a rebuild step by step, as the procedure does; return its batches."""
    rebuilder.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
    rows = rebuilder.execute("SELECT unnest(kpi_engine.begin_rebuild(false))").fetchall()
    return [int(row[0]) for row in rows]


def leave_all_batches(database: Database) -> None:
    """Leave a rebuild behind of which all batches are done, and not the completion."""
    with session(database) as rebuilder:
        for batch in batches_begun(rebuilder):
            rebuilder.execute("SELECT kpi_engine.continue_rebuild(%s)", [batch])
        rebuilder.execute("SELECT pg_advisory_unlock_all()")


def change_unnoted(database: Database) -> None:
    """Change all prices in a way that neither the log nor the catalog shows."""
    database.execute(
        "UPDATE public.ofertas_detalle SET precio_unitario = round(precio_unitario * 0.5, 2)",
        "DELETE FROM kpi_engine.change_log",
        "DELETE FROM kpi_engine.pending_changes",
    )


def call(database: Database, statement: str) -> None:
    """Run a procedure with a pinned clock."""
    with session(database) as connection:
        connection.execute(statement.encode())


def test_rebuild_does_not_go_on_when_the_source_was_bound_again_since(market: Database) -> None:
    leave_all_batches(market)
    market.execute(*RETYPED)
    call(market, CALL)
    assert market.rows("SELECT rebuild_reason FROM kpi_engine.engine_state") == [(None,)]
    assert differences(market) == []
    assert audited(market) == 0


def test_scheduled_refresh_does_not_go_on_with_a_rebuild_that_a_reason_made_void(
    market: Database,
) -> None:
    leave_all_batches(market)
    market.execute(GATE_OFF, *RETYPED, SCHEDULED)
    call(market, "CALL analytics.work()")
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]
    assert differences(market) == []


def test_forced_refresh_does_not_go_on_with_a_rebuild_from_before(market: Database) -> None:
    leave_all_batches(market)
    change_unnoted(market)
    market.execute(GATE_OFF, "SELECT kpi_engine.queue_refresh(true, 'operator')")
    call(market, "CALL analytics.work()")
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]
    assert differences(market) == []


def test_forced_refresh_that_lost_its_session_goes_on_where_it_was(market: Database) -> None:
    market.execute("SELECT kpi_engine.queue_refresh(true, 'operator')")
    with held_rebuild(market, 2, "CALL analytics.work()") as (result, _, pid):
        market.execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(psycopg.errors.AdminShutdown):
            result.result(timeout=120)
        market.wait_until_gone(pid)
    done = market.rows(BATCHES)
    assert [row[1] is not None for row in done] == [True, True, False, False, False]
    market.execute("CALL analytics.tick()")
    with held_rebuild(market, 3, "CALL analytics.work()"):
        assert market.rows(BATCHES)[:2] == done[:2]
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]
    assert differences(market) == []


@pytest.mark.parametrize(
    ("statement", "age", "goes_on"),
    [
        (CALL, "59 minutes", True),
        (CALL, "61 minutes", False),
        ("CALL analytics.rebuild(p_restart => false)", "3 days", True),
    ],
)
def test_an_old_rebuild_goes_on_only_if_that_is_asked_for(
    market: Database, statement: str, age: str, goes_on: bool
) -> None:
    leave_all_batches(market)
    market.execute(
        f"UPDATE kpi_engine.rebuild_batches SET planned_at = planned_at - interval '{age}'"
    )
    epoch = "SELECT epoch FROM kpi_engine.engine_state"
    before = market.rows(epoch)
    call(market, statement)
    assert (market.rows(epoch) == before) == goes_on
    assert differences(market) == []


def test_a_source_that_is_bound_again_during_a_rebuild_is_computed_again_after_it(
    market: Database,
) -> None:
    with session(market) as rebuilder:
        for batch in batches_begun(rebuilder):
            rebuilder.execute("SELECT kpi_engine.continue_rebuild(%s)", [batch])
            if batch == 2:
                market.execute(*RETYPED)
        rebuilder.execute("SELECT kpi_engine.continue_rebuild()")
        assert market.rows("SELECT rebuild_reason FROM kpi_engine.engine_state") == [
            ("the source tables were bound again",)
        ]
    assert refresh(market, NOW) == ("full", "the source tables were bound again")
    assert differences(market) == []
    assert audited(market) == 0


@pytest.mark.parametrize("is_gap_before", [False, True])
def test_a_gap_that_a_tick_sees_during_a_rebuild_is_computed_again_after_it(
    market: Database, is_gap_before: bool
) -> None:
    gap = (
        "ALTER TABLE public.ofertas DISABLE TRIGGER teloo_analytics_update",
        "UPDATE public.ofertas SET monto_total = monto_total + 1 WHERE id IN "
        "(SELECT id FROM public.ofertas LIMIT 50)",
        "ALTER TABLE public.ofertas ENABLE ALWAYS TRIGGER teloo_analytics_update",
    )
    reasons = "SELECT rebuild_reason, reasons_noted FROM kpi_engine.engine_state"
    # It is a copy, and takes the triggers over as they are.
    assert refresh(market, NOW)[0] == "unchanged"
    if is_gap_before:
        market.execute(*gap)
    leave_all_batches(market)
    ((_, before),) = market.rows(reasons)
    if not is_gap_before:
        market.execute(*gap)
    market.execute("CALL analytics.tick()")
    market.execute("CALL analytics.tick()")
    ((reason, noted),) = market.rows(reasons)
    assert reason == "change capture was missing, disabled or replaced"
    assert int(str(noted)) == int(str(before)) + 1
    call(market, CALL)
    assert market.rows("SELECT rebuild_reason FROM kpi_engine.engine_state") == [(None,)]
    assert refresh(market, NOW)[0] == "unchanged"
    assert differences(market) == []


@pytest.mark.parametrize("now", [NOW, "2026-11-24 12:00:00-05"], ids=["the same day", "a new day"])
@pytest.mark.parametrize("change", ["", ONE_CHANGE], ids=["nothing", "a request"])
def test_other_rules_of_the_zone_compute_everything_again(
    market: Database, change: str, now: str
) -> None:
    """As after an update of the server's time zone data."""
    assert refresh(market, NOW)[0] == "unchanged"
    # As if the days of the facts had begun at other instants.
    market.execute(
        "UPDATE kpi_engine.engine_state SET zone_rules = "
        "kpi_engine.zone_rules('Africa/Casablanca', zone_from, zone_until)"
    )
    if change:
        market.execute(change)
    predicted = check_prediction(market, now)
    assert {row[2:4] for row in predicted} == {
        ("full", "the server has other rules of the zone America/Bogota than before")
    }
    assert refresh(market, now)[0] == "unchanged"
    assert refresh(market, "2026-11-25 12:00:00-05")[0] == "incremental"
    assert market.rows(
        "SELECT zone_from < min(mes), zone_until > '2026-12-25', zone_rules = "
        "kpi_engine.zone_rules('America/Bogota', zone_from, zone_until) "
        "FROM kpi_engine.engine_state, kpi_engine.month_totals WHERE isfinite(mes) "
        "GROUP BY 2, 3, zone_from"
    ) == [(True, True, True)]


@contextmanager
def other_zone_data(database: Database, zone: str) -> Iterator[None]:
    """Let the server take the rules of another zone for its own, as with other zone data."""
    own = [
        str(database.rows(f"SELECT pg_get_functiondef('kpi_engine.{name}'::regprocedure)")[0][0])
        for name in ("zone_rules(text, date, date)", "local_date(timestamptz, text)")
    ]
    own.append(
        "CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_facts AS "
        + str(
            database.rows("SELECT pg_get_viewdef('kpi_engine.recomputed_asesor_facts'::regclass)")[
                0
            ][0]
        )
    )
    for definition in own:
        database.execute(
            re.sub(
                r"(?<=AT TIME ZONE )p_time_zone|(analytics\.)?setting\('time_zone'::text\)",
                f"'{zone}'::text",
                definition,
            )
        )
    try:
        yield
    finally:
        database.execute(*own)


def test_rebuild_does_not_go_on_by_other_rules_of_the_zone(market: Database) -> None:
    """A rebuild ends early, the server gets other zone data, and the rebuild is called again."""
    market.execute(GATE_OFF)
    with other_zone_data(market, "Asia/Tokyo"):
        assert refresh(market, NOW)[0] == "full"
        interrupt(market)
    call(market, CALL)
    assert differences(market) == []
    assert refresh(market, NOW)[0] == "unchanged"


def test_rules_of_the_zone_are_those_by_which_a_rebuild_computed(market: Database) -> None:
    """The session of a rebuild ends before it publishes, and the server gets other zone data."""
    market.execute(GATE_OFF)
    with other_zone_data(market, "Asia/Tokyo"):
        leave_all_batches(market)
        with session(market) as rebuilder:
            assert batches_begun(rebuilder) == []
            rebuilder.execute("SELECT kpi_engine.continue_rebuild(NULL)")
            rebuilder.execute("SELECT pg_advisory_unlock_all()")
    refresh(market, NOW)
    assert differences(market) == []


def test_rules_of_the_zone_are_noted_for_the_days_of_all_facts(market: Database) -> None:
    """Advisors register long before the first request, and offers may be dated far ahead."""
    market.execute(
        # Bogota was at UTC-4 then, Panama at UTC-5.
        "UPDATE public.asesores SET created_at = '1992-12-31 04:30:00Z'",
        GATE_OFF,
    )
    with other_zone_data(market, "America/Panama"), session(market) as connection:
        connection.execute(FORCED.encode())
    refresh(market, NOW)
    assert differences(market) == []


OWN_FACTS = """-- When each request was last changed.

CREATE OR REPLACE VIEW kpi_engine.recomputed_cambio_facts AS
SELECT
    src_solicitudes.id AS solicitud_id,
    kpi_engine.local_date(
        src_solicitudes.updated_at, (SELECT analytics.setting('time_zone'))
    ) AS changed_on
FROM kpi_engine.src_solicitudes;

COMMENT ON VIEW kpi_engine.recomputed_cambio_facts IS 'All requests.';
COMMENT ON COLUMN kpi_engine.recomputed_cambio_facts.solicitud_id IS 'Id of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_cambio_facts.changed_on IS 'Local date of updated_at.';

REVOKE ALL ON kpi_engine.recomputed_cambio_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'cambio_facts', 'key', ARRAY['solicitud_id'],
    p_source_view => 'src_solicitudes',
    p_entities => '{"solicitud": "solicitud_id"}'
);
"""


@pytest.mark.parametrize("is_new", [True, False])
def test_rules_of_the_zone_are_noted_for_the_days_of_facts_that_somebody_added(
    market: Database, tmp_path: Path, is_new: bool
) -> None:
    """They are of 1992; everything else came later. New: the refresh of that day filled them."""
    tree = Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))
    (tree / "views" / "recomputed_cambio_facts.sql").write_text(OWN_FACTS, encoding="utf-8")
    market.execute("UPDATE public.solicitudes SET updated_at = '1992-12-31 04:30:00Z'", GATE_OFF)
    refresh(market, NOW)
    migrate(market.url, directory=tree)
    days = "SELECT DISTINCT changed_on FROM kpi_engine.cambio_facts"
    with other_zone_data(market, "America/Panama"), session(market) as connection:
        # The rules of both zones are the same for all days of before.
        if not is_new:
            connection.execute(FORCED.encode())
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert connection.execute(days.encode()).fetchall() == [(date(1992, 12, 30),)]
    assert refresh(market, NOW)[0] == "full"
    assert market.rows(days) == [(date(1992, 12, 31),)]


def test_refresh_that_waits_for_another_time_zone_computes_the_windows_of_its_day(
    market: Database,
) -> None:
    with (
        market.connect(autocommit=False) as operator,
        session(market) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        # It is tomorrow in Tokyo.
        operator.execute("SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')")
        result = pool.submit(refresher.execute, "SELECT * FROM analytics.refresh_all_mv()")
        wait_until_blocked(market, pid_of(refresher), pid_of(operator))
        operator.commit()
        result.result(timeout=120)
    assert market.rows("SELECT time_zone, today FROM kpi_engine.engine_state") == [
        ("Asia/Tokyo", date(2026, 11, 24))
    ]
    assert differences(market, zone="Asia/Tokyo") == []


def test_a_rebuild_that_nobody_went_on_with_is_given_up_after_a_week(market: Database) -> None:
    """Until then each changed key is kept for it, and would be for ever."""
    kept = "SELECT count(*) > 0 FROM kpi_engine.pending_changes WHERE is_applied"
    back = "UPDATE kpi_engine.rebuild_batches SET {0} = {0} - interval '{1} days'"
    market.execute(GATE_OFF)
    interrupt(market)
    market.execute(back.format("planned_at", 20), back.format("finished_at", 6), ONE_CHANGE)
    assert refresh(market, NOW)[0] == "incremental"
    assert market.rows(kept) == [(True,)]
    assert market.rows("SELECT count(*) > 0 FROM kpi_engine.rebuild_batches") == [(True,)]
    # Two more days, and something that waits.
    market.execute(back.format("finished_at", 2), ONE_CHANGE.replace("Cali", "Pasto"))
    assert refresh(market, NOW)[0] == "incremental"
    assert market.rows(kept) == [(False,)]
    assert market.rows(
        "SELECT (SELECT count(*) FROM kpi_engine.rebuild_batches), "
        "(SELECT count(*) FROM kpi_engine.derived_tables WHERE rebuilding_by IS NOT NULL)"
    ) == [(0, 0)]
    other = "SELECT kpi_engine.set_of('solicitud_facts', true)"
    ((name,),) = market.rows(other)
    assert market.rows(f"SELECT count(*) FROM kpi_engine.{name}") == [(0,)]
    assert differences(market) == []
    assert refresh(market, NOW)[0] == "unchanged"
    call(market, CALL)
    assert differences(market) == []


def test_without_change_capture_all_requests_are_computed_at_one_moment(market: Database) -> None:
    """Between two batches, a request moves from one to the other, and nobody notes it."""
    market.execute(GATE_OFF)
    leave_all_batches(market)
    assert market.rows("SELECT count(*) > 3 FROM kpi_engine.rebuild_batches") == [(True,)]
    market.execute(
        "SELECT analytics.set_setting('change_capture', 'off')",
        "CALL analytics.apply_change_capture()",
    )
    with session(market) as connection:
        connection.execute("BEGIN; SELECT kpi_engine.plan_rebuild()")
        planned = connection.execute(
            "SELECT batch, requests FROM kpi_engine.rebuild_batches"
        ).fetchall()
        connection.execute("ROLLBACK")
    assert planned == [(1, REQUESTS)]
    assert refresh(market, NOW)[0] == "full"
    assert differences(market) == []


EVERYTHING = "INSERT INTO kpi_engine.lost_changes (relation, message) VALUES ('a', 'a test')"


@pytest.mark.parametrize("kind", ["forced", "changed rules", "a lost change, too"])
def test_requests_that_move_between_the_batches_of_a_full_refresh_are_not_lost(
    market: Database, kind: str
) -> None:
    market.execute(GATE_OFF)
    if kind == "changed rules":
        market.execute("UPDATE kpi_engine.derived_tables SET rules_checksum = 'another'")
    call_it = "SELECT * FROM analytics.refresh_all_mv()" if kind == "changed rules" else FORCED
    with held_rebuild(market, 1, call_it) as (result, keeper, _):
        # From batches that are to come into the one that is done.
        market.execute(
            "UPDATE public.solicitudes SET created_at = "
            "(SELECT min(created_at) FROM public.solicitudes WHERE created_at > '2001-01-01') "
            "WHERE id IN (SELECT id FROM public.solicitudes WHERE created_at BETWEEN "
            "'2026-09-01' AND '2026-12-30' ORDER BY created_at DESC LIMIT 20)"
        )
        if kind == "a lost change, too":
            market.execute(EVERYTHING)
        keeper.execute("SELECT pg_advisory_unlock_all()")
        result.result(timeout=120)
    assert last_run(market)[0] == "full"
    assert differences(market) == []
    assert audited(market) == 0
    assert refresh(market, NOW)[0] == ("full" if kind == "a lost change, too" else "unchanged")


def test_truncate_during_a_rebuild_leads_to_a_full_refresh(market: Database) -> None:
    with (
        market.session() as truncater,
        ThreadPoolExecutor(1) as pool,
        held_rebuild(market, 3) as (result, keeper, pid),
    ):
        truncated = pool.submit(truncater.execute, "TRUNCATE public.ofertas CASCADE")
        wait_until_blocked(market, pid_of(truncater), pid)
        keeper.execute("SELECT pg_advisory_unlock_all()")
        truncated.result(timeout=60)
        result.result(timeout=120)
    assert market.rows(
        "SELECT count(*) FROM analytics.refresh_log WHERE mode = 'full' "
        "AND reason = 'a source table was truncated, or one above several was written to' "
        "AND view_name IS NULL"
    ) == [(1,)]
    assert refresh(market, NOW)[0] == "unchanged"
    assert differences(market) == []
    assert audited(market) == 0


def test_truncate_between_two_calls_of_an_interrupted_rebuild(market: Database) -> None:
    interrupt(market)
    market.execute("TRUNCATE public.ofertas CASCADE")
    assert real_time_differences(market) == []
    with session(market) as connection:
        connection.execute(CALL)
    assert differences(market) == []
    assert audited(market) == 0


def test_full_refresh_after_an_interrupted_rebuild_makes_it_obsolete(market: Database) -> None:
    interrupt(market)
    disturb(market, 9)
    with session(market) as connection:
        connection.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
        assert differences(market) == []
        disturb(market, 10)
        connection.execute(CALL)
    assert differences(market) == []
    assert audited(market) == 0


def test_operators_may_rebuild(market: Database) -> None:
    disturb(market, 11)
    with held_rebuild(market, 2, role="analytics_operador") as (result, keeper, _):
        with market.session() as reader:
            reader.execute("SET ROLE analytics_lector")
            assert reader.execute(
                "SELECT batches_done FROM analytics.rebuild_progress"
            ).fetchall() == [(2,)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(CALL)
        keeper.execute("SELECT pg_advisory_unlock_all()")
        result.result(timeout=120)
    assert differences(market) == []


def test_rebuild_that_fails_releases_its_lock_and_goes_on_later(market: Database) -> None:
    market.execute(
        "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(finished_at) FROM kpi_engine.rebuild_batches) = 3 THEN "
        "RAISE 'the disk is full' USING ERRCODE = '53100'; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER fail BEFORE INSERT ON kpi_engine.solicitud_facts_a "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.fail()",
        "CREATE TRIGGER fail BEFORE INSERT ON kpi_engine.solicitud_facts_b "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.fail()",
    )
    with session(market) as connection:
        with pytest.raises(psycopg.errors.DiskFull, match="ended early: the disk is full"):
            connection.execute(CALL)
        # The session is still there, and holds nothing.
        assert market.rows(LOCKS) == [(0,)]
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert differences(market) == []
        market.execute(
            "DROP TRIGGER fail ON kpi_engine.solicitud_facts_a",
            "DROP TRIGGER fail ON kpi_engine.solicitud_facts_b",
        )
        connection.execute(CALL)
    assert differences(market) == []


def test_session_with_a_clock_that_is_not_allowed_takes_no_job_and_keeps_no_lock(
    market: Database,
) -> None:
    market.execute(
        "SELECT analytics.set_setting('allow_pinned_clock', 'off')",
        SCHEDULED,
    )
    with session(market) as worker:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must not be set here"):
            worker.execute("CALL analytics.work()")
        assert market.rows(LOCKS) == [(0,)]
    # It is left to a session with the right clock.
    with market.session() as worker:
        assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("QUEUED",)]
        worker.execute("CALL analytics.work()")
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]


# -- forced, failing and large refreshes ----------------------------------------------------------

READS = (
    "SELECT * FROM analytics.mv_metricas_mensuales",
    "SELECT * FROM analytics.mv_ranking_asesores",
    f"SELECT * FROM analytics.{REAL_TIME_VIEW}",
    "SELECT * FROM analytics.v_kpis_en_vivo",
    "SELECT * FROM analytics.explain_refresh()",
    "SELECT * FROM analytics.get_mv_stats()",
)


def test_forced_refresh_is_right_and_nobody_who_reads_waits_for_it(market: Database) -> None:
    disturb(market, 12)
    before = published(market)
    with (
        market.connect(autocommit=False) as refresher,
        session(market) as reader,
    ):
        refresher.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        refresher.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
        reader.execute("SET lock_timeout = '10s'")
        reader.execute("SET ROLE analytics_lector")
        for statement in READS:
            reader.execute(statement)
        assert published(market) == before
        refresher.commit()
    assert last_run(market) == (
        "full",
        "it was forced",
        market.rows("SELECT count(*) FROM public.solicitudes")[0][0],
    )
    assert market.rows(
        "SELECT DISTINCT mode, reason FROM analytics.refresh_log WHERE run_id = 2"
    ) == [("full", "it was forced")]
    assert differences(market) == []
    assert audited(market) == 0


def test_view_that_failed_to_publish_is_published_by_the_next_refresh(market: Database) -> None:
    # An index that a DBA added, and that the next contents violate.
    market.execute(
        "CREATE UNIQUE INDEX of_a_dba ON analytics.mv_metricas_mensuales "
        "((CASE WHEN solicitudes_creadas > 1000 THEN 1 END))",
        "SELECT analytics.set_setting('rebuild_threshold_pct', '100')",
        GATE_OFF,
        MANY_REQUESTS.format(count=500),
        # 1001 requests and more in two months: the others of the index are NULL.
        MANY_REQUESTS.format(count=1100).replace("2026-09-01", "2026-08-01"),
        MANY_REQUESTS.format(count=1100).replace("2026-09-01", "2026-10-01"),
    )
    before = published(market)
    view = "SELECT refresh_status, mode, error_sqlstate FROM analytics.refresh_log "
    with session(market) as connection:
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert market.rows(view + "WHERE run_id = 2 AND view_name = 'mv_metricas_mensuales'") == [
            ("ERROR", "none", "23505")
        ]
        assert published(market) == before
        assert real_time_differences(market) == []
        # Again in vain, then not.
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert market.rows(view + "WHERE run_id = 3 AND view_name = 'mv_metricas_mensuales'") == [
            ("ERROR", "none", "23505")
        ]
        market.execute("DROP INDEX analytics.of_a_dba")
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
    first_two = (
        "(view_name IS NULL OR view_name IN ('mv_metricas_mensuales', 'mv_ranking_asesores'))"
    )
    assert market.rows(view + f"WHERE run_id = 4 AND {first_two} ORDER BY log_id") == [
        ("SUCCESS", "incremental", None),
        ("SUCCESS", "unchanged", None),
        ("SUCCESS", "incremental", None),
    ]
    assert last_run(market)[1] == "only publishing was left"
    assert differences(market) == []


def test_views_that_may_not_use_temporary_tables_are_published_when_they_may(
    market: Database,
) -> None:
    market.execute(
        f"REVOKE TEMPORARY ON DATABASE {market.name} FROM public, analytics_owner", ONE_CHANGE
    )
    disturb(market, 13)
    with session(market) as connection:
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        assert market.rows(
            "SELECT DISTINCT refresh_status, error_sqlstate FROM analytics.refresh_log "
            "WHERE run_id = 2 AND view_name IS NOT NULL"
        ) == [("ERROR", "42501")]
        market.execute(f"GRANT TEMPORARY ON DATABASE {market.name} TO public")
    assert refresh(market, NOW) == ("incremental", "only publishing was left")
    assert differences(market) == []


def test_share_of_changed_requests_above_the_setting_makes_a_full_refresh(
    market: Database,
) -> None:
    some = (
        "UPDATE public.solicitudes SET ciudad_origen = ciudad_origen || 'x' WHERE id IN "
        "(SELECT id FROM public.solicitudes ORDER BY id LIMIT {count})"
    )
    market.execute(
        "SELECT analytics.set_setting('rebuild_threshold_pct', '1')",
        GATE_OFF,
        MANY_REQUESTS.format(count=1100),
    )
    mode, reason = refresh(market, NOW)
    assert (mode, reason) == (
        "full",
        f"1100 changed requests are more than 1 % of {REQUESTS} (setting rebuild_threshold_pct)",
    )
    assert differences(market) == []
    # Up to 1000 are never too many.
    market.execute(some.format(count=1000))
    assert refresh(market, NOW)[0] == "incremental"
    market.execute(
        "SELECT analytics.set_setting('rebuild_threshold_pct', '70')", some.format(count=1067)
    )
    assert refresh(market, NOW)[0] == "incremental"
    market.execute(some.format(count=1068))
    assert "70 %" in refresh(market, NOW)[1]
    assert differences(market) == []


# -- the self-audit -------------------------------------------------------------------------------

# Every derived table: statement, then how the log names the difference.
LATE = "local_day = (SELECT max(local_day) FROM kpi_engine.solicitud_facts)"
NO_MONTH = "local_day = '-infinity'"
NEW_FACT = (
    "INSERT INTO kpi_engine.solicitud_facts SELECT (jsonb_populate_record("
    "NULL::kpi_engine.solicitud_facts, to_jsonb(fact) || "
    "jsonb_build_object('solicitud_id', gen_random_uuid()))).* "
    "FROM kpi_engine.solicitud_facts AS fact WHERE fact.{condition} LIMIT 1"
)
MISSING = (
    "DELETE FROM kpi_engine.solicitud_facts WHERE solicitud_id IN (SELECT solicitud_id FROM "
    "kpi_engine.solicitud_facts WHERE {condition} ORDER BY solicitud_id LIMIT 1)"
)
CTID = (
    "UPDATE kpi_engine.{table} SET {change} WHERE {key} IN (SELECT {key} FROM kpi_engine.{table} "
    "WHERE {condition} ORDER BY {key} LIMIT 1)"
)


def altered(table: str, key: str, change: str, condition: str = "true") -> str:
    """Return the statement that plants drift in one row."""
    return CTID.format(table=table, key=key, change=change, condition=condition)


DRIFT: list[tuple[str, str, str]] = [
    (
        altered("solicitud_facts", "solicitud_id", "offers = offers + 1", LATE),
        "solicitud_facts",
        "offers",
    ),
    (
        altered("solicitud_facts", "solicitud_id", "price_minimum = -5", NO_MONTH),
        "solicitud_facts",
        "price_minimum",
    ),
    (
        altered("solicitud_facts", "solicitud_id", "marcas = '{KIA}', estado = NULL"),
        "solicitud_facts",
        "estado",
    ),
    (
        altered(
            "solicitud_facts", "solicitud_id", "local_day = '2001-02-03', mes = '2001-02-01'", LATE
        ),
        "solicitud_facts",
        "mes",
    ),
    (MISSING.format(condition=LATE), "solicitud_facts", "row"),
    (MISSING.format(condition=NO_MONTH), "solicitud_facts", "row"),
    (NEW_FACT.format(condition=LATE), "solicitud_facts", "row"),
    (NEW_FACT.format(condition=NO_MONTH), "solicitud_facts", "row"),
    ("DELETE FROM kpi_engine.solicitud_facts", "solicitud_facts", "row"),
    (altered("month_totals", "mes", "price_sum = price_sum + 0.01"), "month_totals", "price_sum"),
    (
        altered("month_totals", "mes", "requests = requests + 1", "mes > '-infinity'"),
        "month_totals",
        "requests",
    ),
    (
        "DELETE FROM kpi_engine.month_totals WHERE mes = "
        "(SELECT max(mes) FROM kpi_engine.month_totals)",
        "month_totals",
        "row",
    ),
    ("INSERT INTO kpi_engine.month_totals VALUES ('2031-05-01')", "month_totals", "row"),
    (altered("month_clientes", "mes", "requests = requests + 1"), "month_clientes", "requests"),
    (
        "DELETE FROM kpi_engine.month_clientes WHERE mes = '2026-11-01'",
        "month_clientes",
        "row",
    ),
    (
        "INSERT INTO kpi_engine.month_asesores VALUES ('2026-11-01', gen_random_uuid(), 1)",
        "month_asesores",
        "row",
    ),
    ("DELETE FROM kpi_engine.month_marcas", "month_marcas", "row"),
    (altered("asesor_facts", "asesor_id", "nombre = 'Nobody'"), "asesor_facts", "nombre"),
    ("DELETE FROM kpi_engine.asesor_facts", "asesor_facts", "row"),
    (
        altered("historica_facts", "historica_id", "amount = coalesce(amount, 0) + 1"),
        "historica_facts",
        "amount",
    ),
    ("DELETE FROM kpi_engine.historica_facts", "historica_facts", "row"),
    (
        altered("notificacion_facts", "notificacion_id", "is_answered = NOT is_answered"),
        "notificacion_facts",
        "is_answered",
    ),
    (altered("auditoria_facts", "auditoria_id", "score = 99"), "auditoria_facts", "score"),
    (
        "INSERT INTO kpi_engine.auditoria_facts SELECT gen_random_uuid(), asesor_id, local_day, "
        "fecha_revision, score FROM kpi_engine.auditoria_facts LIMIT 3",
        "auditoria_facts",
        "row",
    ),
    (altered("asesor_totals", "asesor_id", "offers = offers + 7"), "asesor_totals", "offers"),
    (
        altered("asesor_audits", "asesor_id", "latest_audit = '2026-11-22 00:00:00-05'"),
        "asesor_audits",
        "latest_audit",
    ),
    (altered("asesor_audits", "asesor_id", "audits = audits + 1"), "asesor_audits", "audits"),
    (
        altered("month_distinct_counts", "mes", "asesores = asesores - 1"),
        "month_distinct_counts",
        "asesores",
    ),
    ("DELETE FROM kpi_engine.asesor_totals", "asesor_totals", "row"),
    (
        altered("week_registrations", "semana", "asesores = asesores + 1"),
        "week_registrations",
        "asesores",
    ),
    (
        altered("month_retention", "periodo", "asesores_lost = asesores_lost + 1"),
        "month_retention",
        "asesores_lost",
    ),
    (altered("day_totals", "dia", "requests = requests + 1"), "day_totals", "requests"),
    (altered("week_totals", "semana", "win_rate_sum = 1e6"), "week_totals", "win_rate_sum"),
    (altered("month_niveles", "mes", "requests = 0"), "month_niveles", "requests"),
    (altered("month_ciudades", "mes", "ciudad = 'Macondo'"), "month_ciudades", "ciudad"),
    (
        altered("asesor_first_months", "asesor_id", "first_mes = '2001-01-01'"),
        "asesor_first_months",
        "first_mes",
    ),
    (
        altered("asesor_accepted", "asesor_id", "accepted_amount = accepted_amount + 0.01"),
        "asesor_accepted",
        "accepted_amount",
    ),
    (
        altered("asesor_activity", "asesor_id", "offers_before = offers_before + 1"),
        "asesor_activity",
        "offers_before",
    ),
]


# Derived tables whose rows belong to no day.
UNDATED = {
    "asesor_facts",
    "asesor_totals",
    "asesor_audits",
    "asesor_first_months",
    "asesor_accepted",
    "asesor_activity",
    "month_retention",
}


@pytest.mark.parametrize(("statement", "table", "column"), DRIFT)
@pytest.mark.takes_turns(4)
def test_audit_finds_lists_counts_and_heals_drift(
    market: Database, statement: str, table: str, column: str
) -> None:
    assert audited(market) == 0
    market.execute(statement)
    found = int(str(audited(market)))
    assert found > 0
    assert market.rows("SELECT sum(cells), bool_and(is_healed) FROM analytics.audit_log") == [
        (found, False)
    ]
    listed = market.rows("SELECT table_name, column_name, local_day::text FROM analytics.audit_log")
    assert (table, column) in [row[:2] for row in listed]
    assert all((row[2] is None) == (row[0] in UNDATED) for row in listed)
    assert audited(market) == 0
    assert market.rows(
        "SELECT count(*) FROM public.solicitudes AS request "
        "FULL JOIN kpi_engine.solicitud_facts ON solicitud_id = id "
        "WHERE id IS NULL OR solicitud_id IS NULL"
    ) == [(0,)]
    refresh(market, NOW)
    assert differences(market) == []
    assert market.rows("SELECT bool_and(is_healed) FROM analytics.audit_log") == [(True,)]


def test_audit_names_the_day_and_nothing_but_the_column(market: Database) -> None:
    market.execute(altered("solicitud_facts", "solicitud_id", "answer_seconds = 12345", LATE))
    day = market.rows("SELECT max(local_day) FROM kpi_engine.solicitud_facts")[0][0]
    assert audited(market) == 1
    assert market.rows(
        "SELECT table_name, local_day, column_name, cells FROM analytics.audit_log"
    ) == [("solicitud_facts", day, "answer_seconds", 1)]


def test_audit_of_many_spans_finds_drift_on_each_day(market: Database) -> None:
    ((definition,),) = market.rows(
        "SELECT pg_get_functiondef('analytics.audit(integer, integer)'::regprocedure)"
    )
    assert "bigint := 40000;" in str(definition)
    market.execute(str(definition).replace("bigint := 40000;", "bigint := 40;"))
    assert audited(market) == 0
    days = market.rows(
        "UPDATE kpi_engine.day_totals SET requests = requests + 1 WHERE isfinite(dia) RETURNING dia"
    )
    assert len({day.replace(day=1) for (day,) in days if isinstance(day, date)}) > 2
    assert audited(market) == len(days)
    assert market.rows("SELECT local_day FROM analytics.audit_log ORDER BY 1") == sorted(days)
    assert audited(market) == 0


def test_changes_that_wait_are_no_drift(market: Database) -> None:
    disturb(market, 14, count=80)
    assert audited(market) == 0
    market.execute("SELECT kpi_engine.compact_change_log()")
    disturb(market, 15)
    assert audited(market) == 0
    assert refresh(market, NOW)[0] == "incremental"
    assert differences(market) == []


@pytest.mark.parametrize("moved_to", ["2026-11-28 12:00:00-05", "2026-02-10 12:00:00-05"])
def test_change_that_commits_during_an_audit_is_no_drift_and_is_not_lost(
    market: Database, moved_to: str
) -> None:
    part = (12 * 2026 + 11) % 29 + 1
    # The audit has asked what waits, and is about to look at the source.
    with (
        market.connect(autocommit=False) as writer,
        session(market) as auditor,
        ThreadPoolExecutor(1) as pool,
    ):
        writer.execute("LOCK TABLE public.ofertas_detalle IN ACCESS EXCLUSIVE MODE")
        writer.execute(
            f"UPDATE public.solicitudes SET created_at = '{moved_to}' "
            "WHERE created_at BETWEEN '2026-11-01 00:00:00-05' AND '2026-11-30 23:59:59-05'"
        )
        result = pool.submit(auditor.execute, f"SELECT analytics.audit({part}, 30)")
        wait_until_blocked(market, pid_of(auditor), pid_of(writer))
        writer.commit()
        cells = result.result(timeout=120).fetchone()
    refresh(market, NOW)
    assert differences(market) == []
    assert cells == (0,)


def scheduled_refresh(connection: psycopg.Connection) -> None:
    """Refresh as the schedule does."""
    connection.execute("SELECT * FROM kpi_engine.run_refresh('schedule', 'test', false)")


def test_thirty_scheduled_refreshes_find_all_drift_there_is(market: Database) -> None:
    planted = [
        (statement, table) for statement, table, _ in DRIFT if not statement.startswith("DELETE")
    ]
    market.execute(
        *(statement for statement, _ in planted),
        MISSING.format(condition=LATE),
        MISSING.format(condition=NO_MONTH),
    )
    with session(market) as connection:
        for _ in range(30):
            scheduled_refresh(connection)
    assert (
        market.rows(
            "SELECT table_name FROM kpi_engine.derived_tables "
            "EXCEPT SELECT table_name FROM analytics.audit_log"
        )
        == []
    )
    assert audited(market) == 0
    refresh(market, NOW)
    assert differences(market) == []


def test_thirty_scheduled_refreshes_find_all_drift_while_days_are_added(market: Database) -> None:
    market.execute(
        "INSERT INTO kpi_engine.solicitud_facts "
        "SELECT (jsonb_populate_record(NULL::kpi_engine.solicitud_facts, to_jsonb(fact) || "
        "jsonb_build_object('solicitud_id', gen_random_uuid(), 'local_day', day::date, "
        "'mes', date_trunc('month', day)::date))).* "
        "FROM (SELECT * FROM kpi_engine.solicitud_facts WHERE local_day > '-infinity' LIMIT 1) "
        "AS fact CROSS JOIN generate_series((SELECT min(local_day)::timestamp "
        "FROM kpi_engine.solicitud_facts WHERE local_day > '-infinity'), "
        "timestamp '2026-11-22', interval '1 day') AS day"
    )
    wrong = (
        "SELECT local_day FROM kpi_engine.solicitud_facts AS fact WHERE NOT EXISTS "
        "(SELECT FROM public.solicitudes WHERE id = solicitud_id) ORDER BY 1"
    )
    assert len(market.rows(wrong)) > 200
    for day in range(30):
        now = datetime.fromordinal(date(2027, 1, 5).toordinal() + day)
        market.execute(MANY_REQUESTS.format(count=1).replace("2026-09-01", str(now.date())))
        with session(market, f"{now.date()} 12:00:00-05") as connection:
            scheduled_refresh(connection)
    assert market.rows(wrong) == []


def test_scheduled_refresh_by_the_worker_audits(market: Database) -> None:
    market.execute(
        "SELECT analytics.set_setting('audit_rotation', '1')",
        altered("solicitud_facts", "solicitud_id", "offers = offers + 1", LATE),
        altered("asesor_totals", "asesor_id", "offers = offers + 7"),
        SCHEDULED,
    )
    with session(market) as worker:
        worker.execute("SET ROLE analytics_scheduler")
        worker.execute("CALL analytics.work()")
    assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]
    assert market.rows(
        "SELECT table_name, column_name, cells FROM analytics.audit_log ORDER BY 1"
    ) == [("asesor_totals", "offers", 1), ("solicitud_facts", "offers", 1)]
    assert differences(market) == []


def test_audit_refuses_parts_that_are_none_and_knows_who_may_call_it(market: Database) -> None:
    for arguments in ("0, 30", "31, 30", "-1, 30", "1, 0", "NULL, 0", "1, NULL", "NULL, NULL"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            market.execute(f"SELECT analytics.audit({arguments})")
    with session(market) as connection:
        connection.execute("SET ROLE analytics_operador")
        assert connection.execute("SELECT analytics.audit()").fetchall() == [(0,)]
        assert connection.execute("SELECT analytics.audit(1, 1)").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM analytics.audit_log").fetchall() == [(0,)]
        connection.execute("SET ROLE analytics_lector")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT analytics.audit()")


def audited_part(database: Database, month: date) -> object:
    """Return how many cells the part of the rotation that has a month finds wrong."""
    part = (12 * month.year + month.month) % 29 + 1
    with session(database) as connection:
        return connection.execute(f"SELECT analytics.audit({part}, 30)").fetchall()[0][0]


def test_part_that_heals_a_fact_heals_what_has_no_period(market: Database) -> None:
    """Each advisor's accepted amounts are of no month: they follow from each of its facts."""
    ((request, month),) = market.rows(
        "SELECT solicitud_id, mes FROM kpi_engine.solicitud_facts JOIN kpi_engine.asesor_facts "
        "ON asesor_id = asesor_ids[1] AND asesor_facts.estado = 'ACTIVO' AND has_usuario "
        "WHERE asesor_accepted_amounts[1] > 0 AND isfinite(mes) ORDER BY mes, 1 LIMIT 1"
    )
    assert isinstance(month, date)
    # A change of the offers' prices that nothing noted.
    market.execute(
        "UPDATE public.ofertas_detalle SET precio_unitario = precio_unitario + 1000000 "
        f"WHERE oferta_id IN (SELECT id FROM public.ofertas WHERE solicitud_id = '{request}')",
        "DELETE FROM kpi_engine.change_log",
    )
    refresh(market, NOW)
    assert any("valor_historico" in found for found in differences(market))
    assert int(str(audited_part(market, month))) > 0
    refresh(market, NOW)
    assert market.rows("SELECT count(*) FROM analytics.audit_log WHERE NOT is_healed") == [(0,)]
    assert differences(market) == []
    assert audited(market) == 0


def test_part_that_heals_an_advisors_month_heals_the_first_one_and_the_retention(
    market: Database,
) -> None:
    ((advisor, month),) = market.rows(
        "SELECT asesor_id, first_mes FROM kpi_engine.asesor_first_months "
        "ORDER BY first_mes, asesor_id LIMIT 1"
    )
    assert isinstance(month, date)
    where = f"WHERE asesor_id = '{advisor}' AND {{}} = '{month}'"
    market.execute(
        f"DELETE FROM kpi_engine.month_asesores {where.format('mes')}",
        f"UPDATE kpi_engine.asesor_first_months SET first_mes = '2030-01-01' "
        f"{where.format('first_mes')}",
    )
    assert int(str(audited_part(market, month))) >= 2
    assert market.rows(
        f"SELECT first_mes FROM kpi_engine.asesor_first_months WHERE asesor_id = '{advisor}'"
    ) == [(month,)]
    assert audited(market) == 0


def test_row_with_a_pending_change_on_either_side_is_no_drift(market: Database) -> None:
    """An advisor got another user, which nothing noted, and a change of that user waits."""
    user = "11111111-1111-1111-1111-111111111111"
    ((advisor,),) = market.rows(
        "SELECT asesor_id FROM kpi_engine.asesor_facts WHERE has_usuario AND estado = 'ACTIVO' "
        "ORDER BY asesor_id LIMIT 1"
    )
    market.execute(
        f"INSERT INTO public.usuarios (id, nombre, apellido, telefono) "
        f"VALUES ('{user}', 'New', 'User', '1')"
    )
    refresh(market, NOW)
    market.execute(
        f"UPDATE public.asesores SET usuario_id = '{user}' WHERE id = '{advisor}'",
        "DELETE FROM kpi_engine.change_log",
        f"UPDATE public.usuarios SET nombre = 'Newer' WHERE id = '{user}'",
    )
    assert audited(market) == 0
    refresh(market, NOW)
    assert market.rows(
        f"SELECT count(*) FROM analytics.mv_ranking_asesores WHERE asesor_id = '{advisor}'"
    ) == [(1,)]
    # Now nothing waits.
    assert int(str(audited(market))) > 0
    refresh(market, NOW)
    assert differences(market) == []


def test_week_that_begins_in_a_month_without_requests_is_audited(market: Database) -> None:
    market.execute(
        "UPDATE public.solicitudes SET created_at = '2024-05-01 12:00:00-05' "
        f"WHERE id = {ANY_REQUEST}"
    )
    refresh(market, NOW)
    wrong = [
        "UPDATE kpi_engine.week_totals SET requests = requests + 5 WHERE semana = '2024-04-29'",
        "DELETE FROM kpi_engine.week_totals WHERE semana = '2024-04-29'",
    ]
    for statement in wrong:
        market.execute(statement)
        assert audited(market) == 1
        market.execute(statement)
        assert audited_part(market, date(2024, 4, 1)) == 1
        assert audited(market) == 0
    assert market.rows("SELECT DISTINCT table_name, local_day::text FROM analytics.audit_log") == [
        ("week_totals", "2024-04-29")
    ]
    refresh(market, NOW)
    assert differences(market) == []


STRAY_DAYS = ("2019-05-06", "1850-01-01", "1999-12-27", "2150-01-01", "200000-01-01", "infinity")


def test_stray_row_of_any_period_is_drift(market: Database) -> None:
    """Whatever table has a period: also where no request, fact or other table has that month."""
    tables = market.rows(
        "SELECT table_name, period FROM kpi_engine.derived_tables, unnest(key_columns) AS period "
        "WHERE 'solicitud' = ANY (root_entities) AND period IN ('dia', 'semana', 'mes') ORDER BY 1"
    )
    assert len(tables) > 6
    strays = [
        f"INSERT INTO kpi_engine.{table} SELECT (jsonb_populate_record(NULL::kpi_engine.{table}, "
        f'to_jsonb(kept) || \'{{"{period}": "{day}"}}\')).* '
        f"FROM (SELECT * FROM kpi_engine.{table} WHERE isfinite({period}) LIMIT 1) AS kept"
        for table, period in tables
        for day in STRAY_DAYS
    ]
    market.execute(*strays)
    # At least: one that is healed changes others, which the strays of other months changed, too.
    assert int(str(audited(market))) >= len(strays)
    assert audited(market) == 0
    market.execute(*strays)
    with session(market) as connection:
        found = [
            connection.execute(f"SELECT analytics.audit({part}, 30)").fetchall()[0][0]
            for part in range(1, 31)
        ]
    assert sum(found) >= len(strays)
    assert audited(market) == 0
    refresh(market, NOW)
    assert differences(market) == []


def test_fact_with_a_day_of_no_month_is_drift(market: Database) -> None:
    """Its month is one that other facts have; its day is of a month that nothing has."""
    market.execute(
        NEW_FACT.format(condition=LATE).replace(
            "'solicitud_id',", "'local_day', '2019-05-05', 'solicitud_id',"
        )
    )
    assert int(str(audited_part(market, date(2019, 5, 1)))) > 0
    assert audited(market) == 0


# A view whose cells are wrong: what it reads is wrong for the moment of a REFRESH by hand.
WRONG_VIEWS: list[tuple[str, str, str, str, str | None]] = [
    (
        "mv_embudo_operativo",
        "UPDATE kpi_engine.day_totals SET requests = requests {} 1 WHERE dia = '2026-11-20'",
        "+",
        "-",
        "2026-11-20",
    ),
    # It shows the rows of its base: the ranks by city are wrong, and no other column.
    (
        "mv_ranking_asesores",
        "UPDATE kpi_engine.asesor_facts SET ciudad_key = {}",
        "asesor_id::text",
        "analytics.city_key(ciudad)",
        None,
    ),
    (
        "mv_segmentos_asesores",
        "UPDATE kpi_engine.asesor_accepted SET accepted_amount = accepted_amount {} 1",
        "+",
        "-",
        None,
    ),
]


def plant_wrong_view(database: Database, view: str, statement: str, wrong: str, right: str) -> None:
    """Make a view wrong, and nothing else."""
    database.execute(
        statement.format(wrong),
        f"REFRESH MATERIALIZED VIEW analytics.{view}",
        statement.format(right),
    )
    assert differences(database) != []


@pytest.mark.parametrize(("view", "statement", "wrong", "right", "day"), WRONG_VIEWS)
def test_audit_compares_a_view_with_its_definition_and_the_next_refresh_publishes_it(
    market: Database, view: str, statement: str, wrong: str, right: str, day: str | None
) -> None:
    plant_wrong_view(market, view, statement, wrong, right)
    with session(market) as connection:
        ((cells,),) = connection.execute("SELECT analytics.audit(30, 30)").fetchall()
        assert cells > 0
        assert connection.execute(
            "SELECT sum(cells) FROM analytics.audit_log WHERE NOT is_healed"
        ).fetchall() == [(cells,)]
        assert connection.execute(
            "SELECT DISTINCT table_name, local_day::text FROM analytics.audit_log"
        ).fetchall() == [(view, day)]
        assert connection.execute(
            "SELECT view_name, reason FROM analytics.explain_refresh() WHERE is_stale"
        ).fetchall() == [(view, "the audit found wrong cells in it")]
        # It is known: nothing counts twice.
        assert connection.execute("SELECT analytics.audit()").fetchall() == [(0,)]
    refresh(market, NOW)
    assert differences(market) == []
    assert market.rows("SELECT bool_and(is_healed) FROM analytics.audit_log") == [(True,)]
    assert refresh(market, NOW) == ("unchanged", "nothing changed")


def test_healed_city_key_of_an_advisor_is_published(market: Database) -> None:
    """No column shows it; the ranks by city follow from it."""
    market.execute(
        "UPDATE kpi_engine.asesor_facts SET ciudad_key = asesor_id::text",
        "REFRESH MATERIALIZED VIEW analytics.mv_ranking_asesores",
    )
    assert int(str(audited(market))) > 0
    refresh(market, NOW)
    assert differences(market) == []


def test_scheduled_refresh_finds_a_wrong_view_and_publishes_it(market: Database) -> None:
    plant_wrong_view(market, *WRONG_VIEWS[0][:4])
    market.execute("SELECT analytics.set_setting('audit_rotation', '1')")
    with session(market) as connection:
        scheduled_refresh(connection)
    assert market.rows("SELECT table_name, column_name, is_healed FROM analytics.audit_log") != []
    assert differences(market) == []


def test_audit_leaves_out_a_view_that_a_refresh_would_publish_anyway(market: Database) -> None:
    """Its definition does not give what a refresh would: its day is yesterday."""
    plant_wrong_view(market, *WRONG_VIEWS[2][:4])
    with session(market, TOMORROW) as connection:
        assert connection.execute("SELECT analytics.audit(30, 30)").fetchall() == [(0,)]
    with session(market) as connection:
        assert connection.execute("SELECT analytics.audit(30, 30)").fetchall() != [(0,)]


def test_view_that_the_audit_cannot_compare_is_a_warning(market: Database) -> None:
    market.execute(
        "CREATE FUNCTION public.one() RETURNS integer LANGUAGE sql IMMUTABLE "
        "SET search_path = pg_catalog AS 'SELECT 1'",
        "GRANT EXECUTE ON FUNCTION public.one() TO analytics_owner",
        "GRANT CREATE ON SCHEMA analytics TO analytics_owner",
        "SET ROLE analytics_owner; CREATE MATERIALIZED VIEW analytics.mv_one AS "
        "SELECT public.one() AS one; RESET ROLE",
    )
    refresh(market, NOW)
    assert audited(market) == 0
    market.execute("REVOKE ALL ON FUNCTION public.one() FROM public, analytics_owner")
    plant_wrong_view(market, *WRONG_VIEWS[0][:4])
    said: list[str] = []
    with session(market) as connection:
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        assert connection.execute("SELECT analytics.audit(30, 30)").fetchall() != [(0,)]
    assert any(
        text.startswith("teloo-analytics: the audit could not compare view mv_one: ")
        and text.endswith("(SQLSTATE 42501)")
        for text in said
    ), said


# -- what the next refresh will do ----------------------------------------------------------------

TOMORROW = "2026-11-24 12:00:00-05"
SITUATIONS: dict[str, tuple[list[str], str]] = {
    "nothing": ([], NOW),
    "one request changed": ([ONE_CHANGE], NOW),
    "one request changed, the log tidied": (
        [ONE_CHANGE, "SELECT kpi_engine.compact_change_log()", ONE_CHANGE],
        NOW,
    ),
    "an offer and its line changed": (
        [
            "UPDATE public.ofertas_detalle SET cantidad = cantidad + 1 WHERE id = "
            "(SELECT min(id::text)::uuid FROM public.ofertas_detalle)"
        ],
        NOW,
    ),
    "an advisor renamed": (
        ["UPDATE public.usuarios SET nombre = 'Zoe' WHERE rol = 'ADVISOR'"],
        NOW,
    ),
    "a request and an audit": (
        [ONE_CHANGE, "UPDATE public.auditorias_tiendas SET puntaje_confianza = 1"],
        NOW,
    ),
    "new local day": ([], TOMORROW),
    "new local day and a request": ([ONE_CHANGE], TOMORROW),
    "the local day went back": ([], "2026-11-20 12:00:00-05"),
    "truncated": (["TRUNCATE public.ofertas_detalle"], NOW),
    "truncated, the log tidied": (
        ["TRUNCATE public.ofertas_detalle", "SELECT kpi_engine.compact_change_log()"],
        NOW,
    ),
    "capture off": (["SELECT analytics.set_setting('change_capture', 'off')", ONE_CHANGE], NOW),
    "trigger disabled": (["ALTER TABLE public.ofertas DISABLE TRIGGER ALL"], NOW),
    "time zone changed": (["SELECT analytics.set_setting('time_zone', 'Asia/Tokyo')"], NOW),
    "threshold": ([GATE_OFF, MANY_REQUESTS.format(count=1200)], NOW),
    "days forced": (["SELECT analytics.force_requests('2026-11-01', '2026-11-30')"], NOW),
    "drift was healed": (
        ["UPDATE kpi_engine.month_totals SET offers = offers + 1", "SELECT analytics.audit()"],
        NOW,
    ),
    "a view is not populated": (
        ["REFRESH MATERIALIZED VIEW analytics.mv_ranking_asesores WITH NO DATA"],
        NOW,
    ),
}
ALL_VIEWS = sorted(["mv_metricas_mensuales", "mv_ranking_asesores", *VIEWS])
EXPLAIN = (
    "SELECT view_name, is_stale, mode, mode_reason, requests_to_recompute, about_ms "
    "FROM analytics.explain_refresh()"
)


def explained(database: Database, now: str) -> list[tuple[object, ...]]:
    """Explain the next refresh as a reader, where nothing can be changed."""
    with session(database, now) as connection:
        connection.execute("SET ROLE analytics_lector")
        connection.execute("BEGIN READ ONLY")
        return connection.execute(EXPLAIN.encode()).fetchall()


def check_prediction(database: Database, now: str) -> list[tuple[object, ...]]:
    """Compare what is predicted with what the refresh then does."""
    predicted = explained(database, now)
    assert sorted(str(row[0]) for row in predicted) == ALL_VIEWS
    refresh(database, now)
    assert {row[2:5] for row in predicted} == {last_run(database)}
    modes: dict[object, object] = {}
    for name, mode in database.rows(
        "SELECT view_name, mode FROM analytics.refresh_log WHERE view_name IS NOT NULL "
        "AND run_id = (SELECT max(run_id) FROM analytics.refresh_log)"
    ):
        modes[name] = mode
    assert [row[0] for row in predicted if not row[1] and modes[row[0]] != "unchanged"] == []
    return predicted


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.takes_turns(2)
def test_next_refresh_does_what_was_predicted(market: Database, situation: str) -> None:
    statements, now = SITUATIONS[situation]
    market.execute(*statements)
    predicted = check_prediction(market, now)
    if situation == "nothing":
        assert [row[1] for row in predicted] == [False] * len(ALL_VIEWS)
    zone = "Asia/Tokyo" if "zone" in situation else ZONE
    assert differences(market, now, zone) == []
    # Nothing is left to do afterwards, unless capture does not work.
    if situation not in {"capture off", "trigger disabled"}:
        again = explained(market, now)
        assert [row[1:4] for row in again] == [(False, "unchanged", "nothing changed")] * len(
            ALL_VIEWS
        )


def test_prediction_before_the_first_refresh_and_how_long_it_takes(migrated: Database) -> None:
    with migrated.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    predicted = check_prediction(migrated, NOW)
    assert [row[1:4] + row[5:] for row in predicted] == [
        (True, "full", "it was never built", None)
    ] * len(ALL_VIEWS)
    for _ in range(3):
        migrated.execute(ONE_CHANGE)
        refresh(migrated, NOW)
    migrated.execute(ONE_CHANGE)
    assert all(float(str(row[5])) > 0 for row in check_prediction(migrated, NOW))


def test_view_that_only_has_to_be_published_is_predicted(market: Database) -> None:
    market.execute(f"REVOKE TEMPORARY ON DATABASE {market.name} FROM public, analytics_owner")
    disturb(market, 16)
    with session(market) as connection:
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
    market.execute(f"GRANT TEMPORARY ON DATABASE {market.name} TO public")
    assert all(row[1] for row in check_prediction(market, NOW))


# -- the log of changes ---------------------------------------------------------------------------


def test_tick_moves_a_large_log_each_key_once(market: Database) -> None:
    logged = "SELECT count(*) FROM kpi_engine.change_log"
    pending = "SELECT entity, count(*) FROM kpi_engine.pending_changes GROUP BY entity ORDER BY 1"
    market.execute(ONE_CHANGE, "CALL analytics.tick()")
    assert market.rows(logged) == [(1,)]
    assert market.rows(pending) == []
    for _ in range(55):
        market.execute("UPDATE public.solicitudes SET updated_at = now()")
    # An update of many rows notes what each was and is, but for the first.
    assert market.rows(logged) == [(1 + 55 * (2 * REQUESTS - 1),)]
    assert market.rows("SELECT pg_relation_size('kpi_engine.change_log') > 1048576") == [(True,)]
    market.execute("CALL analytics.tick()")
    assert market.rows(logged) == [(0,)]
    assert market.rows(pending) == [("solicitud", REQUESTS)]
    disturb(market, 17)
    assert real_time_differences(market) == []
    assert refresh(market, NOW)[0] == "incremental"
    assert market.rows(pending) == []
    assert differences(market) == []


def test_small_log_stays_for_the_refresh_also_after_it_was_large(market: Database) -> None:
    for _ in range(55):
        market.execute("UPDATE public.solicitudes SET updated_at = now()")
    market.execute("CALL analytics.tick()", "VACUUM kpi_engine.change_log")
    market.execute(ONE_CHANGE, "CALL analytics.tick()")
    assert market.rows("SELECT count(*) FROM kpi_engine.change_log") == [(1,)]


def test_tick_does_not_wait_for_a_refresh(market: Database) -> None:
    for _ in range(55):
        market.execute("UPDATE public.solicitudes SET updated_at = now()")
    with market.connect(autocommit=False) as refresher, market.session() as ticker:
        refresher.execute("SELECT * FROM analytics.refresh_all_mv()")
        ticker.execute("SET lock_timeout = '300ms'")
        ticker.execute("CALL analytics.tick()")
        # Nor does the refresh wait for what tick would have moved.
        assert market.rows("SELECT count(*) FROM kpi_engine.pending_changes") == [(0,)]
        refresher.commit()
    assert market.rows("SELECT count(*) FROM kpi_engine.change_log") == [(0,)]


def test_tables_that_were_emptied_and_filled_again_are_compared_in_time(
    system_database: Database,
) -> None:
    """Their statistics say that they are empty: so to compare each row with each seems cheap."""
    empty, now = system_database, "2026-11-23 12:00:00-05"
    moment = datetime.fromisoformat("2026-11-23T12:00:00-05:00")
    demo.load(empty.url, "small", demo.DEFAULT_SEED, moment, demo.Scale(4_000, 300))
    migrate(empty.url)
    refresh(empty, now)
    empty.execute("SELECT analytics.set_setting('breaker_pct', '100')")
    tables = [
        str(name)
        for (name,) in empty.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    empty.execute(
        f"CREATE SCHEMA kept; ALTER DATABASE {empty.name} SET statement_timeout = '15s'",
        *(f"CREATE TABLE kept.{table} AS TABLE public.{table}" for table in tables),
    )
    with empty.connect() as writer:
        writer.execute("SET session_replication_role = replica")
        for table in tables:
            writer.execute(f"DELETE FROM public.{table}")
        writer.execute("INSERT INTO kpi_engine.change_log SELECT 'oferta', id FROM kept.ofertas")
        writer.execute("DELETE FROM kpi_engine.change_log")
        writer.execute("VACUUM (TRUNCATE off)")
        for table in tables:
            writer.execute(f"INSERT INTO public.{table} TABLE kept.{table}")
        writer.execute("INSERT INTO kpi_engine.change_log SELECT 'oferta', id FROM kept.ofertas")
    assert empty.rows(
        "SELECT reltuples, relpages > 0 FROM pg_class WHERE oid = 'public.ofertas'::regclass"
    ) == [(0, True)]
    empty.execute("CALL analytics.tick()")
    assert refresh(empty, now)[0] == "full"
    empty.execute(
        "INSERT INTO kpi_engine.change_log SELECT 'oferta', id FROM public.ofertas "
        "WHERE solicitud_id::text < '6'"
    )
    assert refresh(empty, now)[0] == "incremental"
    assert audited(empty) == 0
    with empty.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        connection.execute("CALL analytics.rebuild(true)")
    assert audited(empty) == 0
