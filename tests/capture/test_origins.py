"""Several operational databases in one: a schema for each.

TELOO_ORIGIN_SEQUENCES=500 runs more random sequences: they write at two publishers, the subscriber
refreshes, and its views equal what the rows of both publishers give, and of each alone.
"""

import json
import os
import time
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest
from playwright.sync_api import Browser

import oracle
from capture.origins import (
    ORIGINS,
    OriginsArena,
    OriginsSequence,
    differences,
    install_origins,
    origin_differences,
    united,
)
from capture.subscriber import (
    EMPTY_THE_TABLES,
    MARKER,
    Pair,
    load_into,
    make_publisher,
    publishing_cluster,
)
from checkup.test_doctor import findings_of
from cluster import Cluster
from commandline.console import UserError
from conftest import Database, Server, fresh_database, install
from gateway import Settings
from gateway_testing import Api, refused, started
from marketplace import BASE_SEED, SMALL, TABLES, Generation, change, fill, start
from migrate import migrate
from oracle import ZONE
from sequences import KPI_VIEWS, Totals, audited, refresh, view_differences
from source.test_source_binding import problems
from web_testing import visited

TAKES_MINUTES = True
SERVERS_TAKE_TURNS = True
SEQUENCES = int(os.environ.get("TELOO_ORIGIN_SEQUENCES", "4"))
NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
BELOW = "/materialized-views"


def fill_origin(database: Database, schema: str, seed: int) -> None:
    """Fill the tables of an origin, of generation A."""
    market = start(seed, "A", TODAY)
    market.schema = schema
    market.make(SMALL)
    with database.session() as connection, connection.transaction():
        market.insert(connection)


@pytest.fixture
def origins(system_server: Server) -> Iterator[Database]:
    """A database with small marketplaces of two origins, refreshed."""
    for database in fresh_database(system_server):
        install_origins(database, dict.fromkeys(ORIGINS, "A"))
        for place, schema in enumerate(ORIGINS):
            fill_origin(database, schema, BASE_SEED + place)
        assert refresh(database, NOW)[0] == "full"
        yield database


def failure(database: Database, call: str = "SELECT * FROM analytics.refresh_all_mv()") -> str:
    """Refresh where that has to fail; return the one message."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        rows = connection.execute(call.encode()).fetchall()
        assert {row[1] for row in rows} == {"ERROR"}
        (message,) = {row[3] for row in rows}
        return str(message)


@pytest.mark.parametrize("generations", ["AB", "BA"])
def test_views_are_right_over_origins_of_both_generations(
    database: Database, generations: str
) -> None:
    schemas: dict[str, Generation] = {"public": "A", "teloo": "B"}
    if generations == "BA":
        schemas = dict(reversed(schemas.items()))
    for schema, generation in schemas.items():
        load_into(database, generation, None)
        with database.session() as connection:
            fill(connection, BASE_SEED, generation, TODAY, size=SMALL)
        assert schema
    audits = ("public.auditorias_tiendas", "teloo.auditoria_tiendas")
    database.execute(
        *(f"ALTER TABLE {table} ALTER puntaje_confianza TYPE numeric" for table in audits),
        "ALTER TABLE teloo.auditoria_tiendas "
        "DROP CONSTRAINT auditoria_tiendas_puntaje_confianza_check",
    )
    migrate(database.url, source_schema=",".join(schemas))
    assert refresh(database, NOW)[0] == "full"
    assert origin_differences(database, tuple(schemas), TODAY) == []
    for seed in range(BASE_SEED + 1, BASE_SEED + 4):
        with database.session() as connection:
            for generation in schemas.values():
                change(connection, seed, generation, TODAY)
        assert refresh(database, NOW)[0] == "incremental"
        assert origin_differences(database, tuple(schemas), TODAY) == []
        assert audited(database) == 0
    assert migrate(database.url) == []
    # A row that can't be counted is named by the table of its own origin.
    database.execute(*(f"UPDATE {table} SET puntaje_confianza = 1e15" for table in audits))
    assert database.rows(
        "SELECT table_name, bool_or(id IS NOT NULL) FROM kpi_engine.uncountable_in_source(true) "
        "LEFT JOIN public.auditorias_tiendas ON id = row_id GROUP BY table_name ORDER BY table_name"
    ) == [("auditoria_tiendas", False), ("auditorias_tiendas", True)]


def test_views_are_right_after_random_sequences_in_two_schemas(
    system_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = Totals()
    started = time.monotonic()
    for database in fresh_database(system_server):
        arena = OriginsArena(database)
        try:
            for seed in range(BASE_SEED, BASE_SEED + SEQUENCES):
                OriginsSequence(arena, seed, totals).run()
        finally:
            arena.close()
    report(capsys, "two schemas", totals, started)


def test_views_are_right_after_random_sequences_at_two_publishers(
    publishing: Cluster, system_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = Totals()
    started = time.monotonic()
    name = system_server.new_name("origins")
    janitor = system_server.janitor(name)
    janitor.init()
    subscriber = Database(system_server.cluster, name)
    pairs = {
        schema: Pair(
            make_publisher(publishing, f"{name}_{schema}", "A", schema), subscriber, schema
        )
        for schema in ORIGINS
    }
    arena = OriginsArena(subscriber, pairs)
    try:
        for seed in range(BASE_SEED, BASE_SEED + SEQUENCES):
            OriginsSequence(arena, seed, totals).run()
    finally:
        arena.close()
        janitor.drop()
    report(capsys, "two publishers", totals, started)


def report(capsys: pytest.CaptureFixture[str], what: str, totals: Totals, started: float) -> None:
    """Print what was done, and check that it was something."""
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(f"\n{what}: {SEQUENCES} sequences, {totals}; {seconds / SEQUENCES:.2f} s each")
    assert totals.sequences == SEQUENCES
    assert totals.modes["incremental"] > sum(totals.modes.values()) / 2
    assert totals.steps["compare one origin"] == totals.comparisons


@pytest.mark.parametrize(
    "table", [table for table in TABLES if table not in ("clientes", "auditoria_tiendas")]
)
@pytest.mark.takes_turns(3)
def test_an_id_in_two_origins_is_refused_by_name_until_it_is_gone(
    origins: Database, table: str
) -> None:
    """Whichever table it is, whichever way it would be counted."""
    ((key,),) = origins.rows(f"SELECT max(id::text) FROM bogota.{table}")
    before = origins.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY 1")
    # As replication writes: without a look at foreign keys.
    origins.execute(
        "SET session_replication_role = replica; "
        f"CREATE TEMP TABLE kept AS SELECT * FROM medellin.{table} ORDER BY id LIMIT 1; "
        f"UPDATE medellin.{table} SET id = '{key}' WHERE id = (SELECT id FROM kept)"
    )
    # Health has this message alone, so the cure is in it.
    words = (
        f"rows of different origins have the same id: {table} {key} is in bogota and medellin. "
        "Delete the one that does not belong there, or give it another id: "
        "SELECT * FROM analytics.origin_clashes() lists all"
    )
    assert failure(origins) == words
    assert failure(origins, "SELECT * FROM analytics.refresh_all_mv(true)") == words
    assert origins.rows("SELECT * FROM analytics.origin_clashes()") == [
        (table, uuid.UUID(str(key)), ["bogota", "medellin"])
    ]
    with pytest.raises(psycopg.errors.UniqueViolation, match="different origins"):
        origins.rows("SELECT * FROM analytics.rows_now('mv_metricas_mensuales')")
    assert origins.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY 1") == before
    origins.execute(
        "SET session_replication_role = replica; "
        f"UPDATE medellin.{table} SET id = gen_random_uuid() WHERE id = '{key}'"
    )
    assert refresh(origins, NOW)[0] == "incremental"
    assert origin_differences(origins, ORIGINS, TODAY) == []
    assert origins.rows("SELECT * FROM analytics.origin_clashes()") == []


def test_a_rebuild_in_steps_refuses_an_id_in_two_origins(origins: Database) -> None:
    ((key,),) = origins.rows("SELECT max(id::text) FROM bogota.solicitudes")
    origins.execute(
        "INSERT INTO medellin.solicitudes SELECT (jsonb_populate_record(source, "
        f"jsonb_build_object('id', '{key}'))).* FROM medellin.solicitudes AS source LIMIT 1"
    )
    with pytest.raises(psycopg.errors.UniqueViolation, match=f"solicitudes {key} is in bogota"):
        origins.execute("CALL analytics.rebuild()")
    origins.execute(f"DELETE FROM medellin.solicitudes WHERE id = '{key}'")
    origins.execute("CALL analytics.rebuild()")
    refresh(origins, NOW)
    assert origin_differences(origins, ORIGINS, TODAY) == []


def test_rows_that_go_with_a_part_are_missed_although_another_origin_names_the_request(
    origins: Database,
) -> None:
    origins.execute(
        "CREATE TABLE bogota.older (PRIMARY KEY (id)) INHERITS (bogota.ofertas)",
        "CALL analytics.apply_change_capture()",
    )
    refresh(origins, NOW)
    ((request,),) = origins.rows(
        "SELECT solicitud_id::text FROM bogota.ofertas GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    )
    # In this mode no foreign key is checked.
    origins.execute(
        "SET session_replication_role = replica; "
        "WITH moved AS (DELETE FROM ONLY bogota.ofertas WHERE id = (SELECT id FROM bogota.ofertas "
        f"WHERE solicitud_id = '{request}' ORDER BY id LIMIT 1) RETURNING *) "
        "INSERT INTO bogota.older SELECT * FROM moved; "
        f"UPDATE medellin.ofertas SET solicitud_id = '{request}' "
        "WHERE id = (SELECT id FROM medellin.ofertas ORDER BY id LIMIT 1)"
    )
    assert refresh(origins, NOW)[0] == "incremental"
    assert audited(origins) == 0
    origins.execute("ALTER TABLE bogota.older NO INHERIT bogota.ofertas")
    refresh(origins, NOW)
    assert audited(origins) == 0
    # Each by itself: the comparison of all would take the offer for one of the other's request.
    assert [
        line
        for line in origin_differences(origins, ORIGINS, TODAY)
        if not line.startswith("all origins")
    ] == []


def test_rows_of_two_origins_never_meet(origins: Database) -> None:
    """An offer names a request of the other origin: it is an orphan, as it is at home."""
    before = origins.rows("SELECT * FROM analytics.mv_metricas_mensuales ORDER BY 1")
    ((orphan,),) = origins.rows(
        "SELECT id::text FROM medellin.ofertas WHERE solicitud_id IS NOT NULL LIMIT 1"
    )
    origins.execute(
        "SET session_replication_role = replica; "
        "UPDATE medellin.ofertas SET solicitud_id = (SELECT id FROM bogota.solicitudes LIMIT 1) "
        f"WHERE id = '{orphan}'"
    )
    assert refresh(origins, NOW)[0] == "incremental"
    with origins.session() as connection:
        for schema in ORIGINS:
            source = oracle.read_schema(connection, schema)
            assert differences(connection, source, TODAY, schema) == []
    ((offers,),) = origins.rows("SELECT sum(ofertas_totales) FROM analytics.mv_metricas_mensuales")
    assert offers == sum(int(str(row[7])) for row in before) - 1
    assert audited(origins) == 0


@pytest.mark.parametrize(
    ("change_it", "words", "back"),
    [
        (
            "ALTER TABLE medellin.ofertas RENAME TO offers",
            "table medellin.ofertas is gone; kpi_engine.src_2_ofertas reads medellin.offers",
            "ALTER TABLE medellin.offers RENAME TO ofertas",
        ),
        (
            "ALTER TABLE medellin.ofertas RENAME TO old; "
            "CREATE TABLE medellin.ofertas (LIKE medellin.old INCLUDING ALL)",
            "medellin.ofertas is another table than the one that kpi_engine.src_2_ofertas reads",
            "DROP TABLE medellin.ofertas; ALTER TABLE medellin.old RENAME TO ofertas",
        ),
        (
            "ALTER TABLE medellin.ofertas RENAME COLUMN estado TO state",
            "column medellin.ofertas.estado is gone: it is called state now",
            "ALTER TABLE medellin.ofertas RENAME COLUMN state TO estado",
        ),
        (
            "ALTER SCHEMA bogota RENAME TO x; ALTER SCHEMA medellin RENAME TO bogota; "
            "ALTER SCHEMA x RENAME TO medellin",
            "is another table than the one that kpi_engine.src_1_",
            "ALTER SCHEMA bogota RENAME TO x; ALTER SCHEMA medellin RENAME TO bogota; "
            "ALTER SCHEMA x RENAME TO medellin",
        ),
        (
            "REVOKE SELECT ON bogota.ofertas FROM analytics_owner",
            "role analytics_owner may not read any column of table bogota.ofertas",
            "GRANT SELECT ON bogota.ofertas TO analytics_owner",
        ),
        (
            "ALTER TABLE medellin.asesores ENABLE ROW LEVEL SECURITY",
            "row-level security of table medellin.asesores hides rows from role analytics_owner",
            "ALTER TABLE medellin.asesores DISABLE ROW LEVEL SECURITY",
        ),
    ],
)
@pytest.mark.takes_turns(2)
def test_tables_of_each_origin_are_bound_by_identity(
    origins: Database, change_it: str, words: str, back: str
) -> None:
    origins.execute(change_it)
    assert words in failure(origins)
    assert {"source_moved", "source_hidden"} & problems(origins).keys()
    origins.execute(back)
    origins.execute("UPDATE medellin.ofertas SET tiempo_entrega_dias = 3")
    refresh(origins, NOW)
    assert origin_differences(origins, ORIGINS, TODAY) == []


def test_a_column_of_one_origin_is_retyped(origins: Database) -> None:
    retype = "ALTER TABLE medellin.ofertas_detalle ALTER COLUMN cantidad TYPE bigint"
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        origins.execute(retype)
    with origins.session() as connection, connection.transaction():
        connection.execute("SELECT analytics.release_source()")
        connection.execute(retype.encode())
        connection.execute("SELECT analytics.bind_source()")
    assert refresh(origins, NOW) == ("full", "the source tables were bound again")
    assert origin_differences(origins, ORIGINS, TODAY) == []
    assert migrate(origins.url) == []


def test_a_view_that_unites_the_origins_is_put_back(origins: Database) -> None:
    origins.execute(
        "CREATE OR REPLACE VIEW kpi_engine.src_ofertas AS SELECT * FROM kpi_engine.src_1_ofertas"
    )
    assert "view kpi_engine.src_1_ofertas was changed by hand" in failure(origins)
    assert "changed kpi_engine.src_ofertas" in migrate(origins.url)
    refresh(origins, NOW)
    assert origin_differences(origins, ORIGINS, TODAY) == []


def test_from_one_schema_to_several_and_back(system_database: Database) -> None:
    database = system_database
    load_into(database, "A", "bogota")
    fill_origin(database, "bogota", BASE_SEED)
    migrate(database.url, source_schema="bogota")
    refresh(database, NOW)
    with database.session() as connection:
        assert differences(connection, oracle.read_schema(connection, "bogota"), TODAY) == []
    plain = shapes(database)
    load_into(database, "A", "medellin")
    fill_origin(database, "medellin", BASE_SEED + 1)
    migrate(database.url, source_schema="bogota, medellin")
    assert refresh(database, NOW) == ("full", "the source tables were bound again")
    assert origin_differences(database, ORIGINS, TODAY) == []
    # A new rule: the files of the definitions are applied anew, and united again.
    database.execute(
        "UPDATE kpi_engine.migration_ledger SET checksum = 'older' WHERE name LIKE '%recomputed%'"
    )
    assert "changed views/facts/recomputed_asesor_facts.sql" in migrate(database.url)
    # They are what they were.
    assert refresh(database, NOW)[0] == "unchanged"
    assert shapes(database) != plain
    migrate(database.url, source_schema="bogota")
    assert refresh(database, NOW) == ("full", "the source tables were bound again")
    with database.session() as connection:
        assert differences(connection, oracle.read_schema(connection, "bogota"), TODAY) == []
    assert shapes(database) == plain
    assert audited(database) == 0
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="there is no origin bogota"):
        database.rows("SELECT * FROM analytics.rows_of_origin('mv_embudo_operativo', 'bogota')")


def shapes(database: Database) -> object:
    """Return the src_ views and the statements of the engine."""
    return database.rows(
        "SELECT viewname::text, definition FROM pg_views WHERE schemaname = 'kpi_engine' "
        "AND viewname LIKE 'src%' UNION ALL "
        "SELECT table_name || purpose, statement FROM analytics.derived_statements() "
        "WHERE purpose <> 'rebuild' ORDER BY 1"
    )


def test_another_adapter_of_one_origin_computes_what_follows_from_it(origins: Database) -> None:
    origins.execute(
        "UPDATE kpi_engine.migration_ledger SET checksum = 'older' "
        "WHERE name = 'kpi_engine.src_2_auditorias_tiendas'"
    )
    assert origins.rows("SELECT unnest(kpi_engine.stale_derived_tables())") == [
        ("auditoria_facts",),
        ("asesor_audits",),
    ]
    assert refresh(origins, NOW)[0] == "full"
    assert origin_differences(origins, ORIGINS, TODAY) == []


def test_a_schema_is_named_once(system_database: Database) -> None:
    with pytest.raises(UserError, match="names a schema twice"):
        migrate(system_database.url, source_schema="public,teloo,public")


def test_changed_keys_are_looked_up_by_index_in_each_origin(origins: Database) -> None:
    with origins.session() as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for table in ("solicitud_facts", "asesor_facts", "historica_facts", "auditoria_facts"):
            query = query_of_keys(connection, table)
            connection.execute(f"PREPARE one AS SELECT * FROM ({query}) AS found".encode())
            plan = "\n".join(
                str(line)
                for (line,) in connection.execute("EXPLAIN EXECUTE one (ARRAY[gen_random_uuid()])")
            )
            connection.execute("DEALLOCATE one")
            assert "Seq Scan" not in plan.replace("Seq Scan on engine_state", ""), plan
            assert plan.count("Index Cond: (id = ANY ($1))") == len(ORIGINS), plan


def query_of_keys(connection: psycopg.Connection, table: str) -> str:
    """Return the query for the rows of some keys."""
    row = connection.execute("SELECT kpi_engine.query_of_keys(%s)", [table]).fetchone()
    assert row
    return str(row[0]).replace("ANY ($1)", "ANY ($1::uuid[])")


@pytest.fixture
def followed(
    publishing: Cluster, system_server: Server
) -> Iterator[tuple[Database, dict[str, Pair]]]:
    """A subscriber of two origins, refreshed, and its publishers."""
    for subscriber in fresh_database(system_server):
        install_origins(subscriber, dict.fromkeys(ORIGINS, "A"))
        pairs = {
            schema: Pair(
                make_publisher(publishing, f"{subscriber.name}_{schema}", "A", schema),
                subscriber,
                schema,
            )
            for schema in ORIGINS
        }
        try:
            for place, (schema, pair) in enumerate(pairs.items()):
                fill_origin(pair.publisher, schema, BASE_SEED + place)
                pair.subscribe()
            subscriber.execute("CALL analytics.apply_change_capture()")
            for pair in pairs.values():
                pair.catch_up()
            assert refresh(subscriber, NOW)[0] == "full"
            # It takes a second word of a publisher to know until when its changes are here.
            for pair in pairs.values():
                pair.catch_up()
            subscriber.wait_until("SELECT bool_and(as_of IS NOT NULL) FROM analytics.origins()")
            subscriber.execute("CALL analytics.tick()")
            yield subscriber, pairs
        finally:
            for pair in pairs.values():
                pair.unsubscribe()


def behind(database: Database) -> list[tuple[object, ...]]:
    """Return what is told of each origin."""
    return database.rows("SELECT origen, is_behind, cause, is_partial FROM analytics.origins()")


def test_an_origin_that_is_away_makes_figures_partial_until_it_is_counted_again(
    followed: tuple[Database, dict[str, Pair]], browser: Browser
) -> None:
    database, pairs = followed
    path = f"{BELOW}/kpis/mv_metricas_mensuales"
    away = pairs["medellin"]
    whole = [("bogota", False, None, False), ("medellin", False, None, False)]
    assert behind(database) == whole
    with started(database, "origins", Settings(rate=100000, burst=10000)) as api:

        def told(path: str = path) -> tuple[str | None, str | None]:
            api.forget_cache()
            answer = api.get(path, "analytics_lector")
            assert answer.status == 200
            return answer.headers.get("x-partial"), answer.headers.get("x-partial-since")

        assert told() == (None, None)
        etag = api.get(path, "analytics_lector").headers["etag"]
        database.execute(f"ALTER SUBSCRIPTION {away.name} DISABLE")
        database.wait_until("SELECT bool_or(is_behind) FROM analytics.origins()")
        assert behind(database) == [whole[0], ("medellin", True, "disabled", True)]
        origin, since = told()
        assert (origin, bool(since)) == ("medellin", True)
        # What has its figures, and what has not.
        assert told(f"{path}?origen=medellin") == (origin, since)
        assert told(f"{path}?origen=bogota") == (None, None)
        answer = api.get(path, "analytics_lector", headers={"If-None-Match": etag})
        assert answer.status == 200
        assert on_the_page(browser, api).startswith("Faltan datos de medellin desde ")
        with visited(browser, api) as visit:
            visit.go("operacion")
            assert [(row[0], row[1], bool(row[2])) for row in visit.table("copias")] == [
                (pairs["bogota"].name, "al día", True),
                (away.name, "desactivado", True),
            ]
            seconds, size = visit.table("copias")[0][3:]
            assert (int(seconds) < 60, size) == (True, "0")
        # It is no failure: what the others have is counted.
        for pair in pairs.values():
            pair.publisher.execute(
                f"UPDATE {pair.schema}.solicitudes SET estado = 'CERRADA_SIN_OFERTAS'"
            )
        pairs["bogota"].catch_up()
        database.wait_until(
            f"SELECT date_trunc('milliseconds', as_of) > '{since}' FROM analytics.replication() "
            f"WHERE subscription = '{pairs['bogota'].name}'"
        )
        assert refresh(database, NOW)[0] == "incremental"
        assert origin_differences(database, ORIGINS, TODAY) == []
        with pairs["bogota"].publisher.session() as connection, database.session() as reader:
            source = oracle.read_schema(connection, "bogota")
            assert differences(reader, source, TODAY, "bogota") == []
        assert problems(database)["replica_lag"][0] == "unhealthy"
        origins_told = api.get("/materialized-views/status", "analytics_lector").json()["origins"]
        assert [(one["origen"], one["cause"], one["is_partial"]) for one in origins_told] == [
            ("bogota", None, False),
            ("medellin", "disabled", True),
        ]
        assert origins_told[0]["counted_as_of"] > origins_told[1]["counted_as_of"]
        # Back again: the figures lack what it brings until the next refresh.
        database.execute(f"ALTER SUBSCRIPTION {away.name} ENABLE")
        away.catch_up()
        assert behind(database) == [whole[0], ("medellin", False, None, True)]
        database.execute("CALL analytics.tick()")
        assert behind(database) == [whole[0], ("medellin", False, None, True)]
        assert told() == ("medellin", since)
        assert refresh(database, NOW)[0] == "incremental"
        assert behind(database) == whole
        assert told() == (None, None)
        assert on_the_page(browser, api) == ""
        assert origin_differences(database, ORIGINS, TODAY) == []
        with away.publisher.session() as connection, database.session() as reader:
            source = oracle.read_schema(connection, "medellin")
            assert differences(reader, source, TODAY, "medellin") == []
        # Away at a refresh, and nothing came meanwhile. This clock is the real one, as as_of is.
        database.execute(f"ALTER SUBSCRIPTION {away.name} DISABLE")
        database.wait_until("SELECT bool_or(is_behind) FROM analytics.origins()")
        database.execute("SELECT analytics.refresh_all_mv()")
        database.execute(f"ALTER SUBSCRIPTION {away.name} ENABLE")
        database.wait_until("SELECT NOT bool_or(is_behind) FROM analytics.origins()")
        # It has a worker again. Until that one has heard all, nobody knows what is missing.
        database.execute("CALL analytics.tick()")
        assert behind(database) == [whole[0], ("medellin", False, None, True)]
        away.catch_up()
        database.wait_until(
            "SELECT bool_and(as_of > facts_as_of) "
            "FROM analytics.origins() CROSS JOIN kpi_engine.engine_state"
        )
        assert behind(database) == [whole[0], ("medellin", False, None, True)]
        database.execute("CALL analytics.tick()")
        assert behind(database) == whole
        assert told() == (None, None)
        # Nobody brings it any more.
        away.unsubscribe()
        assert behind(database) == [whole[0], ("medellin", True, "gone", True)]
        assert told()[0] == "medellin"
        database.execute(f"SELECT analytics.forget_subscription('{away.name}')")
        assert behind(database) == whole


def test_figures_are_partial_while_an_origin_catches_up(
    followed: tuple[Database, dict[str, Pair]],
) -> None:
    """What the worker applies now was sent now, and committed long ago."""
    database, pairs = followed
    away = pairs["medellin"]
    database.rewrite("kpi_engine.origin_states()", "extract(EPOCH FROM v_limit::interval)", "3")
    database.wait_until("SELECT bool_and(seconds_behind < 3) FROM analytics.replication()")
    database.execute("CALL analytics.tick()", f"ALTER SUBSCRIPTION {away.name} DISABLE")
    database.wait_until("SELECT bool_or(is_behind) FROM analytics.origins()")
    away.publisher.execute(
        "INSERT INTO medellin.marker DEFAULT VALUES",
        "UPDATE medellin.solicitudes SET estado = 'CERRADA_SIN_OFERTAS'",
    )
    time.sleep(3)
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE medellin.solicitudes IN EXCLUSIVE MODE")
        database.execute(f"ALTER SUBSCRIPTION {away.name} ENABLE")
        database.wait_until(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted "
            "AND relation = 'medellin.solicitudes'::regclass)"
        )
        refresh(database, NOW)
        assert behind(database)[1] == ("medellin", True, "late", True)
        assert database.rows(
            "SELECT as_of < now() - interval '3 s', counted_as_of < now() - interval '3 s' "
            "FROM analytics.origins() WHERE origen = 'medellin'"
        ) == [(True, True)]
    away.catch_up()
    refresh(database, NOW)
    database.wait_until("SELECT NOT bool_or(is_behind) FROM analytics.origins()")
    refresh(database, NOW)
    assert behind(database)[1] == ("medellin", False, None, False)


def test_a_name_is_whole_in_a_header(origins: Database) -> None:
    name = "San Andrés, 5 % ñ"
    ((written,),) = origins.rows(f"SELECT kpi_engine.header_name('{name}')")
    assert written == "San Andr%C3%A9s%2C 5 %25 %C3%B1"
    assert urllib.parse.unquote(str(written)) == name


def on_the_page(browser: Browser, api: Api) -> str:
    """Return what the page says of figures that lack rows; an empty text: nothing."""
    with visited(browser, api) as visit:
        line = visit.go("indicadores").locator("#partial")
        return line.inner_text() if line.is_visible() else ""


def test_a_tick_notes_until_when_an_origin_was_seen(
    followed: tuple[Database, dict[str, Pair]],
) -> None:
    database, pairs = followed
    as_of = "SELECT as_of FROM analytics.origins() WHERE origen = 'medellin'"
    ((before,),) = database.rows(as_of)
    time.sleep(0.2)
    pairs["medellin"].catch_up()
    database.wait_until(f"SELECT as_of > '{before}' FROM ({as_of}) AS known")
    database.execute("CALL analytics.tick()")
    database.execute(f"ALTER SUBSCRIPTION {pairs['medellin'].name} DISABLE")
    database.wait_until("SELECT bool_or(is_behind) FROM analytics.origins()")
    ((known,),) = database.rows(as_of)
    database.execute("CALL analytics.tick()")
    assert database.rows(as_of) == [(known,)]
    assert known > before  # type: ignore[operator]
    database.execute("SELECT analytics.set_setting('replica_lag', 'off')")
    assert [row[1:] for row in behind(database)] == [(False, None, False)] * 2
    # A rebuild counts what came, as a refresh does.
    database.execute("SELECT analytics.set_setting('replica_lag', '1 minute')")
    refresh(database, NOW)
    database.execute(f"ALTER SUBSCRIPTION {pairs['medellin'].name} ENABLE")
    pairs["medellin"].catch_up()
    assert behind(database)[1] == ("medellin", False, None, True)
    database.execute("CALL analytics.rebuild()")
    assert behind(database)[1] == ("medellin", False, None, False)


def test_one_origin_is_asked_for_by_http(origins: Database) -> None:
    path = "/materialized-views/kpis/{}?limit=1000"
    with started(origins, "origins-asked", Settings(rate=100000, burst=10000)) as api:
        for view in KPI_VIEWS:
            for schema in ORIGINS:
                answer = api.get(f"{path.format(view)}&origen={schema}", "analytics_lector")
                assert answer.status == 200, answer.body
                shown = origins.rows(
                    f"SELECT object - 'calculado_at' FROM analytics.rows_of_origin('{view}', "
                    f"'{schema}') AS part (object)"
                )
                found = [
                    {name: value for name, value in row.items() if name != "calculado_at"}
                    for row in answer.json()
                ]
                assert texts(found) == texts(row for (row,) in shown)
        one = api.get(f"{path.format('mv_embudo_operativo')}&origen=bogota", "analytics_lector")
        assert (
            one.headers["etag"]
            != (api.get(path.format("mv_embudo_operativo"), "analytics_lector").headers["etag"])
        )
        filled = api.get(
            f"{path.format('mv_embudo_operativo')}&origen=bogota&fill=true", "analytics_lector"
        )
        assert len(filled.json()) > len(one.json())
        path = path.format("mv_metricas_mensuales")
        error = refused(api.get(f"{path}&origen=cali", "analytics_lector"), 400)
        assert error["message"] == "there is no origin cali"
        assert error["details"] == "The origins are: bogota, medellin."
        for other in ("compare=year", "as_of=2026-11-22", "reported=true"):
            assert api.get(f"{path}&origen=bogota&{other}", "analytics_lector").status == 400
        document = api.get("/openapi.json", "analytics_lector").json()
        (origen,) = [
            one
            for one in document["paths"][path.partition("?")[0]]["get"]["parameters"]
            if one["name"] == "origen"
        ]
        assert origen["schema"]["enum"] == list(ORIGINS)
        csv = api.get(f"{path}&origen=bogota", "analytics_lector", headers={"Accept": "text/csv"})
        assert csv.body.splitlines()[0].startswith("mes,solicitudes_creadas")


def test_no_rows_of_one_origin_come_from_facts_that_the_gate_refused(origins: Database) -> None:
    """Neither SQL nor HTTP shows them, until an operator accepts them."""
    ask = (
        "SELECT count(*) > 0 FROM analytics.rows_of_origin('mv_metricas_mensuales', 'bogota')",
        "SELECT json_array_length(kpi_engine.kpi_rows('mv_metricas_mensuales', "
        "ARRAY['origen=bogota'])) > 0",
    )
    origins.execute(
        "SELECT analytics.set_setting('gate_least_requests', '1'), "
        "analytics.set_setting('breaker_pct', 'off')",
        "DELETE FROM bogota.solicitudes",
    )
    assert [origins.rows(query) for query in ask] == [[(True,)]] * 2
    with origins.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("SELECT * FROM analytics.refresh_all_mv()")
    held = "SELECT count(*) > 0 FROM analytics.gate_holds WHERE view_name = 'mv_metricas_mensuales'"
    assert origins.rows(held) == [(True,)]
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="was not published"):
        origins.rows(ask[0])
    with pytest.raises(psycopg.Error, match=r"TELOO503.*The gate holds it"):
        origins.rows(ask[1])
    origins.execute("SELECT analytics.set_setting('gate', 'off')")
    refresh(origins, NOW)
    # Of requests that are gone, none are left.
    assert [origins.rows(query) for query in ask] == [[(False,)]] * 2


def texts(rows: Iterable[object]) -> list[str]:
    """Return rows as texts that can be compared, in an order of their own."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def test_over_one_schema_there_is_no_origin(api: Api) -> None:
    error = refused(
        api.get("/materialized-views/kpis/mv_embudo_operativo?origen=public", "analytics_lector"),
        400,
    )
    assert error["details"].startswith("All operational tables are in one schema")
    assert api.database.rows("SELECT * FROM analytics.origins()") == []
    assert api.database.rows(
        "SELECT count(*) FROM pg_attribute WHERE attname = 'origen' "
        "AND attrelid::regclass::text LIKE 'kpi_engine.%facts%'"
    ) == [(0,)]
    answer = api.get("/materialized-views/status", "analytics_lector")
    assert answer.json()["origins"] == []
    assert "x-partial" not in answer.headers


def test_several_publishers_write_into_the_same_tables(
    publishing: Cluster, system_server: Server
) -> None:
    """Origins are the subscriptions then. PostgreSQL itself refuses an id that two of them have."""
    for subscriber in fresh_database(system_server):
        install(subscriber)
        subscriber.execute(MARKER.format("public"))
        pairs = []
        try:
            for place, schema in enumerate(ORIGINS):
                publisher = make_publisher(publishing, f"{subscriber.name}_{schema}_same", "A")
                for database in (publisher, subscriber):
                    database.execute(f"CREATE SCHEMA {schema}")
                publisher.execute(MARKER.format(schema))
                fill_origin(publisher, "public", BASE_SEED + place)
                pair = Pair(publisher, subscriber, schema)
                pairs.append(pair)
                pair.subscribe()
            subscriber.execute("CALL analytics.apply_change_capture()")
            refresh(subscriber, NOW)
            assert view_differences(subscriber, NOW) == []
            names = sorted(pair.name for pair in pairs)
            assert behind(subscriber) == [(name, False, None, False) for name in names]
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                subscriber.rows(
                    f"SELECT * FROM analytics.rows_of_origin('mv_embudo_operativo', '{names[0]}')"
                )
            for pair in pairs:
                pair.publisher.execute("UPDATE ofertas SET tiempo_entrega_dias = 7")
                pair.catch_up()
            refresh(subscriber, NOW)
            assert view_differences(subscriber, NOW) == []
            ((key,),) = pairs[0].publisher.rows("SELECT id::text FROM ofertas_historicas LIMIT 1")
            pairs[1].publisher.execute(
                "UPDATE ofertas_historicas SET id = "
                f"'{key}' WHERE id = (SELECT id FROM ofertas_historicas LIMIT 1)"
            )
            subscriber.wait_until(
                "SELECT sum(apply_error_count) > 0 FROM pg_stat_subscription_stats"
            )
            subscriber.wait_until("SELECT bool_or(is_behind) FROM analytics.origins()")
            severity, message = problems(subscriber)["replica_lag"]
            assert severity == "unhealthy"
            assert f"subscription {pairs[1].name} has no worker" in str(message) or (
                f"subscription {pairs[1].name} failed" in str(message)
            )
            assert f"{pairs[0].name} writes into the same tables" in str(message)
            assert refresh(subscriber, NOW)[0] in ("unchanged", "incremental")
            assert (pairs[1].name, True) in [row[:2] for row in behind(subscriber)]
            # The row here gives way.
            pairs[0].publisher.execute(
                f"UPDATE ofertas_historicas SET id = gen_random_uuid() WHERE id = '{key}'"
            )
            for pair in pairs:
                pair.catch_up()
            refresh(subscriber, NOW)
            assert view_differences(subscriber, NOW) == []
            # That it has applied all, a second word of the publisher shows.
            pairs[1].catch_up()
            subscriber.wait_until("SELECT NOT bool_or(is_behind) FROM analytics.origins()")
            subscriber.execute("CALL analytics.tick()")
            refresh(subscriber, NOW)
            assert behind(subscriber) == [(name, False, None, False) for name in names]
            # A TRUNCATE of one takes the rows of the other, which nothing brings again.
            found = findings_of(subscriber, "publications")
            assert ["sends TRUNCATE" in one["message"] for one in found] == [True, True]
            pairs[0].publisher.execute("TRUNCATE ofertas_detalle")
            subscriber.wait_until("SELECT NOT EXISTS (SELECT FROM ofertas_detalle)")
            message = str(problems(subscriber)["replica_lag"][1])
            assert f"public.ofertas_detalle of subscription {pairs[1].name} was emptied" in message
            assert f"drop all subscriptions of its tables ({', '.join(names)})" in message
            assert behind(subscriber) == [
                (name, True, "gone", True) if name == pairs[1].name else (name, False, None, False)
                for name in names
            ]
            # What the message says.
            for pair in pairs:
                pair.unsubscribe()
            subscriber.execute(EMPTY_THE_TABLES)
            for pair in pairs:
                pair.publisher.execute(
                    "ALTER PUBLICATION operational SET (publish = 'insert, update, delete')"
                )
                pair.subscribe()
            subscriber.execute("CALL analytics.tick()")
            refresh(subscriber, NOW)
            sources = []
            for pair in pairs:
                with pair.publisher.session() as connection:
                    sources.append(oracle.read_schema(connection, "public"))
            with subscriber.session() as reader:
                assert differences(reader, united(sources, ZONE), TODAY) == []
            assert findings_of(subscriber, "publications") == []
        finally:
            for pair in pairs:
                pair.unsubscribe()


def test_a_subscription_that_is_added_is_missing_until_it_is_counted_and_published(
    publishing: Cluster, system_server: Server
) -> None:
    """From its first copy on. Its rows make sums of closed periods jump: the gate holds views."""
    copying, copied, counted, seen = (f"2026-11-23 {hour}:00:00-05" for hour in range(13, 17))
    held, kept = "mv_metricas_mensuales", "mv_ranking_asesores"
    for subscriber in fresh_database(system_server):
        install(subscriber)
        subscriber.execute(MARKER.format("public"))
        pairs = []
        try:
            for place, schema in enumerate(ORIGINS):
                publisher = make_publisher(publishing, f"{subscriber.name}_{schema}_added", "A")
                for database in (publisher, subscriber):
                    database.execute(f"CREATE SCHEMA {schema}")
                publisher.execute(MARKER.format(schema))
                fill_origin(publisher, "public", BASE_SEED + place)
                pairs.append(Pair(publisher, subscriber, schema))
            first, added = pairs
            first.subscribe()
            subscriber.execute("CALL analytics.apply_change_capture()")
            first.catch_up()
            refresh(subscriber, NOW)
            for name in ("gate_least_requests", "gate_least_count"):
                subscriber.execute(f"SELECT analytics.set_setting('{name}', '1')")
            with ThreadPoolExecutor() as pool, subscriber.session() as writer:
                # The copy of this table waits.
                with writer.transaction():
                    writer.execute("LOCK TABLE ofertas_detalle IN SHARE ROW EXCLUSIVE MODE")
                    subscribing = pool.submit(added.subscribe)
                    subscriber.wait_until(
                        "SELECT count(*) > 0 FROM pg_subscription_rel AS its "
                        "INNER JOIN pg_subscription AS its_own ON its_own.oid = its.srsubid "
                        f"WHERE its_own.subname = '{added.name}' AND its.srsubstate = 'd'"
                    )
                    tick(subscriber, copying)
                    assert partial_of(subscriber, copying, held) == added.name
                subscribing.result()
            # That it has applied all, a second word of the publisher shows.
            for pair in pairs * 2:
                pair.catch_up()
            subscriber.wait_until("SELECT NOT bool_or(is_behind) FROM analytics.origins()")
            tick(subscriber, copied)
            names = sorted(pair.name for pair in pairs)
            assert behind(subscriber) == [(name, False, None, name == added.name) for name in names]
            assert partial_of(subscriber, copied, held) == added.name
            subscriber.rows("SELECT * FROM analytics.refresh_all_mv()", counted)
            views = {
                view for (view,) in subscriber.rows("SELECT view_name FROM analytics.gate_holds")
            }
            assert held in views
            assert kept not in views
            assert [partial_of(subscriber, seen, view) for view in (held, kept)] == [
                added.name,
                None,
            ]
            for view in views:
                subscriber.execute(f"SELECT analytics.accept_gate('{view}', 'once', 'one is new')")
            refresh(subscriber, seen)
            assert [partial_of(subscriber, seen, view) for view in (held, kept)] == [None, None]
            assert view_differences(subscriber, seen) == []
        finally:
            for pair in pairs:
                pair.unsubscribe()


def tick(database: Database, now: str) -> None:
    """Let a minute pass at this time."""
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [now])
        connection.execute("CALL analytics.tick()")


def partial_of(database: Database, now: str, view: str) -> str | None:
    """Return the header X-Partial of an answer with the rows of a view."""
    with database.session() as connection, connection.transaction():
        connection.execute("SELECT set_config('analytics.now', %s, true)", [now])
        connection.execute("SELECT kpi_engine.begin_reading(%s)", [view])
        row = connection.execute(
            "SELECT item ->> 'X-Partial' FROM json_array_elements("
            "current_setting('response.headers')::json) AS listed (item) "
            "WHERE item ->> 'X-Partial' IS NOT NULL"
        ).fetchone()
        return str(row[0]) if row else None


@pytest.fixture(scope="module")
def publishing() -> Iterator[Cluster]:
    """A server whose databases can be published."""
    with publishing_cluster() as cluster:
        yield cluster
