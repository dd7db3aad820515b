"""Change capture: which keys are noted, by whom, and what happens where it has a gap."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest

import golden_data
from conftest import Database, Server, fresh_database, install, made_once
from development.demo_source import load_source_schema
from faults.killing import POINTS_OF_A_REFRESH, Work, held
from golden_data import expected_views, load_change, load_source
from marketplace import (
    BASE_SEED,
    SMALL,
    TABLES,
    Generation,
    audits_table,
    fill,
    schema_of,
)
from migrate import migrate
from oracle import all_differences, compute, read_views
from sequences import audited, refresh, small_marketplace, view_differences
from source.test_source_binding import problems

TAKES_MINUTES = True

NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
Noted = set[tuple[str, str | None]]

# What a change of a row is noted as, and by which column; of clients nothing is derived.
NOTED = {
    "usuarios": ("usuario", "id"),
    "asesores": ("asesor", "id"),
    "solicitudes": ("solicitud", "id"),
    "repuestos_solicitados": ("solicitud", "solicitud_id"),
    "ofertas": ("solicitud", "solicitud_id"),
    "ofertas_detalle": ("oferta", "oferta_id"),
    "adjudicaciones_repuesto": ("oferta", "oferta_id"),
    "ofertas_historicas": ("historica", "id"),
    "historial_respuestas_ofertas": ("notificacion", "id"),
    "auditorias_tiendas": ("auditoria", "id"),
    "auditoria_tiendas": ("auditoria", "id"),
}
PARENTS = {"solicitud_id": "solicitudes", "oferta_id": "ofertas"}
TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'teloo\\_analytics\\_%'"


@pytest.fixture(params=["A", "B"])
def generation(request: pytest.FixtureRequest) -> Generation:
    """Each generation of the source schema."""
    return "A" if request.param == "A" else "B"


@pytest.fixture
def market(system_database: Database, generation: Generation) -> Database:
    """A small marketplace of each generation."""
    return small_marketplace(system_database, generation)


@pytest.fixture
def market_a(system_database: Database) -> Database:
    """A small marketplace of generation A."""
    return small_marketplace(system_database, "A")


@pytest.fixture
def writer_role(system_database: Database) -> Iterator[str]:
    """A role of the application: it may write the operational tables, and nothing else."""
    role = f"application_{system_database.name}"
    system_database.execute(f"CREATE ROLE {role}")
    yield role
    system_database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def tables_of(generation: Generation) -> list[str]:
    """Return the source tables that are captured."""
    return [table for table in (*TABLES[:10], audits_table(generation)) if table in NOTED]


def noted(connection: psycopg.Connection) -> Noted:
    """Take what the log holds."""
    rows = connection.execute(
        "DELETE FROM kpi_engine.change_log RETURNING entity, key::text"
    ).fetchall()
    return {(row[0], row[1]) for row in rows}


def keys_of(connection: psycopg.Connection, table: str, ids: list[str]) -> Noted:
    """Return what has to be noted of rows."""
    entity, column = NOTED[table]
    rows = connection.execute(
        f"SELECT {column}::text FROM {table} WHERE id = ANY (%s::uuid[]) AND {column} IS NOT NULL",
        [ids],
    ).fetchall()
    return {(entity, row[0]) for row in rows}


# -- what is noted --------------------------------------------------------------------------------


@pytest.mark.parametrize("replication_role", ["origin", "replica"])
def test_every_kind_of_write_to_every_table_notes_exactly_the_keys(
    market: Database, generation: Generation, replication_role: str
) -> None:
    for table in tables_of(generation):
        entity, column = NOTED[table]
        with (
            market.session() as connection,
            connection.transaction(force_rollback=True),
        ):
            connection.execute(f"SET LOCAL session_replication_role = {replication_role}")
            connection.execute(f"SET LOCAL search_path = {schema_of(generation)}")
            noted(connection)
            ids = [
                row[0]
                for row in connection.execute(
                    f"SELECT id::text FROM {table} WHERE {column} IS NOT NULL ORDER BY id LIMIT 3"
                ).fetchall()
            ]
            assert len(ids) == 3, table
            expected = keys_of(connection, table, ids)
            connection.execute(f"UPDATE {table} SET id = id WHERE id = ANY (%s::uuid[])", [ids])
            assert noted(connection) == expected, f"UPDATE {table}"
            connection.execute(f"UPDATE {table} SET id = id WHERE false")
            assert noted(connection) == set(), f"UPDATE {table} of no row"

            # With what hangs on it, which is noted besides, unless foreign keys are off.
            with connection.transaction(force_rollback=True):
                connection.execute(f"DELETE FROM {table} WHERE id = ANY (%s::uuid[])", [ids])
                deleted = noted(connection)
            assert expected <= deleted, f"DELETE FROM {table}"
            if replication_role == "replica":
                assert deleted == expected, f"DELETE FROM {table}"

            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(
                f"CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM {table} "
                "WHERE id = ANY (%s::uuid[])",
                [ids],
            )
            with connection.cursor().copy("COPY kept TO STDOUT") as copy:
                lines = [bytes(line) for line in copy]
            for operation in ("INSERT", "COPY"):
                connection.execute("SET LOCAL session_replication_role = replica")
                connection.execute(f"DELETE FROM {table} WHERE id = ANY (%s::uuid[])", [ids])
                noted(connection)
                connection.execute(f"SET LOCAL session_replication_role = {replication_role}")
                if operation == "INSERT":
                    connection.execute(f"INSERT INTO {table} SELECT * FROM kept")
                else:
                    with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy_in:
                        for line in lines:
                            copy_in.write(line)
                assert noted(connection) == expected, f"{operation} {table}"
            connection.execute("SET LOCAL session_replication_role = replica")
            new_id = "00000000-0000-0000-0000-000000000001"
            connection.execute(f"UPDATE {table} SET id = '{new_id}' WHERE id = %s::uuid", [ids[0]])
            changed = noted(connection)
            if column == "id":
                assert changed == {(entity, ids[0]), (entity, new_id)}, f"key of {table}"

            connection.execute(f"TRUNCATE {table} CASCADE")
            assert noted(connection) == {("everything", None)}, f"TRUNCATE {table}"
            connection.execute("DROP TABLE kept")


def test_a_row_that_moves_notes_the_parent_it_leaves_and_the_one_it_comes_to(
    market: Database, generation: Generation
) -> None:
    for table in tables_of(generation):
        entity, column = NOTED[table]
        if column == "id":
            continue
        with (
            market.session() as connection,
            connection.transaction(force_rollback=True),
        ):
            connection.execute(f"SET LOCAL search_path = {schema_of(generation)}")
            row = connection.execute(
                f"SELECT id::text, {column}::text FROM {table} WHERE {column} IS NOT NULL "
                "ORDER BY id LIMIT 1"
            ).fetchone()
            assert row is not None
            moved, old_parent = row
            other = connection.execute(
                f"SELECT max(id::text) FROM {PARENTS[column]} WHERE id::text <> %s", [old_parent]
            ).fetchone()
            assert other is not None
            noted(connection)
            connection.execute(
                f"UPDATE {table} SET {column} = %s::uuid WHERE id = %s::uuid", [other[0], moved]
            )
            assert noted(connection) == {(entity, old_parent), (entity, other[0])}, table
            if generation == "B":
                connection.execute(
                    f"UPDATE {table} SET {column} = NULL WHERE id = %s::uuid", [moved]
                )
                assert noted(connection) == {(entity, other[0])}, table


def test_truncate_of_a_table_that_is_not_captured_is_noted_by_what_hangs_on_it(
    market: Database, generation: Generation
) -> None:
    market.execute(f"TRUNCATE {schema_of(generation)}.clientes CASCADE")
    assert refresh(market, NOW) == (
        "full",
        "a source table was truncated, or one above several was written to",
    )
    assert view_differences(market, NOW) == []


def test_a_role_without_rights_on_the_schema_can_write_everything(
    market: Database, generation: Generation, writer_role: str
) -> None:
    schema = schema_of(generation)
    market.execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {writer_role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {schema} "
        f"TO {writer_role}",
        # A log of the writer's own must not catch what is meant for ours.
        f"GRANT TEMPORARY ON DATABASE {market.name} TO {writer_role}",
    )
    with market.session() as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {writer_role}")
        connection.execute(f"SET search_path = pg_temp, {schema}")
        connection.execute("CREATE TEMPORARY TABLE change_log (entity text, key uuid)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM kpi_engine.change_log")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM kpi_engine.engine_state")
        for table in (*tables_of(generation), "clientes"):
            connection.execute(f"UPDATE {table} SET id = id")
        fill(connection, BASE_SEED + 1, generation, TODAY, size=SMALL)
        connection.execute("DELETE FROM usuarios WHERE id::text < '4'")
        assert connection.execute("SELECT FROM change_log").fetchall() == []
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []
    with market.session() as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {writer_role}")
        connection.execute(f"TRUNCATE {schema}.usuarios CASCADE")
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("generation", ["A", "B"])
def test_the_golden_day_of_work_is_applied_incrementally(
    database: Database, generation: str
) -> None:
    load_source(database.url, generation)
    migrate(database.url)
    assert refresh(database, golden_data.NOW)[0] == "full"
    load_change(database.url, generation)
    assert refresh(database, golden_data.NOW)[0] == "incremental"
    with database.session() as connection:
        expected = expected_views(generation, changed=True)
        assert all_differences(expected, read_views(connection)) == []
    assert audited(database) == 0
    assert refresh(database, golden_data.NOW)[0] == "unchanged"


# -- gaps -----------------------------------------------------------------------------------------


def change_something(database: Database, generation: Generation = "A") -> None:
    """Make changes that both views show."""
    schema = schema_of(generation)
    database.execute(
        f"UPDATE {schema}.ofertas SET tiempo_entrega_dias = (tiempo_entrega_dias + 1) % 90",
        f"UPDATE {schema}.asesores SET ciudad = ciudad || 'x'",
    )
    assert view_differences(database, NOW)


def test_without_capture_every_refresh_is_full_and_right_until_it_is_on_again(
    market: Database, generation: Generation
) -> None:
    assert market.rows(TRIGGERS) == [(40,)]
    market.execute("SELECT analytics.set_setting('change_capture', 'off')")
    market.execute("CALL analytics.apply_change_capture()")
    assert market.rows(TRIGGERS) == [(0,)]
    for _ in range(2):
        change_something(market, generation)
        assert refresh(market, NOW) == ("full", "the setting change_capture is off")
        assert view_differences(market, NOW) == []
    change_something(market, generation)
    market.execute("SELECT analytics.set_setting('change_capture', 'on')")
    market.execute("CALL analytics.apply_change_capture()")
    assert market.rows(TRIGGERS) == [(40,)]
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []
    change_something(market, generation)
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []


@pytest.mark.parametrize("table", [table for table in NOTED if table != "auditoria_tiendas"])
@pytest.mark.parametrize("trigger", ["insert", "update", "delete", "truncate"])
@pytest.mark.takes_turns(3)
def test_a_disabled_trigger_makes_refreshes_full_and_the_reason_names_the_table(
    capture_gaps: Database, table: str, trigger: str
) -> None:
    name = f"teloo_analytics_{trigger}"
    refresh(capture_gaps, NOW)
    assert refresh(capture_gaps, NOW)[0] == "unchanged"
    capture_gaps.execute(f"ALTER TABLE public.{table} DISABLE TRIGGER {name}")
    for _ in range(2):
        assert refresh(capture_gaps, NOW) == (
            "full",
            f"change capture is not working on public.{table}",
        )
    capture_gaps.execute(f"ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER {name}")
    assert refresh(capture_gaps, NOW)[0] == "full"
    assert refresh(capture_gaps, NOW)[0] == "unchanged"


@pytest.fixture(scope="module")
def capture_gaps(system_server: Server) -> Iterator[Database]:
    """One migrated database that many small cases share; each leaves it well."""
    for database in fresh_database(system_server):
        install(database)
        yield database


@pytest.mark.parametrize("noticed", ["by the refresh", "by tick"])
def test_a_trigger_disabled_for_a_while_makes_one_full_refresh(
    market_a: Database, noticed: str
) -> None:
    name = "teloo_analytics_update"
    market_a.execute(f"ALTER TABLE public.ofertas DISABLE TRIGGER {name}")
    change_something(market_a)
    market_a.execute(f"ALTER TABLE public.ofertas ENABLE ALWAYS TRIGGER {name}")
    if noticed == "by tick":
        market_a.execute("CALL analytics.tick()")
    assert refresh(market_a, NOW) == (
        "full",
        "change capture was missing, disabled or replaced",
    )
    assert view_differences(market_a, NOW) == []
    change_something(market_a)
    assert refresh(market_a, NOW)[0] == "incremental"
    assert view_differences(market_a, NOW) == []


@pytest.mark.parametrize("state", ["DISABLE", "ENABLE", "ENABLE REPLICA", "DROP", "another"])
@pytest.mark.takes_turns(2)
def test_no_state_of_a_trigger_lets_a_change_by_replication_or_by_hand_be_lost(
    market_a: Database, state: str
) -> None:
    """ENABLE without ALWAYS fires for everybody but replication; ENABLE REPLICA only for it."""
    name = "teloo_analytics_update"
    market_a.execute(
        {
            "DROP": f"DROP TRIGGER {name} ON public.ofertas",
            "another": f"CREATE OR REPLACE TRIGGER {name} AFTER UPDATE ON public.ofertas "
            "FOR EACH ROW WHEN (false) EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        }.get(state, f"ALTER TABLE public.ofertas {state} TRIGGER {name}")
    )
    for replication_role in ("origin", "replica"):
        market_a.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 2, estado = 'ENVIADA'")
        refresh(market_a, NOW)
        with market_a.session() as connection:
            connection.execute(f"SET session_replication_role = {replication_role}")
            connection.execute("UPDATE public.ofertas SET tiempo_entrega_dias = 1")
            connection.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
        assert view_differences(market_a, NOW)
        refresh(market_a, NOW)
        assert view_differences(market_a, NOW) == [], replication_role
    market_a.execute("CALL analytics.apply_change_capture()")
    refresh(market_a, NOW)
    change_something(market_a)
    assert refresh(market_a, NOW)[0] == "incremental"
    assert view_differences(market_a, NOW) == []


# -- installing it under load ---------------------------------------------------------------------


@pytest.mark.parametrize("made_by", ["apply_change_capture", "migrate"])
def test_a_gap_is_not_forgotten_when_the_database_is_moved_before_the_next_refresh(
    system_server: Server, market_a: Database, made_by: str
) -> None:
    refresh(market_a, NOW)
    market_a.execute("SELECT analytics.set_setting('change_capture', 'off')")
    market_a.execute("CALL analytics.apply_change_capture()")
    market_a.execute("UPDATE public.ofertas_detalle SET precio_unitario = precio_unitario / 2")
    market_a.execute("SELECT analytics.set_setting('change_capture', 'on')")
    if made_by == "apply_change_capture":
        market_a.execute("CALL analytics.apply_change_capture()")
    else:
        migrate(market_a.url)
    assert market_a.rows(TRIGGERS) == [(40,)]
    for moved in fresh_database(system_server, market_a.name):
        assert refresh(moved, NOW) == (
            "full",
            "change capture was missing, disabled or replaced",
        )
        assert view_differences(moved, NOW) == []
        assert refresh(moved, NOW)[0] == "unchanged"


def test_new_triggers_are_noted_only_where_something_was_missed(market_a: Database) -> None:
    everything = "SELECT key FROM kpi_engine.change_log WHERE entity = 'everything'"
    refresh(market_a, NOW)
    market_a.execute("CALL analytics.apply_change_capture()")
    assert market_a.rows(everything) == []
    market_a.execute(
        "ALTER TABLE public.ofertas DISABLE TRIGGER teloo_analytics_update",
        "SELECT analytics.set_setting('change_capture', 'on')",
    )
    for _ in range(2):
        market_a.execute("CALL analytics.apply_change_capture()")
        assert len(market_a.rows(everything)) == 1
    # It is in the log once it is committed, and not before.
    assert refresh(market_a, NOW)[0] == "full"
    assert market_a.rows(everything) == []
    assert refresh(market_a, NOW)[0] == "unchanged"


@pytest.mark.parametrize("setting", ["on", "off"])
def test_apply_change_capture_does_not_queue_the_application_behind_a_busy_table(
    market_a: Database, setting: str
) -> None:
    if setting == "on":
        market_a.execute("SELECT analytics.set_setting('change_capture', 'off')")
        market_a.execute("CALL analytics.apply_change_capture()")
    before = market_a.rows(TRIGGERS)
    market_a.execute(f"SELECT analytics.set_setting('change_capture', '{setting}')")
    with (
        market_a.session() as busy,
        market_a.session() as installer,
        market_a.session() as application,
        ThreadPoolExecutor(1) as pool,
    ):
        busy.execute("BEGIN")
        busy.execute("UPDATE public.auditorias_tiendas SET estado = estado")
        application.execute("SET lock_timeout = '1s'")
        result = pool.submit(installer.execute, "CALL analytics.apply_change_capture('1 second')")
        writes = 0
        while not result.done():
            # 55P03 here, which fails the test, would mean that a writer waited a second.
            application.execute("UPDATE public.usuarios SET nombre = nombre")
            application.execute("UPDATE public.ofertas SET estado = estado")
            application.execute("UPDATE public.solicitudes SET estado = estado")
            writes += 1
        with pytest.raises(psycopg.errors.LockNotAvailable, match="busy all the time"):
            result.result()
        assert writes > 1
        assert market_a.rows(TRIGGERS) == before
        busy.execute("COMMIT")
        installer.execute("CALL analytics.apply_change_capture('1 second')")
    assert market_a.rows(TRIGGERS) == [(40 if setting == "on" else 0,)]
    assert refresh(market_a, NOW)[0] == "full"
    assert view_differences(market_a, NOW) == []


@pytest.mark.parametrize("patience", ["NULL", "'-1 s'", "'2 days'"])
def test_a_patience_that_never_ends_is_refused(market_a: Database, patience: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_patience must be"):
        market_a.execute(f"CALL analytics.apply_change_capture({patience})")


def test_apply_change_capture_twice_changes_nothing(market_a: Database) -> None:
    signature = "SELECT kpi_engine.capture_signature()"
    before = market_a.rows(signature)
    market_a.execute("CALL analytics.apply_change_capture()")
    assert market_a.rows(signature) == before != [(None,)]
    assert refresh(market_a, NOW)[0] == "unchanged"


# -- partitions -----------------------------------------------------------------------------------

PARTITIONED = (
    "DROP TABLE public.historial_respuestas_ofertas",
    """CREATE TABLE public.historial_respuestas_ofertas (
        id uuid NOT NULL,
        asesor_id uuid NOT NULL REFERENCES public.asesores (id) ON DELETE CASCADE,
        solicitud_id uuid NOT NULL REFERENCES public.solicitudes (id) ON DELETE CASCADE,
        fecha_envio timestamptz NOT NULL,
        fecha_vista timestamptz,
        fecha_respuesta timestamptz,
        respondio boolean NOT NULL DEFAULT false,
        tiempo_respuesta_seg integer,
        created_at timestamptz NOT NULL DEFAULT current_timestamp,
        updated_at timestamptz NOT NULL DEFAULT current_timestamp,
        PRIMARY KEY (id, fecha_envio)
    ) PARTITION BY RANGE (fecha_envio)""",
    "CREATE TABLE public.notices_older PARTITION OF public.historial_respuestas_ofertas "
    "FOR VALUES FROM (MINVALUE) TO ('2026-11-15')",
    "CREATE TABLE public.notices_newer PARTITION OF public.historial_respuestas_ofertas "
    "FOR VALUES FROM ('2026-11-15') TO ('2026-11-22')",
)
# A free range lies behind them: 22 November and later.
NEWEST = "FOR VALUES FROM ('2026-11-22') TO (MAXVALUE)"
NEW_NOTICES = (
    "INSERT INTO public.{table} (id, asesor_id, solicitud_id, fecha_envio, respondio) "
    "SELECT gen_random_uuid(), mv_ranking_asesores.asesor_id, "
    "(SELECT min(id::text)::uuid FROM public.solicitudes), '{instant}', true "
    "FROM analytics.mv_ranking_asesores"
)


@pytest.fixture
def partitioned(system_database: Database) -> Database:
    """A small marketplace of generation A whose notifications are partitioned by month."""
    made_once(system_database, "partitioned", make_partitioned)
    return system_database


def make_partitioned(database: Database) -> None:
    load_source_schema(database.url)
    database.execute(*PARTITIONED)
    migrate(database.url)
    with database.session() as connection:
        # Its notifications may lie anywhere: for the fill there is room, then it goes.
        connection.execute(
            "CREATE TABLE public.notices_rest PARTITION OF public.historial_respuestas_ofertas "
            f"{NEWEST}"
        )
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        connection.execute("DROP TABLE public.notices_rest")
    refresh(database, NOW)
    for table, day in (("older", "10"), ("newer", "20")):
        database.execute(
            NEW_NOTICES.format(table=f"notices_{table}", instant=f"2026-11-{day} 12:00:00-05")
        )
    assert refresh(database, NOW)[0] == "incremental"
    assert view_differences(database, NOW) == []


def test_writes_through_the_parent_and_to_partitions_are_noted(partitioned: Database) -> None:
    parent = "historial_respuestas_ofertas"
    statements = (
        NEW_NOTICES.format(table=parent, instant="2026-11-20 12:00:00-05"),
        NEW_NOTICES.format(table="notices_newer", instant="2026-11-20 12:00:00-05"),
        f"UPDATE public.{parent} SET respondio = NOT respondio",
        "UPDATE public.notices_newer SET respondio = NOT respondio",
        # To another partition.
        f"UPDATE public.{parent} SET fecha_envio = '2026-09-10 12:00:00-05' "
        "WHERE fecha_envio >= '2026-11-15' AND respondio",
        NEW_NOTICES.format(table="notices_newer", instant="2026-11-20 12:00:00-05"),
        "DELETE FROM public.notices_newer",
        NEW_NOTICES.format(table=parent, instant="2026-11-20 12:00:00-05"),
        f"DELETE FROM public.{parent} WHERE fecha_envio < '2026-11-15'",
        f"DELETE FROM public.solicitudes WHERE id IN (SELECT solicitud_id FROM public.{parent})",
        NEW_NOTICES.format(table=parent, instant="2026-11-20 12:00:00-05"),
    )
    for statement in statements:
        partitioned.execute(statement)
        assert view_differences(partitioned, NOW), f"this shows nothing: {statement}"
        assert refresh(partitioned, NOW)[0] == "incremental", statement
        assert view_differences(partitioned, NOW) == [], statement
    partitioned.execute("TRUNCATE public.notices_newer")
    assert refresh(partitioned, NOW) == (
        "full",
        "a source table was truncated, or one above several was written to",
    )
    assert view_differences(partitioned, NOW) == []
    assert audited(partitioned) == 0


TAKE_OUT = "ALTER TABLE public.historial_respuestas_ofertas DETACH PARTITION public.notices_newer"
PUT_BACK = (
    "ALTER TABLE public.historial_respuestas_ofertas ATTACH PARTITION public.notices_newer "
    "FOR VALUES FROM ('2026-11-15') TO ('2026-11-22')"
)
MIDDLE_LEVEL = (
    "CREATE TABLE public.middle (LIKE public.historial_respuestas_ofertas INCLUDING ALL) "
    "PARTITION BY RANGE (fecha_envio)",
    TAKE_OUT,
    "ALTER TABLE public.middle ATTACH PARTITION public.notices_newer DEFAULT",
    PUT_BACK.replace("notices_newer", "middle"),
)
PARTITION_CHANGES = {
    "created": (
        "CREATE TABLE public.notices_newest PARTITION OF public.historial_respuestas_ofertas "
        f"{NEWEST}",
        NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 12:00:00-05"),
    ),
    "attached": (
        "CREATE TABLE public.notices_newest (LIKE public.historial_respuestas_ofertas "
        "INCLUDING ALL)",
        NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 12:00:00-05"),
        "ALTER TABLE public.historial_respuestas_ofertas "
        f"ATTACH PARTITION public.notices_newest {NEWEST}",
    ),
    "detached": (
        "ALTER TABLE public.historial_respuestas_ofertas DETACH PARTITION public.notices_newer",
    ),
    "dropped": ("DROP TABLE public.notices_newer",),
    "taken out and put back": (
        TAKE_OUT,
        "DROP TRIGGER IF EXISTS teloo_analytics_update ON public.notices_newer",
        "UPDATE public.notices_newer SET respondio = NOT respondio",
        PUT_BACK,
    ),
    "retyped outside": (
        TAKE_OUT,
        "ALTER TABLE public.notices_newer ALTER COLUMN respondio TYPE boolean USING NOT respondio",
        PUT_BACK,
    ),
    "lent to another table": (
        "CREATE TABLE public.archive (LIKE public.historial_respuestas_ofertas) "
        "PARTITION BY LIST (id)",
        TAKE_OUT,
        "ALTER TABLE public.archive ATTACH PARTITION public.notices_newer DEFAULT",
        "UPDATE public.archive SET respondio = NOT respondio",
        "DELETE FROM public.archive WHERE id = (SELECT id FROM public.archive LIMIT 1)",
        "ALTER TABLE public.archive DETACH PARTITION public.notices_newer",
        PUT_BACK,
    ),
    "under a new middle level": (
        *MIDDLE_LEVEL,
        "UPDATE public.middle SET respondio = NOT respondio",
        "DELETE FROM public.middle WHERE id = (SELECT id FROM public.middle LIMIT 1)",
    ),
}


def mode_of(change: str) -> str:
    """Where a trigger was lost, nobody knows what changed; else it is noted by keys."""
    return "full" if change == "taken out and put back" else "incremental"


@pytest.mark.parametrize("change", PARTITION_CHANGES)
def test_partitions_that_come_and_go_are_noted_by_tick(partitioned: Database, change: str) -> None:
    partitioned.execute(*PARTITION_CHANGES[change])
    assert view_differences(partitioned, NOW)
    warnings: list[str] = []
    with partitioned.session() as connection:
        connection.add_notice_handler(
            lambda notice: (
                warnings.append(str(notice.message_primary))
                if notice.severity_nonlocalized == "WARNING"
                else None
            )
        )
        connection.execute("CALL analytics.tick()")
        is_full = mode_of(change) == "full"
        assert partitioned.rows("SELECT rebuild_reason IS NULL FROM kpi_engine.engine_state") == [
            (not is_full,)
        ]
        # Once, not every minute.
        connection.execute("CALL analytics.tick()")
    assert len(warnings) == int(is_full)
    assert refresh(partitioned, NOW)[0] == mode_of(change)
    assert view_differences(partitioned, NOW) == []
    leave_it_well(partitioned)


@pytest.mark.parametrize("change", PARTITION_CHANGES)
def test_partitions_that_come_and_go_are_noted_by_a_refresh_without_a_tick(
    partitioned: Database, change: str
) -> None:
    partitioned.execute(*PARTITION_CHANGES[change])
    assert refresh(partitioned, NOW)[0] == mode_of(change)
    assert view_differences(partitioned, NOW) == []
    leave_it_well(partitioned)


@pytest.mark.parametrize("with_triggers", [False, True])
def test_writes_to_a_middle_level_without_triggers_are_found_in_its_leaves(
    partitioned: Database, with_triggers: bool
) -> None:
    partitioned.execute(*MIDDLE_LEVEL)
    refresh(partitioned, NOW)
    for statement in (
        "UPDATE public.middle SET respondio = NOT respondio",
        "UPDATE public.middle SET id = gen_random_uuid()",
        "DELETE FROM public.middle WHERE id = (SELECT id FROM public.middle LIMIT 1)",
    ):
        partitioned.execute(statement)
        if with_triggers:
            partitioned.execute("CALL analytics.apply_change_capture()")
        assert refresh(partitioned, NOW)[0] == "incremental", statement
        assert view_differences(partitioned, NOW) == [], statement
        assert audited(partitioned) == 0
    leave_it_well(partitioned)


def test_rights_on_columns_alone_do_not_fail_a_new_partition(partitioned: Database) -> None:
    """They are enough for the views, but not for telling the rows of a partition."""
    partitioned.execute(
        "REVOKE ALL ON public.historial_respuestas_ofertas FROM analytics_owner",
        "GRANT SELECT (id, asesor_id, fecha_envio, respondio, tiempo_respuesta_seg) "
        "ON public.historial_respuestas_ofertas TO analytics_owner",
        *PARTITION_CHANGES["attached"],
    )
    assert refresh(partitioned, NOW)[0] == "full"
    assert view_differences(partitioned, NOW) == []
    leave_it_well(partitioned)


def test_an_empty_partition_is_no_gap_and_costs_nothing(partitioned: Database) -> None:
    partitioned.execute(
        "CREATE TABLE public.notices_newest PARTITION OF public.historial_respuestas_ofertas "
        f"{NEWEST}"
    )
    assert refresh(partitioned, NOW)[0] == "unchanged"
    assert partitioned.rows("SELECT analytics.capture_gap()") == [(None,)]
    partitioned.execute("CALL analytics.tick()", "DROP TABLE public.notices_newest")
    partitioned.execute("CALL analytics.tick()")
    assert refresh(partitioned, NOW)[0] == "unchanged"
    assert audited(partitioned) == 0


def test_what_is_written_into_a_partition_without_triggers_is_counted_and_told(
    partitioned: Database,
) -> None:
    partitioned.execute(
        "CREATE TABLE public.notices_newest PARTITION OF public.historial_respuestas_ofertas "
        f"{NEWEST}"
    )
    assert refresh(partitioned, NOW)[0] == "unchanged"
    first = "(SELECT id FROM public.notices_newest ORDER BY id LIMIT 1)"
    for statement in (
        NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 12:00:00-05"),
        "UPDATE public.notices_newest SET respondio = false",
        f"UPDATE public.notices_newest SET id = gen_random_uuid() WHERE id <> {first}",
        f"DELETE FROM public.notices_newest WHERE id <> {first}",
        "DELETE FROM public.notices_newest",
        NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 12:00:00-05"),
        # The file is empty: nothing shows that there were rows.
        "TRUNCATE public.notices_newest",
        NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 12:00:00-05"),
    ):
        partitioned.execute(statement)
        assert live_months_are_right(partitioned)
        assert refresh(partitioned, NOW)[0] == "incremental", statement
        assert view_differences(partitioned, NOW) == [], statement
        gap = partitioned.rows("SELECT analytics.capture_gap()")[0][0]
        is_empty = statement.startswith("TRUNCATE")
        assert ("public.notices_newest" in str(gap)) is not is_empty
    # Those of everything computed again count, too. Vacuum gives the file back.
    with partitioned.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SELECT * FROM analytics.refresh_all_mv(force => true)")
    partitioned.execute("DELETE FROM public.notices_newest")
    deadline = time.monotonic() + 60
    while partitioned.rows("SELECT pg_relation_size('public.notices_newest')") != [(0,)]:
        # The snapshot of an autovacuum may still need the rows.
        assert time.monotonic() < deadline
        partitioned.execute("VACUUM public.notices_newest")
        time.sleep(0.1)
    assert refresh(partitioned, NOW)[0] == "incremental"
    assert view_differences(partitioned, NOW) == []
    # Then an empty one costs nothing again.
    assert partitioned.rows("SELECT parts_with_rows FROM kpi_engine.engine_state") == [([],)]
    assert refresh(partitioned, NOW)[0] == "unchanged"
    leave_it_well(partitioned)


def test_a_tick_that_waits_does_not_keep_writers_from_a_new_partition(
    partitioned: Database,
) -> None:
    """A trigger locks its table until the tick commits. So it comes last."""
    partitioned.execute(
        "CREATE TABLE public.notices_newest PARTITION OF public.historial_respuestas_ofertas "
        f"{NEWEST}",
        "ALTER TABLE public.historial_respuestas_ofertas OWNER TO analytics_owner",
        "ALTER TABLE public.notices_newest OWNER TO analytics_owner",
        NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 12:00:00-05"),
    )
    with held(partitioned, "LOCK TABLE kpi_engine.own_scans IN EXCLUSIVE MODE") as waiting:
        tick = Work(lambda: partitioned.execute("CALL analytics.tick()"))
        waiting()
        partitioned.execute(
            "SET lock_timeout = '1s'; "
            + NEW_NOTICES.format(table="notices_newest", instant="2026-11-22 13:00:00-05")
        )
    tick.end()
    assert tick.error is None or "lock timeout" in str(tick.error)
    assert partitioned.rows("SELECT analytics.capture_gap()") == [(None,)]
    partitioned.execute("CALL analytics.tick()")
    assert refresh(partitioned, NOW)[0] == "incremental"
    assert view_differences(partitioned, NOW) == []
    leave_it_well(partitioned)


def live_months_are_right(database: Database) -> bool:
    """Compare the real-time months with the source."""
    with database.session() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT set_config('analytics.now', %s, true)", [NOW])
        months, _ = compute(connection, TODAY)
        live = connection.execute(
            "SELECT mes, solicitudes_creadas, ofertas_totales "
            "FROM analytics.v_metricas_mensuales_tiempo_real ORDER BY mes"
        ).fetchall()
    return [
        (row["mes"], row["solicitudes_creadas"], row["ofertas_totales"]) for row in months
    ] == live


def cut_in_two(database: Database, table: str) -> None:
    """Make a refreshed marketplace of which one table has the partitions lower and upper."""
    load_source_schema(database.url)
    foreign_keys = database.rows(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) "
        "FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    )
    database.execute(
        *(str(statement) for (statement,) in foreign_keys),
        f"ALTER TABLE public.{table} RENAME TO original",
        f"CREATE TABLE public.{table} (LIKE public.original INCLUDING DEFAULTS, "
        "PRIMARY KEY (id)) PARTITION BY HASH (id)",
        f"CREATE TABLE public.lower PARTITION OF public.{table} "
        "FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        f"CREATE TABLE public.upper PARTITION OF public.{table} "
        "FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "DROP TABLE public.original CASCADE",
    )
    migrate(database.url)
    with database.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    refresh(database, NOW)


# Each table, cut in two; of each, one part goes.
@pytest.mark.parametrize(
    "table", [table for table in NOTED if table not in ("auditoria_tiendas", "usuarios")]
)
@pytest.mark.parametrize(
    "going", ["DROP TABLE {part} CASCADE", "ALTER TABLE {table} DETACH PARTITION {part}"]
)
@pytest.mark.takes_turns(2)
def test_a_partition_of_any_table_that_goes_with_its_rows_is_subtracted(
    system_database: Database, table: str, going: str
) -> None:
    cut_in_two(system_database, table)
    assert system_database.rows("SELECT count(*) > 0 FROM public.upper") == [(True,)]
    system_database.execute(going.format(table=f"public.{table}", part="public.upper"))
    assert view_differences(system_database, NOW)
    assert refresh(system_database, NOW)[0] == "incremental"
    assert view_differences(system_database, NOW) == []
    assert audited(system_database) == 0


def test_a_partition_that_goes_in_the_middle_of_a_rebuild_is_subtracted(
    system_database: Database,
) -> None:
    """Its rows came after the last refresh: only what the rebuild fills has them."""
    cut_in_two(system_database, "ofertas")
    detach = "ALTER TABLE public.ofertas DETACH PARTITION public.upper"
    with system_database.session() as worker:
        worker.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        worker.execute(detach)
        worker.execute("SELECT * FROM analytics.refresh_all_mv()")
        worker.execute(
            "ALTER TABLE public.ofertas ATTACH PARTITION public.upper "
            "FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
        )
        worker.execute("CALL analytics.tick()")
        worker.execute("SELECT pg_advisory_lock(kpi_engine.refresh_lock_key())")
        row = worker.execute("SELECT kpi_engine.begin_rebuild(true)").fetchone()
        assert row
        for batch in row[0]:
            worker.execute("SELECT kpi_engine.continue_rebuild(%s)", [batch])
        worker.execute(detach)
        worker.execute("CALL analytics.tick()")
        for last in (None, 0):
            worker.execute("SELECT kpi_engine.continue_rebuild(%s::integer)", [last])
        worker.execute("SELECT pg_advisory_unlock(kpi_engine.refresh_lock_key())")
    assert system_database.rows("SELECT analytics.capture_gap()") == [(None,)]
    assert refresh(system_database, NOW)[0] == "incremental"
    assert view_differences(system_database, NOW) == []
    assert audited(system_database) == 0


MIDDLE = "80000000-0000-0000-0000-000000000000"
# Two lines of one offer. The ids of their awards lie in two partitions.
AWARDS = (
    "INSERT INTO public.adjudicaciones_repuesto (id, solicitud_id, oferta_id, "
    "repuesto_solicitado_id, precio_adjudicado, cantidad_adjudicada) "
    "SELECT CASE lines.place WHEN 1 THEN '00000000-0000-0000-0000-000000000001' "
    "ELSE 'ffffffff-0000-0000-0000-000000000001' END::uuid, ofertas.solicitud_id, "
    "lines.oferta_id, lines.repuesto_solicitado_id, 1, 1 "
    "FROM (SELECT *, row_number() OVER (PARTITION BY oferta_id ORDER BY id) AS place "
    "FROM public.ofertas_detalle WHERE precio_unitario > 0 AND cantidad > 0) AS lines "
    "JOIN public.ofertas ON ofertas.id = lines.oferta_id "
    "WHERE lines.place IN ({}) AND lines.oferta_id = (SELECT oferta_id FROM ofertas_detalle "
    "WHERE precio_unitario > 0 AND cantidad > 0 GROUP BY oferta_id "
    "HAVING count(DISTINCT repuesto_solicitado_id) = count(*) AND count(*) > 1 "
    "ORDER BY oferta_id LIMIT 1)"
)


@pytest.fixture
def awards(system_database: Database) -> Database:
    """A small marketplace whose only two awards are those of one offer, in two partitions."""
    load_source_schema(system_database.url)
    system_database.execute(
        "ALTER TABLE public.adjudicaciones_repuesto RENAME TO original",
        "CREATE TABLE public.adjudicaciones_repuesto (LIKE public.original INCLUDING DEFAULTS, "
        "PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        "CREATE TABLE public.lower PARTITION OF public.adjudicaciones_repuesto "
        f"FOR VALUES FROM (MINVALUE) TO ('{MIDDLE}')",
        "CREATE TABLE public.upper PARTITION OF public.adjudicaciones_repuesto "
        f"FOR VALUES FROM ('{MIDDLE}') TO (MAXVALUE)",
        "DROP TABLE public.original CASCADE",
    )
    migrate(system_database.url)
    with system_database.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    system_database.execute("TRUNCATE public.adjudicaciones_repuesto", AWARDS.format("1, 2"))
    refresh(system_database, NOW)
    assert view_differences(system_database, NOW) == []
    return system_database


def test_an_award_that_goes_with_a_partition_takes_its_line_along(awards: Database) -> None:
    """Its offer stays a winner: another award of it is left."""
    awards.execute("ALTER TABLE adjudicaciones_repuesto DETACH PARTITION public.upper")
    assert view_differences(awards, NOW)
    assert refresh(awards, NOW)[0] == "incremental"
    assert view_differences(awards, NOW) == []
    assert audited(awards) == 0


def test_rows_that_came_during_a_refresh_are_missed_when_they_go(awards: Database) -> None:
    """A partition without triggers was empty when the refresh began, and is so at the next one."""
    awards.execute(
        "DROP TABLE public.upper",
        "CREATE TABLE public.upper PARTITION OF public.adjudicaciones_repuesto "
        f"FOR VALUES FROM ('{MIDDLE}') TO (MAXVALUE)",
    )
    refresh(awards, NOW)
    assert refresh(awards, NOW)[0] == "unchanged"
    awards.execute("UPDATE public.solicitudes SET updated_at = updated_at")
    with held(awards, POINTS_OF_A_REFRESH["after it took the log"]) as waiting:
        work = Work(lambda: refresh(awards, NOW))
        waiting()
        # Past the trigger of the parent table.
        awards.execute(AWARDS.format("2").replace("public.adjudicaciones_repuesto", "public.upper"))
    work.end()
    assert work.error is None
    assert view_differences(awards, NOW) == [], "it read the award"
    awards.execute("TRUNCATE public.upper")
    assert view_differences(awards, NOW)
    assert refresh(awards, NOW)[0] == "incremental"
    assert view_differences(awards, NOW) == []


def test_a_partition_whose_detach_is_not_done_is_gone_at_once(partitioned: Database) -> None:
    """DETACH … CONCURRENTLY waits between its two transactions, and may end there."""
    table = "public.historial_respuestas_ofertas"
    pending = "SELECT FROM pg_inherits WHERE inhdetachpending"
    with partitioned.connect(autocommit=False) as reader, partitioned.connect() as owner:
        reader.execute(f"SELECT count(*) FROM {table}".encode())
        statement = f"ALTER TABLE {table} DETACH PARTITION public.notices_newer CONCURRENTLY"
        detach = Work(lambda: owner.execute(statement.encode()))
        try:
            partitioned.wait_until(f"SELECT EXISTS ({pending})")
            assert view_differences(partitioned, NOW)
            assert refresh(partitioned, NOW)[0] == "incremental"
            assert view_differences(partitioned, NOW) == []
        finally:
            owner.cancel()
            detach.end()
    assert isinstance(detach.error, psycopg.errors.QueryCanceled)
    assert partitioned.rows(f"SELECT count(*) FROM ({pending}) AS pending") == [(1,)]
    # Nothing that goes past the parent counts, and no index is missing there.
    partitioned.execute("UPDATE public.notices_newer SET respondio = NOT respondio")
    partitioned.execute("CALL analytics.tick()")
    refresh(partitioned, NOW)
    assert view_differences(partitioned, NOW) == []
    leave_it_well(partitioned)
    partitioned.execute(f"ALTER TABLE {table} DETACH PARTITION public.notices_newer FINALIZE")
    refresh(partitioned, NOW)
    assert view_differences(partitioned, NOW) == []
    assert audited(partitioned) == 0
    leave_it_well(partitioned)


def test_partition_written_to_while_it_is_detached_loses_nothing(partitioned: Database) -> None:
    partitioned.execute(
        "ALTER TABLE public.historial_respuestas_ofertas DETACH PARTITION public.notices_newer",
        NEW_NOTICES.format(table="notices_newer", instant="2026-11-20 12:00:00-05"),
        "SELECT kpi_engine.compact_change_log()",
        "UPDATE public.notices_newer SET respondio = NOT respondio",
        "ALTER TABLE public.historial_respuestas_ofertas ATTACH PARTITION public.notices_newer "
        "FOR VALUES FROM ('2026-11-15') TO ('2026-11-22')",
    )
    assert view_differences(partitioned, NOW)
    refresh(partitioned, NOW)
    assert view_differences(partitioned, NOW) == []
    leave_it_well(partitioned)


def leave_it_well(database: Database) -> None:
    """Install capture where it is missing; then refreshes are incremental again."""
    database.execute("CALL analytics.apply_change_capture()")
    assert database.rows("SELECT analytics.capture_gap()") == [(None,)]
    assert (
        database.rows(
            "SELECT DISTINCT relation::regclass::text FROM kpi_engine.capture_triggers() "
            "WHERE definition IS NULL"
        )
        == []
    )
    refresh(database, NOW)
    for table in database.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE NOT inhdetachpending "
        "AND inhparent = 'public.historial_respuestas_ofertas'::regclass"
    ):
        database.execute(f"UPDATE {table[0]} SET respondio = NOT respondio")
        assert refresh(database, NOW)[0] in ("incremental", "unchanged")
        assert view_differences(database, NOW) == []
    change_something(database)
    assert refresh(database, NOW)[0] == "incremental"
    assert view_differences(database, NOW) == []


def test_a_table_that_inherits_is_captured_like_a_partition(market_a: Database) -> None:
    market_a.execute(
        "CREATE TABLE public.old_notices () INHERITS (public.historial_respuestas_ofertas)",
        NEW_NOTICES.format(table="old_notices", instant="2026-11-20 12:00:00-05"),
    )
    assert view_differences(market_a, NOW)
    assert refresh(market_a, NOW)[0] == "incremental"
    assert view_differences(market_a, NOW) == []
    leave_it_well(market_a)


def test_a_table_above_several_of_ours_means_everything(market_a: Database) -> None:
    """Its statements fire its own triggers alone, and they can't tell whose rows these are."""
    market_a.execute(
        "CREATE TABLE public.records (id uuid, created_at timestamptz)",
        "ALTER TABLE public.solicitudes INHERIT public.records",
        "ALTER TABLE public.usuarios INHERIT public.records",
        "CALL analytics.apply_change_capture()",
    )
    refresh(market_a, NOW)
    assert refresh(market_a, NOW)[0] == "unchanged"
    assert market_a.rows("SELECT analytics.capture_gap()") == [(None,)]
    for statement in (
        "UPDATE public.records SET created_at = created_at - interval '40 days'",
        "DELETE FROM public.records WHERE id IN (SELECT id FROM public.solicitudes LIMIT 3)",
    ):
        market_a.execute(f"SET session_replication_role = replica; {statement}")
        assert refresh(market_a, NOW)[0] == "full"
        assert view_differences(market_a, NOW) == []
    # What names a table of ours is noted by key.
    market_a.execute("UPDATE public.solicitudes SET estado = 'ABIERTA'")
    assert refresh(market_a, NOW)[0] == "incremental"
    leave_it_well(market_a)


def test_a_table_that_inherits_for_a_moment_and_is_written_through_its_parent(
    market_a: Database,
) -> None:
    market_a.execute(
        "CREATE TABLE public.dated (created_at timestamptz)",
        "ALTER TABLE public.solicitudes INHERIT public.dated",
        "UPDATE public.dated SET created_at = created_at - interval '40 days'",
        "ALTER TABLE public.solicitudes NO INHERIT public.dated",
    )
    assert view_differences(market_a, NOW)
    assert refresh(market_a, NOW)[0] == "full"
    assert view_differences(market_a, NOW) == []
    market_a.execute("ALTER TABLE public.solicitudes ADD COLUMN nota text DEFAULT 'x'")
    assert refresh(market_a, NOW)[0] == "unchanged"
    leave_it_well(market_a)


def test_the_other_parent_of_a_table_that_inherits_is_captured(market_a: Database) -> None:
    market_a.execute(
        "CREATE TABLE public.timed (tiempo_entrega_dias integer NOT NULL)",
        "CREATE TABLE public.old_offers () INHERITS (public.ofertas, public.timed)",
        "WITH gone AS (DELETE FROM ONLY public.ofertas RETURNING *) "
        "INSERT INTO public.old_offers SELECT * FROM gone",
        "CALL analytics.apply_change_capture()",
    )
    refresh(market_a, NOW)
    market_a.execute("UPDATE public.timed SET tiempo_entrega_dias = 77")
    assert view_differences(market_a, NOW)
    assert refresh(market_a, NOW)[0] == "full"
    assert view_differences(market_a, NOW) == []
    # What names a table of ours is noted by key.
    market_a.execute("UPDATE public.old_offers SET tiempo_entrega_dias = 7")
    assert refresh(market_a, NOW)[0] == "incremental"
    assert view_differences(market_a, NOW) == []
    leave_it_well(market_a)


def test_a_temporary_table_below_ours_is_for_its_session_alone(market_a: Database) -> None:
    with market_a.session() as owner:
        owner.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        owner.execute(
            "CREATE TEMPORARY TABLE staging () INHERITS (public.ofertas); "
            "INSERT INTO staging SELECT * FROM public.ofertas LIMIT 1"
        )
        market_a.execute("CALL analytics.apply_change_capture()", "CALL analytics.tick()")
        assert market_a.rows("SELECT analytics.capture_gap()") == [(None,)]
        assert refresh(market_a, NOW)[0] == "unchanged"
        owner.execute("UPDATE staging SET id = gen_random_uuid()")
        for statement in (
            "SELECT * FROM analytics.refresh_all_mv()",
            "SELECT * FROM analytics.refresh_all_mv(force => true)",
            "SELECT analytics.audit()",
            "SELECT * FROM analytics.v_kpis_en_vivo",
        ):
            try:
                rows = str(owner.execute(statement.encode()).fetchall())
            except psycopg.Error as error:
                rows = str(error)
            assert "temporary table staging of this session" in rows, statement
        assert view_differences(market_a, NOW) == []
        owner.execute("DROP TABLE staging")
        owner.execute("SELECT * FROM analytics.refresh_all_mv()")
    assert view_differences(market_a, NOW) == []
    leave_it_well(market_a)


def test_a_trigger_with_a_condition_does_not_work(market_a: Database) -> None:
    market_a.execute(
        "CREATE OR REPLACE TRIGGER teloo_analytics_update AFTER UPDATE ON public.ofertas "
        "REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT "
        "WHEN (current_setting('shop.bulk', true) IS NULL) "
        "EXECUTE FUNCTION kpi_engine.note_changed_solicitud_id('solicitud')",
        "ALTER TABLE public.ofertas ENABLE ALWAYS TRIGGER teloo_analytics_update",
    )
    refresh(market_a, NOW)
    market_a.execute("SET shop.bulk = 'on'; UPDATE public.ofertas SET estado = 'ACEPTADA'")
    assert view_differences(market_a, NOW)
    assert refresh(market_a, NOW)[0] == "full"
    assert view_differences(market_a, NOW) == []
    assert "public.ofertas" in str(market_a.rows("SELECT analytics.capture_gap()"))
    leave_it_well(market_a)


def test_health_names_the_cure_that_closes_the_gap(market_a: Database) -> None:
    def gap() -> str:
        return str(problems(market_a)["capture_gap"][1])

    market_a.execute("ALTER TABLE public.usuarios DISABLE TRIGGER USER")
    assert (
        ": CALL analytics.apply_change_capture(); as the owner of the operational tables" in gap()
    )
    market_a.execute(
        "CALL analytics.apply_change_capture()",
        "CREATE INDEX theirs ON kpi_engine.change_log (entity)",
    )
    assert ": take away what was added to kpi_engine.change_log" in gap()
    market_a.execute("DROP INDEX kpi_engine.theirs")
    assert "capture_gap" not in problems(market_a)
    leave_it_well(market_a)


def test_health_does_not_ask_for_triggers_on_a_view(market_a: Database) -> None:
    market_a.execute(
        "ALTER TABLE public.auditorias_tiendas RENAME TO of_tienda",
        "CREATE VIEW public.auditorias_tiendas AS SELECT * FROM public.of_tienda",
    )
    migrate(market_a.url)
    refresh(market_a, NOW)
    message = str(problems(market_a)["capture_gap"][1])
    assert "auditorias_tiendas can't have triggers: a view or foreign table" in message
    assert "SELECT analytics.set_setting('change_capture', 'off'); then CALL" in message
    market_a.execute(
        "SELECT analytics.set_setting('change_capture', 'off')",
        "CALL analytics.apply_change_capture()",
    )
    assert "capture_gap" not in problems(market_a)
