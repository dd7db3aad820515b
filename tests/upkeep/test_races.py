"""What runs side by side: writers, refreshes, TRUNCATE. Held by locks at the points that matter.

A refresh is held by a statement trigger on one of its work tables that takes an advisory lock:
BEFORE DELETE on changed_solicitud_facts it has computed the facts of the taken keys;
BEFORE INSERT it has its snapshot of the source.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import psycopg
import pytest

from conftest import Database
from marketplace import BASE_SEED, SMALL, fill
from sequences import audited, last_run, refresh, small_marketplace, view_differences

SYSTEM_SERVER_IS_ENOUGH = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
GATE = 4711
Refreshed = list[tuple[object, ...]]

PRICES = "UPDATE public.ofertas_detalle SET precio_unitario = precio_unitario + 1"
NEW_OFFER = (
    "INSERT INTO public.ofertas (id, solicitud_id, asesor_id, tiempo_entrega_dias) "
    "SELECT gen_random_uuid(), '{request}', min(id::text)::uuid, 3 FROM public.asesores"
)
NEW_NOTICE = (
    "INSERT INTO public.historial_respuestas_ofertas (id, asesor_id, solicitud_id, fecha_envio) "
    "SELECT gen_random_uuid(), "
    "(SELECT min(asesor_id::text)::uuid FROM analytics.mv_ranking_asesores), "
    "(SELECT min(id::text)::uuid FROM public.solicitudes), '2026-11-20 12:00:00-05'"
)
NEW_AUDIT = (
    "INSERT INTO public.auditorias_tiendas (id, asesor_id, fecha_revision, estado, "
    "puntaje_confianza) SELECT gen_random_uuid(), min(asesor_id::text)::uuid, "
    "'2026-11-20 12:00:00-05', 'APROBADA', 4.5 FROM analytics.mv_ranking_asesores"
)


@pytest.fixture
def market(database: Database) -> Database:
    """A small marketplace whose views are up to date."""
    return small_marketplace(database, "A")


def some_request(database: Database) -> str:
    """Return a request with an offer."""
    return str(database.rows("SELECT min(solicitud_id::text) FROM public.ofertas")[0][0])


def pid_of(connection: psycopg.Connection) -> int:
    """Return the server process of a connection."""
    return connection.info.backend_pid


def wait_until_blocked(database: Database, waiting: int, by: int) -> None:
    """Return when one session waits for another's lock."""
    with database.session() as observer:
        observer.execute("SET statement_timeout = '2min'")
        observer.execute(
            "DO $$ BEGIN WHILE NOT "
            f"{by} = ANY (pg_blocking_pids({waiting})) LOOP PERFORM pg_sleep(0.005); "
            "END LOOP; END $$"
        )


def run_refresh(connection: psycopg.Connection) -> Refreshed:
    """Refresh in a connection that may have to wait."""
    return connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()


def refresher_of(database: Database) -> psycopg.Connection:
    """Connect someone who refreshes."""
    connection = database.connect()
    connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
    return connection


def hurried(database: Database) -> psycopg.Connection:
    """Connect someone who may not wait: not for a lock, and not for long."""
    connection = database.connect()
    # What they would wait for is held to the end of the test.
    connection.execute("SET lock_timeout = '5s'")
    connection.execute("SET statement_timeout = '60s'")
    return connection


@contextmanager
def held_refresh(
    database: Database, event: str
) -> Iterator[tuple[Future[Refreshed], psycopg.Connection]]:
    """Start a refresh and hold it at a point.

    Yields its result to be, and the connection that lets it go on by unlocking the gate.
    """
    database.execute(
        "CREATE OR REPLACE FUNCTION public.wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock({GATE}); RETURN NULL; END $$",
        f"CREATE TRIGGER gate BEFORE {event} ON kpi_engine.changed_solicitud_facts "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.wait_at_the_gate()",
    )
    with (
        database.session() as keeper,
        refresher_of(database) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        keeper.execute(f"SELECT pg_advisory_lock({GATE})")
        result = pool.submit(run_refresh, refresher)
        try:
            wait_until_blocked(database, pid_of(refresher), pid_of(keeper))
            yield result, keeper
        finally:
            keeper.execute("SELECT pg_advisory_unlock_all()")
            result.result(timeout=120)
    database.execute("DROP TRIGGER gate ON kpi_engine.changed_solicitud_facts")


def open_gate(held: tuple[Future[Refreshed], psycopg.Connection]) -> Refreshed:
    """Let a held refresh go on; return what it returns."""
    result, keeper = held
    keeper.execute("SELECT pg_advisory_unlock_all()")
    return result.result(timeout=120)


# -- writers and refreshes ------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["DELETE", "INSERT"])
def test_change_of_other_rows_that_commits_during_a_refresh_is_in_the_next_one(
    market: Database, event: str
) -> None:
    market.execute(PRICES)
    with held_refresh(market, event) as held:
        market.execute(NEW_NOTICE, NEW_AUDIT)
        open_gate(held)
    assert market.rows("SELECT DISTINCT entity FROM kpi_engine.change_log ORDER BY entity") == [
        ("auditoria",),
        ("notificacion",),
    ]
    assert audited(market) == 0
    assert view_differences(market, NOW), "nothing was left to do: the hold came too early"
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


@pytest.mark.parametrize("event", ["DELETE", "INSERT"])
def test_change_of_the_same_rows_that_commits_during_a_refresh_is_in_it(
    market: Database, event: str
) -> None:
    request = some_request(market)
    market.execute(PRICES)
    with held_refresh(market, event) as held:
        # The same requests as those the refresh is at work on, and others, and advisors.
        market.execute(PRICES, NEW_OFFER.format(request=request), NEW_NOTICE, NEW_AUDIT)
        open_gate(held)
    assert view_differences(market, NOW) == []
    assert audited(market) == 0
    assert refresh(market, NOW)[0] == "unchanged"


MOVE_OFFERS = (
    "UPDATE public.ofertas SET solicitud_id = "
    "(SELECT max(id::text)::uuid FROM public.solicitudes) WHERE solicitud_id = '{request}'"
)
NEW_NAME = (
    "UPDATE public.usuarios SET nombre = 'Zoë' WHERE id = "
    "(SELECT usuario_id FROM public.asesores ORDER BY id LIMIT 1)"
)


@pytest.mark.parametrize(
    ("first", "then", "work_table", "mode"),
    [
        # One of two requests that a transaction changes is being computed.
        (NEW_OFFER, MOVE_OFFERS, "solicitud_facts", "incremental"),
        # The advisor is being computed, because of his own row; then his user changes.
        (
            "UPDATE public.asesores SET ciudad = 'X' WHERE id = "
            "(SELECT id FROM public.asesores ORDER BY id LIMIT 1)",
            f"WITH named AS ({NEW_NAME}) {NEW_OFFER}",
            "asesor_facts",
            "incremental",
        ),
        # What can't be noted by key. (A TRUNCATE waits for a refresh that has taken the log.)
        (
            NEW_OFFER,
            PRICES + "; INSERT INTO kpi_engine.change_log (entity) VALUES ('everything')",
            "solicitud_facts",
            "full",
        ),
        (
            NEW_OFFER,
            "ALTER TABLE public.ofertas_detalle DISABLE TRIGGER USER; "
            + PRICES
            + "; CALL analytics.apply_change_capture()",
            "solicitud_facts",
            "full",
        ),
    ],
)
def test_refresh_shows_no_half_of_what_was_committed_after_it_took_the_log(
    market: Database, first: str, then: str, work_table: str, mode: str
) -> None:
    request = some_request(market)
    market.execute(first.format(request=request))
    with (
        market.connect(autocommit=False) as holder,
        refresher_of(market) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        # Its snapshot of the source comes after this lock.
        holder.execute(f"LOCK TABLE kpi_engine.changed_{work_table} IN ACCESS EXCLUSIVE MODE")
        result = pool.submit(run_refresh, refresher)
        wait_until_blocked(market, pid_of(refresher), pid_of(holder))
        for statement in then.format(request=request).split("; "):
            market.execute(statement)
        holder.commit()
        assert {row[1] for row in result.result(timeout=120)} == {"SUCCESS"}
    assert last_run_of(market)[0] == mode
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


FASTER = """
CREATE OR REPLACE FUNCTION kpi_engine.{function} RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO kpi_engine.change_log (entity, key)
    SELECT '{entity}', {key} FROM public.solicitudes LIMIT 1;
    RETURN true;
END $$
"""
# A change that comes after a batch was computed.
DURING_A_REBUILD = """
CREATE FUNCTION kpi_engine.write_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO kpi_engine.change_log (entity, key) SELECT 'solicitud', min(id::text)::uuid
    FROM public.solicitudes;
    RETURN NULL;
END $$;
CREATE TRIGGER write_once AFTER UPDATE ON kpi_engine.rebuild_batches
EXECUTE FUNCTION kpi_engine.write_once()
"""


@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize(
    ("function", "entity", "key", "mode"),
    [
        (
            "come_again(p_changes kpi_engine.changed_keys[])",
            "solicitud",
            "min(id::text)::uuid",
            "incremental",
        ),
        # A service that empties a table all the time.
        ("has_moved_on()", "everything", "NULL", "full"),
    ],
)
def test_a_source_that_is_faster_than_a_refresh_is_told(
    market: Database, function: str, entity: str, key: str, mode: str, is_forced: bool
) -> None:
    """The refresh ends, and health says that it may show a part of what came meanwhile."""
    drift = "SELECT severity FROM analytics.health_problems() WHERE problem = 'drift'"
    signature = function.replace("p_changes ", "")
    ((before,),) = market.rows(f"SELECT pg_get_functiondef('kpi_engine.{signature}'::regprocedure)")
    market.execute(PRICES, FASTER.format(function=function, entity=entity, key=key))
    if is_forced:
        market.execute(DURING_A_REBUILD)
        with refresher_of(market) as refresher:
            rows = refresher.execute("SELECT * FROM refresh_all_mv(true)").fetchall()
        assert {row[1] for row in rows} == {"SUCCESS"}
        assert last_run_of(market)[0] == "full"
    else:
        assert refresh(market, NOW)[0] == mode
    assert market.rows(drift) == [("degraded",)]
    market.execute(str(before), "DROP FUNCTION IF EXISTS kpi_engine.write_once() CASCADE")
    refresh(market, NOW)
    assert market.rows(drift) == []
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("event", ["DELETE", "INSERT"])
def test_request_deleted_while_a_refresh_is_at_work_on_it_is_gone_after_the_next(
    market: Database, event: str
) -> None:
    request = some_request(market)
    market.execute(PRICES)
    with held_refresh(market, event) as held:
        market.execute(f"DELETE FROM public.solicitudes WHERE id = '{request}'")
        open_gate(held)
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_writer_that_is_open_across_two_refreshes_is_in_the_one_after_its_commit(
    market: Database, isolation: str
) -> None:
    request = some_request(market)
    with market.session() as writer:
        writer.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        writer.execute(PRICES)
        writer.execute(NEW_NOTICE)
        assert refresh(market, NOW)[0] == "unchanged"
        market.execute(NEW_AUDIT)
        writer.execute(NEW_OFFER.format(request=request))
        assert refresh(market, NOW)[0] == "incremental"
        market.execute("SELECT kpi_engine.compact_change_log()")
        assert view_differences(market, NOW) == []
        writer.execute("COMMIT")
    assert view_differences(market, NOW)
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


def test_writer_that_rolls_back_after_two_refreshes_changes_nothing(market: Database) -> None:
    with market.connect(autocommit=False) as writer:
        writer.execute(PRICES)
        writer.execute("DELETE FROM public.asesores")
        assert refresh(market, NOW)[0] == "unchanged"
        assert refresh(market, NOW)[0] == "unchanged"
        writer.rollback()
    assert refresh(market, NOW)[0] == "unchanged"
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("first", ["offer", "move"])
def test_request_moves_to_another_month_while_an_offer_for_it_is_being_inserted(
    market: Database, first: str
) -> None:
    request = some_request(market)
    statements = {
        "offer": NEW_OFFER.format(request=request),
        "move": "UPDATE public.solicitudes SET created_at = '2025-02-03 12:00:00-05' "
        f"WHERE id = '{request}'",
    }
    second = "move" if first == "offer" else "offer"
    with market.connect(autocommit=False) as open_writer, hurried(market) as writer:
        open_writer.execute(statements[first])
        writer.execute(statements[second])
        assert refresh(market, NOW)[0] == "incremental"
        assert view_differences(market, NOW) == []
        open_writer.commit()
    assert view_differences(market, NOW)
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


def test_writers_wait_neither_for_each_other_nor_for_a_refresh(market: Database) -> None:
    request = some_request(market)
    with market.connect(autocommit=False) as open_writer, hurried(market) as writer:
        for statement in (NEW_OFFER.format(request=request), NEW_NOTICE, NEW_AUDIT, PRICES):
            open_writer.execute(statement)
        for statement in (NEW_OFFER.format(request=request), NEW_NOTICE, NEW_AUDIT):
            writer.execute(statement)
        writer.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        run_refresh(writer)
        assert last_run(writer)[0] == "incremental"
        writer.execute("CALL analytics.tick()")
        writer.execute("SELECT kpi_engine.compact_change_log()")
        assert view_differences(market, NOW) == []
        writer.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
        assert view_differences(market, NOW) == []
        open_writer.commit()
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("event", ["DELETE", "INSERT"])
def test_writers_and_ticks_do_not_wait_for_a_refresh_that_is_held(
    market: Database, event: str
) -> None:
    request = some_request(market)
    market.execute(PRICES)
    with hurried(market) as writer, held_refresh(market, event) as held:
        for statement in (NEW_OFFER.format(request=request), NEW_NOTICE, NEW_AUDIT, PRICES):
            writer.execute(statement)
        writer.execute(f"DELETE FROM public.solicitudes WHERE id = '{request}'")
        writer.execute("CALL analytics.tick()")
        assert not held[0].done()
        open_gate(held)
    refresh(market, NOW)
    assert view_differences(market, NOW) == []


def test_serializable_writers_never_fail_because_of_the_log(market: Database) -> None:
    reads = "SELECT count(*) FROM public.{}"
    for refresh_isolation in ("READ COMMITTED", "REPEATABLE READ"):
        with (
            market.session() as first,
            market.session() as second,
            refresher_of(market) as refresher,
        ):
            for writer in (first, second):
                writer.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            first.execute(reads.format("historial_respuestas_ofertas"))
            second.execute(reads.format("auditorias_tiendas"))
            first.execute(NEW_NOTICE)
            second.execute(NEW_AUDIT)
            refresher.execute(f"BEGIN ISOLATION LEVEL {refresh_isolation}")
            run_refresh(refresher)
            refresher.execute("COMMIT")
            first.execute(NEW_NOTICE)
            first.execute("COMMIT")
            run_refresh(refresher)
            second.execute(NEW_AUDIT)
            second.execute("COMMIT")
        assert refresh(market, NOW)[0] == "incremental"
        assert view_differences(market, NOW) == []
    # The control: writers that read what the other writes do fail.
    with market.session() as first, market.session() as second:
        for writer, table, statement in (
            (first, "auditorias_tiendas", NEW_NOTICE),
            (second, "historial_respuestas_ofertas", NEW_AUDIT),
        ):
            writer.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            writer.execute(reads.format(table))
            writer.execute(statement)
        first.execute("COMMIT")
        with pytest.raises(psycopg.errors.SerializationFailure):
            second.execute("COMMIT")


@pytest.mark.parametrize("what", ["a refresh", "an audit"])
def test_a_refresh_is_refused_in_a_serializable_transaction(market: Database, what: str) -> None:
    with refresher_of(market) as refresher:
        refresher.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState,
            match=f"{what} must not run in a serializable transaction",
        ):
            if what == "a refresh":
                run_refresh(refresher)
            else:
                refresher.execute("SELECT analytics.audit()")


# -- old snapshots -------------------------------------------------------------------------------

REWRITE = "ALTER TABLE public.{} ADD COLUMN token uuid DEFAULT gen_random_uuid()"


@pytest.mark.parametrize(
    "call",
    [
        "SELECT * FROM analytics.refresh_all_mv()",
        "SELECT * FROM analytics.refresh_all_mv(force => true)",
        "SELECT analytics.audit()",
        "SELECT * FROM analytics.v_kpis_en_vivo",
        "SELECT * FROM analytics.v_metricas_mensuales_tiempo_real",
    ],
)
def test_a_table_that_was_rewritten_after_the_snapshot_is_not_counted_as_empty(
    market: Database, call: str
) -> None:
    market.execute(PRICES)
    with refresher_of(market) as late:
        late.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        late.execute("SELECT count(*) FROM public.usuarios")
        market.execute(REWRITE.format("ofertas"))
        said = "a source table was changed by ALTER TABLE or TRUNCATE meanwhile: public.ofertas"
        if "refresh_all_mv" in call:
            assert {row[1] for row in late.execute(call).fetchall()} == {"ERROR"}
            ((message,),) = late.execute(
                "SELECT error_message FROM analytics.refresh_log WHERE view_name IS NULL "
                "ORDER BY log_id DESC LIMIT 1"
            ).fetchall()
            assert str(message).endswith(said)
            late.execute("COMMIT")
        else:
            with pytest.raises(psycopg.errors.SerializationFailure, match=said):
                late.execute(call)
            late.execute("ROLLBACK")
        # The next statement sees all rows.
        late.execute(call)
    refresh(market, NOW)
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


@pytest.mark.parametrize("view", ["v_kpis_en_vivo", "v_metricas_mensuales_tiempo_real"])
def test_a_reader_that_waits_for_a_rewrite_is_told_to_ask_again(
    market: Database, view: str
) -> None:
    query = f"SELECT to_jsonb(live) - 'calculado_at' FROM analytics.{view} AS live"
    before = market.rows(query, today=NOW)
    with (
        market.session() as rewriting,
        refresher_of(market) as reader,
        ThreadPoolExecutor(1) as pool,
    ):
        rewriting.execute("BEGIN")
        rewriting.execute(REWRITE.format("ofertas"))
        result = pool.submit(lambda: reader.execute(query).fetchall())
        wait_until_blocked(market, pid_of(reader), pid_of(rewriting))
        rewriting.execute("COMMIT")
        with pytest.raises(
            psycopg.errors.SerializationFailure, match=r"meanwhile: public\.ofertas"
        ):
            result.result(timeout=120)
        assert reader.execute(query).fetchall() == before


# -- refreshes among themselves -------------------------------------------------------------------


def test_second_refresh_fails_at_once_while_the_first_is_at_work(market: Database) -> None:
    market.execute(PRICES)
    with held_refresh(market, "INSERT") as held, hurried(market) as second:
        for call in ("analytics.refresh_all_mv()", "analytics.refresh_all_mv(force => true)"):
            with pytest.raises(psycopg.errors.LockNotAvailable, match="already running"):
                second.execute(f"SELECT * FROM {call}")
        with pytest.raises(psycopg.errors.LockNotAvailable, match="already running"):
            second.execute("SELECT analytics.audit()")
        assert not held[0].done()
        assert [row[1] for row in open_gate(held)] == ["SUCCESS"] * 9
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("force", ["false", "true"])
def test_refresh_with_a_snapshot_older_than_another_refresh_undoes_nothing(
    market: Database, force: str
) -> None:
    request = some_request(market)
    with refresher_of(market) as late:
        market.execute(PRICES)
        late.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        late.execute("SELECT count(*) FROM public.solicitudes")
        market.execute(PRICES, NEW_OFFER.format(request=request), NEW_NOTICE, NEW_AUDIT)
        assert refresh(market, NOW)[0] == "incremental"
        # It fails, or it finds nothing to do; either way the newer contents stay.
        late.execute(f"SELECT * FROM analytics.refresh_all_mv(force => {force})")
        late.execute("COMMIT")
    refresh(market, NOW)
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


def test_refresh_in_a_transaction_sees_its_own_changes_and_takes_them_back(
    market: Database,
) -> None:
    with refresher_of(market) as refresher:
        with refresher.transaction(force_rollback=True):
            refresher.execute("DELETE FROM public.solicitudes")
            run_refresh(refresher)
            assert refresher.execute("SELECT * FROM mv_metricas_mensuales").fetchall() == []
        assert view_differences(market, NOW) == []
        with refresher.transaction():
            refresher.execute("SAVEPOINT before")
            refresher.execute(PRICES)
            run_refresh(refresher)
            refresher.execute("ROLLBACK TO before")
            refresher.execute(NEW_AUDIT)
            run_refresh(refresher)
    assert last_run_of(market)[0] == "incremental"
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


WITHOUT_TRIGGERS = (
    "ALTER TABLE public.ofertas_detalle DISABLE TRIGGER USER; "
    + PRICES
    + "".join(
        f"; ALTER TABLE public.ofertas_detalle ENABLE ALWAYS TRIGGER teloo_analytics_{event}"
        for event in ("insert", "update", "delete", "truncate")
    )
)


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (WITHOUT_TRIGGERS, WITHOUT_TRIGGERS, "SUCCESS"),
        (
            "ALTER TABLE public.ofertas RENAME TO others; "
            "ALTER TABLE public.others RENAME TO ofertas",
            "ALTER TABLE public.ofertas RENAME TO others; "
            "CREATE TABLE public.ofertas (LIKE public.others INCLUDING ALL)",
            "ERROR",
        ),
    ],
)
def test_what_is_done_to_tables_after_a_refresh_in_the_same_transaction_is_noticed(
    market: Database, first: str, then: str, status: str
) -> None:
    with refresher_of(market) as refresher:
        with refresher.transaction():
            refresher.execute(first)
            run_refresh(refresher)
            refresher.execute(then)
        assert {row[1] for row in run_refresh(refresher)} == {status}
        if status == "SUCCESS":
            assert last_run(refresher)[0] == "full"
            assert view_differences(market, NOW) == []


def last_run_of(database: Database) -> tuple[str, str]:
    """Return mode and reason of the last refresh."""
    with database.session() as connection:
        return last_run(connection)


# -- TRUNCATE -------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("table", ["solicitudes", "ofertas_historicas", "usuarios"])
def test_refresh_waits_for_a_truncate_and_then_all_is_right(
    market: Database, table: str, end: str
) -> None:
    # Something is waiting, so that the refresh has to look at the truncated tables.
    market.execute(
        PRICES,
        "UPDATE public.ofertas_historicas SET monto_total = 5",
        "UPDATE public.usuarios SET nombre = 'Zoë'",
    )
    with (
        market.session() as truncating,
        refresher_of(market) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        truncating.execute("BEGIN")
        truncating.execute(f"TRUNCATE public.{table} CASCADE")
        result = pool.submit(run_refresh, refresher)
        wait_until_blocked(market, pid_of(refresher), pid_of(truncating))
        truncating.execute(end)
        assert [row[1] for row in result.result(timeout=120)] == ["SUCCESS"] * 9
    runs = [last_run_of(market), refresh(market, NOW)]
    # The one that waited may have taken the log before or after TRUNCATE was committed.
    was_full = ("full", "a source table was truncated, or one above several was written to") in runs
    assert was_full == (end == "COMMIT"), runs
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


def test_truncate_and_fill_in_one_transaction_is_one_full_refresh(market: Database) -> None:
    with market.connect(autocommit=False) as connection:
        connection.execute("TRUNCATE public.usuarios CASCADE")
        fill(connection, BASE_SEED + 1, "A", TODAY, size=SMALL)
        connection.commit()
    assert refresh(market, NOW) == (
        "full",
        "a source table was truncated, or one above several was written to",
    )
    assert view_differences(market, NOW) == []
    assert refresh(market, NOW)[0] == "unchanged"


# -- DDL of several tables in one transaction -----------------------------------------------------

# All tables of the contract are read.
WRITES = (
    PRICES,
    NEW_NOTICE,
    NEW_AUDIT,
    NEW_NAME,
    "UPDATE public.ofertas_historicas SET monto_total = 5",
)
JOB = "SELECT kpi_engine.queue_refresh(false, 'test')"
AT_WORK = {
    "refresh": ((*WRITES,), "SELECT * FROM analytics.refresh_all_mv()"),
    "forced": ((*WRITES,), "SELECT * FROM analytics.refresh_all_mv(true)"),
    "job": ((*WRITES, JOB), "CALL analytics.work()"),
    "rebuild": ((*WRITES,), "CALL analytics.rebuild()"),
    "audit": ((), "SELECT analytics.audit()"),
}
TABLE_PAIRS = [
    ("solicitudes", "ofertas"),
    ("ofertas", "solicitudes"),
    ("usuarios", "asesores"),
    ("asesores", "ofertas_historicas"),
    ("ofertas_detalle", "repuestos_solicitados"),
    ("historial_respuestas_ofertas", "ofertas"),
    ("auditorias_tiendas", "solicitudes"),
]


@pytest.mark.parametrize("work", AT_WORK)
@pytest.mark.parametrize(("first", "then"), TABLE_PAIRS)
def test_ddl_of_several_tables_meets_no_deadlock(
    market: Database, work: str, first: str, then: str
) -> None:
    """Whatever reads the source gives way, waits for the commit, and sees what was altered."""
    before, statement = AT_WORK[work]
    market.execute(*before)
    with (
        hurried(market) as altering,
        refresher_of(market) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        altering.execute("SET lock_timeout = 0")
        altering.execute("BEGIN")
        altering.execute(f"ALTER TABLE public.{first} ADD COLUMN nota1 text")
        result = pool.submit(refresher.execute, statement)
        wait_until_blocked(market, pid_of(refresher), pid_of(altering))
        altering.execute(f"ALTER TABLE public.{then} ADD COLUMN nota2 text")
        altering.execute("COMMIT")
        done = result.result(timeout=120)
        if done.description and work != "audit":
            assert {row[1] for row in done.fetchall()} == {"SUCCESS"}
    if work == "job":
        assert market.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]
    assert view_differences(market, NOW) == []
    assert audited(market) == 0


def test_all_tables_of_the_source_are_held_and_no_statistics_count_a_scan(
    database: Database,
) -> None:
    market = small_marketplace(database, "A")
    market.execute("CREATE TABLE public.ofertas_de_antes () INHERITS (public.ofertas)")
    scans = (
        "SELECT sum(seq_scan + coalesce(idx_scan, 0)) FROM pg_stat_xact_user_tables "
        "WHERE schemaname = 'public'"
    )
    unheld = (
        "SELECT captured.relation::regclass FROM kpi_engine.captured_tables() AS captured "
        "WHERE captured.place <> 'whole' AND NOT EXISTS (SELECT FROM pg_locks WHERE "
        "pg_locks.pid = pg_backend_pid() AND pg_locks.relation = captured.relation)"
    )
    with market.session() as session:
        # The first plans it, the last uses a kept plan.
        for _ in range(8):
            session.execute("BEGIN")
            session.execute("SELECT kpi_engine.hold_source()")
            assert session.execute(unheld).fetchall() == []
            assert session.execute(scans).fetchall() == [(0,)]
            assert session.execute("SHOW lock_timeout").fetchall() == [("2min",)]
            session.execute("COMMIT")
    assert (
        market.rows(
            "SELECT DISTINCT source_contract.view_name FROM kpi_engine.source_contract() "
            "WHERE NOT pg_get_functiondef('kpi_engine.hold_source()'::regprocedure) "
            "~ format('kpi_engine\\.%s\\M', source_contract.view_name)"
        )
        == []
    )


def test_a_lock_timeout_ends_the_wait_for_the_source(market: Database) -> None:
    market.execute(*WRITES)
    with market.connect(autocommit=False) as keeper, hurried(market) as waiting:
        keeper.execute("LOCK TABLE public.usuarios IN ACCESS EXCLUSIVE MODE")
        for limit in ("50ms", "500ms"):
            waiting.execute(f"SET lock_timeout = '{limit}'")
            with pytest.raises(psycopg.errors.LockNotAvailable, match=f"lock timeout .{limit}"):
                waiting.execute("SELECT kpi_engine.hold_source()")
            assert waiting.execute("SHOW lock_timeout").fetchall() == [(limit,)]
        keeper.rollback()
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []


def test_a_refresh_with_nothing_to_do_waits_for_no_source_table(market: Database) -> None:
    with market.connect(autocommit=False) as keeper:
        keeper.execute("LOCK TABLE public.solicitudes, public.ofertas IN ACCESS EXCLUSIVE MODE")
        assert refresh(market, NOW)[0] == "unchanged"


def test_a_table_that_was_renamed_while_a_refresh_waited_is_named(market: Database) -> None:
    market.execute(*WRITES)
    with (
        market.session() as altering,
        refresher_of(market) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        altering.execute("BEGIN")
        altering.execute("ALTER TABLE public.ofertas RENAME TO ofertas_viejas")
        result = pool.submit(run_refresh, refresher)
        wait_until_blocked(market, pid_of(refresher), pid_of(altering))
        altering.execute("COMMIT")
        result.result(timeout=120)
    ((message,),) = market.rows(
        "SELECT error_message FROM analytics.refresh_log WHERE view_name IS NULL "
        "ORDER BY run_id DESC LIMIT 1"
    )
    assert "table public.ofertas is gone" in str(message)
    market.execute("ALTER TABLE public.ofertas_viejas RENAME TO ofertas")
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []


def test_how_long_a_refresh_waits_for_the_source_is_told_in_all(market: Database) -> None:
    """It tries again and again: each attempt is short."""
    market.execute(*WRITES)
    told = "SELECT severity FROM analytics.lock_blocked_problem('1 second')"
    with (
        market.connect(autocommit=False) as keeper,
        refresher_of(market) as refresher,
        ThreadPoolExecutor(1) as pool,
    ):
        keeper.execute("LOCK TABLE public.usuarios IN ACCESS EXCLUSIVE MODE")
        result = pool.submit(run_refresh, refresher)
        wait_until_blocked(market, pid_of(refresher), pid_of(keeper))
        assert market.rows(told) == []
        market.wait_until(f"SELECT EXISTS ({told})")
        keeper.rollback()
        assert {row[1] for row in result.result(timeout=120)} == {"SUCCESS"}
    assert market.rows(told) == []


def test_a_prepared_transaction_that_a_refresh_waits_for_is_named(market: Database) -> None:
    """It has no process and no role."""
    market.execute(*WRITES)
    told = "SELECT message FROM analytics.lock_blocked_problem('1 second')"
    gid = f"platform_{market.name}"
    with refresher_of(market) as refresher, ThreadPoolExecutor(1) as pool:
        market.execute(
            "BEGIN", "ALTER TABLE public.usuarios ADD note text", f"PREPARE TRANSACTION '{gid}'"
        )
        result = pool.submit(run_refresh, refresher)
        try:
            market.wait_until(f"SELECT EXISTS ({told} WHERE message ~ 'a prepared transaction')")
        finally:
            market.execute(f"ROLLBACK PREPARED '{gid}'")
        assert {row[1] for row in result.result(timeout=120)} == {"SUCCESS"}
    assert market.rows(told) == []
