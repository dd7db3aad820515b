"""Backup and restore: a dump keeps everything working, and one refresh computes all again."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pytest

from capture import test_capture
from cluster import Cluster, connection_environment, system_binaries
from conftest import SERVER_NUMBERS, TEST_SETTINGS, Database, Server, copy, install, made_once
from health.test_problems import RUNBOOK
from kpis import test_gate
from marketplace import SMALL, change, fill
from migrate import migrate
from sequences import PUBLISHED, refresh, view_differences
from source.test_source_binding import ONE_MORE_OFFER, SWAP
from source_indexes import build_missing

SERVERS_TAKE_TURNS = True
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
RESTORED = ("full", "restored from a dump")


def program(cluster: Cluster, url: str, name: str, *arguments: str | Path) -> str:
    """Run one of the server's programs as its user; return what it prints."""
    environment = [f"{key}={value}" for key, value in connection_environment(url).items()]
    path = f"PATH={cluster.binaries}:{os.environ['PATH']}"
    return cluster.must(name, "env", path, *environment, name, *arguments)


def documented(cluster: Cluster, name: str, dump: Path) -> None:
    """Restore a dump into a new database by the commands of the runbook."""
    section = RUNBOOK.partition("## Backup and restore\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^(?:createdb|pg_restore) .*$", section, re.MULTILINE)
    assert len(lines) == 3
    names = {"teloo.dump": str(dump), "teloo.list": f"{dump}.list", "teloo": name}
    commands = re.sub(
        r"\bteloo(?:\.dump|\.list)?\b", lambda found: names[found[0]], "\n".join(lines)
    )
    program(cluster, cluster.url("postgres"), "bash", "-ec", commands)
    assert (dump.parent / f"{dump.name}.list").stat().st_size > 0
    (dump.parent / f"{dump.name}.list").unlink()


def writes(database: Database, seed: int) -> None:
    with database.session() as connection:
        change(connection, seed, "A", TODAY, count=20)


@pytest.fixture
def working(database: Database) -> Database:
    """A refreshed marketplace in which changes wait."""
    made_once(database, "changes wait", make_working)
    return database


def make_working(database: Database) -> None:
    install(database)
    with database.session() as connection:
        fill(connection, 7, "A", TODAY)
    build_missing(database.url)
    refresh(database, NOW)
    writes(database, 8)
    # As an operator's word leaves it.
    database.execute(
        "INSERT INTO kpi_engine.gate_acceptances (view_name, rule, how, reason, accepted_by) "
        "VALUES ('mv_metricas_mensuales', 'lost_rows', 'once', 'the month was corrected', 'ana')"
    )
    refresh(database, NOW)
    writes(database, 9)


awards = test_capture.awards
market = test_gate.market


@pytest.fixture
def dump(working: Database) -> Iterator[Path]:
    path = working.cluster.location / f"{working.name}.dump"
    program(working.cluster, working.url, "pg_dump", "-Fc", "-f", path)
    yield path
    path.unlink()


# All that tells what was published and what changed since.
HISTORY = (
    *("publications", "published_rows", "published_hashes", "published_layouts"),
    *("closings", "restatements", "gate_acceptances"),
)


def history(database: Database) -> dict[str, object]:
    """Return the contents of the history, and what it says of a view."""
    kept: dict[str, object] = {
        table: database.rows(
            "SELECT md5(string_agg(kept::text, ',' ORDER BY kept::text)) "
            f"FROM kpi_engine.{table} AS kept HAVING count(*) > 0"
        )
        for table in HISTORY
    }
    kept["begins"] = database.rows(
        "SELECT view_name, min(run_id) FROM kpi_engine.published_rows GROUP BY 1 ORDER BY 1"
    )
    kept["shown"] = database.rows(
        "SELECT object FROM analytics.as_reported('mv_metricas_mensuales', "
        f"'{NOW}') AS past (object) ORDER BY 1",
        today=NOW,
    )
    assert all(kept.values())
    return kept


def check_restored(database: Database) -> None:
    """Everything is computed again once. Later writes are captured."""
    explained = "SELECT DISTINCT mode, mode_reason FROM analytics.explain_refresh()"
    assert database.rows(explained, today=NOW) == [RESTORED]
    assert refresh(database, NOW) == RESTORED
    check_working(database)


def check_working(database: Database) -> None:
    assert view_differences(database, NOW) == []
    writes(database, 10)
    assert refresh(database, NOW)[0] == "incremental"
    assert view_differences(database, NOW) == []
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("CALL analytics.tick()")
    assert database.rows("SELECT DISTINCT problem FROM analytics.health_problems()", today=NOW) in (
        [],
        [("row_drop",)],
    )


def test_into_a_new_database_of_the_same_server(
    working: Database, dump: Path, server: Server
) -> None:
    restored = Database(server.cluster, server.new_name("restored"))
    try:
        documented(server.cluster, restored.name, dump)
        before = "SELECT md5(string_agg(v::text, ',' ORDER BY v::text)) FROM analytics.{} AS v"
        for view in ("mv_metricas_mensuales", "mv_ranking_asesores"):
            query = before.format(view)
            assert restored.rows(query) == working.rows(query)
        kept = history(working)
        assert history(restored) == kept
        check_restored(restored)
        # It goes on: nothing of it was forgotten.
        later = history(restored)
        assert later["closings"] == kept["closings"]
        assert later["begins"] == kept["begins"]
    finally:
        Database(server.cluster, "postgres").execute(f"DROP DATABASE IF EXISTS {restored.name}")


def test_over_itself_everything_is_computed_again(working: Database, dump: Path) -> None:
    """What was written since the dump is gone, and no trigger noted that."""
    writes(working, 11)
    assert refresh(working, NOW)[0] == "incremental"
    options = ("--clean", "--if-exists", "--exit-on-error")
    program(working.cluster, working.url, "pg_restore", *options, "-d", working.name, dump)
    assert refresh(working, NOW)[0] == "full"
    assert view_differences(working, NOW) == []
    check_working(working)


def test_into_another_server(working: Database, dump: Path) -> None:
    other = Cluster(
        f"test-restore-{os.getpid()}",
        binaries=working.cluster.binaries,
        database="other",
        settings=TEST_SETTINGS,
    )
    try:
        other.start()
        restored = Database(other, "other")
        roles = working.cluster.location / "roles.sql"
        program(
            working.cluster,
            working.url,
            "pg_dumpall",
            "--roles-only",
            "--no-role-passwords",
            "-f",
            roles,
        )
        target = other.location / "dump"
        target.write_bytes(dump.read_bytes())
        # The roles of other tests on this server stay out.
        statements = re.findall(
            r"^(?:CREATE ROLE|ALTER ROLE|GRANT \w+ TO) analytics_.*;$",
            roles.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        roles.unlink()
        restored.execute(*statements)
        target.chmod(0o644)
        program(other, restored.url, "pg_restore", "--exit-on-error", "-d", "other", target)
        assert history(restored) == history(working)
        check_restored(restored)
        migrate(restored.url)
        assert refresh(restored, NOW)[0] == "unchanged"
    finally:
        other.remove()


def test_triggers_made_anew_in_the_same_database_still_mean_a_rebuild(working: Database) -> None:
    working.execute(
        "DROP TRIGGER {} ON public.ofertas".format(
            working.rows(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.ofertas'::regclass "
                "AND NOT tgisinternal LIMIT 1"
            )[0][0]
        )
    )
    working.execute("CALL analytics.apply_change_capture()")
    assert refresh(working, NOW)[0] == "full"
    assert view_differences(working, NOW) == []


# -- what happened on the way --------------------------------------------------------------------

UPDATE = "UPDATE public.ofertas SET monto_total = monto_total * 2"
# Past the triggers of the package, and then as they were.
PAST_TRIGGERS = f"""
ALTER TABLE public.ofertas DISABLE TRIGGER USER;
{UPDATE};
DO $$
DECLARE
    v_trigger text;
BEGIN
    FOR v_trigger IN
        SELECT tgname FROM pg_trigger
        WHERE tgrelid = 'public.ofertas'::regclass AND NOT tgisinternal
    LOOP
        EXECUTE format('ALTER TABLE public.ofertas ENABLE ALWAYS TRIGGER %I', v_trigger);
    END LOOP;
END
$$
"""


@contextmanager
def new_database(server: Server) -> Iterator[Database]:
    name = server.new_name("restored")
    with server.janitor(name):
        yield Database(server.cluster, name)


@contextmanager
def copied(server: Server, database: Database) -> Iterator[Database]:
    """A copy of the files, which no refresh or tick has seen yet."""
    with new_database(server) as made:
        copy(made, database.name)
        yield made


def test_rows_changed_between_the_sections_of_a_restore(
    working: Database, dump: Path, server: Server
) -> None:
    with new_database(server) as restored:
        into = ("--exit-on-error", "-d", restored.name, dump)
        restored.execute("SELECT 1")
        program(
            working.cluster,
            restored.url,
            "pg_restore",
            "--section=pre-data",
            "--section=data",
            *into,
        )
        restored.execute(UPDATE)
        program(working.cluster, restored.url, "pg_restore", "--section=post-data", *into)
        check_restored(restored)


def test_rows_left_out_by_options_of_the_dump(working: Database, server: Server) -> None:
    path = working.cluster.location / f"{working.name}.part.dump"
    table = "--exclude-table-data=public.adjudicaciones_repuesto"
    program(working.cluster, working.url, "pg_dump", "-Fc", table, "-f", path)
    with new_database(server) as restored:
        restored.execute("SELECT 1")
        program(working.cluster, restored.url, "pg_restore", "-d", restored.name, path)
        restored.execute("CALL analytics.tick()")
        assert refresh(restored, NOW) == RESTORED
        assert view_differences(restored, NOW) == []
    path.unlink()


def test_a_copy_of_the_files_goes_on(working: Database, server: Server) -> None:
    with copied(server, working) as made:
        assert refresh(made, NOW)[0] == "incremental"
        check_working(made)


def test_triggers_switched_off_in_a_copy_before_its_first_tick(
    working: Database, server: Server
) -> None:
    with copied(server, working) as made:
        made.execute(PAST_TRIGGERS, "CALL analytics.tick()")
        assert refresh(made, NOW)[0] == "full"
        assert view_differences(made, NOW) == []


# As a release of the platform does it: a table, and a column, swapped by rename.
MOVED = {
    "a table": (*SWAP, ONE_MORE_OFFER.format(table="public.ofertas")),
    "a column": (
        "ALTER TABLE public.ofertas ADD COLUMN dias integer",
        "UPDATE public.ofertas SET dias = 3",
        "ALTER TABLE public.ofertas RENAME COLUMN tiempo_entrega_dias TO dias_viejos",
        "ALTER TABLE public.ofertas RENAME COLUMN dias TO tiempo_entrega_dias",
    ),
}


@pytest.mark.parametrize("where", ["copy", "dump"])
@pytest.mark.parametrize("what", MOVED)
def test_a_swap_before_the_first_tick_is_bound_by_migrate(
    working: Database, dump: Path, server: Server, what: str, where: str
) -> None:
    """As in a staging database: a copy of production, a release of the platform, migrate."""
    with copied(server, working) if where == "copy" else new_database(server) as made:
        made.execute("SELECT 1")
        if where == "dump":
            program(
                working.cluster, made.url, "pg_restore", "--exit-on-error", "-d", made.name, dump
            )
        made.execute(*MOVED[what], "SELECT analytics.set_setting('gate', 'off')")
        migrate(made.url)
        assert refresh(made, NOW)[0] == "full"
        assert view_differences(made, NOW) == []
        assert made.rows("SELECT message FROM analytics.source_problems()") == []


def test_a_view_that_was_noted_with_another_table_is_found(
    working: Database, server: Server
) -> None:
    """An earlier version noted what the views of a copy read, whatever the names meant."""
    with copied(server, working) as made:
        made.execute(*MOVED["a table"], "SELECT analytics.set_setting('gate', 'off')")
        assert "public.ofertas is another table" in str(
            made.rows("SELECT message FROM analytics.source_problems()")
        )
        made.execute(
            "UPDATE kpi_engine.engine_state SET source_binding = present.binding, "
            "database_identity = kpi_engine.database_identity() "
            "FROM kpi_engine.source_now() AS present"
        )
        assert "public.ofertas is another table" in str(
            made.rows("SELECT message FROM analytics.source_problems()")
        )
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            made.execute("SELECT kpi_engine.settle()")
        migrate(made.url)
        assert refresh(made, NOW)[0] == "full"
        assert view_differences(made, NOW) == []


@pytest.mark.parametrize("where", ["dump", "copy"])
def test_a_partition_that_went_before_the_next_tick(
    system_server: Server, awards: Database, where: str
) -> None:
    refresh(awards, NOW)
    detach = "ALTER TABLE public.adjudicaciones_repuesto DETACH PARTITION public.upper"
    if where == "copy":
        with copied(system_server, awards) as made:
            made.execute(detach, "DROP TABLE public.upper", "CALL analytics.tick()")
            refresh(made, NOW)
            assert view_differences(made, NOW) == []
        return
    path = awards.cluster.location / f"{awards.name}.dump"
    awards.execute(detach)
    program(awards.cluster, awards.url, "pg_dump", "-Fc", "-f", path)
    with new_database(system_server) as restored:
        restored.execute("SELECT 1")
        program(awards.cluster, restored.url, "pg_restore", "-d", restored.name, path)
        restored.execute("CALL analytics.tick()")
        assert refresh(restored, NOW) == RESTORED
        assert view_differences(restored, NOW) == []
    path.unlink()


def test_values_renamed_in_a_copy_are_an_error_as_ever(
    system_server: Server, system_database: Database
) -> None:
    install(system_database, "B")
    with system_database.session() as connection:
        fill(connection, 7, "B", TODAY, size=SMALL)
    refresh(system_database, NOW)
    swap = "ALTER TYPE teloo.estado_oferta RENAME VALUE '{}' TO '{}'"
    names = ("GANADORA", "NO_SELECCIONADA")
    with copied(system_server, system_database) as made:
        made.execute(
            swap.format(names[0], "x"),
            swap.format(names[1], names[0]),
            swap.format("x", names[1]),
            "CALL analytics.tick()",
        )
        with pytest.raises(AssertionError, match="is called 'NO_SELECCIONADA' now"):
            refresh(made, NOW)


def test_a_database_with_another_locale_is_refused(
    working: Database, dump: Path, server: Server
) -> None:
    postgres = Database(server.cluster, "postgres")
    restored = Database(server.cluster, server.new_name("ascii"))
    postgres.execute(f"CREATE DATABASE {restored.name} LOCALE 'C' TEMPLATE template0")
    try:
        program(working.cluster, restored.url, "pg_restore", "-d", restored.name, dump)
        restored.execute("CALL analytics.tick()")
        with restored.session() as connection:
            rows = connection.execute(
                "SELECT refresh_status, error_message FROM analytics.refresh_all_mv()"
            ).fetchall()
        assert {status for status, _ in rows} == {"ERROR"}
        assert "CITROËN and citroën would be two brands" in rows[-1][1]
    finally:
        postgres.execute(f"DROP DATABASE {restored.name} WITH (FORCE)")


# -- what the gate refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "who"),
    [("new database", "tick"), ("new database", "migrate"), ("over itself", "refresh")],
    ids=lambda how: how,
)
def test_a_restore_does_not_publish_what_the_gate_refused(
    market: Database, system_server: Server, where: str, who: str
) -> None:
    ((month, requests),) = market.rows(
        "SELECT mes, solicitudes_creadas FROM analytics.mv_metricas_mensuales "
        "WHERE mes < '2026-11-01' ORDER BY solicitudes_creadas DESC LIMIT 1"
    )
    market.execute(
        "UPDATE solicitudes SET created_at = created_at - interval '60 years' "
        f"WHERE created_at >= '{month}'::date + interval '5 hours' "
        f"AND created_at < '{month}'::date + interval '25 days'"
    )
    assert test_gate.refresh(market)["mv_metricas_mensuales"] == "ERROR"
    held = {view for view, *_ in market.rows(test_gate.HELD)}
    shown = test_gate.contents(market)
    path = market.cluster.location / f"{market.name}.dump"
    program(market.cluster, market.url, "pg_dump", "-Fc", "-f", path)
    with new_database(system_server) as made:
        restored = made if where == "new database" else market
        restored.execute("SELECT 1")
        options = ("--clean", "--if-exists") if restored is market else ()
        program(
            market.cluster, restored.url, "pg_restore", "--exit-on-error", *options,
            "-d", restored.name, path,
        )  # fmt: skip
        assert test_gate.contents(restored) != shown, "pg_restore fills the views"
        if who == "tick":
            restored.execute("CALL analytics.tick()")
        elif who == "migrate":
            migrate(restored.url)
        else:
            test_gate.refresh(restored)
        for view in held:
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="populated"):
                restored.rows(f"SELECT * FROM analytics.{view}")
        test_gate.refresh(restored)
        messages = [
            str(message)
            for (message,) in restored.rows(
                "SELECT message FROM analytics.health_problems() "
                "WHERE problem IN ('gate', 'never_populated')",
                today=test_gate.LATE,
            )
        ]
        for view in held:
            assert f"view {view} has lost its contents" in " ".join(messages)
            assert f"view {view} is empty, and the gate holds its publish" in " ".join(messages)
        for view in set(shown) - held:
            assert list(restored.rows(PUBLISHED.format(view))) == shown[view]
        # The word of an operator publishes it.
        for view in held:
            restored.execute(f"SELECT analytics.accept_gate('{view}', 'once', 'it is right')")
        assert set(test_gate.refresh(restored).values()) == {"SUCCESS"}
        assert restored.rows(
            f"SELECT solicitudes_creadas FROM analytics.mv_metricas_mensuales WHERE mes = '{month}'"
        ) != [(requests,)]
    path.unlink()


def test_a_derived_table_that_somebody_dropped_is_filled_again(working: Database) -> None:
    refresh(working, NOW)
    ((active,),) = working.rows(
        "SELECT substring(pg_get_viewdef('kpi_engine.solicitud_facts'::regclass) "
        "FROM 'solicitud_facts_[ab]')"
    )
    working.execute(f"DROP TABLE kpi_engine.{active} CASCADE")
    migrate(working.url)
    assert refresh(working, NOW) == ("full", f"table {active} was gone")
    assert view_differences(working, NOW) == []


# -- copies of the files of a whole server ---------------------------------------------------------


@pytest.fixture
def archiving() -> Iterator[Database]:
    """A refreshed marketplace in a server whose WAL is archived."""
    cluster = Cluster(
        f"test-archiving-{os.getpid()}-{next(SERVER_NUMBERS)}",
        binaries=system_binaries(),
        database="cron",
        settings=TEST_SETTINGS + "\nwal_level = replica\nmax_wal_senders = 4\n",
    )
    try:
        cluster.start()
        archive = cluster.location / "archive"
        cluster.must("mkdir", "mkdir", archive)
        database = Database(cluster, "teloo")
        Database(cluster, "postgres").execute(
            "ALTER SYSTEM SET archive_mode = 'on'",
            f"ALTER SYSTEM SET archive_command = 'cp %p {archive}/%f'",
            f"ALTER SYSTEM SET restore_command = 'cp {archive}/%f %p'",
        )
        cluster.stop()
        cluster.start()
        cluster.make_database("teloo")
        make_working(database)
        yield database
    finally:
        cluster.remove()


@contextmanager
def recovered_to(database: Database, base: Path, moment: object) -> Iterator[Database]:
    """Another server, recovered from a base backup and the archive up to a moment."""
    source = database.cluster
    other = Cluster(
        source.name.replace("archiving", "recovered"), binaries=source.binaries, database="cron"
    )
    try:
        other.make_location()
        source.must("cp", "cp", "-a", base, other.data)
        source.must("touch", "touch", other.data / "recovery.signal")
        (other.home / "binaries").write_text(str(source.binaries), encoding="utf-8")
        (other.home / "password").write_text(source.password, encoding="utf-8")
        with (other.data / "teloo.conf").open("a", encoding="utf-8") as file:
            file.write(f"\nrecovery_target_time = '{moment}'\nrecovery_target_action = promote\n")
        (other.home / "ready").touch()
        other.start()
        recovered = Database(other, "teloo")
        recovered.wait_until("SELECT NOT pg_is_in_recovery()")
        yield recovered
    finally:
        other.remove()


def test_recovered_to_a_moment_it_goes_on_from_there(archiving: Database) -> None:
    cluster = archiving.cluster
    base = cluster.location / "base"
    backup = ("pg_basebackup", cluster.binaries / "pg_basebackup", "-D", base, "-X", "none")
    cluster.must(*backup, "-c", "fast", "-d", cluster.url("postgres"))
    assert refresh(archiving, NOW)[0] == "incremental"
    kept = history(archiving)
    writes(archiving, 20)
    ((moment,),) = archiving.rows("SELECT clock_timestamp()")
    # What came after that moment is gone: a refresh, a table without triggers, and new triggers.
    assert refresh(archiving, NOW)[0] == "incremental"
    archiving.execute(PAST_TRIGGERS)
    assert refresh(archiving, NOW)[0] == "full"
    archiving.execute("SELECT pg_switch_wal()")
    archived = "SELECT last_archived_wal >= pg_walfile_name('{}') FROM pg_stat_archiver"
    ((written,),) = archiving.rows("SELECT pg_current_wal_lsn()")
    archiving.execute("SELECT txid_current()", "SELECT pg_switch_wal()")
    archiving.wait_until(archived.format(written))
    with recovered_to(archiving, base, moment) as recovered:
        assert history(recovered) == kept
        assert refresh(recovered, NOW)[0] == "incremental"
        check_working(recovered)


def test_a_copy_of_the_server_beside_it_goes_on(archiving: Database) -> None:
    cluster = archiving.cluster
    beside = Cluster(
        cluster.name.replace("archiving", "beside"), binaries=cluster.binaries, database="cron"
    )
    try:
        beside.make_location()
        backup = ("pg_basebackup", cluster.binaries / "pg_basebackup", "-D", beside.data)
        cluster.must(*backup, "-c", "fast", "-d", cluster.url("postgres"))
        (beside.home / "binaries").write_text(str(cluster.binaries), encoding="utf-8")
        (beside.home / "password").write_text(cluster.password, encoding="utf-8")
        (beside.home / "ready").touch()
        beside.start()
        made = Database(beside, "teloo")
        assert refresh(made, NOW)[0] == "incremental"
        check_working(made)
    finally:
        beside.remove()
    assert refresh(archiving, NOW)[0] == "incremental"
    assert view_differences(archiving, NOW) == []
