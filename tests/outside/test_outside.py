"""A KPI view over the table of another service: right, or its failure is told by name.

TELOO_OUTSIDE_SEQUENCES=50 runs more random sequences for each way of watching.
"""

import os
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from cluster import PROJECT, Cluster
from conftest import Database, close_sessions
from outside.support import (
    NOW,
    VIEW,
    WAYS,
    Service,
    dice_of,
    local_service,
    service,
    support_cluster,
)
from webapi.test_endpoints import run

TAKES_MINUTES = True
SERVERS_TAKE_TURNS = True
SEQUENCES = int(os.environ.get("TELOO_OUTSIDE_SEQUENCES", "4"))
STEPS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with support_cluster() as cluster:
        yield cluster


@pytest.fixture
def foreign(system_database: Database, cluster: Cluster, tmp_path: Path) -> Service:
    return service(system_database, cluster, tmp_path, "reread", seconds=1)


@pytest.fixture
def local(system_database: Database, cluster: Cluster, tmp_path: Path) -> Service:
    return local_service(system_database, cluster, tmp_path)


def write(made: Service, connection: psycopg.Connection, dice: random.Random) -> None:
    """Change the complaints, or the marketplace, in one of many ways."""
    some = f"id IN (SELECT id FROM {made.table} ORDER BY id LIMIT {dice.randrange(1, 5)})"
    # As the page demands of the column of the version.
    touched = f"actualizado_at = timestamptz '2026-11-23 00:00Z' + interval '{dice.random()} s'"
    match dice.randrange(7):
        case 0:
            made.complain(connection, dice, dice.randrange(1, 6))
        case 1:
            connection.execute(
                f"UPDATE {made.table} SET estado = 'CERRADO', {touched} WHERE {some}"
            )
        case 2:
            connection.execute(
                f"UPDATE {made.table} SET creado_at = creado_at - interval '20 days', {touched} "
                f"WHERE {some}"
            )
        case 3:
            connection.execute(f"DELETE FROM {made.table} WHERE {some}")
        case 4:
            connection.execute(f"TRUNCATE {made.table}")
            made.complain(connection, dice, 3)
        case 5:
            # The place of one row by another.
            connection.execute(f"DELETE FROM {made.table} WHERE {some}")
            made.complain(connection, dice, 2)
        case _:
            made.here.execute(
                "UPDATE public.ofertas_historicas SET entrega_exitosa = NOT entrega_exitosa "
                f"WHERE id IN (SELECT id FROM public.ofertas_historicas ORDER BY id OFFSET "
                f"{dice.randrange(20)} LIMIT 5)"
            )


@pytest.mark.parametrize("watch", WAYS)
def test_random_changes_are_followed(
    database: Database, cluster: Cluster, tmp_path: Path, watch: str
) -> None:
    made = service(database, cluster, tmp_path, watch)
    modes = set()
    for seed in range(SEQUENCES):
        dice = dice_of(seed)
        with made.support.connect(autocommit=False) as late, made.support.connect() as writer:
            for _ in range(STEPS):
                dice_now = dice.random()
                if dice_now < 0.2:
                    # Its transaction stays open across refreshes.
                    made.complain(late, dice)
                elif dice_now < 0.3:
                    late.commit()
                elif dice_now < 0.4:
                    with writer.transaction(), writer.transaction(force_rollback=True):
                        made.complain(writer, dice)
                elif dice_now < 0.9 and not late.info.transaction_status:
                    write(made, writer, dice)
                right = made.right()
                assert made.at_this_moment() == right, (seed, watch)
                modes.add(made.refresh())
                assert made.shown() == right, (seed, watch)
            late.commit()
            made.refresh()
            assert made.shown() == made.right(), (seed, watch)
    assert "unchanged" in modes
    assert len(modes) > 1


def test_a_day_later_the_window_is_another(foreign: Service) -> None:
    tomorrow = "2026-11-24 00:00:00-05"
    before = foreign.shown()
    foreign.refresh(tomorrow)
    assert foreign.shown() == foreign.right(tomorrow) != before


@pytest.mark.parametrize("watch", ["version", "triggers"])
def test_what_did_not_change_is_not_read(
    database: Database, cluster: Cluster, tmp_path: Path, watch: str
) -> None:
    """Rows that change without the sign are not seen, and so the sign is what decides."""
    made = service(database, cluster, tmp_path, watch)
    with made.support.connect() as connection:
        if watch == "triggers":
            connection.execute(f"ALTER TABLE {made.table} DISABLE TRIGGER USER")
            connection.execute(f"ALTER TABLE {made.table} ENABLE TRIGGER USER")
            assert made.refresh() == "unchanged"
            made.here.execute("SELECT analytics.watch_outside_sources()")
            made.refresh()
    before = made.shown()
    assert made.refresh() == "unchanged"
    if watch == "version":
        made.support.execute(f"UPDATE {made.table} SET estado = 'CERRADO'")
        assert made.refresh() == "unchanged"
        assert made.shown() == before != made.right()
        # All is read, whatever the version says.
        made.refresh(force=True)
        assert made.shown() == made.right()


def test_another_server_that_is_away_fails_that_view_alone(
    database: Database, tmp_path: Path
) -> None:
    with support_cluster() as cluster:
        made = service(database, cluster, tmp_path, "reread")
        assert made.problem() is None
        ((read_at,),) = made.here.rows(
            f"SELECT last_success_at FROM analytics.view_state WHERE view_name = '{VIEW}'"
        )
        cluster.stop("immediate")
        message = made.failure()
        assert VIEW in message and "could not connect" in message
        assert "could not connect" in str(made.problem())
        # Its age is the view's.
        assert made.here.rows(
            f"SELECT last_refresh FROM analytics.get_mv_stats() WHERE view_name = '{VIEW}'"
        ) == [(read_at,)]
        made.here.execute(
            "UPDATE public.ofertas_historicas SET entrega_exitosa = NOT entrega_exitosa"
        )
        assert "could not connect" in made.failure()
        with pytest.raises(psycopg.OperationalError, match="could not connect"):
            made.at_this_moment()
        cluster.start()
        made.refresh()
        assert made.shown() == made.right()
        assert made.problem() is None


def test_another_server_that_is_slow_fails_that_view_alone(foreign: Service) -> None:
    with foreign.support.connect() as blocking, blocking.transaction():
        blocking.execute("LOCK TABLE public.reclamos")
        message = foreign.failure()
    assert "57014 there" in message
    assert "57014 there" in str(foreign.problem())
    foreign.refresh()
    assert foreign.shown() == foreign.right()


def test_a_cancel_of_our_own_ends_the_refresh(foreign: Service) -> None:
    foreign.here.execute(
        "ALTER SERVER soporte OPTIONS (SET options '-c statement_timeout=60s -c row_security=off')"
    )
    with (
        foreign.support.connect() as blocking,
        blocking.transaction(),
        foreign.here.connect() as refreshing,
    ):
        blocking.execute("LOCK TABLE public.reclamos")
        refreshing.execute("SET statement_timeout = '3s'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            refreshing.execute("SELECT * FROM analytics.refresh_all_mv()")
    foreign.refresh()


def test_a_table_here_that_is_locked_fails_that_view_alone(local: Service) -> None:
    local.here.rewrite("kpi_engine.outside_reason(text, boolean)", "'10s'", "'100ms'")
    local.here.rewrite("kpi_engine.refresh_outside_view(record, boolean)", "'10s'", "'100ms'")
    with local.here.connect() as blocking:
        local.complain_visibly(blocking)
        with blocking.transaction():
            blocking.execute("LOCK TABLE soporte.reclamos")
            results = local.results()
            status, message = results.pop(VIEW)
            assert status == "ERROR" and "55P03" in message
            assert {status for status, _ in results.values()} == {"SUCCESS"}
    # The note is not lost with it.
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()


ALIEN = "CREATE TABLE soporte.reclamos (LIKE soporte.otra INCLUDING ALL)"
# By cause: what is done, what undoes it, and what the message says.
MOVES = {
    "renamed": (
        ["ALTER TABLE soporte.reclamos RENAME TO otra"],
        ["ALTER TABLE soporte.otra RENAME TO reclamos"],
        "table soporte.reclamos of view .* is gone, which is soporte.otra now",
    ),
    "swapped": (
        ["ALTER TABLE soporte.reclamos RENAME TO otra", ALIEN],
        ["DROP TABLE soporte.reclamos", "ALTER TABLE soporte.otra RENAME TO reclamos"],
        "another table than the one that view .* reads, which is soporte.otra now",
    ),
    "in another schema": (
        ["ALTER TABLE soporte.reclamos SET SCHEMA public"],
        ["ALTER TABLE public.reclamos SET SCHEMA soporte"],
        "is gone, which is public.reclamos now",
    ),
    "column swapped": (
        [
            "ALTER TABLE soporte.reclamos RENAME creado_at TO antes",
            "ALTER TABLE soporte.reclamos RENAME actualizado_at TO creado_at",
        ],
        [
            "ALTER TABLE soporte.reclamos RENAME creado_at TO actualizado_at",
            "ALTER TABLE soporte.reclamos RENAME antes TO creado_at",
        ],
        '"creado_at".*reads a table with .*"antes"',
    ),
    "right on the table": (
        ["REVOKE SELECT ON soporte.reclamos FROM analytics_owner"],
        ["GRANT SELECT ON soporte.reclamos TO analytics_owner"],
        "GRANT SELECT ON soporte.reclamos TO analytics_owner",
    ),
    "right on the schema": (
        ["REVOKE USAGE ON SCHEMA soporte FROM analytics_owner"],
        ["GRANT USAGE ON SCHEMA soporte TO analytics_owner"],
        "GRANT USAGE ON SCHEMA soporte TO analytics_owner",
    ),
    "policies": (
        [
            "ALTER TABLE soporte.reclamos ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY nada ON soporte.reclamos USING (false)",
        ],
        [
            "DROP POLICY nada ON soporte.reclamos",
            "ALTER TABLE soporte.reclamos DISABLE ROW LEVEL SECURITY",
        ],
        "row-level security",
    ),
}


@pytest.mark.parametrize("cause", MOVES)
def test_a_table_that_is_not_as_declared_fails_that_view_alone(local: Service, cause: str) -> None:
    done, undone, words = MOVES[cause]
    local.here.execute(*done)
    message = local.failure()
    assert re_matches(words, message), message
    assert re_matches(words, str(local.problem()))
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        local.at_this_moment()
    assert re_matches(
        "it fails: ",
        str(
            local.here.rows(
                f"SELECT reason FROM analytics.explain_refresh() WHERE view_name = '{VIEW}'"
            )
        ),
    )
    local.here.execute(*undone)
    local.refresh()
    assert local.problem() is None
    assert local.shown() == local.right()


def re_matches(pattern: str, text: str) -> bool:
    """Tell whether a text has a pattern."""
    return re.search(pattern, text, re.DOTALL) is not None


def test_migrate_builds_the_view_anew_over_a_table_that_was_swapped(local: Service) -> None:
    local.here.execute(*MOVES["swapped"][0], "GRANT SELECT ON soporte.reclamos TO analytics_owner")
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.failure()
    assert any(VIEW in change for change in local.migrate())
    local.refresh()
    assert local.shown() == local.right()
    assert local.problem() is None
    assert local.migrate() == []


def test_a_dropped_table_takes_the_view_along_and_refreshes_say_so(local: Service) -> None:
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        local.here.execute("DROP TABLE soporte.reclamos")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        local.here.execute("ALTER TABLE soporte.reclamos ALTER estado TYPE varchar(10)")
    local.here.execute("DROP TABLE soporte.reclamos CASCADE")
    status, message = local.results()[VIEW]
    assert status == "ERROR" and "is gone" in message


# In the other database: what is done there, what undoes it, and what the message says.
THERE = {
    "renamed": (
        "ALTER TABLE public.reclamos RENAME TO otra",
        "ALTER TABLE public.otra RENAME TO reclamos",
        '"public.reclamos" does not exist',
    ),
    "column renamed": (
        "ALTER TABLE public.reclamos RENAME creado_at TO antes",
        "ALTER TABLE public.reclamos RENAME antes TO creado_at",
        '"creado_at" does not exist',
    ),
    "value that does not fit": (
        "ALTER TABLE public.reclamos ALTER asesor_id TYPE text USING 'x' || asesor_id",
        "ALTER TABLE public.reclamos ALTER asesor_id TYPE uuid USING substr(asesor_id, 2)::uuid",
        "invalid input syntax for type uuid",
    ),
    "right": (
        "REVOKE SELECT ON public.reclamos FROM teloo_lector",
        "GRANT SELECT ON public.reclamos TO teloo_lector",
        "permission denied for table reclamos",
    ),
    "login": (
        "ALTER ROLE teloo_lector NOLOGIN",
        "ALTER ROLE teloo_lector LOGIN",
        "could not connect",
    ),
    "policies": (
        "ALTER TABLE public.reclamos ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.reclamos DISABLE ROW LEVEL SECURITY",
        "row-level security",
    ),
}


@pytest.mark.parametrize("cause", THERE)
@pytest.mark.takes_turns(2)
def test_a_change_in_the_other_database_fails_that_view_alone(foreign: Service, cause: str) -> None:
    done, undone, words = THERE[cause]
    foreign.support.execute(done)
    message = foreign.failure()
    assert re_matches(words, message), message
    assert re_matches(words, str(foreign.problem()))
    foreign.support.execute(undone)
    foreign.refresh()
    assert foreign.problem() is None
    assert foreign.shown() == foreign.right()


def test_a_foreign_table_that_leads_elsewhere_is_not_read_before_somebody_confirms(
    foreign: Service, cluster: Cluster
) -> None:
    foreign.support.execute("CREATE TABLE public.otra (LIKE public.reclamos)")
    foreign.support.execute("GRANT SELECT ON public.otra TO teloo_lector")
    before = foreign.shown()
    foreign.here.execute("ALTER FOREIGN TABLE soporte.reclamos OPTIONS (SET table_name 'otra')")
    message = foreign.failure()
    assert '"table.table_name": "otra"' in message
    assert "SELECT analytics.bind_outside_sources();" in str(foreign.problem())
    foreign.here.execute("ALTER SERVER soporte OPTIONS (SET dbname 'postgres')")
    assert '"server.dbname": "postgres"' in foreign.failure()
    foreign.here.execute(f"ALTER SERVER soporte OPTIONS (SET dbname '{foreign.support.name}')")
    foreign.here.execute("SET ROLE analytics_owner; SELECT analytics.bind_outside_sources()")
    foreign.refresh()
    foreign.table = "public.otra"
    assert foreign.shown() == foreign.right() != before


def test_options_that_only_decide_how_fast_rows_come_may_change(foreign: Service) -> None:
    foreign.here.execute("ALTER SERVER soporte OPTIONS (ADD fetch_size '7')")
    assert foreign.refresh() == "unchanged"


@pytest.mark.parametrize(
    "change",
    [
        "DROP connect_timeout",
        "SET connect_timeout '0'",
        "SET options '-c row_security=off'",
        "SET options '-c statement_timeout=20s'",
    ],
)
def test_a_server_without_limits_is_not_asked(foreign: Service, change: str) -> None:
    foreign.here.execute(f"ALTER SERVER soporte OPTIONS ({change})")
    assert "ALTER SERVER soporte" in foreign.failure()


def test_a_copy_of_the_database_does_not_read_before_somebody_confirms(foreign: Service) -> None:
    name = f"{foreign.here.name}_copy"
    postgres = Database(foreign.here.cluster, "postgres")
    close_sessions(foreign.here)
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {foreign.here.name}")
    try:
        copy = Service(
            Database(foreign.here.cluster, name), foreign.support, foreign.table, foreign.directory
        )
        assert "was restored or copied" in copy.failure()
        assert "was restored or copied" in str(copy.problem())
        copy.here.execute("SET ROLE analytics_owner; SELECT analytics.bind_outside_sources()")
        copy.refresh()
        assert copy.shown() == copy.right()
    finally:
        postgres.execute(f"DROP DATABASE {name}")


def test_a_copy_goes_on_over_a_table_that_came_along(local: Service) -> None:
    name = f"{local.here.name}_copy"
    postgres = Database(local.here.cluster, "postgres")
    close_sessions(local.here)
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {local.here.name}")
    try:
        here = Database(local.here.cluster, name)
        copy = Service(here, here, local.table, local.directory)
        with here.connect() as connection:
            copy.complain_visibly(connection)
        copy.refresh()
        assert copy.shown() == copy.right()
    finally:
        postgres.execute(f"DROP DATABASE {name}")


# -- triggers ----------------------------------------------------------------------------------

NOTES = "SELECT count(*) FROM kpi_engine.outside_changes"


def test_each_kind_of_write_is_noted(local: Service) -> None:
    with local.here.connect() as connection:
        local.complain_visibly(connection)
        assert local.refresh() != "unchanged"
        for statement in (
            "UPDATE soporte.reclamos SET estado = 'CERRADO'",
            "DELETE FROM soporte.reclamos WHERE creado_at = (SELECT max(creado_at) "
            "FROM soporte.reclamos)",
            "MERGE INTO soporte.reclamos USING (SELECT) AS one ON true "
            "WHEN MATCHED THEN UPDATE SET estado = 'ABIERTO'",
            "TRUNCATE soporte.reclamos",
        ):
            assert local.refresh() == "unchanged"
            before = local.shown()
            connection.execute(statement)
            assert local.refresh() != "unchanged", statement
            assert local.shown() == local.right() != before, statement


def test_a_transaction_notes_a_table_once(local: Service) -> None:
    with local.here.connect() as connection, connection.transaction():
        for _seed in range(5):
            local.complain_visibly(connection)
        with connection.transaction(force_rollback=True):
            local.complain_visibly(connection)
    assert local.here.rows(NOTES) == [(1,)]
    with local.here.connect() as connection, connection.transaction():
        with connection.transaction(force_rollback=True):
            local.complain_visibly(connection)
        local.complain_visibly(connection)
    assert local.here.rows(NOTES) == [(2,)]
    local.refresh()
    assert local.here.rows(NOTES) == [(0,)]
    assert local.shown() == local.right()


@pytest.mark.parametrize(
    "fault",
    [
        "ALTER TABLE kpi_engine.outside_changes RENAME TO gone",
        "REVOKE ALL ON kpi_engine.outside_changes FROM analytics_owner",
        "CREATE RULE nothing AS ON INSERT TO kpi_engine.outside_changes DO INSTEAD NOTHING",
        "ALTER TABLE kpi_engine.outside_changes ADD CHECK (false)",
    ],
)
def test_a_writer_never_fails_and_the_change_is_not_lost(local: Service, fault: str) -> None:
    with local.here.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(fault)
        local.complain_visibly(connection)
        assert connection.execute("SELECT count(*) FROM kpi_engine.lost_changes").fetchone() == (1,)
    local.here.execute(
        "ALTER TABLE kpi_engine.outside_changes ADD CONSTRAINT no CHECK (false) NOT VALID"
    )
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.here.execute("ALTER TABLE kpi_engine.outside_changes DROP CONSTRAINT no")
    assert local.refresh() == "full"
    assert local.shown() == local.right()


@pytest.mark.parametrize("uses_it_up", ["a rebuild", "a refresh in which the view fails"])
@pytest.mark.parametrize(
    "full",
    [["outside_changes"], ["outside_changes", "lost_changes", "change_log"]],
    ids=["one log is full", "all logs are full"],
)
def test_a_lost_change_is_not_used_up_before_the_view_shows_it(
    local: Service, full: list[str], uses_it_up: str
) -> None:
    local.refresh()
    assert local.refresh() == "unchanged"
    local.here.execute(
        *(f"ALTER TABLE kpi_engine.{log} ADD CONSTRAINT no CHECK (false) NOT VALID" for log in full)
    )
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.here.execute(*(f"ALTER TABLE kpi_engine.{log} DROP CONSTRAINT no" for log in full))
    assert local.here.rows("SELECT kpi_engine.has_unnoted_changes()") == [(len(full) > 1,)]
    assert local.shown() != local.right()
    # Both take the note. A view that reads nothing but this table follows the mark.
    local.here.execute("SELECT kpi_engine.settle(), kpi_engine.compact_change_log()")
    assert local.here.rows("SELECT is_changed FROM kpi_engine.outside_sources") == [(True,)]
    if uses_it_up == "a rebuild":
        # It reads no table of another service.
        with local.here.connect() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            connection.execute("CALL analytics.rebuild()")
    else:
        local.here.execute("REVOKE SELECT ON soporte.reclamos FROM analytics_owner")
        assert local.failure()
        local.here.execute("GRANT SELECT ON soporte.reclamos TO analytics_owner")
    local.refresh()
    assert local.shown() == local.right()


def test_a_writer_waits_a_tenth_of_a_second_at_most(local: Service) -> None:
    with local.here.connect() as blocking, blocking.transaction():
        blocking.execute("LOCK TABLE kpi_engine.outside_changes")
        with local.here.connect() as connection:
            connection.execute("SET statement_timeout = '2s'")
            local.complain_visibly(connection)
    assert local.refresh() == "full"
    assert local.shown() == local.right()


@pytest.mark.parametrize(
    "gap",
    [
        "ALTER TABLE soporte.reclamos DISABLE TRIGGER USER",
        "DROP TRIGGER teloo_outside_statement ON soporte.reclamos",
        "DROP TRIGGER teloo_outside_row ON soporte.reclamos",
        "CREATE TABLE soporte.mas () INHERITS (soporte.reclamos)",
    ],
)
def test_without_its_triggers_a_table_is_read_anew(local: Service, gap: str) -> None:
    local.here.execute(gap)
    assert "each refresh reads it anew" in str(local.problem())
    with local.here.connect() as connection:
        for _seed in range(3):
            local.complain_visibly(connection)
            local.refresh()
            assert local.shown() == local.right()
        if "INHERITS" in gap:
            connection.execute("DROP TABLE soporte.mas")
        local.complain_visibly(connection)
        local.here.execute("SELECT analytics.watch_outside_sources()")
    assert local.problem() is None
    local.refresh()
    assert local.shown() == local.right()
    assert local.refresh() == "unchanged"


def test_triggers_that_were_off_for_a_while_have_missed_something(local: Service) -> None:
    local.here.execute("ALTER TABLE soporte.reclamos DISABLE TRIGGER USER")
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.here.execute(
        "ALTER TABLE soporte.reclamos ENABLE ALWAYS TRIGGER teloo_outside_statement",
        "ALTER TABLE soporte.reclamos ENABLE REPLICA TRIGGER teloo_outside_row",
    )
    assert local.problem() is None
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()


def test_the_mode_replica_is_noted_too(local: Service) -> None:
    with local.here.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        local.complain_visibly(connection)
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()


# -- age, declaration, removal -----------------------------------------------------------------


def test_a_feed_that_stopped_is_told(local: Service) -> None:
    file = local.directory / "views" / "kpis" / f"{VIEW}.sql"
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace(
            "'triggers'\n",
            "'triggers',\n    p_as_of => 'SELECT max(recibido_at) FROM soporte.entregas', "
            "p_max_age => '1 day'\n",
        ),
        encoding="utf-8",
    )
    local.here.execute(
        "CREATE TABLE soporte.entregas AS SELECT timestamptz '2026-11-22 09:00-05' AS recibido_at",
        "GRANT SELECT ON soporte.entregas TO analytics_owner",
    )
    local.migrate()
    local.refresh()
    assert local.here.rows(
        "SELECT as_of = '2026-11-22 09:00-05' FROM analytics.outside_sources"
    ) == [(True,)]
    with local.here.connect() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        told = connection.execute(
            "SELECT severity, message FROM analytics.health_problems() "
            "WHERE problem = 'outside_source'"
        ).fetchall()
    assert len(told) == 1 and told[0][0] == "degraded"
    assert "complete only until 2026-11-22T14:00:00" in told[0][1]


WRONG = {
    "p_watch => 'never'": "p_watch must be",
    "p_watch => 'version'": "p_version goes with",
    "p_watch => 'reread', p_version => 'creado_at'": "p_version goes with",
    "p_watch => 'version', p_version => 'estado'": "p_version (estado) must be",
    "p_watch => 'version', p_version => 'gone'": "p_version (gone) must be",
    "p_watch => 'reread', p_as_of => 'estado'": "p_as_of (estado) must be",
    "p_watch => 'reread', p_max_age => '1 day'": "p_max_age needs p_as_of",
    "p_watch => 'triggers'": "triggers need a table that is here",
}


def test_a_wrong_declaration_is_refused(foreign: Service) -> None:
    for call, words in WRONG.items():
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            foreign.here.execute(
                "SELECT kpi_engine.declare_outside_source("
                f"'analytics.{VIEW}', 'soporte.reclamos', {call})"
            )
        assert words in str(refused.value), call
    for view, source, words in (
        ("kpi_engine.refresh_log", "soporte.reclamos", "must be a materialized view"),
        (f"analytics.{VIEW}", "public.usuarios", "the view does not read it"),
        (f"analytics.{VIEW}", "kpi_engine.view_state", "of another service"),
        (f"analytics.{VIEW}", "analytics.settings", "a table or a foreign table"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            foreign.here.execute(
                f"SELECT kpi_engine.declare_outside_source('{view}', '{source}', 'reread')"
            )
        assert words in str(refused.value), words


def test_a_version_query_that_gives_no_row_is_told(foreign: Service) -> None:
    foreign.here.execute(
        f"SELECT kpi_engine.declare_outside_source('analytics.{VIEW}', 'soporte.reclamos', "
        "'version', 'SELECT id FROM soporte.reclamos WHERE false')"
    )
    assert "must give one row" in foreign.failure()


def test_what_the_next_refresh_will_do_is_told(foreign: Service, cluster: Cluster) -> None:
    explained = (
        f"SELECT is_stale, reason FROM analytics.explain_refresh() WHERE view_name = '{VIEW}'"
    )
    assert foreign.here.rows(explained, NOW) == [(True, "soporte.reclamos is read anew each time")]
    foreign.here.execute(
        f"SELECT kpi_engine.declare_outside_source('analytics.{VIEW}', 'soporte.reclamos', "
        "'version', 'actualizado_at')"
    )
    foreign.refresh()
    assert foreign.here.rows(explained, NOW) == [
        (None, "the version of soporte.reclamos is compared")
    ]


def test_a_view_that_goes_takes_its_declaration_along(local: Service, tmp_path: Path) -> None:
    (local.directory / "views" / "kpis" / f"{VIEW}.sql").unlink()
    local.migrate()
    assert local.here.rows("SELECT count(*) FROM kpi_engine.outside_sources") == [(0,)]
    results = local.results()
    assert VIEW not in results
    assert {status for status, _ in results.values()} == {"SUCCESS"}


def test_a_declaration_that_is_taken_back_is_forgotten(local: Service) -> None:
    file = local.directory / "views" / "kpis" / f"{VIEW}.sql"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("SELECT kpi_engine.declare_outside")], encoding="utf-8")
    local.migrate()
    assert local.here.rows("SELECT count(*) FROM kpi_engine.outside_sources") == [(0,)]
    # As ever: what nobody declared is read each time.
    assert local.refresh() != "unchanged"


# -- when a connection breaks, and dumps -------------------------------------------------------


def test_a_connection_that_breaks_while_rows_are_read_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    """PostgreSQL refuses to commit then. The next refresh fails that view alone."""
    with support_cluster() as cluster:
        made = service(database, cluster, tmp_path, "reread")
        made.here.execute(
            "UPDATE public.ofertas_historicas SET entrega_exitosa = NOT entrega_exitosa"
        )
        shown = made.shown()
        ((runs,),) = made.here.rows("SELECT count(*) FROM analytics.refresh_log")
        with closing(made.support.connect()) as blocking, ThreadPoolExecutor(1) as pool:
            blocking.execute("BEGIN")
            blocking.execute("LOCK TABLE public.reclamos")
            refreshing = pool.submit(made.results)
            made.support.wait_until(
                "SELECT count(*) > 0 FROM pg_stat_activity "
                "WHERE usename = 'teloo_lector' AND wait_event_type = 'Lock'"
            )
            cluster.stop("immediate")
            with pytest.raises(psycopg.Error, match='connection to server "soporte"'):
                refreshing.result()
        assert made.shown() == shown
        assert made.here.rows("SELECT count(*) FROM analytics.refresh_log") == [(runs,)]
        assert "could not connect" in made.failure()
        cluster.start()
        made.refresh()
        assert made.shown() == made.right()


def program(cluster: Cluster, name: str, *arguments: str | Path) -> None:
    """Run one of the server's programs as its user."""
    path = f"PATH={cluster.binaries}:{os.environ['PATH']}"
    cluster.must(name, "env", path, name, *arguments)


@pytest.mark.parametrize("watch", ["reread", "triggers"])
def test_a_restored_dump(database: Database, cluster: Cluster, tmp_path: Path, watch: str) -> None:
    """A foreign table waits for somebody who confirms; a table that came along goes on."""
    made = service(database, cluster, tmp_path, watch)
    server = made.here.cluster
    dump = server.location / f"{made.here.name}.dump"
    program(server, "pg_dump", "-Fc", "-f", dump, "-d", made.here.url)
    target = f"{made.here.name}_restored"
    server.make_database(target)
    try:
        restored = Database(server, target)
        program(server, "pg_restore", "-d", restored.url, dump)
        support = made.support if WAYS[watch][1] else restored
        copy = Service(restored, support, made.table, made.directory)
        if watch == "reread":
            assert "was restored or copied" in copy.failure()
            restored.execute("SET ROLE analytics_owner; SELECT analytics.bind_outside_sources()")
        with support.connect() as connection:
            copy.complain_visibly(connection)
        copy.refresh()
        assert copy.problem() is None
        assert copy.shown() == copy.right()
    finally:
        dump.unlink()
        Database(server, "postgres").execute(f"DROP DATABASE {target}")


def test_uninstall_leaves_the_table_without_triggers(local: Service) -> None:
    done = run(PROJECT, "uninstall.py", DATABASE_URL=local.here.url)
    assert done.returncode == 0, done.stderr
    assert local.here.rows(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'soporte.reclamos'::regclass"
    ) == [(0,)]


def test_the_scheduler_survives_a_connection_that_breaks(
    database: Database, tmp_path: Path
) -> None:
    """The job fails with the commit; a tick queues it again, and then it is right."""
    with support_cluster() as cluster:
        made = service(database, cluster, tmp_path, "reread")
        made.here.execute(
            "SELECT analytics.watch_outside_sources()",
            "UPDATE public.ofertas_historicas SET entrega_exitosa = NOT entrega_exitosa",
            "SELECT kpi_engine.queue_refresh(false, 'test')",
        )
        with closing(made.support.connect()) as blocking, ThreadPoolExecutor(1) as pool:
            blocking.execute("BEGIN")
            blocking.execute("LOCK TABLE public.reclamos")
            working = pool.submit(made.here.execute, "CALL analytics.work()")
            made.support.wait_until(
                "SELECT count(*) > 0 FROM pg_stat_activity "
                "WHERE usename = 'teloo_lector' AND wait_event_type = 'Lock'"
            )
            cluster.stop("immediate")
            with pytest.raises(psycopg.Error, match='connection to server "soporte"'):
                working.result()
        made.here.execute("CALL analytics.tick()")
        jobs = "SELECT state FROM analytics.refresh_jobs ORDER BY job_id"
        assert made.here.rows(jobs) == [("QUEUED",)]
        cluster.start()
        made.here.execute("CALL analytics.work()")
        assert made.here.rows(jobs) == [("SUCCESS",)]
        made.refresh()
        assert made.shown() == made.right()
