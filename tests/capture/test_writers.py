"""Writers of the operational tables never fail or wait because of change capture."""

import re
from collections.abc import Iterator
from datetime import date

import psycopg
import pytest

from commandline.console import UserError
from conftest import Database, install
from migrate import migrate
from sequences import last_run, refresh, small_marketplace, view_differences
from uninstall import uninstall

NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
NOTING = (
    "note_changed_id()",
    "note_changed_solicitud_id()",
    "note_changed_oferta_id()",
    "note_truncate()",
)
RAISING = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''no''; END';
    CREATE TRIGGER refuse BEFORE INSERT ON kpi_engine.{table}
    FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""


def of_each(action: str) -> str:
    """Return one statement that alters all trigger functions."""
    return "; ".join(f"ALTER FUNCTION kpi_engine.{name} {action}" for name in NOTING)


# What is done to the database behind our back, and how it is undone (None: it can't be).
BREAKS: dict[str, tuple[str, str | None]] = {
    "the request of an offer is renamed": (
        "ALTER TABLE public.ofertas RENAME COLUMN solicitud_id TO request_id",
        "ALTER TABLE public.ofertas RENAME COLUMN request_id TO solicitud_id",
    ),
    "the id of requests is renamed": (
        "ALTER TABLE public.solicitudes RENAME COLUMN id TO request_id",
        "ALTER TABLE public.solicitudes RENAME COLUMN request_id TO id",
    ),
    "the offer of a line is renamed and another column gets its name": (
        "ALTER TABLE public.ofertas_detalle RENAME COLUMN oferta_id TO offer; "
        "ALTER TABLE public.ofertas_detalle ADD COLUMN oferta_id text",
        "ALTER TABLE public.ofertas_detalle DROP COLUMN oferta_id; "
        "ALTER TABLE public.ofertas_detalle RENAME COLUMN offer TO oferta_id",
    ),
    "a key column is dropped": (
        "ALTER TABLE public.ofertas DROP COLUMN solicitud_id CASCADE",
        None,
    ),
    "a key column is retyped": (
        "DROP VIEW kpi_engine.src_ofertas_historicas CASCADE; "
        "ALTER TABLE public.ofertas_historicas ALTER COLUMN id TYPE text",
        None,
    ),
    "schema kpi_engine is renamed": (
        "ALTER SCHEMA kpi_engine RENAME TO kpi_engine_old",
        "ALTER SCHEMA kpi_engine_old RENAME TO kpi_engine",
    ),
    "the log is renamed": (
        "ALTER TABLE kpi_engine.change_log RENAME TO change_log_old",
        "ALTER TABLE kpi_engine.change_log_old RENAME TO change_log",
    ),
    "the log is dropped": ("DROP TABLE kpi_engine.change_log CASCADE", None),
    "a column of the log is renamed": (
        "ALTER TABLE kpi_engine.change_log RENAME COLUMN key TO id",
        "ALTER TABLE kpi_engine.change_log RENAME COLUMN id TO key",
    ),
    "the log gets a column that must be filled": (
        "ALTER TABLE kpi_engine.change_log ADD COLUMN source text NOT NULL",
        None,
    ),
    "the log gets a constraint": (
        "ALTER TABLE kpi_engine.change_log ADD CONSTRAINT none CHECK (entity = 'none') NOT VALID",
        "ALTER TABLE kpi_engine.change_log DROP CONSTRAINT none",
    ),
    "the log gets a trigger that fails": (
        RAISING.format(table="change_log"),
        "DROP TRIGGER refuse ON kpi_engine.change_log",
    ),
    "the log gets a unique index": (
        "CREATE UNIQUE INDEX one ON kpi_engine.change_log ((1))",
        "DROP INDEX kpi_engine.one",
    ),
    "the log gets a rule": (
        "CREATE RULE none AS ON INSERT TO kpi_engine.change_log DO INSTEAD NOTHING",
        "DROP RULE none ON kpi_engine.change_log",
    ),
    "the log gets forced row-level security": (
        "ALTER TABLE kpi_engine.change_log ENABLE ROW LEVEL SECURITY; "
        "ALTER TABLE kpi_engine.change_log FORCE ROW LEVEL SECURITY",
        "ALTER TABLE kpi_engine.change_log DISABLE ROW LEVEL SECURITY; "
        "ALTER TABLE kpi_engine.change_log NO FORCE ROW LEVEL SECURITY",
    ),
    "both logs get a trigger that fails": (
        RAISING.format(table="change_log")
        + "; CREATE TRIGGER refuse BEFORE INSERT ON kpi_engine.lost_changes "
        "FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        "DROP FUNCTION public.refuse() CASCADE",
    ),
    "the owner may not write to the log": (
        "REVOKE INSERT ON kpi_engine.change_log FROM analytics_owner",
        "GRANT INSERT ON kpi_engine.change_log TO analytics_owner",
    ),
    "the owner may not write to either log": (
        "REVOKE INSERT ON kpi_engine.change_log, kpi_engine.lost_changes FROM analytics_owner",
        "GRANT INSERT ON kpi_engine.change_log, kpi_engine.lost_changes TO analytics_owner",
    ),
    "the owner may not use the schema": (
        "REVOKE USAGE ON SCHEMA kpi_engine FROM analytics_owner",
        "GRANT USAGE ON SCHEMA kpi_engine TO analytics_owner",
    ),
    "the trigger functions belong to somebody else": (
        of_each("OWNER TO {role}"),
        of_each("OWNER TO analytics_owner"),
    ),
    "the trigger functions run with the rights of the writer": (
        of_each("SECURITY INVOKER"),
        of_each("SECURITY DEFINER"),
    ),
}

NOWHERE_TO_NOTE = (
    "schema kpi_engine is renamed",
    "the owner may not use the schema",
    "the trigger functions belong to somebody else",
    "the trigger functions run with the rights of the writer",
)


@pytest.fixture
def market(system_database: Database) -> Database:
    """A small marketplace of generation A, refreshed."""
    return small_marketplace(system_database, "A")


@pytest.fixture
def role(market: Database) -> Iterator[str]:
    """An ordinary role of the application, which owns nothing."""
    name = f"application_{market.name}"
    market.execute(
        f"CREATE ROLE {name}",
        f"GRANT ALL ON SCHEMA public TO {name}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}",
    )
    yield name
    market.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}")
    market.execute(f"DROP ROLE {name}")


def write(database: Database, role: str) -> list[str]:
    """Write to every kind of table in every way, as the application; return the warnings."""
    warnings: list[str] = []
    with database.session() as connection:
        connection.add_notice_handler(
            lambda notice: (
                warnings.append(str(notice.message_primary))
                if notice.severity_nonlocalized == "WARNING"
                else None
            )
        )
        connection.execute(f"SET ROLE {role}")
        for table in ("solicitudes", "ofertas", "ofertas_detalle", "ofertas_historicas"):
            row = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
                [f"public.{table}"],
            ).fetchone()
            assert row is not None
            key = row[0]
            connection.execute(
                f"CREATE TEMPORARY TABLE kept AS SELECT * FROM public.{table} ORDER BY {key} "
                "LIMIT 2"
            )
            connection.execute(f"UPDATE public.{table} SET created_at = created_at")
            connection.execute(
                f"DELETE FROM public.{table} WHERE {key} IN (SELECT {key} FROM kept)"
            )
            connection.execute(f"INSERT INTO public.{table} SELECT * FROM kept")
            connection.execute("DROP TABLE kept")
        connection.execute("TRUNCATE public.historial_respuestas_ofertas")
    return warnings


def outcome(database: Database) -> str:
    """Refresh; return SUCCESS with the mode of the run, or the error by name."""
    try:
        with database.session() as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
            if {row[1] for row in rows} == {"SUCCESS"}:
                return f"SUCCESS {last_run(connection)[0]}"
            return str(rows[0][3])
    except psycopg.Error as error:
        return str(error)


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.takes_turns(2)
def test_a_writer_succeeds_whatever_became_of_tables_log_schema_and_rights(
    market: Database, role: str, broken: str
) -> None:
    breaking, mending = BREAKS[broken]
    market.execute(breaking.format(role=role))
    warnings = write(market, role)
    assert warnings
    # Where there is a log left to write to, it is written to, once for each transaction.
    assert any("by key" in text for text in warnings) == (broken not in NOWHERE_TO_NOTE), warnings
    assert all("could not be noted" in text for text in warnings), warnings
    first = outcome(market)
    if first.startswith("SUCCESS"):
        assert first == "SUCCESS full"
        assert "capture_gap" in str(market.rows("SELECT problem FROM analytics.health_problems()"))
    else:
        words = ("does not exist", "permission denied", "row", "changed under the KPIs")
        assert any(word in first for word in words), first
    if mending is not None:
        # What was written before it was mended is not lost, and nor is it forgotten.
        write(market, role)
        market.execute(mending)
        assert outcome(market) == "SUCCESS full"
        assert view_differences(market, NOW) == []
        assert market.rows("SELECT count(*) FROM kpi_engine.lost_changes") == [(0,)]
        market.execute("VACUUM kpi_engine.change_log", "VACUUM kpi_engine.lost_changes")
        assert market.rows("SELECT analytics.capture_gap()") == [(None,)]
        refresh(market, NOW)
        assert write(market, role) == []
        market.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
        refresh(market, NOW)
        assert view_differences(market, NOW) == []
        market.execute("UPDATE public.solicitudes SET estado = 'ABIERTA'")
        assert outcome(market) == "SUCCESS incremental"
        assert view_differences(market, NOW) == []


def test_a_writer_waits_a_moment_only_for_a_lock_on_the_log(market: Database, role: str) -> None:
    with market.session() as stranger, stranger.transaction():
        stranger.execute("LOCK TABLE kpi_engine.change_log IN ACCESS EXCLUSIVE MODE")
        with market.session() as writer:
            writer.execute(f"SET ROLE {role}")
            # As good as for ever: only our own limit ends the wait.
            writer.execute("SET lock_timeout = '100s'")
            writer.execute("SET statement_timeout = '60s'")
            writer.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
            assert writer.execute("SHOW lock_timeout").fetchone() == ("100s",)
    assert refresh(market, NOW) == (
        "full",
        "a change of a source table could not be noted by key",
    )
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("how", ["open", "prepared"])
def test_a_change_that_only_the_sequence_notes_counts_when_it_commits_after_a_refresh(
    market: Database, how: str
) -> None:
    """No transaction with a later number has ended: a snapshot does not list the writer."""
    with market.connect() as writer:
        with market.session() as stranger, stranger.transaction():
            stranger.execute(
                "LOCK TABLE kpi_engine.change_log, kpi_engine.lost_changes IN ACCESS EXCLUSIVE MODE"
            )
            writer.execute("BEGIN")
            writer.execute("UPDATE public.ofertas SET estado = 'RECHAZADA'")
            if how == "prepared":
                writer.execute("PREPARE TRANSACTION 'writer'")
        assert refresh(market, NOW)[0] == "full"
        market.execute("CALL analytics.tick()")
        # It has not ended yet, so nobody knows what it will change.
        assert refresh(market, NOW)[0] == "full"
        writer.execute("COMMIT PREPARED 'writer'" if how == "prepared" else "COMMIT")
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []
    assert refresh(market, NOW)[0] == "unchanged"


def test_what_a_savepoint_took_back_does_not_hide_what_is_lost_after_it(
    market: Database, role: str
) -> None:
    market.execute("ALTER TABLE public.ofertas RENAME COLUMN solicitud_id TO request_id")
    with market.session() as writer:
        writer.execute(f"SET ROLE {role}")
        with writer.transaction():
            with writer.transaction(force_rollback=True):
                writer.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
            writer.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
            writer.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
    assert market.rows("SELECT count(*) FROM kpi_engine.lost_changes") == [(1,)]
    market.execute("ALTER TABLE public.ofertas RENAME COLUMN request_id TO solicitud_id")
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []


def test_a_lost_change_after_a_refresh_in_one_transaction_is_noted(
    market: Database, role: str
) -> None:
    """The refresh takes the note of the first one, and the mark of it with it."""
    market.execute(BREAKS["the log gets a constraint"][0])
    with market.session() as writer, writer.transaction():
        writer.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        for state in ("ACEPTADA", "RECHAZADA"):
            writer.execute(f"SET ROLE {role}")
            writer.execute(f"UPDATE public.ofertas SET estado = '{state}'")
            writer.execute("RESET ROLE")
            if state == "ACEPTADA":
                writer.execute("SELECT * FROM analytics.refresh_all_mv()")
    assert market.rows("SELECT count(*) FROM kpi_engine.lost_changes") == [(1,)]
    market.execute(str(BREAKS["the log gets a constraint"][1]))
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize(
    "setting",
    [
        "plpgsql.variable_conflict = error",
        "plpgsql.extra_errors = 'all'",
        "row_security = off",
        "standard_conforming_strings = off",
        "default_transaction_isolation = serializable",
        "default_transaction_isolation = 'repeatable read'",
        "search_path = ''",
        "lock_timeout = '1ms'",
        "session_replication_role = replica",
        "client_encoding = LATIN1",
        "DateStyle = 'SQL, DMY'",
        "enable_hashagg = off",
        "enable_indexscan = off",
        "work_mem = '64kB'",
    ],
)
def test_the_settings_of_a_writer_do_not_matter(market: Database, setting: str) -> None:
    with market.session() as writer:
        writer.execute(f"SET {setting}")
        writer.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
        writer.execute("DELETE FROM public.ofertas_detalle")
    assert market.rows("SELECT count(*) FROM kpi_engine.lost_changes") == [(0,)]
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []


def test_an_update_of_many_rows_after_updates_of_one_is_not_quadratic(market: Database) -> None:
    with market.session() as writer:
        writer.execute(
            "INSERT INTO public.usuarios (id, nombre, apellido, telefono, rol) "
            "SELECT gen_random_uuid(), 'Ana', 'Ruiz', '3', 'CLIENT' FROM generate_series(1, 30000)"
        )
        for _ in range(8):
            writer.execute(
                "UPDATE public.usuarios SET nombre = 'Eva' WHERE id = "
                "(SELECT id FROM public.usuarios ORDER BY id LIMIT 1)"
            )
        # Compared pair by pair these would take minutes.
        writer.execute("SET statement_timeout = '60s'")
        writer.execute("UPDATE public.usuarios SET nombre = 'Ana'")


def test_noting_never_overflows_the_numbers_of_subtransactions(server_18: object) -> None:
    from conftest import Server, fresh_database

    assert isinstance(server_18, Server)
    for database in fresh_database(server_18):
        install(database)
        shown = (
            "SELECT subxact_count, subxact_overflowed FROM pg_stat_get_backend_idset() AS id, "
            "pg_stat_get_backend_subxact(id) "
            "WHERE pg_stat_get_backend_pid(id) = pg_backend_pid()"
        )
        insert = (
            "INSERT INTO public.usuarios (id, nombre, apellido, telefono, rol) "
            "VALUES (gen_random_uuid(), 'Ana', 'Ruiz', '3', 'CLIENT')"
        )
        with database.session() as writer, writer.transaction():
            # Past the first microseconds each statement is counted.
            writer.execute("SELECT pg_sleep(0.01)")
            for _ in range(100):
                writer.execute(insert)
            assert writer.execute(shown).fetchone() == (16, False)
        with database.session() as writer:
            # As fast as a session can, with all plans made.
            for _ in range(20):
                with writer.transaction():
                    writer.execute(
                        f"DO $$ BEGIN FOR i IN 1..200 LOOP {insert}; END LOOP; END $$".encode()
                    )
                    assert writer.execute(shown).fetchone()[1] is False  # type: ignore[index]


def test_a_generated_key_column_fails_no_writer_and_is_refused(server_18: object) -> None:
    """PostgreSQL computes a virtual column when it is read, and not for a trigger."""
    from conftest import Server, fresh_database

    assert isinstance(server_18, Server)
    for database in fresh_database(server_18):
        market = small_marketplace(database, "A")
        market.execute(
            "ALTER TABLE public.ofertas RENAME COLUMN solicitud_id TO request_id",
            "ALTER TABLE public.ofertas ADD COLUMN solicitud_id uuid "
            "GENERATED ALWAYS AS (request_id) VIRTUAL",
        )
        with market.session() as writer, writer.transaction():
            # More statements than are written in a subtransaction.
            writer.execute("SELECT pg_sleep(0.01)")
            for days in range(25):
                writer.execute("UPDATE public.ofertas SET tiempo_entrega_dias = %s", [days])
            writer.execute("DELETE FROM public.ofertas_detalle")
            writer.execute("DELETE FROM public.adjudicaciones_repuesto")
            writer.execute(
                "DELETE FROM public.ofertas WHERE id = (SELECT id FROM public.ofertas LIMIT 1)"
            )
        (gap,) = market.rows("SELECT analytics.capture_gap()")[0]
        assert "column solicitud_id of table public.ofertas is VIRTUAL" in str(gap)
        with pytest.raises(UserError) as refusal:
            migrate(market.url)
        assert "solicitud_id is a VIRTUAL generated column" in str(refusal.value.hint)
        market.execute(
            "ALTER TABLE public.ofertas DROP COLUMN solicitud_id",
            "ALTER TABLE public.ofertas RENAME COLUMN request_id TO solicitud_id",
        )
        assert outcome(market) == "SUCCESS full"
        assert view_differences(market, NOW) == []
        # A part may have another expression than the whole.
        market.execute(
            "BEGIN; SELECT analytics.release_source(); ALTER TABLE public.ofertas_detalle "
            "DROP COLUMN precio_unitario, ADD COLUMN precio_unitario numeric(12,2) "
            "GENERATED ALWAYS AS (1000 * cantidad) STORED; SELECT analytics.bind_source(); COMMIT",
            "CREATE TABLE public.old_lines () INHERITS (public.ofertas_detalle)",
            "INSERT INTO public.old_lines (id, oferta_id, repuesto_solicitado_id, cantidad, "
            "garantia_meses, tiempo_entrega_dias) "
            "SELECT gen_random_uuid(), ofertas.id, repuestos_solicitados.id, 1, 6, 3 "
            "FROM public.ofertas INNER JOIN public.repuestos_solicitados USING (solicitud_id)",
            "CALL analytics.apply_change_capture()",
        )
        refresh(market, NOW)
        market.execute(
            "ALTER TABLE public.old_lines ALTER COLUMN precio_unitario SET EXPRESSION AS (7)"
        )
        assert view_differences(market, NOW)
        assert outcome(market) == "SUCCESS incremental"
        assert view_differences(market, NOW) == []


@pytest.mark.parametrize("options", [("-O", "-x"), ("-O",), ("-x",)])
@pytest.mark.parametrize("ordinary", [False, True])
@pytest.mark.takes_turns(2)
def test_writers_succeed_after_a_restore_without_owners_or_rights(
    market: Database, role: str, options: tuple[str, ...], ordinary: bool
) -> None:
    import os
    import subprocess

    from cluster import connection_environment

    target = f"{market.name}_restored"
    password = "restores"  # noqa: S105
    restorer = f"restorer_{market.name}"
    market.execute(
        f"CREATE ROLE {restorer} LOGIN PASSWORD '{password}'",
        f"CREATE DATABASE {target}{f' OWNER {restorer}' if ordinary else ''}",
    )
    restored = Database(market.cluster, target)
    try:
        dump = subprocess.run(
            [market.cluster.binaries / "pg_dump", *options],
            env={**os.environ, **connection_environment(market.url)},
            capture_output=True,
            check=True,
        )
        url = restored.url_as(restorer, password) if ordinary else restored.url
        subprocess.run(
            [market.cluster.binaries / "psql", "--quiet", "--dbname", target],
            input=dump.stdout,
            env={**os.environ, **connection_environment(url)},
            capture_output=True,
            check=True,
        )
        restored.execute(
            f"GRANT ALL ON SCHEMA public TO {role}",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        )
        write(restored, role)
        result = outcome(restored)
        assert not result.startswith("SUCCESS") or view_differences(restored, NOW) == [], result
    finally:
        market.execute(f"DROP DATABASE {target} WITH (FORCE)", f"DROP ROLE {restorer}")


def test_writers_succeed_after_rights_on_functions_were_taken_from_public(
    market: Database, role: str
) -> None:
    """The triggers call functions of PostgreSQL with the rights of analytics_owner."""
    called = [
        str(function)
        for (function,) in market.rows(
            "SELECT pg_proc.oid::regprocedure FROM pg_proc "
            "CROSS JOIN aclexplode(pg_proc.proacl) AS granted "
            "WHERE pronamespace = 'pg_catalog'::regnamespace "
            "AND granted.grantee = 'analytics_owner'::regrole"
        )
    ]
    names = {function.split("(")[0] for function in called}
    bodies = market.rows(
        "SELECT string_agg(prosrc, ' ') FROM pg_proc "
        "WHERE pronamespace = 'kpi_engine'::regnamespace AND prosrc IS NOT NULL "
        "AND proname = ANY (kpi_engine.noting_functions() || ARRAY["
        "'note_lost_change', 'note_outside_change', 'note_emptied', 'is_apply_worker']::name[])"
    )
    words = set(re.findall(r"\b([a-z_0-9]+)\(", str(bodies[0][0])))
    known = {
        str(name)
        for (name,) in market.rows(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        )
    }
    assert words & known == names - {"pg_typeof"}, "see kpi_engine.package_needs()"
    market.execute(*(f"REVOKE EXECUTE ON FUNCTION {function} FROM public" for function in called))
    with market.session() as connection:
        connection.execute("BEGIN")
        connection.execute(f"SET LOCAL ROLE {role}")
        # Later than in its first microseconds, a transaction leaves a mark.
        connection.execute("SELECT pg_sleep(0.01)")
        connection.execute("UPDATE public.ofertas SET updated_at = updated_at")
        connection.execute("COMMIT")
    assert write(market, role) == []
    assert refresh(market, NOW)[0] in ("incremental", "full")
    assert view_differences(market, NOW) == []


def test_uninstall_takes_back_the_rights_on_functions(market: Database) -> None:
    granted = (
        "SELECT count(*) FROM pg_proc CROSS JOIN aclexplode(pg_proc.proacl) AS granted "
        "WHERE pronamespace = 'pg_catalog'::regnamespace "
        "AND granted.grantee::regrole::text LIKE 'analytics\\_%'"
    )
    assert market.rows(granted) == [(15,)]
    uninstall(market.url)
    assert market.rows(granted) == [(0,)]
