"""Faults of outside tables that a reviewer found: each gave a wrong number without a word."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from capture.subscriber import publishing_cluster
from cluster import Cluster
from commandline.console import UserError
from conftest import Database, made_once
from outside.support import (
    NOW,
    RECLAMOS,
    VIEW,
    Service,
    copy_of_sql,
    local_service,
    make_filled,
    support_cluster,
    support_database,
)

TAKES_MINUTES = True
SERVERS_TAKE_TURNS = True


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with support_cluster() as cluster:
        yield cluster


@pytest.fixture
def local(system_database: Database, cluster: Cluster, tmp_path: Path) -> Service:
    return local_service(system_database, cluster, tmp_path)


def file_of(made: Service) -> Path:
    """Return the file of the view."""
    return made.directory / "views" / "kpis" / f"{VIEW}.sql"


def rewrite(made: Service, old: str, new: str) -> None:
    """Replace words in the file of the view, and migrate."""
    text = file_of(made).read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file_of(made).write_text(text.replace(old, new), encoding="utf-8")
    made.migrate()


def count(made: Service, what: str) -> int:
    """Count the rows of a table or join."""
    ((number,),) = made.here.rows(f"SELECT count(*) FROM {what}")
    return int(str(number))


# -- notes of triggers -------------------------------------------------------------------------


def write_refresh_write(made: Service) -> None:
    """Write, refresh, and write again, in one transaction."""
    with made.here.connect() as connection, connection.transaction():
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        made.complain_visibly(connection)
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
        made.complain_visibly(connection)


def test_a_write_after_a_refresh_in_one_transaction_is_noted(local: Service) -> None:
    local.refresh()
    assert local.refresh() == "unchanged"
    write_refresh_write(local)
    assert count(local, "kpi_engine.outside_changes") == 1
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()


@pytest.mark.parametrize(
    "full",
    [["outside_changes"], ["outside_changes", "lost_changes", "change_log"]],
    ids=["one log is full", "all logs are full"],
)
def test_a_lost_change_after_a_refresh_in_one_transaction_is_not_lost(
    local: Service, full: list[str]
) -> None:
    local.refresh()
    assert local.refresh() == "unchanged"
    local.here.execute(
        *(f"ALTER TABLE kpi_engine.{log} ADD CONSTRAINT no CHECK (false) NOT VALID" for log in full)
    )
    write_refresh_write(local)
    local.here.execute(*(f"ALTER TABLE kpi_engine.{log} DROP CONSTRAINT no" for log in full))
    local.refresh()
    assert local.shown() == local.right()


@pytest.mark.parametrize("watch", ["triggers", "version"])
def test_an_unlogged_table_that_a_crash_emptied_is_read_anew(local: Service, watch: str) -> None:
    if watch == "version":
        # Its own query, which the crash does not change.
        rewrite(local, "p_watch => 'triggers'", "p_watch => 'version', p_version => 'SELECT 1'")
    local.here.execute("ALTER TABLE soporte.reclamos SET UNLOGGED")
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.refresh()
    assert local.refresh() == "unchanged"
    local.here.execute("CHECKPOINT")
    local.here.cluster.stop("immediate")
    local.here.cluster.start()
    assert count(local, "soporte.reclamos") == 0
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()
    assert local.refresh() == "unchanged"


STRAY = "pg_trigger WHERE tgname LIKE 'teloo_outside%'"


def test_triggers_of_a_view_that_is_gone_go(local: Service) -> None:
    local.here.execute("UPDATE soporte.reclamos SET estado = estado")
    file_of(local).unlink()
    # It has the right to: its role owns the table.
    local.migrate()
    assert count(local, STRAY) == 0
    assert count(local, "kpi_engine.outside_changes") == 0


def test_triggers_that_their_owner_leaves_fill_no_log(local: Service) -> None:
    local.here.execute("DELETE FROM kpi_engine.outside_sources")
    for _write in range(3):
        local.here.execute("UPDATE soporte.reclamos SET estado = estado")
    assert count(local, "kpi_engine.outside_changes") == 3
    local.here.execute("CALL analytics.tick()")
    assert count(local, "kpi_engine.outside_changes") == 0
    # A tick in the transaction of a writer takes the note, and the next write is noted again.
    with local.here.connect() as connection, connection.transaction():
        connection.execute("UPDATE soporte.reclamos SET estado = estado")
        connection.execute("SELECT kpi_engine.tick_step('tidy_change_log')")
        connection.execute("UPDATE soporte.reclamos SET estado = estado")
    assert count(local, "kpi_engine.outside_changes") == 1
    assert local.here.rows("SELECT analytics.watch_outside_sources()") == [(1,)]
    assert count(local, STRAY) == 0
    assert local.here.rows("SELECT analytics.watch_outside_sources()") == [(0,)]


def test_the_owner_of_other_tables_drops_no_triggers_here(local: Service) -> None:
    """It would fail, and leave its own tables unwatched."""
    role = f"otro_{local.here.name}"
    local.here.execute(
        "DELETE FROM kpi_engine.outside_sources", f"CREATE ROLE {role} IN ROLE analytics_owner"
    )
    try:
        with local.here.connect() as connection:
            connection.execute(f"SET ROLE {role}")
            assert connection.execute("SELECT analytics.watch_outside_sources()").fetchone() == (0,)
        assert count(local, STRAY) == 2
    finally:
        local.here.execute(f"DROP ROLE {role}")


def test_a_note_of_a_table_that_is_renamed_for_a_while_is_not_lost(local: Service) -> None:
    local.refresh()
    local.here.execute("ALTER TABLE soporte.reclamos RENAME TO otra")
    with local.here.connect() as connection:
        local.table = "soporte.otra"
        local.complain_visibly(connection)
        local.table = "soporte.reclamos"
    local.here.execute("SELECT analytics.watch_outside_sources()", "CALL analytics.tick()")
    local.failure()
    local.here.execute("ALTER TABLE soporte.otra RENAME TO reclamos")
    local.refresh()
    assert local.shown() == local.right()
    assert local.problem() is None


# -- age ---------------------------------------------------------------------------------------


@pytest.fixture
def fed(local: Service) -> Service:
    """Complaints whose age another table tells."""
    local.here.execute(
        "CREATE TABLE soporte.entregas AS SELECT timestamptz '2026-11-23 09:00-05' AS recibido_at",
        "GRANT SELECT ON soporte.entregas TO analytics_owner",
    )
    rewrite(
        local,
        "p_watch => 'triggers'",
        "p_watch => 'triggers', p_as_of => 'SELECT max(recibido_at) FROM soporte.entregas', "
        "p_max_age => '1 day'",
    )
    local.refresh()
    assert local.problem() is None
    return local


AGE = "SELECT as_of = '2026-11-23 09:00-05' FROM kpi_engine.outside_sources"


@pytest.mark.parametrize("last", ["NULL", "'infinity'", "'-infinity'"])
def test_an_age_that_is_no_instant_fails_that_view_alone(fed: Service, last: str) -> None:
    fed.here.execute(f"UPDATE soporte.entregas SET recibido_at = {last}")
    message = fed.failure()
    assert "soporte.reclamos" in message and "p_as_of" in message
    assert message in str(fed.problem())
    assert fed.here.rows(AGE) == [(True,)]
    fed.here.execute("UPDATE soporte.entregas SET recibido_at = '2026-11-23 09:00-05'")
    fed.refresh()
    assert fed.problem() is None


def test_an_age_in_the_future_is_told(fed: Service) -> None:
    fed.here.execute("UPDATE soporte.entregas SET recibido_at = '2099-01-01'")
    fed.refresh()
    assert "2099-01-01" in str(fed.problem()) and "in the future" in str(fed.problem())
    fed.here.execute("UPDATE soporte.entregas SET recibido_at = '2026-11-23 09:00-05'")
    fed.refresh()
    assert fed.problem() is None


@pytest.mark.parametrize("stored", ["infinity", "-infinity"])
def test_an_infinite_age_of_an_earlier_version_stops_nothing(fed: Service, stored: str) -> None:
    fed.here.execute(f"UPDATE kpi_engine.outside_sources SET as_of = '{stored}'")
    assert stored in str(fed.problem())
    fed.here.execute(
        "CALL analytics.tick()",
        "SELECT * FROM analytics.explain_refresh()",
        "SET ROLE analytics_owner; SELECT analytics.bind_outside_sources()",
    )
    fed.migrate()
    fed.refresh()
    assert fed.here.rows(AGE) == [(True,)]
    assert fed.problem() is None


@pytest.mark.parametrize("age", ["0", "-1 day", "200000 years"])
def test_an_age_that_can_not_be_compared_is_refused(fed: Service, age: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_max_age must be"):
        fed.here.execute(
            f"SELECT kpi_engine.declare_outside_source('analytics.{VIEW}', 'soporte.reclamos', "
            f"'reread', p_as_of => 'creado_at', p_max_age => '{age}')"
        )


# -- versions ----------------------------------------------------------------------------------


def version_changes(made: Service, statement: str) -> None:
    """Change rows; the next refresh sees another version, and is right."""
    version = "SELECT version FROM kpi_engine.outside_sources"
    before = made.here.rows(version)
    assert made.refresh() == "unchanged"
    assert made.here.rows(version) == before
    made.here.execute(statement)
    made.refresh()
    assert made.here.rows(version) != before, statement
    assert made.shown() == made.right()


def first_row(value: str) -> str:
    """Return a statement that gives the row of the first id a value."""
    return (
        f"UPDATE soporte.reclamos SET {value} WHERE id = "
        "(SELECT id FROM soporte.reclamos ORDER BY id LIMIT 1)"
    )


CLOSE = "UPDATE soporte.reclamos SET estado = 'CERRADO', {} WHERE estado = 'ABIERTO' AND {}"


def test_a_version_with_infinite_instants_changes(local: Service) -> None:
    rewrite(local, "p_watch => 'triggers'", "p_watch => 'version', p_version => 'actualizado_at'")
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.here.execute(first_row("actualizado_at = 'infinity'"))
    local.refresh()
    version_changes(
        local, CLOSE.format("actualizado_at = clock_timestamp()", "isfinite(actualizado_at)")
    )
    version_changes(local, first_row("actualizado_at = '-infinity'"))


def test_a_version_of_an_earlier_declaration_that_is_infinite_is_read_anew(local: Service) -> None:
    rewrite(local, "p_watch => 'triggers'", "p_watch => 'version', p_version => 'actualizado_at'")
    local.here.execute(
        "UPDATE kpi_engine.outside_sources SET version_query = 'SELECT count(*) AS rows, "
        "sum(extract(EPOCH FROM actualizado_at)) AS total FROM soporte.reclamos'"
    )
    with local.here.connect() as connection:
        local.complain_visibly(connection)
    local.here.execute(first_row("actualizado_at = 'infinity'"))
    local.refresh()
    local.here.execute(
        CLOSE.format("actualizado_at = clock_timestamp()", "isfinite(actualizado_at)")
    )
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_version_with_numbers_that_are_none_changes(local: Service, value: str) -> None:
    local.here.execute(
        "ALTER TABLE soporte.reclamos ADD revision numeric",
        "CREATE SEQUENCE soporte.revisions",
        "UPDATE soporte.reclamos SET revision = nextval('soporte.revisions')",
        "CREATE UNIQUE INDEX ON soporte.reclamos (revision)",
    )
    rewrite(local, "p_watch => 'triggers'", "p_watch => 'version', p_version => 'revision'")
    local.here.execute(first_row(f"revision = '{value}'"))
    local.refresh()
    version_changes(
        local, CLOSE.format("revision = nextval('soporte.revisions')", "revision::text ~ '^[0-9]'")
    )
    version_changes(local, first_row("revision = NULL"))
    # NULL and 0 have the same sum.
    version_changes(local, first_row("revision = 0"))


def replace_a_row(made: Service) -> None:
    """Delete an open complaint, and put a closed one of another advisor in its place."""
    made.refresh()
    made.here.execute(
        "WITH gone AS (DELETE FROM soporte.reclamos WHERE id = (SELECT id FROM soporte.reclamos "
        f"WHERE creado_at > '2026-11-20' AND asesor_id <> '{made.shown()[0][0]}' LIMIT 1) "
        "RETURNING *) INSERT INTO soporte.reclamos (asesor_id, estado, creado_at, actualizado_at) "
        f"SELECT '{made.shown()[0][0]}', 'CERRADO', '{NOW}', actualizado_at FROM gone"
    )


@pytest.mark.parametrize("kind", ["integer", "date"])
def test_a_version_whose_values_come_twice_is_refused(local: Service, kind: str) -> None:
    """The version of an optimistic lock: each new row has 0."""
    local.here.execute(f"ALTER TABLE soporte.reclamos ADD revision {kind}")
    with pytest.raises(UserError, match="has no unique index here"):
        rewrite(local, "p_watch => 'triggers'", "p_watch => 'version', p_version => 'revision'")


def test_a_version_that_some_rows_lack_is_read_anew(local: Service) -> None:
    local.here.execute("ALTER TABLE soporte.reclamos ADD revision timestamptz")
    rewrite(local, "p_watch => 'triggers'", "p_watch => 'version', p_version => 'revision'")
    replace_a_row(local)
    assert local.refresh() != "unchanged"
    assert local.shown() == local.right()


# -- what the view reads -----------------------------------------------------------------------


def test_a_view_between_that_is_replaced_is_read_anew(local: Service) -> None:
    local.here.execute(
        "CREATE VIEW soporte.validos AS SELECT * FROM soporte.reclamos",
        "GRANT SELECT ON soporte.validos TO analytics_owner",
    )
    rewrite(local, "FROM soporte.reclamos\n", "FROM soporte.validos AS reclamos\n")
    local.refresh()
    assert local.shown() == local.right()
    assert local.refresh() == "unchanged"
    local.here.execute(
        "CREATE OR REPLACE VIEW soporte.validos AS "
        "SELECT * FROM soporte.reclamos WHERE estado = 'ABIERTO'"
    )
    assert local.problem() is None
    assert "view between" in str(
        local.here.rows(
            f"SELECT reason FROM analytics.explain_refresh() WHERE view_name = '{VIEW}'", NOW
        )
    )
    before = local.shown()
    assert local.refresh() != "unchanged"
    assert local.shown() == local.at_this_moment() != before
    assert local.refresh() == "unchanged"


@pytest.fixture
def with_enum(local: Service) -> Service:
    """Complaints whose state is a value of an enum."""
    local.here.execute(
        "CREATE TYPE soporte.estado AS ENUM ('ABIERTO', 'CERRADO')",
        f"DROP MATERIALIZED VIEW analytics.{VIEW} CASCADE",
        "ALTER TABLE soporte.reclamos ALTER COLUMN estado TYPE soporte.estado "
        "USING estado::soporte.estado",
    )
    rewrite(local, "reclamos.estado = 'ABIERTO'", "reclamos.estado::text = 'ABIERTO'")
    local.refresh()
    assert local.refresh() == "unchanged"
    return local


@pytest.mark.parametrize(
    "renames",
    [
        [("ABIERTO", "OPEN")],
        [("ABIERTO", "x"), ("CERRADO", "ABIERTO"), ("x", "CERRADO")],
    ],
    ids=["renamed", "swapped"],
)
def test_a_renamed_value_fails_that_view_alone(
    with_enum: Service, renames: list[tuple[str, str]]
) -> None:
    for old, new in renames:
        with_enum.here.execute(f"ALTER TYPE soporte.estado RENAME VALUE '{old}' TO '{new}'")
    message = with_enum.failure()
    assert re.search(r'declared for .*"ABIERTO", "CERRADO".* and reads .*"estado"', message)
    assert message.split(":")[0] in str(with_enum.problem())
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        with_enum.at_this_moment()
    for old, new in reversed(renames):
        with_enum.here.execute(f"ALTER TYPE soporte.estado RENAME VALUE '{new}' TO '{old}'")
    with_enum.refresh()
    assert with_enum.problem() is None
    assert with_enum.shown() == with_enum.right()


def test_a_value_that_is_added_is_no_fault(with_enum: Service) -> None:
    with_enum.here.execute("ALTER TYPE soporte.estado ADD VALUE 'NUEVO' BEFORE 'CERRADO'")
    with_enum.refresh()
    assert with_enum.problem() is None
    # From now on it is known, too.
    with_enum.here.execute("ALTER TYPE soporte.estado RENAME VALUE 'NUEVO' TO 'NEW'")
    assert '"NUEVO"' in with_enum.failure()
    assert any(VIEW in change for change in with_enum.migrate())
    with_enum.refresh()
    assert with_enum.problem() is None


def test_a_part_on_another_server_is_refused(
    system_database: Database, cluster: Cluster, tmp_path: Path
) -> None:
    here = system_database
    made_once(here, "filled for complaints", make_filled)
    support = support_database(cluster)
    part = (
        "CREATE FOREIGN TABLE soporte.reclamos_de_alla PARTITION OF soporte.reclamos_otros "
        "DEFAULT SERVER soporte OPTIONS (schema_name 'public', table_name 'reclamos')"
    )
    here.execute(
        "CREATE EXTENSION postgres_fdw; CREATE SCHEMA soporte",
        "CREATE SERVER soporte FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
        f"(host '127.0.0.1', port '{support.cluster.port}', dbname '{support.name}')",
        "CREATE USER MAPPING FOR analytics_owner SERVER soporte "
        "OPTIONS (user 'teloo_lector', password 'change-me')",
        "CREATE TABLE soporte.reclamos (id uuid NOT NULL, asesor_id uuid NOT NULL, estado text "
        "NOT NULL, creado_at timestamptz NOT NULL, actualizado_at timestamptz NOT NULL) "
        "PARTITION BY RANGE (creado_at)",
        # Parts of parts count, too.
        "CREATE TABLE soporte.reclamos_otros PARTITION OF soporte.reclamos DEFAULT "
        "PARTITION BY RANGE (creado_at)",
        "GRANT USAGE ON SCHEMA soporte TO analytics_owner",
        "GRANT SELECT ON soporte.reclamos TO analytics_owner",
        part,
    )
    made = Service(here, support, "public.reclamos", copy_of_sql(tmp_path, "reread"))
    words = "soporte.reclamos_de_alla.* of table soporte.reclamos .*another server"
    with pytest.raises(Exception, match=words):
        made.migrate()
    here.execute("DROP FOREIGN TABLE soporte.reclamos_de_alla")
    made.migrate()
    made.refresh()
    assert made.problem() is None
    # One that comes later is told, and not read.
    here.execute(part)
    assert re.search(words, made.failure())
    assert "DETACH PARTITION soporte.reclamos_de_alla" in str(made.problem())


# -- a table here that a subscription brings ---------------------------------------------------


AS_OF = "SELECT as_of FROM analytics.outside_sources"


@contextmanager
def replicated(local: Service) -> Iterator[Database]:
    """Let a subscription bring the complaints from the database that this returns."""
    here = local.here
    with publishing_cluster() as home:
        home.make_database("soporte")
        support = Database(home, "soporte")
        support.execute(
            "CREATE SCHEMA soporte",
            RECLAMOS.format("soporte"),
            "CREATE PUBLICATION reclamos FOR TABLE soporte.reclamos",
        )
        here.execute(
            "TRUNCATE soporte.reclamos",
            f"CREATE SUBSCRIPTION feed CONNECTION '{support.url}' PUBLICATION reclamos",
        )
        try:
            here.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
            here.execute("CALL analytics.tick()")
            here.wait_until(
                "SELECT as_of IS NOT NULL FROM kpi_engine.feeding('soporte.reclamos'::regclass)"
            )
            here.execute("CALL analytics.tick()", "SELECT analytics.refresh_all_mv()")
            yield support
        finally:
            here.execute("DROP SUBSCRIPTION IF EXISTS feed")


def stands_still(made: Service, *words: str) -> None:
    """Health says what is missing, and the view is as old as the table was when it was whole."""
    before = made.here.rows(AS_OF)
    for look in ("CALL analytics.tick()", "SELECT analytics.refresh_all_mv(true)"):
        made.here.execute(look)
        for word in words:
            assert word in str(made.problem())
        assert made.here.rows(AS_OF) == before


def is_meant(made: Service) -> None:
    """Somebody says that nothing is missing: the view is current again."""
    assert made.here.rows("SELECT analytics.forget_subscription('feed')") == [(1,)]
    assert made.problem() is None


def test_a_table_that_a_subscription_brings_is_as_old_as_its_rows(local: Service) -> None:
    here = local.here
    with replicated(local) as support:
        ((before,),) = here.rows(AS_OF)
        assert before is not None
        assert local.problem() is None
        assert here.rows("SELECT subscription FROM analytics.replication()") == []
        here.execute("TRUNCATE soporte.reclamos")
        stands_still(local, "brings table soporte.reclamos", "was emptied by TRUNCATE")
        is_meant(local)

        support.execute("ALTER PUBLICATION reclamos DROP TABLE soporte.reclamos")
        here.execute("ALTER SUBSCRIPTION feed REFRESH PUBLICATION")
        stands_still(local, "does not bring soporte.reclamos any more")
        support.execute("ALTER PUBLICATION reclamos ADD TABLE soporte.reclamos")
        here.execute("ALTER SUBSCRIPTION feed REFRESH PUBLICATION WITH (copy_data = false)")
        stands_still(local, "brings soporte.reclamos without a copy")
        is_meant(local)
        here.execute("CALL analytics.tick()")
        assert local.problem() is None

        here.execute("ALTER SUBSCRIPTION feed DISABLE")
        here.wait_until("SELECT bool_and(pid IS NULL) FROM pg_stat_subscription")
        ((until,),) = here.rows("SELECT clock_timestamp()")
        here.execute("SELECT analytics.refresh_all_mv(true)")
        assert "feed, which brings table soporte.reclamos" in str(local.problem())
        assert "is disabled" in str(local.problem())
        assert here.rows(f"SELECT as_of BETWEEN '{before}' AND '{until}' FROM ({AS_OF}) AS t") == [
            (True,)
        ]

        here.execute("DROP SUBSCRIPTION feed", "TRUNCATE soporte.reclamos")
        stands_still(local, "does not bring soporte.reclamos any more: it was dropped")
        here.execute(f"CREATE SUBSCRIPTION feed CONNECTION '{support.url}' PUBLICATION reclamos")
        here.wait_until("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
        assert local.problem() is None
        here.execute("CALL analytics.tick()", "DROP SUBSCRIPTION feed")
        stands_still(local, "does not bring soporte.reclamos any more: it was dropped")
        is_meant(local)
        here.execute("SELECT analytics.refresh_all_mv()")
        assert here.rows(f"SELECT as_of > now() - interval '1 minute' FROM ({AS_OF}) AS t") == [
            (True,)
        ]
