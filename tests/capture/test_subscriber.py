"""On a database that gets the operational tables by logical replication.

TELOO_REPLICA_SEQUENCES=500 runs more random sequences: they write at the publisher, the subscriber
refreshes, and its views equal what the publisher's rows give. TELOO_KILLS=11 kills each part at
each moment (make test-long does 25).
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import oracle
from capture.origins import differences
from capture.subscriber import (
    EMPTY_THE_TABLES,
    MARKER,
    Pair,
    ReplicaArena,
    load_into,
    make_publisher,
    publishing_cluster,
)
from checkup.test_doctor import examine, findings_of
from cluster import Cluster
from commandline.console import UserError
from conftest import (
    Database,
    Server,
    close_sessions,
    fresh_database,
    install,
    load_and_migrate,
)
from development.replication import PUBLICATION, publish
from faults.killing import POINTS_OF_A_REFRESH, VICTIMS, Work, held, kill, with_patience
from hub_sites import partial_header
from marketplace import BASE_SEED, SMALL, Generation, fill
from migrate import migrate
from sequences import Sequence, Totals, audited, refresh, view_differences
from source.test_source_binding import problems
from webapi.test_standby import standby_of

TAKES_MINUTES = True
SEQUENCES = int(os.environ.get("TELOO_REPLICA_SEQUENCES", "12"))
# For each part.
KILLS = int(os.environ.get("TELOO_KILLS", "1"))
GENERATIONS: tuple[Generation, ...] = ("A", "B")
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
# Who fires what, on one of the tables.
TRIGGERS = """
    SELECT tgname::text, tgenabled::text FROM pg_trigger
    WHERE tgrelid = 'public.ofertas'::regclass AND tgname LIKE 'teloo%' ORDER BY 1
"""
PLAIN = [(f"teloo_analytics_{what}", "A") for what in ("delete", "insert", "truncate", "update")]
FOLLOWING = [
    ("teloo_analytics_delete", "O"),
    ("teloo_analytics_insert", "O"),
    ("teloo_analytics_row", "R"),
    ("teloo_analytics_truncate", "A"),
    ("teloo_analytics_update", "O"),
]
# All published tables but one.
PUBLISHED = (
    "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_publication_tables "
    "WHERE tablename <> '{}'"
)
NOTED = "SELECT entity, count(*) FROM kpi_engine.change_log GROUP BY entity ORDER BY entity"


@pytest.fixture(scope="module")
def publishing() -> Iterator[Cluster]:
    with publishing_cluster() as cluster:
        yield cluster


@pytest.fixture
def copied(publishing: Cluster, system_server: Server) -> Iterator[Pair]:
    """A filled marketplace, and a subscriber that has copied it. It was never refreshed."""
    for subscriber in fresh_database(system_server):
        install(subscriber)
        made = Pair(make_publisher(publishing, subscriber.name, "A"), subscriber)
        with made.publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        try:
            made.subscribe()
            subscriber.execute("CALL analytics.apply_change_capture()")
            yield made
        finally:
            made.unsubscribe()


@pytest.fixture
def pair(copied: Pair) -> Pair:
    """The same, refreshed."""
    refresh(copied.subscriber, NOW)
    assert refresh(copied.subscriber, NOW)[0] == "unchanged"
    return copied


def right_after_writes(subscriber: Database) -> tuple[str, str]:
    """Refresh; the views are right. Return mode and reason."""
    ran = refresh(subscriber, NOW)
    assert view_differences(subscriber, NOW) == []
    return ran


def problems_that_stay(subscriber: Database) -> dict[str, tuple[str, str]]:
    """Tick until health has no problem: a refresh may be before it is known what the copy has."""
    deadline = time.monotonic() + 60
    while problems(subscriber) and time.monotonic() < deadline:
        subscriber.execute("CALL analytics.tick()")
    return problems(subscriber)


def right_after(pair: Pair, mode: str) -> str:
    """Refresh when all has arrived; the views are right, and the mode was this one."""
    pair.catch_up()
    ran, reason = right_after_writes(pair.subscriber)
    assert ran == mode, reason
    return reason


def test_what_a_subscription_writes_is_noted_by_key(pair: Pair) -> None:
    assert pair.subscriber.rows(TRIGGERS) == FOLLOWING
    assert problems(pair.subscriber) == {}
    pair.publisher.execute("UPDATE public.ofertas SET estado = 'ACEPTADA', tiempo_entrega_dias = 9")
    pair.catch_up()
    assert view_differences(pair.subscriber, NOW)
    assert right_after(pair, "incremental").endswith("changed keys")
    pair.publisher.execute(
        "DELETE FROM public.ofertas_detalle WHERE oferta_id IN "
        "(SELECT id FROM public.ofertas ORDER BY id LIMIT 4)",
        "UPDATE public.ofertas SET solicitud_id = (SELECT min(id::text) FROM solicitudes)::uuid",
        "INSERT INTO public.solicitudes SELECT (jsonb_populate_record(s, jsonb_build_object("
        "'id', gen_random_uuid()))).* FROM public.solicitudes AS s LIMIT 3",
    )
    right_after(pair, "incremental")
    assert pair.subscriber.rows("SELECT analytics.audit()") == [(0,)]
    pair.publisher.execute("DELETE FROM public.solicitudes")
    right_after(pair, "incremental")
    right_after(pair, "unchanged")


def test_no_write_fires_both_kinds_of_triggers(pair: Pair) -> None:
    update = "UPDATE public.ofertas SET updated_at = updated_at"
    ((offers,),) = pair.subscriber.rows("SELECT count(*) FROM public.ofertas")
    assert isinstance(offers, int)
    pair.publisher.execute(update)
    pair.catch_up()
    assert pair.subscriber.rows(NOTED) == [("solicitud", offers)]
    # A write in the way of a restore, and those of the subscriber's own sessions. A statement's
    # trigger notes old and new keys without a look at each row.
    for role, noted in (("replica", offers), ("origin", 2 * offers - 1), ("local", 2 * offers - 1)):
        refresh(pair.subscriber, NOW)
        pair.subscriber.execute(f"SET session_replication_role = {role}; {update}")
        assert pair.subscriber.rows(NOTED) == [("solicitud", noted)], role


def test_truncate_at_the_publisher_computes_everything(pair: Pair) -> None:
    pair.publisher.execute("TRUNCATE public.solicitudes CASCADE")
    assert (
        right_after(pair, "full")
        == "a source table was truncated, or one above several was written to"
    )


def test_what_is_copied_and_what_comes_before_the_triggers_is_computed(pair: Pair) -> None:
    subscriber, publisher = pair.subscriber, pair.publisher
    pair.unsubscribe()
    assert subscriber.rows("SELECT analytics.capture_gap() IS NULL") == [(False,)]
    subscriber.execute("CALL analytics.apply_change_capture()")
    assert subscriber.rows(TRIGGERS) == PLAIN
    ((tables,),) = subscriber.rows(
        "SELECT string_agg(format('public.%I', tablename), ', ') FROM pg_tables "
        "WHERE schemaname = 'public'"
    )
    subscriber.execute(f"TRUNCATE {tables}")
    assert right_after_writes(subscriber)[0] == "full"
    pair.subscribe()
    severity, text = problems(subscriber)["capture_gap"]
    assert (severity, f"subscription {pair.name} writes" in text) == ("unhealthy", True)
    assert "CALL analytics.apply_change_capture()" in text
    # Without triggers for rows: right, and in full.
    publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
    assert f"subscription {pair.name} writes" in right_after(pair, "full")
    publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 4")
    subscriber.execute("CALL analytics.apply_change_capture()")
    assert subscriber.rows(TRIGGERS) == FOLLOWING
    right_after(pair, "full")
    publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 5")
    right_after(pair, "incremental")
    assert problems(subscriber) == {}


def test_paused_and_resumed_nothing_is_missed(pair: Pair) -> None:
    pair.subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    pair.publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
    assert refresh(pair.subscriber, NOW)[0] == "unchanged"
    pair.subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} ENABLE")
    right_after(pair, "incremental")


def add_an_inheriting_table(pair: Pair) -> None:
    """Add a table of audits on both sides; only the publisher has rows of it."""
    for database in (pair.publisher, pair.subscriber):
        database.execute(
            "CREATE TABLE public.audits_2027 () INHERITS (public.auditorias_tiendas)",
            "ALTER TABLE public.audits_2027 ADD PRIMARY KEY (id)",
        )
    pair.publisher.execute(
        "INSERT INTO public.audits_2027 (id, asesor_id, fecha_revision, estado, puntaje_confianza) "
        "SELECT gen_random_uuid(), id, '2026-11-20', 'APROBADA', 1.5 FROM public.asesores"
    )


def test_a_table_that_is_added_is_copied_and_followed(publishing: Cluster, pair: Pair) -> None:
    """Each table of FOR ALL TABLES that comes later needs REFRESH PUBLICATION."""
    publisher, subscriber = pair.publisher, pair.subscriber
    add_an_inheriting_table(pair)
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION")
    subscriber.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    pair.catch_up()
    refresh(subscriber, NOW)
    assert view_differences(subscriber, NOW) == []
    subscriber.execute("CALL analytics.apply_change_capture()")
    refresh(subscriber, NOW)
    publisher.execute("UPDATE public.audits_2027 SET puntaje_confianza = 2.5")
    right_after(pair, "incremental")


def test_rows_of_a_table_that_inherits_are_noted_in_each_mode(pair: Pair) -> None:
    """A statement names the table above, which a subscription writes. The one below has no part."""
    subscriber = pair.subscriber
    subscriber.execute(
        "CREATE TABLE public.audits_here () INHERITS (public.auditorias_tiendas)",
        "INSERT INTO public.audits_here (id, asesor_id, fecha_revision, estado, puntaje_confianza) "
        "SELECT gen_random_uuid(), id, '2026-11-20', 'APROBADA', 1.5 FROM public.asesores",
        "CALL analytics.apply_change_capture()",
    )
    right_after_writes(subscriber)
    for score, role in ((2.5, "replica"), (3.5, "origin")):
        subscriber.execute(
            f"SET session_replication_role = {role}; "
            f"UPDATE public.auditorias_tiendas SET puntaje_confianza = {score}"
        )
        assert right_after_writes(subscriber)[0] == "incremental", role


def test_partitions_of_a_table_that_is_published_as_a_whole_are_followed(
    publishing: Cluster, system_server: Server
) -> None:
    for subscriber in fresh_database(system_server):
        publisher = make_publisher(publishing, subscriber.name, "A")
        for database in (publisher, subscriber):
            if database is subscriber:
                install(subscriber)
            database.execute(
                "ALTER TABLE public.auditorias_tiendas RENAME TO audits_before",
                "CREATE TABLE public.auditorias_tiendas (LIKE public.audits_before "
                "INCLUDING DEFAULTS, PRIMARY KEY (id, estado)) PARTITION BY LIST (estado)",
                "CREATE TABLE public.audits_rest PARTITION OF public.auditorias_tiendas DEFAULT",
            )
        publisher.execute(
            "DROP PUBLICATION operational",
            "CREATE PUBLICATION operational FOR ALL TABLES WITH (publish_via_partition_root)",
        )
        with publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        import migrate

        migrate.migrate(subscriber.url)
        pair = Pair(publisher, subscriber)
        try:
            pair.subscribe()
            subscriber.execute("CALL analytics.apply_change_capture()")
            refresh(subscriber, NOW)
            publisher.execute("UPDATE public.auditorias_tiendas SET puntaje_confianza = 1.5")
            right_after(pair, "incremental")
            # A partition that nobody looks after yet.
            subscriber.execute(
                "CREATE TABLE public.audits_new PARTITION OF public.auditorias_tiendas "
                "FOR VALUES IN ('NUEVA')"
            )
            publisher.execute("UPDATE public.auditorias_tiendas SET estado = 'NUEVA'")
            pair.catch_up()
            refresh(subscriber, NOW)
            assert view_differences(subscriber, NOW) == []
            subscriber.execute("CALL analytics.apply_change_capture()")
            refresh(subscriber, NOW)
            publisher.execute("UPDATE public.auditorias_tiendas SET puntaje_confianza = 2.5")
            right_after(pair, "incremental")
        finally:
            pair.unsubscribe()


def test_health_says_how_far_behind_the_copy_is(pair: Pair) -> None:
    subscriber = pair.subscriber

    def lag() -> tuple[object, ...] | None:
        return problems(subscriber).get("replica_lag")

    pair.catch_up()
    assert lag() is None
    assert subscriber.rows(
        "SELECT subscription, is_enabled, is_running, copying, seconds_behind < 60, "
        "bytes_behind >= 0 FROM analytics.replication()"
    ) == [(pair.name, True, True, [], True, True)]
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    assert lag() == (
        "unhealthy",
        f"subscription {pair.name} is disabled: the figures stay as old as its last change. "
        f"ALTER SUBSCRIPTION {pair.name} ENABLE;",
    )
    subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
    subscriber.execute("SELECT analytics.set_setting('replica_lag', 'off')")
    assert lag() is None
    subscriber.execute(
        "SELECT analytics.set_setting('replica_lag', '1 minute')",
        f"ALTER SUBSCRIPTION {pair.name} ENABLE",
    )
    pair.catch_up()
    assert lag() is None
    # Where it waits for a lock, it hears nothing of the publisher.
    subscriber.rewrite(
        "kpi_engine.replica_problem()", "extract(EPOCH FROM v_setting::interval)", "0.5"
    )
    with subscriber.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE public.ofertas IN EXCLUSIVE MODE")
        pair.publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
        time.sleep(1)
        severity, message = lag() or ("", "")
        assert severity == "degraded"
        assert "seconds behind its publisher, and the setting replica_lag is 1 minute" in str(
            message
        )


def test_figures_that_lack_what_the_copy_lacks_are_marked_and_not_reported(pair: Pair) -> None:
    """The copy stands still over the end of November, and refreshes go on."""
    subscriber = pair.subscriber
    subscriber.execute("SELECT analytics.set_setting('gate', 'off')")
    november = "FROM analytics.mv_metricas_mensuales WHERE mes = '2026-11-01'"
    last_closed = "SELECT max(period)::text FROM kpi_engine.closings WHERE view_name = '{}'".format

    def asked(now: str, *parts: str) -> tuple[list[int], dict[str, str]]:
        with subscriber.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
            row = connection.execute(
                "SELECT api.kpi('mv_metricas_mensuales', VARIADIC %s), "
                "current_setting('response.headers')::json",
                [["from=2026-11", "to=2026-11", *parts]],
            ).fetchone()
            assert row
            headers = {name: value for one in row[1] for name, value in one.items()}
            mail = connection.execute(
                "SELECT kpi_engine.digest_contents('daily', %s) -> 'partial'", [["Cali"]]
            ).fetchone()
            assert mail
            assert [one["origen"] for one in mail[0] or []] == (
                [headers["X-Partial"]] if "X-Partial" in headers else []
            )
            return [month["solicitudes_creadas"] for month in row[0]], headers

    pair.catch_up()
    refresh(subscriber, "2026-11-30 01:00:00-05")
    ((before,),) = subscriber.rows(f"SELECT solicitudes_creadas {november}")
    assert isinstance(before, int)
    live = "SELECT api.live(), position('X-Partial' IN current_setting('response.headers')) > 0"
    assert subscriber.rows(live)[0][1] is False
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
    # Figures of this moment lack rows at once. Those of the last refresh are right for it.
    assert subscriber.rows(live)[0][1] is True
    assert "X-Partial" not in asked("2026-11-30 02:00:00-05")[1]
    subscriber.execute("UPDATE kpi_engine.subscription_marks SET as_of = '2026-11-30 18:00:00-05'")
    pair.publisher.execute(
        "INSERT INTO public.solicitudes SELECT (jsonb_populate_record(s, jsonb_build_object("
        "'id', gen_random_uuid(), 'created_at', '2026-11-30 20:00:00-05'))).* "
        "FROM public.solicitudes AS s LIMIT 3"
    )
    refresh(subscriber, "2026-12-07 01:00:00-05")
    now = "2026-12-07 02:00:00-05"
    figures, headers = asked(now, "reported=true")
    assert figures == [before]
    assert headers["X-Partial"] == pair.name
    assert headers["X-Partial-Since"] == "2026-11-30T23:00:00.000Z"
    assert subscriber.rows(last_closed("mv_metricas_mensuales")) == [("2026-10-01",)]

    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} ENABLE")
    pair.catch_up()
    # As the next tick notes it. The instant above is long ago on the day of this run.
    subscriber.execute("UPDATE kpi_engine.subscription_marks SET as_of = clock_timestamp()")
    subscriber.wait_until("SELECT NOT EXISTS (SELECT FROM kpi_engine.replica_problem())")
    assert asked(now)[1]["X-Partial"] == pair.name
    assert subscriber.rows(live)[0][1] is False
    severity, message = problems(subscriber)["replica_lag"]
    assert (severity, "has caught up since" in str(message)) == ("degraded", True)
    refresh(subscriber, "2026-12-08 01:00:00-05")
    assert "replica_lag" not in problems(subscriber)
    figures, headers = asked("2026-12-08 02:00:00-05", "reported=true")
    assert figures == [before + 3]
    assert "X-Partial" not in headers
    assert subscriber.rows(last_closed("mv_metricas_mensuales")) == [("2026-11-01",)]
    assert subscriber.rows(last_closed("mv_embudo_operativo")) == [("2026-12-02",)]
    # Of the days, too, 30 November is the first one that was not whole.
    assert subscriber.rows(
        "SELECT min(closings.period)::text FROM kpi_engine.closings "
        "WHERE view_name = 'mv_embudo_operativo' AND run_id = (SELECT max(run_id) FROM "
        "kpi_engine.publications WHERE view_name = 'mv_embudo_operativo')"
    ) == [("2026-11-30",)]
    assert subscriber.rows("SELECT count(*) FROM analytics.restatements") == [(0,)]
    # What was said of a moment is said of it later.
    later = "2026-12-08 02:00:00-05"
    for as_of, requests, marked in (
        ("2026-11-30T02:00-05:00", before, None),
        ("2026-12-07", before, "2026-11-30T23:00:00.000Z"),
        ("2026-12-08T01:00-05:00", before + 3, None),
    ):
        ((row, marks),) = subscriber.rows(
            "SELECT api.kpi('mv_metricas_mensuales', 'from=2026-11', 'to=2026-11', "
            f"'as_of={as_of}'), current_setting('response.headers')::json",
            later,
        )
        said = {name: value for one in marks for name, value in one.items()}  # type: ignore[attr-defined]
        assert [month["solicitudes_creadas"] for month in row] == [requests]  # type: ignore[attr-defined]
        assert said.get("X-Partial") == (marked and pair.name), as_of
        assert said.get("X-Partial-Since") == marked
        assert subscriber.rows(
            f"SELECT origen, is_site FROM analytics.partial_at('{as_of}')", later
        ) == ([(pair.name, False)] if marked else [])


def test_a_first_refresh_that_lacks_rows_closes_nothing(copied: Pair) -> None:
    """Nobody knows what a copy lacks that was never seen whole."""
    subscriber = copied.subscriber
    subscriber.execute(
        f"ALTER SUBSCRIPTION {copied.name} DISABLE", "DELETE FROM kpi_engine.subscription_marks"
    )
    subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
    refresh(subscriber, NOW)
    closed = "SELECT count(*) FROM kpi_engine.closings"
    assert subscriber.rows(closed) == [(0,)]
    subscriber.execute(f"ALTER SUBSCRIPTION {copied.name} ENABLE")
    subscriber.wait_until("SELECT NOT EXISTS (SELECT FROM kpi_engine.replica_problem())")
    subscriber.execute("SELECT * FROM analytics.refresh_all_mv(true)")
    assert subscriber.rows(closed) != [(0,)]
    assert subscriber.rows("SELECT count(*) FROM analytics.restatements") == [(0,)]


def test_the_package_at_a_publisher_of_all_tables_stops_no_subscriber(
    publishing: Cluster, system_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for subscriber in fresh_database(system_server):
        load_into(subscriber, "A", None)
        publisher = make_publisher(publishing, subscriber.name, "A")
        pair = Pair(publisher, subscriber)
        try:
            pair.subscribe()
            for dry_run in (True, False):
                with pytest.raises(UserError) as refused:
                    migrate(publisher.url, dry_run=dry_run)
                assert "sends the tables of this package, too" in str(refused.value)
                assert f"slot {pair.name} may be one" in str(refused.value)
            assert publisher.rows("SELECT to_regnamespace('kpi_engine')::text") == [(None,)]
            # What the hint says.
            publisher.execute("CREATE PUBLICATION source_tables FOR TABLES IN SCHEMA public")
            subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} SET PUBLICATION source_tables")
            publisher.execute(f"DROP PUBLICATION {PUBLICATION}")
            migrate(publisher.url)
            with publisher.session() as connection:
                fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
            refresh(publisher, NOW)
            pair.catch_up()
            assert findings_of(publisher, "subscribers of others") == []

            # The fault that is refused. A reader that needs no tables may be told of.
            publisher.execute("CREATE PUBLICATION everything FOR ALL TABLES")
            monkeypatch.setenv("PGOPTIONS", "-c analytics.subscribers_ready=yes")
            assert migrate(publisher.url) == []
            monkeypatch.delenv("PGOPTIONS")
            (finding,) = findings_of(publisher, "subscribers of others")
            assert "publication everything sends the tables of this package" in finding["message"]
            subscriber.execute(
                f"ALTER SUBSCRIPTION {pair.name} SET PUBLICATION everything WITH (refresh = false)"
            )
            refresh(publisher, NOW)
            publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
            subscriber.wait_until(
                "SELECT apply_error_count > 1 FROM pg_stat_subscription_stats "
                f"WHERE subname = '{pair.name}'"
            )
        finally:
            pair.unsubscribe()


def blocked(pair: Pair, holder: psycopg.Connection) -> None:
    """Hold the worker at a change of offers, and wait until it is there."""
    holder.execute("LOCK TABLE public.ofertas IN EXCLUSIVE MODE")
    pair.subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} ENABLE")
    pair.subscriber.wait_until(
        "SELECT EXISTS (SELECT FROM pg_locks AS waiting WHERE NOT waiting.granted "
        "AND waiting.relation = 'public.ofertas'::regclass)"
    )


def test_a_backlog_is_as_old_as_its_changes_and_not_as_their_sending(pair: Pair) -> None:
    """Also while the worker applies one change of it after another."""
    subscriber = pair.subscriber
    pair.catch_up()
    subscriber.execute("CALL analytics.tick()", f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
    subscriber.rewrite(
        "kpi_engine.replica_problem()", "extract(EPOCH FROM v_setting::interval)", "3"
    )
    pair.publisher.execute(
        f"INSERT INTO {pair.marker} DEFAULT VALUES",
        "UPDATE public.ofertas SET tiempo_entrega_dias = 3",
    )
    time.sleep(3)
    with subscriber.connect(autocommit=False) as holder:
        blocked(pair, holder)
        ((is_running, seconds),) = subscriber.rows(
            "SELECT is_running, seconds_behind FROM analytics.replication()"
        )
        assert (is_running, float(str(seconds)) > 3) == (True, True), seconds
        assert "seconds behind its publisher" in str(problems(subscriber)["replica_lag"])
        # A look does not move it on.
        subscriber.execute("CALL analytics.tick()")
        assert "seconds behind its publisher" in str(problems(subscriber)["replica_lag"])
    pair.catch_up()
    # On a busy machine a worker without work left may be seconds old, too.
    subscriber.wait_until("SELECT NOT EXISTS (SELECT FROM kpi_engine.replica_problem())")


def test_a_tick_does_not_wait_for_a_refresh_at_a_subscriber(pair: Pair) -> None:
    with pair.subscriber.connect(autocommit=False) as holder:
        holder.execute("SELECT analytics.refresh_all_mv()")
        started = time.monotonic()
        pair.subscriber.execute("CALL analytics.tick()")
        assert time.monotonic() - started < 1


def test_a_worker_that_fails_at_the_end_of_each_try_is_told_while_it_runs(pair: Pair) -> None:
    """Until it has applied all, and not only while there is no worker."""
    subscriber = pair.subscriber
    row = "public.marker (id) OVERRIDING SYSTEM VALUE VALUES (777777777)"
    pair.catch_up()
    subscriber.execute("CALL analytics.tick()", f"INSERT INTO {row}")
    pair.publisher.execute(
        f"BEGIN; UPDATE public.ofertas SET tiempo_entrega_dias = 4; INSERT INTO {row}; COMMIT"
    )
    # One is also that of a publisher that was away.
    subscriber.wait_until("SELECT sum(apply_error_count) > 1 FROM pg_stat_subscription_stats")
    with subscriber.connect(autocommit=False) as holder:
        blocked(pair, holder)
        subscriber.execute("CALL analytics.tick()")
        assert subscriber.rows("SELECT is_running, is_failing FROM analytics.replication()") == [
            (True, True)
        ]
        severity, message = problems(subscriber)["replica_lag"]
        assert severity == "unhealthy"
        assert f"subscription {pair.name} failed twice, and its worker has not applied all" in str(
            message
        )
    subscriber.execute("DELETE FROM public.marker WHERE id = 777777777")
    right_after(pair, "incremental")
    subscriber.wait_until("SELECT NOT is_failing FROM analytics.replication()")
    assert problems_that_stay(subscriber) == {}


def copy_as_health_says(pair: Pair, table: str) -> None:
    """Do what health says of a table that can't be copied; the views are those of the publisher."""
    subscriber = pair.subscriber
    can_not = "SELECT * FROM kpi_engine.replica_problem() WHERE message LIKE '%can''t copy%'"
    subscriber.wait_until(f"SELECT EXISTS ({can_not})")
    ((_, message),) = subscriber.rows(can_not)
    cure = f"SET session_replication_role = replica; DELETE FROM {table};"
    assert cure in str(message)
    subscriber.execute(cure)
    subscriber.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    pair.catch_up()
    subscriber.execute("CALL analytics.apply_change_capture()")
    refresh(subscriber, NOW)
    assert differences_to_the_publisher(pair) == []


def differences_to_the_publisher(pair: Pair) -> list[str]:
    """Compare the views with what the publisher's rows give."""
    with pair.publisher.session() as connection, pair.subscriber.session() as reader:
        return differences(reader, oracle.read_schema(connection, "public"), TODAY)


def lacks(subscriber: Database) -> list[tuple[object, ...]]:
    """Return which tables lack rows that replication does not bring, as a tick leaves it."""
    subscriber.execute("CALL analytics.tick()")
    return subscriber.rows(
        "SELECT table_name, lacks FROM kpi_engine.followed() WHERE lacks IS NOT NULL ORDER BY 1, 2"
    )


def told(subscriber: Database) -> str:
    """Return what health says of replication; the figures are marked."""
    severity, message = problems(subscriber)["replica_lag"]
    refresh(subscriber, NOW)
    assert (severity, partial_header(subscriber) is None) == ("unhealthy", False)
    return str(message)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.takes_turns(2)
def test_a_table_that_comes_back_without_a_copy_is_missed(pair: Pair, is_new: bool) -> None:
    """Its name is there again, and what changed meanwhile is not."""
    publisher, subscriber = pair.publisher, pair.subscriber
    assert lacks(subscriber) == []
    if is_new:
        pair.unsubscribe()
    else:
        ((tables,),) = publisher.rows(PUBLISHED.format("ofertas"))
        publisher.execute(
            "DROP PUBLICATION operational", f"CREATE PUBLICATION operational FOR TABLE {tables}"
        )
        subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION")
    publisher.execute("UPDATE ofertas SET estado = 'ACEPTADA'")
    if is_new:
        subscriber.execute(
            f"CREATE SUBSCRIPTION {pair.name} CONNECTION '{publisher.url}' "
            "PUBLICATION operational WITH (copy_data = false)"
        )
    else:
        publisher.execute("ALTER PUBLICATION operational ADD TABLE public.ofertas")
        subscriber.execute(
            f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION WITH (copy_data = false)"
        )
    pair.catch_up()
    subscriber.execute("CALL analytics.apply_change_capture()")
    for _ in range(2):
        assert ("public.ofertas", "uncopied") in lacks(subscriber)
    assert "public.ofertas" in told(subscriber)
    assert "without a copy (copy_data = false)" in told(subscriber)
    assert differences_to_the_publisher(pair)
    if is_new:
        subscriber.execute(f"SELECT analytics.forget_subscription('{pair.name}')")
    else:
        pair.unsubscribe()
        subscriber.execute(EMPTY_THE_TABLES)
        pair.subscribe()
        refresh(subscriber, NOW)
        assert differences_to_the_publisher(pair) == []
    assert lacks(subscriber) == []


def test_a_table_that_is_emptied_here_is_missed_until_it_is_copied_again(pair: Pair) -> None:
    """CASCADE empties more than what is about to be copied."""
    subscriber = pair.subscriber
    assert lacks(subscriber) == []
    pair.publisher.execute("TRUNCATE ofertas_historicas")
    pair.catch_up()
    assert lacks(subscriber) == []
    subscriber.execute("BEGIN; TRUNCATE public.ofertas CASCADE; ROLLBACK")
    assert lacks(subscriber) == []
    subscriber.execute("TRUNCATE public.ofertas CASCADE")
    for _ in range(2):
        assert ("public.ofertas_detalle", "emptied") in lacks(subscriber)
    assert "was emptied by TRUNCATE, here or by another subscription" in told(subscriber)
    assert differences_to_the_publisher(pair)
    pair.unsubscribe()
    subscriber.execute(EMPTY_THE_TABLES)
    pair.subscribe()
    subscriber.execute("CALL analytics.apply_change_capture()")
    assert lacks(subscriber) == []
    refresh(subscriber, NOW)
    assert differences_to_the_publisher(pair) == []


def test_a_skipped_transaction_is_missed(pair: Pair) -> None:
    subscriber = pair.subscriber
    subscriber.execute(
        f"ALTER SUBSCRIPTION {pair.name} DISABLE",
        f"ALTER SUBSCRIPTION {pair.name} SKIP (lsn = 'FFFFFFFF/0')",
    )
    assert ("public.ofertas", "skipped") in lacks(subscriber)
    subscriber.execute(
        f"ALTER SUBSCRIPTION {pair.name} SKIP (lsn = NONE)",
        f"ALTER SUBSCRIPTION {pair.name} ENABLE",
    )
    assert ("public.ofertas", "skipped") in lacks(subscriber)
    assert "was skipped (ALTER SUBSCRIPTION … SKIP)" in told(subscriber)
    subscriber.execute(f"SELECT analytics.forget_subscription('{pair.name}')")
    assert lacks(subscriber) == []


def test_updates_of_rows_that_are_not_here_are_missed(
    publishing: Cluster, server_18: Server
) -> None:
    """PostgreSQL 18 counts them. The worker says nothing."""
    for subscriber in fresh_database(server_18):
        install(subscriber)
        pair = Pair(make_publisher(publishing, f"{subscriber.name}_missed", "A"), subscriber)
        with pair.publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        try:
            pair.subscribe()
            subscriber.execute("CALL analytics.apply_change_capture()")
            pair.catch_up()
            assert lacks(subscriber) == []
            subscriber.execute("DELETE FROM public.ofertas_detalle")
            pair.publisher.execute("UPDATE ofertas_detalle SET precio_unitario = 7")
            pair.catch_up()
            subscriber.wait_until(
                "SELECT (to_jsonb(stats) ->> 'confl_update_missing')::bigint > 0 "
                "FROM pg_stat_subscription_stats AS stats"
            )
            for _ in range(2):
                assert ("public.ofertas_detalle", "missed") in lacks(subscriber)
            assert "found no row here" in told(subscriber)
            subscriber.execute(f"SELECT analytics.forget_subscription('{pair.name}')")
            assert lacks(subscriber) == []
        finally:
            pair.unsubscribe()


def test_a_table_that_no_subscription_brings_is_missed_beside_its_siblings(pair: Pair) -> None:
    """Also one that comes later: its worker leaves rows of it out without a word."""
    subscriber = pair.subscriber
    assert lacks(subscriber) == []
    add_an_inheriting_table(pair)
    pair.catch_up()
    assert lacks(subscriber) == [("public.audits_2027", "absent")]
    subscriber.execute("CALL analytics.apply_change_capture()")
    assert f"{pair.name} does not bring public.audits_2027, and it brings other" in told(subscriber)
    (finding,) = findings_of(subscriber, "publications")
    assert "does not bring public.audits_2027" in finding["message"]
    # It is written here.
    subscriber.execute(f"SELECT analytics.forget_subscription('{pair.name}')")
    assert lacks(subscriber) == []
    assert findings_of(subscriber, "publications") == []
    subscriber.execute(
        "DELETE FROM kpi_engine.written_here", *(fix["command"] for fix in finding["fixes"])
    )
    subscriber.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    pair.catch_up()
    assert lacks(subscriber) == []
    refresh(subscriber, NOW)
    assert differences_to_the_publisher(pair) == []


def test_a_table_that_was_absent_and_comes_without_a_copy_is_missed(pair: Pair) -> None:
    publisher, subscriber = pair.publisher, pair.subscriber
    add_an_inheriting_table(pair)
    assert lacks(subscriber) == [("public.audits_2027", "absent")]
    subscriber.execute(
        f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION WITH (copy_data = false)"
    )
    subscriber.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    pair.catch_up()
    for _ in range(2):
        assert lacks(subscriber) == [("public.audits_2027", "uncopied")]
    assert "brings public.audits_2027 without a copy" in told(subscriber)
    # Its rows are here in another way, says somebody.
    publisher.execute("DELETE FROM public.audits_2027")
    pair.catch_up()
    subscriber.execute(f"SELECT analytics.forget_subscription('{pair.name}')")
    assert lacks(subscriber) == []
    refresh(subscriber, NOW)
    assert differences_to_the_publisher(pair) == []


def test_a_copy_of_the_database_is_not_taken_for_one_that_is_followed(pair: Pair) -> None:
    """The worker of its model is seen there, too, and brings it nothing."""
    name = f"{pair.subscriber.name}_copy"
    postgres = Database(pair.subscriber.cluster, "postgres")
    pair.subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    pair.subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
    close_sessions(pair.subscriber)
    with_patience(
        lambda: postgres.execute(f"CREATE DATABASE {name} TEMPLATE {pair.subscriber.name}")
    )
    try:
        pair.subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} ENABLE")
        pair.publisher.execute("DELETE FROM public.ofertas_detalle")
        pair.catch_up()
        copy = Database(pair.subscriber.cluster, name)
        assert {why for (_, why) in lacks(copy)} == {"gone"}
        assert copy.rows(
            "SELECT is_enabled, is_running, as_of IS NULL FROM analytics.replication()"
        )[0][:2] == (False, False)
        assert f"{pair.name} does not bring" in told(copy)
        # It stays as it is: that is meant.
        copy.execute(
            f"SELECT analytics.forget_subscription('{pair.name}')", "CALL analytics.tick()"
        )
        assert copy.rows("SELECT * FROM analytics.replication()") == []
        refresh(copy, NOW)
        assert partial_header(copy) is None
        assert "replica_lag" not in problems(copy)
        # The model goes on.
        assert lacks(pair.subscriber) == []
    finally:
        postgres.execute(f"DROP DATABASE {name}")


def test_marks_that_nothing_brings_up_to_date_any_more_say_nothing(pair: Pair) -> None:
    """A view was taken away whose table of another service the subscription brought, too."""
    subscriber = pair.subscriber
    subscriber.execute(
        "INSERT INTO kpi_engine.feeding_marks (subscription_id, updates_missed, timeline) "
        "SELECT oid, -1, split_part(kpi_engine.timeline(), '/', 1) || '/0' FROM pg_subscription "
        f"WHERE subname = '{pair.name}'"
    )
    assert lacks(subscriber) == []
    assert subscriber.rows("SELECT count(*) FROM kpi_engine.feeding_marks") == [(0,)]


def test_a_view_that_a_refresh_left_as_it_was_keeps_the_mark_that_a_tick_ends(pair: Pair) -> None:
    """The refresh counted all, and nobody knew it until the next word of the publisher."""
    subscriber = pair.subscriber
    at = "2026-11-30 {}:00:00-05".format
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
    subscriber.execute(f"UPDATE kpi_engine.subscription_marks SET as_of = '{at('06')}'")
    refresh(subscriber, at("07"))
    held, followed = "mv_metricas_mensuales", "mv_ranking_asesores"
    marks = "SELECT origen FROM kpi_engine.partial_views('{}', NULL)".format
    for view in (held, followed):
        assert subscriber.rows(marks(view), at("07")) == [(pair.name,)]
    # As after a refresh at eight, of which the gate held one view. The tick of nine knows more.
    subscriber.execute(
        f"UPDATE kpi_engine.engine_state SET facts_as_of = '{at('08')}', facts_behind = NULL",
        f"UPDATE kpi_engine.view_state SET last_success_at = '{at('08')}' "
        f"WHERE view_name <> '{held}'",
    )
    assert subscriber.rows("SELECT kpi_engine.note_partial(false)", at("09")) == [("",)]
    assert subscriber.rows(marks(followed), at("10")) == []
    assert subscriber.rows(marks(held), at("10")) == [(pair.name,)]
    subscriber.execute(f"UPDATE kpi_engine.view_state SET last_success_at = '{at('11')}'")
    assert subscriber.rows(marks(held), at("12")) == []


def test_tables_below_the_views_of_the_source_are_followed(
    publishing: Cluster, system_server: Server
) -> None:
    for subscriber in fresh_database(system_server):
        load_into(subscriber, "A", None)
        tables = subscriber.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        subscriber.execute(
            "CREATE SCHEMA shown",
            *(f"CREATE VIEW shown.{name} AS SELECT * FROM public.{name}" for (name,) in tables),
        )
        migrate(subscriber.url, source_schema="shown")
        pair = Pair(make_publisher(publishing, subscriber.name, "A"), subscriber)
        with pair.publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        try:
            pair.subscribe()
            subscriber.execute("SELECT analytics.set_setting('change_capture', 'off')")
            subscriber.wait_until("SELECT NOT EXISTS (SELECT FROM kpi_engine.replica_problem())")
            assert findings_of(subscriber, "publications") == []
            subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
            assert f"subscription {pair.name} is disabled" in told(subscriber)
        finally:
            pair.unsubscribe()


def test_the_cure_of_a_slot_that_lost_its_changes_works() -> None:
    with pair_of_servers("max_slot_wal_keep_size = 1MB\nmin_wal_size = 32MB\n") as (pair, _, _):
        publisher, subscriber = pair.publisher, pair.subscriber
        subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
        publisher.wait_until("SELECT NOT bool_or(active) FROM pg_replication_slots")
        for _ in range(4):
            publisher.execute("SELECT pg_switch_wal()", "CREATE TABLE w ()", "DROP TABLE w")
        publisher.execute("CHECKPOINT")
        publisher.wait_until("SELECT wal_status = 'lost' FROM pg_replication_slots")
        (finding,) = findings_of(subscriber, "publications")
        assert "lost what changed at the publisher" in finding["message"]
        subscriber.execute(
            *(fix["command"] for fix in finding["fixes"] if fix["run"] == "sql"), EMPTY_THE_TABLES
        )
        pair.subscribe()
        subscriber.execute("CALL analytics.apply_change_capture()")
        refresh(subscriber, NOW)
        assert differences_to_the_publisher(pair) == []
        pair.unsubscribe()


def test_a_subscription_that_is_gone_is_missed_until_somebody_says_that_it_is_meant(
    pair: Pair,
) -> None:
    """The figures stay as they are, and no trigger or worker can say so."""
    publisher, subscriber = pair.publisher, pair.subscriber
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} RENAME TO other", "CALL analytics.tick()")
    assert problems_that_stay(subscriber) == {}
    subscriber.execute(f"ALTER SUBSCRIPTION other RENAME TO {pair.name}", "CALL analytics.tick()")
    lost = "SELECT is_running, cardinality(lost) FROM analytics.replication()"
    # With another name it has another worker.
    subscriber.wait_until("SELECT is_running FROM analytics.replication()")
    assert subscriber.rows(lost) == [(True, 0)]
    # A table that leaves the publication.
    ((tables,),) = publisher.rows(PUBLISHED.format("ofertas"))
    publisher.execute(
        "DROP PUBLICATION operational", f"CREATE PUBLICATION operational FOR TABLE {tables}"
    )
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION")
    severity, text = problems(subscriber)["replica_lag"]
    assert severity == "unhealthy"
    assert f"subscription {pair.name} does not bring public.ofertas any more" in str(text)
    publisher.execute("ALTER PUBLICATION operational ADD TABLE public.ofertas")
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION")
    copy_as_health_says(pair, "public.ofertas")
    assert problems_that_stay(subscriber) == {}
    # All of it.
    pair.unsubscribe()
    assert "any more" in str(problems(subscriber)["replica_lag"])
    subscriber.execute("CALL analytics.apply_change_capture()")
    for _ in range(2):
        right_after_writes(subscriber)
    assert "any more" in str(problems(subscriber)["replica_lag"])
    ((known,),) = subscriber.rows("SELECT count(*) FROM kpi_engine.followed_tables")
    assert subscriber.rows(lost) == [(False, known)]
    forget = f"SELECT analytics.forget_subscription('{pair.name}')"
    assert subscriber.rows(forget) == [(known,)]
    assert problems_that_stay(subscriber) == {}
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        subscriber.execute(forget)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "ALTER PUBLICATION operational SET TABLE {others}, public.solicitudes (id, created_at)",
            "leaves public.solicitudes.ciudad_origen, public.solicitudes.cliente_acepto, ",
        ),
        (
            "ALTER PUBLICATION operational "
            "SET TABLE {others}, public.solicitudes WHERE (id IS NULL)",
            "a row filter of the publication leaves rows of public.solicitudes out",
        ),
        (
            "ALTER PUBLICATION operational SET TABLE {others}",
            "does not get public.solicitudes: the publication lacks them",
        ),
        (
            "ALTER PUBLICATION operational SET (publish = 'insert, update, delete')",
            "publication operational leaves out some kinds of writes",
        ),
        ("DROP PUBLICATION operational", "publication operational of subscription"),
        (
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots",
            "is gone at the publisher: what changed since is lost for it",
        ),
    ],
)
@pytest.mark.takes_turns(2)
def test_the_doctor_asks_the_publisher_what_it_sends(pair: Pair, change: str, words: str) -> None:
    """The subscriber can't know it."""
    publisher, subscriber = pair.publisher, pair.subscriber
    assert findings_of(subscriber, "publications") == []
    ((others,),) = publisher.rows(PUBLISHED.format("solicitudes"))
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    publisher.wait_until("SELECT NOT bool_or(active) FROM pg_replication_slots")
    publisher.execute(
        "DROP PUBLICATION operational",
        f"CREATE PUBLICATION operational FOR TABLE {others}, public.solicitudes",
        change.format(others=others),
    )
    (finding,) = findings_of(subscriber, "publications")
    assert finding["status"] == "wrong"
    assert words in finding["message"]
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} SET (slot_name = NONE)")
    publisher.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def test_the_doctor_sees_policies_that_hide_rows_from_the_copy(pair: Pair) -> None:
    """A role that may read the tables, and is neither their owner nor above policies."""
    publisher, subscriber = pair.publisher, pair.subscriber
    publisher.execute(
        "CREATE ROLE copies LOGIN REPLICATION PASSWORD 'copies'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO copies",
        "ALTER TABLE public.ofertas ENABLE ROW LEVEL SECURITY",
    )
    address = publisher.url_as("copies", "copies")
    connect = f"ALTER SUBSCRIPTION {pair.name} CONNECTION '{{}}'"
    subscriber.execute(connect.format(address))
    (finding,) = findings_of(subscriber, "publications")
    assert finding["status"] == "wrong", finding
    assert "hide rows of public.ofertas from role copies" in finding["message"]
    # Then the copy itself fails, and health names the table.
    subscriber.execute(connect.format(make_conninfo(address, options="-crow_security=off")))
    assert findings_of(subscriber, "publications") == []
    subscriber.execute(connect.format(address))
    publisher.execute("ALTER ROLE copies BYPASSRLS")
    assert findings_of(subscriber, "publications") == []


def test_the_doctor_sees_a_publisher_that_was_restored_to_an_earlier_place(pair: Pair) -> None:
    """What it writes until it is where it was, its subscriber takes for old."""
    publisher, subscriber = pair.publisher, pair.subscriber
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} DISABLE")
    publisher.wait_until("SELECT NOT bool_or(active) FROM pg_replication_slots")
    subscriber.wait_until("SELECT bool_and(pid IS NULL) FROM pg_stat_subscription")
    subscriber.execute(
        "SELECT pg_replication_origin_advance('pg_' || oid, 'FFFF/0') FROM pg_subscription"
    )
    (finding,) = findings_of(subscriber, "publications")
    assert finding["status"] == "wrong"
    assert "is at an earlier place than what came from it" in finding["message"]


def test_the_doctor_says_that_it_could_not_ask(pair: Pair) -> None:
    pair.subscriber.execute(
        f"ALTER SUBSCRIPTION {pair.name} DISABLE",
        f"ALTER SUBSCRIPTION {pair.name} CONNECTION 'host=127.0.0.1 port=1 dbname=away'",
        "CREATE ROLE asks LOGIN PASSWORD 'asks'",
        "GRANT analytics_owner TO asks",
    )
    try:
        (finding,) = findings_of(pair.subscriber, "publications")
        assert finding["status"] == "unchecked"
        assert "does not answer" in finding["message"]
        report = examine(
            pair.subscriber, url=pair.subscriber.url_as("asks", "asks"), only="publications"
        )
        assert "may not see" in report.findings("publications")[0]["message"]
    finally:
        pair.subscriber.execute(
            "DROP ROLE asks",
            f"ALTER SUBSCRIPTION {pair.name} CONNECTION '{pair.publisher.url}'",
        )


def failed_copy(pair: Pair) -> tuple[str, str]:
    """Wait until a copy has failed; return what health says then: severity and text."""
    pair.subscriber.wait_until(
        "SELECT bool_or(sync_error_count > 0) FROM pg_stat_subscription_stats "
        f"WHERE subname = '{pair.name}'"
    )
    return problems(pair.subscriber)["replica_lag"]


def test_a_copy_that_fails_is_no_copy_that_goes_on(pair: Pair) -> None:
    """The rows are here already."""
    subscriber = pair.subscriber
    pair.unsubscribe()
    subscriber.execute(
        f"CREATE SUBSCRIPTION {pair.name} CONNECTION '{pair.publisher.url}' PUBLICATION operational"
    )
    severity, message = failed_copy(pair)
    assert severity == "unhealthy"
    assert f"subscription {pair.name} can't copy public." in message


def test_a_copy_of_a_table_that_no_figure_reads_fails_with_a_word(pair: Pair) -> None:
    """Its slot at the publisher keeps WAL, and nobody else says so."""
    publisher, subscriber = pair.publisher, pair.subscriber
    for database in (publisher, subscriber):
        database.execute(
            "CREATE TABLE public.otros (id integer PRIMARY KEY)",
            "INSERT INTO public.otros VALUES (1)",
        )
    subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} REFRESH PUBLICATION")
    severity, message = failed_copy(pair)
    assert severity == "degraded"
    assert f"subscription {pair.name} can't copy public.otros: it was tried" in message
    (cure,) = re.findall(r"SET session_replication_role[^(]*;", message)
    with subscriber.connect() as superuser:
        superuser.execute(cure)
    subscriber.wait_until(
        "SELECT srsubstate = 'r' FROM pg_subscription_rel WHERE srrelid = 'public.otros'::regclass"
    )
    assert problems(subscriber) == {}


def test_health_says_that_the_publisher_is_away(system_server: Server) -> None:
    with publishing_cluster() as cluster:
        for subscriber in fresh_database(system_server):
            install(subscriber)
            pair = Pair(make_publisher(cluster, subscriber.name, "A"), subscriber)
            try:
                pair.subscribe()
                subscriber.execute("CALL analytics.apply_change_capture()")
                cluster.stop()
                subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
                severity, message = problems(subscriber)["replica_lag"]
                assert severity == "unhealthy"
                assert f"subscription {pair.name} has no worker" in message
                cluster.start()
                pair.catch_up()
                assert problems(subscriber) == {}
            finally:
                cluster.start()
                pair.unsubscribe()


@pytest.mark.parametrize(
    "breaks",
    [
        "ALTER FUNCTION kpi_engine.note_row_solicitud_id() SECURITY INVOKER",
        "DROP TABLE kpi_engine.change_log CASCADE",
        "ALTER TABLE kpi_engine.change_log ADD CONSTRAINT no CHECK (key IS NULL) NOT VALID",
        "ALTER TABLE kpi_engine.change_log RENAME COLUMN key TO uuid",
        "ALTER SCHEMA kpi_engine RENAME TO kpi_engine_old",
        "DROP FUNCTION kpi_engine.is_apply_worker()",
        "REVOKE ALL ON SCHEMA kpi_engine FROM analytics_owner",
        "DROP FUNCTION kpi_engine.note_lost_change(oid, text, text)",
        "LOCK TABLE kpi_engine.change_log IN ACCESS EXCLUSIVE MODE",
    ],
)
@pytest.mark.takes_turns(3)
def test_nothing_stops_the_worker(pair: Pair, breaks: str) -> None:
    """Whatever was done to the package, replication goes on."""
    applied = "SELECT pg_stat_get_subscription_stats(oid)::text FROM pg_subscription"
    before = pair.subscriber.rows(applied)
    with pair.subscriber.connect(autocommit=False) as connection:
        connection.execute(breaks)
        if not breaks.startswith("LOCK"):
            connection.commit()
        pair.publisher.execute(
            "UPDATE public.ofertas SET tiempo_entrega_dias = 3",
            "UPDATE public.ofertas SET tiempo_entrega_dias = 4 "
            "WHERE id = (SELECT id FROM public.ofertas LIMIT 1)",
        )
        pair.catch_up()
        connection.rollback()
    assert pair.subscriber.rows(applied) == before
    assert pair.subscriber.rows(
        "SELECT count(*) > 0 FROM ofertas WHERE tiempo_entrega_dias = 3"
    ) == [(True,)]


def test_a_publisher_that_does_not_answer_is_away(pair: Pair) -> None:
    """A new worker waits for its first word. Until then its times are those of its start."""
    subscriber = pair.subscriber
    worker = "SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL"
    postmaster = pair.publisher.cluster.data / "postmaster.pid"
    pid = int(postmaster.read_text().split("\n")[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        ((before,),) = subscriber.rows(worker)
        subscriber.execute(f"SELECT pg_terminate_backend({before})")
        subscriber.wait_until(
            f"SELECT EXISTS ({worker} AND pid <> {before} AND received_lsn IS NULL)"
        )
        assert subscriber.rows(
            "SELECT is_enabled, is_running, seconds_behind, bytes_behind "
            "FROM analytics.replication()"
        ) == [(True, False, None, None)]
        assert "has no worker" in str(problems(subscriber)["replica_lag"][1])
        subscriber.execute("CALL analytics.tick()")
        assert refresh(subscriber, NOW)[0] == "unchanged"
    finally:
        os.kill(pid, signal.SIGCONT)
    pair.publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
    right_after(pair, "incremental")
    assert problems(subscriber) == {}


@pytest.mark.parametrize("run_as_owner", [False, True])
def test_few_subtransactions_of_a_worker_write(
    publishing: Cluster, server_18: Server, run_as_owner: bool
) -> None:
    """From PostgreSQL 16 on, a worker forgets what it marked for a row of an ordinary owner."""
    for subscriber in fresh_database(server_18):
        install(subscriber)
        subscriber.execute(
            "DROP ROLE IF EXISTS owner_without_rights",
            "CREATE ROLE owner_without_rights",
            *(
                f"ALTER TABLE public.{table} OWNER TO owner_without_rights"
                for (table,) in subscriber.rows(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                )
            ),
        )
        name = f"{subscriber.name}_18_{run_as_owner}".lower()
        pair = Pair(make_publisher(publishing, name, "A"), subscriber)
        with pair.publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        try:
            pair.subscribe()
            subscriber.execute(
                f"ALTER SUBSCRIPTION {pair.name} SET (run_as_owner = {run_as_owner})"
            )
            subscriber.execute("CALL analytics.apply_change_capture()")
            refresh(subscriber, NOW)
            pair.publisher.execute(
                "BEGIN; UPDATE public.ofertas SET updated_at = updated_at; "
                + "UPDATE public.solicitudes SET updated_at = updated_at; " * 30
                + "COMMIT"
            )
            pair.catch_up()
            ((noted, subtransactions),) = subscriber.rows(
                "SELECT count(*), count(DISTINCT xmin::text) FROM kpi_engine.change_log"
            )
            # Others see 64 subtransactions of a session.
            most = 5 if run_as_owner else 60
            assert (int(str(noted)) > 200, int(str(subtransactions)) <= most) == (True, True), (
                noted,
                subtransactions,
            )
            right_after(pair, "incremental")
        finally:
            pair.unsubscribe()
            subscriber.execute(
                "REASSIGN OWNED BY owner_without_rights TO CURRENT_USER",
                "DROP ROLE owner_without_rights",
            )


@pytest.mark.parametrize("run_as_owner", [False, True])
def test_a_worker_notes_a_table_of_another_service_once_in_a_transaction(
    publishing: Cluster, server_18: Server, run_as_owner: bool
) -> None:
    """It fires the trigger for each row, and forgets what it marked for a row of another owner."""
    complaints = "CREATE TABLE public.reclamos (id integer PRIMARY KEY, n integer)"
    notes = (
        "SELECT source_relation::regclass::text, count(*) "
        "FROM kpi_engine.outside_changes GROUP BY 1"
    )
    for subscriber in fresh_database(server_18):
        install(subscriber)
        subscriber.execute(
            complaints,
            "DROP ROLE IF EXISTS owner_of_complaints",
            "CREATE ROLE owner_of_complaints",
            "ALTER TABLE public.reclamos OWNER TO owner_of_complaints",
            # As analytics.watch_outside_sources() does.
            "CREATE TRIGGER teloo_outside_row AFTER INSERT OR UPDATE OR DELETE ON public.reclamos "
            "FOR EACH ROW EXECUTE FUNCTION kpi_engine.note_outside_change()",
            "ALTER TABLE public.reclamos ENABLE REPLICA TRIGGER teloo_outside_row",
        )
        name = f"{subscriber.name}_outside_{run_as_owner}".lower()
        publishing.make_database(name)
        publisher = Database(publishing, name)
        pair = Pair(publisher, subscriber)
        publisher.execute(complaints, MARKER.format("public"))
        with publisher.session() as connection:
            publish(connection)
        try:
            pair.subscribe()
            subscriber.execute(
                f"ALTER SUBSCRIPTION {pair.name} SET (run_as_owner = {run_as_owner})"
            )
            pair.catch_up()
            subscriber.execute("DELETE FROM kpi_engine.outside_changes")
            ((before,),) = subscriber.rows("SELECT pg_current_xact_id()::text::bigint")
            publisher.execute(
                "INSERT INTO public.reclamos SELECT n, n FROM generate_series(1, 500) AS n"
            )
            pair.catch_up()
            assert subscriber.rows(notes) == [("reclamos", 1)]
            # Each subtransaction that writes takes a number, too.
            ((after,),) = subscriber.rows("SELECT pg_current_xact_id()::text::bigint")
            assert int(str(after)) - int(str(before)) < 50
            # Each transaction notes it.
            publisher.execute("UPDATE public.reclamos SET n = n + 1 WHERE id = 7")
            publisher.execute("DELETE FROM public.reclamos WHERE id = 8")
            pair.catch_up()
            assert subscriber.rows(notes) == [("reclamos", 3)]
        finally:
            pair.unsubscribe()
            subscriber.execute("DROP TABLE public.reclamos", "DROP ROLE owner_of_complaints")


def test_views_are_right_after_random_sequences_at_the_publisher(
    publishing: Cluster, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The publisher is of the system's version, the subscriber of either."""
    sequences = SEQUENCES if server.kind == "system" else max(2, SEQUENCES // 6)
    totals = Totals()
    started = time.monotonic()
    for generation in GENERATIONS:
        name = server.new_name(f"replica_{generation.lower()}")
        janitor = server.janitor(name)
        janitor.init()
        pair = Pair(make_publisher(publishing, name, generation), Database(server.cluster, name))
        arena = ReplicaArena(pair, generation)
        try:
            for seed in range(BASE_SEED, BASE_SEED + sequences):
                if GENERATIONS[seed % 2] == generation:
                    Sequence(arena, seed, totals).run()
        finally:
            arena.close()
            janitor.drop()
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(
            f"\nat a subscriber: {sequences} sequences, {totals}; {seconds / sequences:.2f} s each"
        )
    assert totals.sequences == sequences
    assert totals.modes["incremental"] > sum(totals.modes.values()) / 2


APPLY_WORKER = "SELECT min(pid) FROM pg_stat_subscription WHERE relid IS NULL"
WALSENDER = "SELECT min(pid) FROM pg_stat_replication"


class Killing:
    """A pair on servers of its own, of which a part is killed at one moment after another."""

    def __init__(self, pair: Pair, whom: str) -> None:
        self.pair = pair
        self.whom = whom
        self.dice = random.Random(BASE_SEED)  # noqa: S311
        self.kills = 0
        self.moments: dict[str, Callable[[], None]] = {
            "half of a transaction is applied": self.while_rows_are_applied,
            "no row of a transaction is applied": partial(self.while_rows_are_applied, "ofertas"),
            "at random": self.at_a_random_moment,
            "tables are copied": self.while_tables_are_copied,
            **{
                f"refresh, {name}": partial(self.while_the_subscriber_refreshes, statement)
                for name, statement in POINTS_OF_A_REFRESH.items()
            },
        }
        if whom == "publisher":
            self.moments["inside a transaction there"] = self.inside_a_transaction

    def kill(self) -> None:
        """Kill the part: by turns one process or the postmaster, and the apply worker always so."""
        self.kills += 1
        at = self.pair.publisher if self.whom == "publisher" else self.pair.subscriber
        victim = "process" if self.whom == "apply worker" else VICTIMS[self.kills % 2]
        ((pid,),) = at.rows(WALSENDER if self.whom == "publisher" else APPLY_WORKER)
        if pid is None:
            # Between two workers; nobody else has a part in it.
            victim = "postmaster"
        kill(at, victim, int(str(pid or 0)))

    def write(self) -> None:
        """Change rows, some in one transaction that changes two tables."""
        for _ in range(self.dice.randrange(2, 6)):
            days, digit = self.dice.randrange(1, 60), self.dice.randrange(16)
            self.pair.publisher.execute(
                f"UPDATE public.ofertas SET tiempo_entrega_dias = {days} "
                f"WHERE id::text > '{digit:x}'",
                f"UPDATE public.ofertas SET tiempo_entrega_dias = {days + 1} "
                f"WHERE id::text < '{digit:x}'; "
                "UPDATE public.ofertas_detalle SET precio_unitario = precio_unitario + 1 "
                "WHERE id IN (SELECT id FROM public.ofertas_detalle ORDER BY random() LIMIT 9)",
                "INSERT INTO public.solicitudes SELECT (jsonb_populate_record(s, "
                "jsonb_build_object('id', gen_random_uuid()))).* FROM public.solicitudes AS s "
                "ORDER BY random() LIMIT 2",
                # Some stay, however many kills there are.
                "DELETE FROM public.ofertas_detalle WHERE id = (SELECT id FROM "
                "public.ofertas_detalle ORDER BY random() LIMIT 1) "
                "AND (SELECT count(*) FROM public.ofertas_detalle) > 20",
            )

    def while_rows_are_applied(self, table: str = "ofertas_detalle") -> None:
        """The worker waits for a table that a transaction changes."""
        with held(self.pair.subscriber, f"LOCK TABLE {table} IN EXCLUSIVE MODE") as waiting:
            self.write()
            waiting()
            self.kill()

    def while_the_subscriber_refreshes(self, statement: str) -> None:
        """A refresh waits for a lock, and more writes come."""
        self.write()
        self.pair.catch_up()
        with held(self.pair.subscriber, statement) as waiting:
            work = Work(lambda: refresh(self.pair.subscriber, NOW))
            waiting()
            self.write()
            self.kill()
        work.end()
        # A refresh does not need the publisher.
        assert (work.error is None) == (self.whom == "publisher"), work.error

    def inside_a_transaction(self) -> None:
        """What it changed is gone with the kill, at both."""
        with closing(self.pair.publisher.connect()) as writer:
            writer.execute("BEGIN; UPDATE public.ofertas SET tiempo_entrega_dias = 77")
            self.write_elsewhere()
            self.kill()

    def write_elsewhere(self) -> None:
        """Change rows that no open transaction has."""
        self.pair.publisher.execute(
            "UPDATE public.ofertas_detalle SET precio_unitario = precio_unitario + 1"
        )

    def at_a_random_moment(self) -> None:
        """Writes are on their way."""
        self.write()
        time.sleep(self.dice.random() / 20)
        self.kill()

    def while_tables_are_copied(self) -> None:
        """The subscription is new."""
        pair = self.pair
        pair.unsubscribe()
        pair.subscriber.execute(EMPTY_THE_TABLES)
        with held(pair.subscriber, "LOCK TABLE ofertas_detalle IN EXCLUSIVE MODE") as waiting:
            work = Work(pair.subscribe)
            waiting()
            self.write()
            self.kill()
        work.end()
        with_patience(
            lambda: pair.subscriber.wait_until(
                "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"
            )
        )
        pair.subscriber.execute("CALL analytics.apply_change_capture()")

    def check(self) -> None:
        """All that was committed at the publisher has come, and is counted once."""
        pair = self.pair
        with_patience(pair.catch_up)
        with_patience(lambda: refresh(pair.subscriber, NOW))
        with pair.publisher.session() as connection, pair.subscriber.session() as reader:
            assert differences(reader, oracle.read_schema(connection, "public"), TODAY) == []
        assert audited(pair.subscriber) == 0
        assert refresh(pair.subscriber, NOW)[0] == "unchanged"
        # After two errors it takes a second word of the publisher.
        pair.subscriber.wait_until("SELECT NOT EXISTS (SELECT FROM kpi_engine.replica_problem())")
        # It may have come after the refresh: then the next tick ends the mark of the figures.
        pair.subscriber.execute("CALL analytics.tick()")
        assert problems(pair.subscriber) == {}


@contextmanager
def pair_of_servers(settings: str = "") -> Iterator[tuple[Pair, Cluster, Cluster]]:
    """A filled marketplace and its subscriber, each on a server that a test may stop.

    Also both servers: that of the subscriber, that of the publisher.
    """
    with publishing_cluster() as home, publishing_cluster(settings) as shop:
        home.make_database("copy")
        subscriber = Database(home, "copy")
        load_and_migrate(subscriber, "A")
        pair = Pair(make_publisher(shop, "source", "A"), subscriber)
        with pair.publisher.session() as connection:
            fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        pair.subscribe()
        subscriber.execute("CALL analytics.apply_change_capture()")
        yield pair, home, shop


@pytest.mark.parametrize("whom", ["apply worker", "subscriber", "publisher"])
def test_nothing_is_lost_or_counted_twice_when_a_part_is_killed(whom: str) -> None:
    with pair_of_servers() as (pair, _, _):
        refresh(pair.subscriber, NOW)
        killing = Killing(pair, whom)
        done: Counter[str] = Counter()
        for number in range(KILLS):
            name = list(killing.moments)[number % len(killing.moments)]
            killing.moments[name]()
            killing.check()
            done[name] += 1
        print(f"\nkilled, the {whom}: {dict(done)}")
        if whom == "publisher":
            the_check_sees_a_lost_change(killing)
        pair.unsubscribe()


def the_check_sees_a_lost_change(killing: Killing) -> None:
    """Lose one on purpose."""
    killing.write()
    killing.pair.catch_up()
    killing.pair.subscriber.execute("DELETE FROM kpi_engine.change_log")
    with pytest.raises(AssertionError, match="monthly: "):
        killing.check()


def test_a_promoted_standby_of_the_subscriber_goes_on_and_says_what_nobody_knows() -> None:
    with pair_of_servers() as (pair, home, _):
        first = pair.subscriber
        refresh(first, NOW)
        standby = standby_of(home, f"{home.name}-standby")
        try:
            standby.start()
            promoted = Database(standby, "copy")
            pair.publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
            pair.catch_up()
            ((written,),) = first.rows("SELECT pg_current_wal_lsn()")
            promoted.wait_until(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")
            # The workers run at the primary.
            assert "replica_lag" not in problems(promoted)
            home.stop("immediate")
            pair.publisher.execute("DELETE FROM public.ofertas_detalle")
            promoted.execute("SELECT pg_promote()")
            pair.subscriber = promoted
            with_patience(pair.catch_up)
            # What waited before, and what came since.
            right_after(pair, "incremental")
            promoted.execute("CALL analytics.tick()")
            right_after(pair, "unchanged")
            severity, message = problems(promoted)["replica_lag"]
            assert severity == "unhealthy"
            assert "promoted or recovered, and its publisher sends nothing twice" in message
            # It had received all.
            assert f"SELECT analytics.forget_subscription('{pair.name}');" in message
            promoted.execute(f"SELECT analytics.forget_subscription('{pair.name}')")
            promoted.execute("CALL analytics.tick()")
            right_after(pair, "unchanged")
            assert problems(promoted) == {}
            seen_last = "SELECT timeline FROM kpi_engine.subscription_marks"
            assert promoted.rows(seen_last) == promoted.rows("SELECT kpi_engine.timeline()")
            pair.unsubscribe()
        finally:
            standby.remove()


def test_a_promoted_standby_that_had_not_received_all_says_so_until_the_tables_are_copied() -> None:
    with pair_of_servers() as (pair, home, _):
        first = pair.subscriber
        refresh(first, NOW)
        standby = standby_of(home, f"{home.name}-standby")
        try:
            # The subscriber confirms it to the publisher, and it never comes to the standby.
            pair.publisher.execute("DELETE FROM public.ofertas_detalle")
            pair.catch_up()
            first.execute("CHECKPOINT")
            pair.publisher.wait_until(
                "SELECT confirmed_flush_lsn >= pg_current_wal_flush_lsn() FROM pg_replication_slots"
            )
            home.stop("immediate")
            standby.start()
            promoted = Database(standby, "copy")
            promoted.execute("SELECT pg_promote()")
            pair.subscriber = promoted
            pair.publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 4")
            with_patience(pair.catch_up)
            promoted.execute("CALL analytics.tick()")
            refresh(promoted, NOW)
            (kept,) = promoted.rows("SELECT count(*) > 0 FROM public.ofertas_detalle")
            assert kept == (True,)
            severity, message = problems(promoted)["replica_lag"]
            assert severity == "unhealthy"
            assert "this server was promoted or recovered" in message
            ((lost,),) = promoted.rows("SELECT lost FROM analytics.replication()")
            assert "public.ofertas_detalle" in str(lost)
            cure = re.search(r"DROP SUBSCRIPTION \w+", message)
            assert cure is not None
            promoted.execute(cure[0], EMPTY_THE_TABLES)
            pair.subscribe()
            promoted.execute("CALL analytics.tick()")
            right_after(pair, "full")
            assert problems(promoted) == {}
            pair.unsubscribe()
        finally:
            standby.remove()


def test_a_copy_of_the_subscriber_that_reads_its_slot_is_named() -> None:
    with pair_of_servers() as (pair, home, _):
        first = pair.subscriber
        refresh(first, NOW)
        copy = standby_of(home, f"{home.name}-copy")
        copy.as_server_user("rm", copy.data / "standby.signal")
        try:
            home.stop()
            copy.start()
            pair.publisher.wait_until("SELECT bool_and(active) FROM pg_replication_slots")
            home.start()
            first.wait_until("SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL")
            severity, message = problems(first)["replica_lag"]
            assert severity == "unhealthy"
            assert "a copy of this server reads it" in message
            (finding,) = findings_of(first, "publications")
            assert f"another server reads slot {pair.name}" in finding["message"]
        finally:
            copy.remove()
        with_patience(pair.catch_up)
        assert findings_of(first, "publications") == []


def test_a_promoted_standby_of_the_publisher_lacks_the_slot_and_the_copy_is_made_anew() -> None:
    with pair_of_servers() as (pair, _, shop):
        subscriber = pair.subscriber
        standby = standby_of(shop, f"{shop.name}-standby")
        try:
            # The subscriber has a change that never comes to the standby.
            pair.publisher.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 3")
            pair.catch_up()
            for mode in ("full", "unchanged"):
                right_after(pair, mode)
            shown = subscriber.rows("SELECT * FROM mv_metricas_mensuales")
            shop.stop("immediate")
            standby.start()
            promoted = Database(standby, "source")
            promoted.execute("SELECT pg_promote()", "DELETE FROM public.ofertas_detalle")
            subscriber.execute(f"ALTER SUBSCRIPTION {pair.name} CONNECTION '{promoted.url}'")
            subscriber.wait_until("SELECT NOT is_running FROM analytics.replication()")
            severity, message = problems(subscriber)["replica_lag"]
            assert severity == "unhealthy"
            assert "the publisher is away, its slot is gone" in message
            (finding,) = findings_of(subscriber, "publications")
            assert "is gone at the publisher" in finding["message"]
            assert refresh(subscriber, NOW)[0] == "unchanged"
            assert subscriber.rows("SELECT * FROM mv_metricas_mensuales") == shown
            # What doctor and runbook say.
            cure = [fix["command"] for fix in finding["fixes"] if fix["run"] == "sql"]
            subscriber.execute(*cure, EMPTY_THE_TABLES)
            pair.publisher = promoted
            pair.subscribe()
            subscriber.execute("CALL analytics.tick()")
            right_after(pair, "full")
            assert subscriber.rows("SELECT * FROM mv_metricas_mensuales") != shown
            promoted.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 4")
            right_after(pair, "incremental")
            assert problems(subscriber) == {}
            pair.unsubscribe()
        finally:
            standby.remove()
