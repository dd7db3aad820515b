"""The operational tables move, change or hide under the KPIs: never a silent wrong number."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import get_args

import psycopg
import pytest

from cluster import Cluster, system_binaries
from commandline.console import UserError
from conftest import TEST_SETTINGS, Database, Server, fresh_database
from golden_data import NOW, expected_views, load_source
from marketplace import Generation
from migrate import migrate
from oracle import all_differences, read_views
from sequences import refresh, view_differences

GENERATIONS: tuple[Generation, ...] = get_args(Generation)


def golden(database: Database, generation: Generation) -> Database:
    """Load the golden source, migrate, refresh."""
    load_source(database.url, generation)
    migrate(database.url)
    assert refresh(database, NOW)[0] == "full"
    assert problems(database) == {}
    return database


@pytest.fixture(scope="module")
def templates(system_server: Server) -> Iterator[dict[str, str]]:
    """A refreshed database of each generation, to be copied."""
    with ExitStack() as stack:
        names: dict[str, str] = {}
        for generation in GENERATIONS:
            name = system_server.new_name("golden")
            stack.enter_context(system_server.janitor(name))
            golden(Database(system_server.cluster, name), generation)
            names[generation] = name
        yield names


def copy_of(server: Server, template: str) -> Iterator[Database]:
    """Make a copy that is settled in its new database."""
    for database in fresh_database(server, template):
        assert refresh(database, NOW)[0] == "unchanged"
        assert problems(database) == {}
        yield database


@pytest.fixture
def market(system_server: Server, templates: dict[str, str]) -> Iterator[Database]:
    """The golden data of generation A, refreshed."""
    yield from copy_of(system_server, templates["A"])


@pytest.fixture
def market_b(system_server: Server, templates: dict[str, str]) -> Iterator[Database]:
    """The golden data of generation B, refreshed."""
    yield from copy_of(system_server, templates["B"])


def problems(database: Database) -> dict[str, tuple[str, str]]:
    """Return what health says of source, capture and replica: severity and text by problem."""
    rows = database.rows(
        "SELECT problem, severity, message FROM analytics.health_problems() "
        "WHERE problem IN ('source_moved', 'source_hidden', 'capture_gap', 'replica_lag')",
        today=NOW,
    )
    return {str(name): (str(severity), str(text)) for name, severity, text in rows}


def results(database: Database, *, force: bool = False) -> list[tuple[object, ...]]:
    """Refresh; return status, SQLSTATE and message of each view."""
    return database.rows(
        "SELECT refresh_status, error_sqlstate, error_message "
        f"FROM analytics.refresh_all_mv({force})",
        today=NOW,
    )


def contents(database: Database) -> list[tuple[object, ...]]:
    """Return what both views hold."""
    return database.rows(
        "SELECT md5(string_agg(m::text, '' ORDER BY mes)) "
        "FROM analytics.mv_metricas_mensuales AS m "
        "UNION ALL SELECT md5(string_agg(r::text, '' ORDER BY asesor_id)) "
        "FROM analytics.mv_ranking_asesores AS r"
    )


def check_fails_by_name(database: Database, *words: str, problem: str = "source_moved") -> None:
    """Each refresh fails and says why, the views stay, tick and health say it, too."""
    before = contents(database)
    for force in (False, True):
        for status, code, message in results(database, force=force):
            assert (status, code) == ("ERROR", "55000")
            for word in words:
                assert word in str(message)
    assert contents(database) == before
    with database.session() as connection:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
        connection.execute("CALL analytics.tick()")
        for call in (
            "CALL analytics.rebuild()",
            "SELECT analytics.audit()",
            "SELECT * FROM analytics.v_metricas_mensuales_tiempo_real",
            "SELECT * FROM analytics.v_kpis_en_vivo",
            "SELECT * FROM analytics.explain_refresh()",
        ):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=words[0]):
                connection.execute(call)
    found = problems(database)
    assert found[problem][0] == "unhealthy"
    for word in words:
        assert word in found[problem][1]
    assert contents(database) == before


def check_rebound(database: Database, *, mode: str = "full") -> None:
    """After migrate what was bound anew is computed again, right; then nothing is left to do."""
    migrate(database.url)
    assert refresh(database, NOW)[0] == mode
    assert view_differences(database, NOW) == []
    assert problems(database) == {}
    assert refresh(database, NOW)[0] == "unchanged"


ONE_MORE_OFFER = (
    "INSERT INTO {table} (id, solicitud_id, asesor_id, tiempo_entrega_dias, estado, monto_total) "
    "SELECT gen_random_uuid(), solicitud_id, asesor_id, 3, 'ENVIADA', 1 FROM {table} LIMIT 7"
)
SWAP = (
    "CREATE TABLE public.ofertas_new (LIKE public.ofertas INCLUDING ALL)",
    "INSERT INTO public.ofertas_new SELECT * FROM public.ofertas",
    "BEGIN; ALTER TABLE public.ofertas RENAME TO ofertas_retired; "
    "ALTER TABLE public.ofertas_new RENAME TO ofertas; COMMIT",
)
PARTITION_IT = (
    "ALTER TABLE public.historial_respuestas_ofertas RENAME TO notices_old",
    "CREATE TABLE public.historial_respuestas_ofertas (LIKE public.notices_old INCLUDING DEFAULTS) "
    "PARTITION BY RANGE (fecha_envio)",
    "ALTER TABLE public.historial_respuestas_ofertas ATTACH PARTITION public.notices_old "
    "FOR VALUES FROM (MINVALUE) TO ('2027-01-01')",
)
# What is done, what the error names, and what has to be done besides migrate (None: it is enough).
MOVES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "a table swapped by rename": (
        (*SWAP, ONE_MORE_OFFER.format(table="public.ofertas")),
        ("public.ofertas is another table", "ofertas_retired"),
        (),
    ),
    "a table swapped by rename, the old one dropped": (
        (*SWAP, "DROP TABLE public.ofertas_retired CASCADE"),
        ("src_ofertas", "public.ofertas"),
        (),
    ),
    "a table turned into partitions": (
        PARTITION_IT,
        ("public.historial_respuestas_ofertas is another table", "notices_old"),
        (),
    ),
    "a table moved to another schema": (
        ("CREATE SCHEMA sales", "ALTER TABLE public.ofertas SET SCHEMA sales"),
        ("table public.ofertas is gone", "sales.ofertas"),
        ("ALTER TABLE sales.ofertas SET SCHEMA public",),
    ),
    "a table renamed": (
        ("ALTER TABLE public.asesores RENAME TO advisors",),
        ("table public.asesores is gone", "advisors"),
        ("ALTER TABLE public.advisors RENAME TO asesores",),
    ),
    "the schema renamed": (
        ("ALTER SCHEMA public RENAME TO shop", "CREATE SCHEMA public"),
        ("is gone", "shop."),
        ("DROP SCHEMA public", "ALTER SCHEMA shop RENAME TO public"),
    ),
    "a view in a table's place": (
        (
            "ALTER TABLE public.usuarios RENAME TO people",
            "CREATE VIEW public.usuarios AS SELECT * FROM public.people WHERE false",
        ),
        ("public.usuarios is another table", "people"),
        ("DROP VIEW public.usuarios", "ALTER TABLE public.people RENAME TO usuarios"),
    ),
    "two columns swapped by rename": (
        (
            "ALTER TABLE public.ofertas_detalle RENAME COLUMN cantidad TO x",
            "ALTER TABLE public.ofertas_detalle RENAME COLUMN garantia_meses TO cantidad",
            "ALTER TABLE public.ofertas_detalle RENAME COLUMN x TO garantia_meses",
        ),
        ("public.ofertas_detalle.cantidad", "public.ofertas_detalle.garantia_meses"),
        (),
    ),
    "a column replaced by expand and contract": (
        (
            "ALTER TABLE public.ofertas ADD COLUMN estado_new text",
            "UPDATE public.ofertas SET estado_new = 'ACEPTADA'",
            "ALTER TABLE public.ofertas RENAME COLUMN estado TO estado_old",
            "ALTER TABLE public.ofertas RENAME COLUMN estado_new TO estado",
        ),
        ("column public.ofertas.estado is another column", "estado_old"),
        (),
    ),
    "a column renamed": (
        ("ALTER TABLE public.solicitudes RENAME COLUMN estado TO state",),
        ("column public.solicitudes.estado is gone", "it is called state now"),
        ("ALTER TABLE public.solicitudes RENAME COLUMN state TO estado",),
    ),
    "a table dropped with what reads it": (
        ("DROP TABLE public.adjudicaciones_repuesto CASCADE",),
        ("table public.adjudicaciones_repuesto is gone",),
        (
            "CREATE TABLE public.adjudicaciones_repuesto (id uuid PRIMARY KEY, oferta_id uuid, "
            "solicitud_id uuid, repuesto_solicitado_id uuid, precio_adjudicado numeric)",
        ),
    ),
    "a src_ view changed by hand": (
        (
            "DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW kpi_engine.src_ofertas AS ' || "
            "replace(pg_get_viewdef('kpi_engine.src_ofertas'::regclass), ';', ' LIMIT 3'); END $$",
        ),
        ("view kpi_engine.src_ofertas was changed by hand",),
        (),
    ),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.takes_turns(2)
def test_when_the_source_moves_refreshes_fail_by_name_until_migrate_binds_it_again(
    market: Database, move: str
) -> None:
    statements, words, cure = MOVES[move]
    with market.session() as connection:
        for statement in statements:
            connection.execute(statement)
    check_fails_by_name(market, *words)
    market.execute(*cure)
    # What came back under its name is what it was. An altered column is read anew.
    is_back = bool(cure) and not cure[0].startswith("CREATE TABLE") and "COLUMN" not in cure[0]
    check_rebound(market, mode="unchanged" if is_back else "full")


def test_a_schema_that_was_renamed_is_bound_by_migrate_under_its_new_name(
    market_b: Database,
) -> None:
    market_b.execute("ALTER SCHEMA teloo RENAME TO operacion")
    check_fails_by_name(market_b, "is gone", "operacion.")
    migrate(market_b.url)
    assert refresh(market_b, NOW)[0] == "full"
    with market_b.session() as connection:
        views = read_views(connection)
    assert all_differences(expected_views("B", changed=False), views) == []
    assert problems(market_b) == {}


def test_triggers_stay_on_a_moved_table_that_the_views_still_read(market: Database) -> None:
    market.execute(
        "CREATE SCHEMA sales",
        "ALTER TABLE public.ofertas SET SCHEMA sales",
        "CALL analytics.apply_change_capture()",
    )
    assert market.rows(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sales.ofertas'::regclass "
        "AND tgname LIKE 'teloo%'"
    ) == [(4,)]
    market.execute(ONE_MORE_OFFER.format(table="sales.ofertas"))
    check_fails_by_name(market, "table public.ofertas is gone")
    # Moved back without migrate: what was written meanwhile is counted.
    market.execute("ALTER TABLE sales.ofertas SET SCHEMA public")
    refresh(market, NOW)
    assert view_differences(market, NOW) == []


RENAMED_VALUES = {
    "a value that the rules count": (
        ("ALTER TYPE teloo.estado_solicitud RENAME VALUE 'ACEPTADA' TO 'ACEPTADO'",),
        ("ALTER TYPE teloo.estado_solicitud RENAME VALUE 'ACEPTADO' TO 'ACEPTADA'",),
    ),
    "the state of advisors": (
        ("ALTER TYPE teloo.estado_asesor RENAME VALUE 'ACTIVO' TO 'ACTIVE'",),
        ("ALTER TYPE teloo.estado_asesor RENAME VALUE 'ACTIVE' TO 'ACTIVO'",),
    ),
    "two values swapped": (
        (
            "ALTER TYPE teloo.estado_oferta RENAME VALUE 'GANADORA' TO 'X'",
            "ALTER TYPE teloo.estado_oferta RENAME VALUE 'ENVIADA' TO 'GANADORA'",
            "ALTER TYPE teloo.estado_oferta RENAME VALUE 'X' TO 'ENVIADA'",
        ),
        (
            "ALTER TYPE teloo.estado_oferta RENAME VALUE 'GANADORA' TO 'X'",
            "ALTER TYPE teloo.estado_oferta RENAME VALUE 'ENVIADA' TO 'GANADORA'",
            "ALTER TYPE teloo.estado_oferta RENAME VALUE 'X' TO 'ENVIADA'",
        ),
    ),
}


@pytest.mark.parametrize("values", RENAMED_VALUES)
def test_a_renamed_value_of_an_enum_fails_by_name(market_b: Database, values: str) -> None:
    renames, back = RENAMED_VALUES[values]
    market_b.execute(*renames)
    check_fails_by_name(market_b, "of enum type teloo.", "is called")
    market_b.execute(*back)
    assert {row[0] for row in results(market_b)} == {"SUCCESS"}
    assert view_differences(market_b, NOW) == []
    assert problems(market_b) == {}


def test_a_renamed_value_of_an_enum_under_domains_fails_by_name(system_database: Database) -> None:
    load_source(system_database.url, "B")
    system_database.execute(
        "CREATE DOMAIN teloo.estado_de_oferta AS teloo.estado_oferta",
        "CREATE DOMAIN teloo.estado_conocido AS teloo.estado_de_oferta",
        "ALTER TABLE teloo.ofertas ALTER COLUMN estado DROP DEFAULT, "
        "ALTER COLUMN estado TYPE teloo.estado_conocido",
    )
    migrate(system_database.url)
    assert refresh(system_database, NOW)[0] == "full"
    system_database.execute("ALTER TYPE teloo.estado_oferta RENAME VALUE 'ACEPTADA' TO 'ACCEPTED'")
    check_fails_by_name(system_database, "of enum type teloo.estado_oferta", "is called")
    system_database.execute("ALTER TYPE teloo.estado_oferta RENAME VALUE 'ACCEPTED' TO 'ACEPTADA'")
    assert {row[0] for row in results(system_database)} == {"SUCCESS"}
    assert view_differences(system_database, NOW) == []
    assert problems(system_database) == {}


def test_ids_under_two_domains_are_noted(system_database: Database) -> None:
    load_source(system_database.url, "A")
    system_database.execute(
        "CREATE DOMAIN public.clave AS uuid",
        "CREATE DOMAIN public.clave_de_auditoria AS public.clave",
        "ALTER TABLE public.auditorias_tiendas ALTER COLUMN id TYPE public.clave_de_auditoria",
    )
    migrate(system_database.url)
    assert refresh(system_database, NOW)[0] == "full"
    assert system_database.rows("SELECT kpi_engine.capture_obstacle()") == [(None,)]
    system_database.execute("UPDATE public.auditorias_tiendas SET puntaje_confianza = 1")
    assert refresh(system_database, NOW)[0] == "incremental"
    assert view_differences(system_database, NOW) == []
    assert problems(system_database) == {}


def test_migrate_refuses_an_enum_without_a_value_that_the_rules_count(market_b: Database) -> None:
    market_b.execute("ALTER TYPE teloo.estado_solicitud RENAME VALUE 'EXPIRADA' TO 'VENCIDA'")
    with pytest.raises(UserError) as refusal:
        migrate(market_b.url)
    assert "EXPIRADA" in f"{refusal.value}{refusal.value.hint}"


def test_a_value_that_no_rule_counts_may_get_another_name_and_new_ones_may_come(
    market_b: Database,
) -> None:
    market_b.execute("ALTER TYPE teloo.estado_solicitud ADD VALUE 'EN_PAUSA'")
    assert refresh(market_b, NOW)[0] == "unchanged"
    market_b.execute("ALTER TYPE teloo.estado_oferta RENAME VALUE 'NO_SELECCIONADA' TO 'PERDIDA'")
    assert refresh(market_b, NOW) == ("full", "values of the source got other names")
    assert view_differences(market_b, NOW) == []
    assert problems(market_b) == {}


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (
            "ALTER TABLE public.solicitudes RENAME COLUMN estado TO state",
            "now: ALTER TABLE public.solicitudes RENAME COLUMN state TO estado; as its owner",
        ),
        (
            "ALTER TABLE public.solicitudes DROP COLUMN updated_at CASCADE",
            "is gone: give table public.solicitudes a column updated_at again",
        ),
        # It may be absent.
        ("ALTER TABLE public.asesores RENAME COLUMN nivel_actual TO nivel", ": make migrate. "),
    ],
)
def test_the_cure_of_a_column_that_is_gone_is_one(market: Database, change: str, cure: str) -> None:
    market.execute("ALTER TABLE public.asesores ADD COLUMN nivel_actual integer DEFAULT 4")
    migrate(market.url)
    market.execute(change)
    severity, text = problems(market)["source_moved"]
    assert severity == "unhealthy"
    assert cure in text


def test_a_column_that_the_contract_would_use_is_told_and_bound_by_migrate(
    market: Database,
) -> None:
    market.execute("ALTER TABLE public.asesores ADD COLUMN nivel_actual integer DEFAULT 4")
    assert {row[0] for row in results(market)} == {"SUCCESS"}
    severity, text = problems(market)["source_moved"]
    assert severity == "degraded"
    assert "column public.asesores.nivel_actual is new" in text
    assert "make migrate" in text
    check_rebound(market)
    assert market.rows("SELECT DISTINCT nivel_actual FROM analytics.mv_ranking_asesores") == [(4,)]


# -- rows that can't be seen ----------------------------------------------------------------------

HIDING = {
    "a policy": (
        ("ALTER TABLE public.solicitudes ENABLE ROW LEVEL SECURITY",),
        ("row-level security of table public.solicitudes",),
        ("ALTER TABLE public.solicitudes DISABLE ROW LEVEL SECURITY",),
    ),
    "a policy that shows some": (
        (
            "ALTER TABLE public.asesores ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY some_rows ON public.asesores USING (confianza > 3)",
        ),
        ("row-level security of table public.asesores",),
        ("ALTER TABLE public.asesores DISABLE ROW LEVEL SECURITY",),
    ),
    "rights on a part of the columns": (
        (
            "REVOKE SELECT ON public.ofertas FROM analytics_owner",
            "GRANT SELECT (id, solicitud_id, estado) ON public.ofertas TO analytics_owner",
        ),
        ("may not read column", "asesor_id", "public.ofertas"),
        ("GRANT SELECT ON public.ofertas TO analytics_owner",),
    ),
    "no right at all": (
        ("REVOKE SELECT ON public.usuarios FROM analytics_owner",),
        ("may not read any column of table public.usuarios",),
        ("GRANT SELECT ON public.usuarios TO analytics_owner",),
    ),
}


@pytest.mark.parametrize("hiding", HIDING)
def test_rows_that_are_hidden_make_refreshes_fail_by_name(market: Database, hiding: str) -> None:
    statements, words, cure = HIDING[hiding]
    market.execute(*statements)
    check_fails_by_name(market, *words, problem="source_hidden")
    market.execute(*cure)
    assert {row[0] for row in results(market)} == {"SUCCESS"}
    assert view_differences(market, NOW) == []
    assert problems(market) == {}


def test_a_policy_that_bypassrls_passes_hides_nothing_until_that_is_lost(market: Database) -> None:
    market.execute("ALTER ROLE analytics_owner BYPASSRLS")
    try:
        market.execute("ALTER TABLE public.ofertas ENABLE ROW LEVEL SECURITY")
        assert {row[0] for row in results(market, force=True)} == {"SUCCESS"}
        assert view_differences(market, NOW) == []
        market.execute("ALTER ROLE analytics_owner NOBYPASSRLS")
        check_fails_by_name(
            market, "row-level security of table public.ofertas", problem="source_hidden"
        )
    finally:
        market.execute("ALTER ROLE analytics_owner NOBYPASSRLS")


@pytest.fixture
def remote(system_server: Server) -> Iterator[Database]:
    """The golden data of generation A in a database that another one reads by foreign tables."""
    name = system_server.new_name("remote")
    with system_server.janitor(name):
        remote = Database(system_server.cluster, name)
        load_source(remote.url, "A")
        role = f"reader_{name}"
        remote.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{role}'",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        )
        yield remote
        remote.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def foreign_server(remote: Database) -> tuple[str, ...]:
    """Return the statements that let everybody read the other database as its reader."""
    role = f"reader_{remote.name}"
    return (
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER remote FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
        f"(host '127.0.0.1', port '{remote.cluster.port}', dbname '{remote.name}')",
        f"CREATE USER MAPPING FOR public SERVER remote OPTIONS (user '{role}', password '{role}')",
    )


SAFE_SERVER = (
    "ALTER SERVER remote OPTIONS (ADD connect_timeout '5', "
    "ADD options '-c statement_timeout=20s -c row_security=off')"
)


def test_foreign_tables_need_a_server_that_hides_no_rows(
    system_database: Database, remote: Database
) -> None:
    database = system_database
    database.execute(
        *foreign_server(remote),
        "IMPORT FOREIGN SCHEMA public FROM SERVER remote INTO public",
    )
    with pytest.raises(UserError) as refusal:
        migrate(database.url)
    told = f"{refusal.value}{refusal.value.hint}"
    assert "server remote of foreign table public.ofertas has no limit of time" in told
    assert SAFE_SERVER in told
    database.execute(SAFE_SERVER)
    migrate(database.url)
    database.execute("SELECT analytics.set_setting('change_capture', 'off')")
    assert {row[0] for row in results(database)} == {"SUCCESS"}
    assert view_differences(database, NOW) == []
    assert problems(database) == {}
    before = contents(database)

    remote.execute("ALTER TABLE public.ofertas ENABLE ROW LEVEL SECURITY")
    assert {row[:2] for row in results(database)} == {("ERROR", "42501")}
    assert contents(database) == before
    database.execute("ALTER SERVER remote OPTIONS (SET options '-c statement_timeout=20s')")
    check_fails_by_name(
        database, "server remote of foreign table", "public.ofertas", problem="source_hidden"
    )
    remote.execute("ALTER TABLE public.ofertas DISABLE ROW LEVEL SECURITY")
    database.execute(
        "ALTER SERVER remote OPTIONS (SET options '-c statement_timeout=20s -c row_security=off')"
    )
    assert {row[0] for row in results(database)} == {"SUCCESS"}
    assert view_differences(database, NOW) == []
    assert problems(database) == {}


def test_a_foreign_part_needs_a_server_that_hides_no_rows(
    market: Database, remote: Database
) -> None:
    remote.execute(
        "CREATE TABLE public.few AS SELECT * FROM public.ofertas ORDER BY id LIMIT 3",
        "UPDATE public.few SET id = gen_random_uuid()",
        f"GRANT SELECT ON public.few TO reader_{remote.name}",
    )
    market.execute(
        *foreign_server(remote),
        "CREATE FOREIGN TABLE public.ofertas_lejos () INHERITS (public.ofertas) SERVER remote "
        "OPTIONS (table_name 'few')",
    )
    check_fails_by_name(
        market, "server remote of foreign table public.ofertas_lejos", problem="source_hidden"
    )
    market.execute(SAFE_SERVER)
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []
    assert "source_hidden" not in problems(market)


@pytest.mark.parametrize("above", [False, True])
def test_writers_pass_a_foreign_part(market: Database, remote: Database, above: bool) -> None:
    """PostgreSQL keeps no rows of a foreign table for triggers, and fails the writer instead."""
    remote.execute(
        "CREATE TABLE public.few AS SELECT * FROM public.ofertas ORDER BY id LIMIT 3",
        "UPDATE public.few SET id = gen_random_uuid()",
        f"GRANT ALL ON public.few TO reader_{remote.name}",
    )
    parent = "timed" if above else "ofertas"
    market.execute(
        *foreign_server(remote),
        SAFE_SERVER,
        "CREATE TABLE public.timed (tiempo_entrega_dias integer)",
        "SELECT analytics.set_setting('change_capture', 'off')",
        "CALL analytics.apply_change_capture()",
        *(["ALTER TABLE public.ofertas INHERIT public.timed"] if above else []),
        f"CREATE FOREIGN TABLE public.ofertas_lejos () INHERITS (public.{parent}) SERVER remote "
        "OPTIONS (table_name 'few')",
        "SELECT analytics.set_setting('change_capture', 'on')",
        "CALL analytics.apply_change_capture()",
        f"UPDATE public.{parent} SET tiempo_entrega_dias = 9",
        f"DELETE FROM public.{parent} WHERE tiempo_entrega_dias = 8",
    )
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []
    assert f"public.{parent}" in problems(market)["capture_gap"][1]
    market.execute(
        "DROP FOREIGN TABLE public.ofertas_lejos", "CALL analytics.apply_change_capture()"
    )
    assert refresh(market, NOW)[0] == "full"
    market.execute(f"UPDATE public.{parent} SET tiempo_entrega_dias = 7")
    assert view_differences(market, NOW)
    assert refresh(market, NOW)[0] == ("full" if above else "incremental")
    assert view_differences(market, NOW) == []
    assert problems(market) == {}


def test_equal_rows_of_offers_count_each(market: Database) -> None:
    """The key of ofertas is gone, and a row came twice."""
    shown = "SELECT sum(ofertas_totales) FROM analytics.mv_metricas_mensuales"
    ((before,),) = market.rows(shown)
    market.execute(
        "ALTER TABLE public.ofertas DROP CONSTRAINT ofertas_pkey CASCADE",
        "CREATE INDEX ON public.ofertas (id)",
        "INSERT INTO public.ofertas SELECT ofertas.* FROM public.ofertas "
        "INNER JOIN public.solicitudes ON solicitudes.id = ofertas.solicitud_id "
        "WHERE solicitudes.created_at >= '2020-01-01' ORDER BY ofertas.id LIMIT 1",
    )
    refresh(market, NOW)
    assert market.rows(shown) == [(int(str(before)) + 1,)]
    assert market.rows("SELECT analytics.audit()") == [(0,)]


def test_two_rows_with_one_id_are_named(market: Database) -> None:
    market.execute(
        "ALTER TABLE public.solicitudes DROP CONSTRAINT solicitudes_pkey CASCADE",
        "INSERT INTO public.solicitudes SELECT * FROM public.solicitudes ORDER BY id LIMIT 1",
    )
    (row,) = market.rows("SELECT id::text FROM public.solicitudes ORDER BY id LIMIT 1")
    for force in (False, True):
        (message,) = {row[2] for row in results(market, force=force)}
        assert f"table public.solicitudes has several rows with the id {row[0]}" in str(message)


def test_nothing_that_reads_the_source_obeys_a_policy(market: Database) -> None:
    """Also where the check did not see it: PostgreSQL itself refuses."""
    rows = market.rows(
        "SELECT proname FROM pg_proc "
        "WHERE pronamespace = ANY ('{analytics, kpi_engine}'::regnamespace[]) "
        "AND prosqlbody IS NULL AND prosrc ~ 'kpi_engine\\.(src_|recomputed_)' "
        "AND prosrc !~ 'pg_get_viewdef' "
        "AND NOT coalesce('row_security=off' = ANY (proconfig), false) ORDER BY 1"
    )
    assert rows == []


# -- writes that capture does not see -------------------------------------------------------------


@pytest.fixture
def publisher() -> Iterator[Database]:
    """Another server with the same tables and rows, which publishes them."""
    cluster = Cluster(
        f"test-publisher-{os.getpid()}",
        binaries=system_binaries(),
        database="shop",
        settings=f"{TEST_SETTINGS}\nwal_level = logical\nmax_wal_senders = 4\n",
    )
    try:
        cluster.start()
        database = Database(cluster, "shop")
        load_source(database.url)
        database.execute("CREATE TABLE public.elsewhere (id integer PRIMARY KEY)")
        yield database
    finally:
        cluster.remove()


@contextmanager
def subscribed(market: Database, publisher: Database, tables: str) -> Iterator[str]:
    """Let the market follow tables of the publisher."""
    name = f"from_{market.name}"
    publisher.execute(f"CREATE PUBLICATION {name} FOR {tables}")
    market.execute(
        f"CREATE SUBSCRIPTION {name} CONNECTION '{publisher.url}' PUBLICATION {name} "
        "WITH (copy_data = false)"
    )
    try:
        yield name
    finally:
        market.execute(f"DROP SUBSCRIPTION {name}")


def test_where_a_subscription_writes_no_refresh_answers_unchanged_and_health_says_why(
    market: Database, publisher: Database
) -> None:
    with subscribed(market, publisher, "TABLE public.ofertas, public.ofertas_detalle") as name:
        market.execute("CALL analytics.tick()")
        publisher.execute("UPDATE public.ofertas SET estado = 'ACEPTADA', tiempo_entrega_dias = 9")
        market.wait_until("SELECT bool_and(estado = 'ACEPTADA') FROM public.ofertas")
        assert view_differences(market, NOW)
        for _ in range(2):
            mode, reason = refresh(market, NOW)
            assert mode == "full"
            assert f"subscription {name} writes public.ofertas" in str(reason)
            assert view_differences(market, NOW) == []
        severity, text = problems(market)["capture_gap"]
        assert severity == "unhealthy"
        assert f"subscription {name} writes public.ofertas, public.ofertas_detalle" in text
    # What came with the last moment of the subscription is computed, too.
    assert refresh(market, NOW)[0] == "full"
    assert refresh(market, NOW)[0] == "unchanged"
    # That it was dropped is told until somebody says that it is meant.
    assert set(problems(market)) == {"replica_lag"}
    market.execute(f"SELECT analytics.forget_subscription('{name}')")
    assert problems(market) == {}


def test_a_subscription_to_other_tables_changes_nothing(
    market: Database, publisher: Database
) -> None:
    market.execute("CREATE TABLE public.elsewhere (id integer PRIMARY KEY)")
    with subscribed(market, publisher, "TABLE public.elsewhere"):
        assert refresh(market, NOW)[0] == "unchanged"
        assert problems(market) == {}


def test_a_table_that_became_a_partition_of_another_is_captured_through_that_one(
    market: Database,
) -> None:
    market.execute(
        "CREATE TABLE public.all_audits (LIKE public.auditorias_tiendas INCLUDING DEFAULTS) "
        "PARTITION BY LIST (estado)",
        "ALTER TABLE public.all_audits ATTACH PARTITION public.auditorias_tiendas DEFAULT",
        "INSERT INTO public.all_audits (id, asesor_id, fecha_revision, estado, puntaje_confianza) "
        "SELECT gen_random_uuid(), asesor_id, '2026-11-20', 'APROBADA', 1.5 "
        "FROM analytics.mv_ranking_asesores",
    )
    assert view_differences(market, NOW)
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []
    market.execute("CALL analytics.apply_change_capture()")
    refresh(market, NOW)
    market.execute("UPDATE public.all_audits SET puntaje_confianza = 2.5")
    assert refresh(market, NOW)[0] == "incremental"
    assert view_differences(market, NOW) == []


def crash(database: Database) -> None:
    """Stop the server at once, as a loss of power would, and start it."""
    database.execute("CHECKPOINT")
    database.cluster.stop("immediate")
    database.cluster.start()


def kill_a_session(database: Database) -> None:
    """Kill one process: the server ends all sessions and recovers, and its postmaster stays."""
    with database.connect() as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            while True:
                victim.execute("SELECT 1")
    deadline = time.monotonic() + 60
    while True:
        try:
            database.rows("SELECT 1")
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            break


@pytest.fixture
def killable() -> Iterator[Database]:
    """The golden data of generation A in a server of its own, which may be killed."""
    cluster = Cluster(
        f"test-unlogged-{os.getpid()}",
        binaries=system_binaries(),
        database="shop",
        settings=TEST_SETTINGS,
    )
    try:
        cluster.start()
        yield golden(Database(cluster, "shop"), "A")
    finally:
        cluster.remove()


@pytest.mark.parametrize("how", [crash, kill_a_session])
def test_a_crash_that_empties_an_unlogged_table_computes_everything_again(
    killable: Database, how: Callable[[Database], None]
) -> None:
    rows = "SELECT count(*) FROM public.auditorias_tiendas"
    # All tables are logged: nothing is lost, and nothing is computed again.
    how(killable)
    assert refresh(killable, NOW)[0] == "unchanged"
    killable.execute("ALTER TABLE public.auditorias_tiendas SET UNLOGGED")
    refresh(killable, NOW)
    assert refresh(killable, NOW)[0] == "unchanged"
    assert killable.rows(rows) != [(0,)]
    how(killable)
    assert killable.rows(rows) == [(0,)]
    assert refresh(killable, NOW)[0] == "full"
    assert view_differences(killable, NOW) == []
    assert refresh(killable, NOW)[0] == "unchanged"


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize(
    "table", ["pending_changes", "month_totals_a", "solicitud_facts_a", "change_log"]
)
def test_a_crash_that_empties_a_table_of_ours_computes_everything_again(
    killable: Database, table: str, is_seen: bool
) -> None:
    killable.execute(
        "UPDATE public.ofertas SET tiempo_entrega_dias = 4, monto_total = 1000",
        "SET ROLE analytics_owner; SELECT kpi_engine.compact_change_log(); RESET ROLE",
        "UPDATE public.ofertas SET tiempo_entrega_dias = 5",
        f"ALTER TABLE kpi_engine.{table} SET UNLOGGED",
    )
    said = problems(killable)["capture_gap"][1]
    assert f"a crash of the server empties kpi_engine.{table} (UNLOGGED)" in said
    cure = f"ALTER TABLE kpi_engine.{table} SET LOGGED"
    assert cure in said
    if is_seen:
        killable.execute("CALL analytics.tick()")
    crash(killable)
    assert killable.rows(f"SELECT count(*) FROM kpi_engine.{table}") == [(0,)]
    if is_seen:
        # Who follows the message before the next refresh hides nothing.
        killable.execute(cure)
    assert refresh(killable, NOW)[0] == "full"
    assert view_differences(killable, NOW) == []
    if not is_seen:
        assert "capture_gap" in problems(killable)
        killable.execute(cure)
        assert refresh(killable, NOW)[0] == "full"
    assert view_differences(killable, NOW) == []
    assert problems(killable) == {}
    assert refresh(killable, NOW)[0] == "unchanged"


def test_tables_of_ours_that_refer_to_each_other_are_made_logged_in_order(
    market: Database,
) -> None:
    """PostgreSQL refuses a logged table that refers to one that is not."""
    market.execute(
        *(
            f"ALTER TABLE kpi_engine.{table} SET UNLOGGED"
            for table in ("alert_outbox", "alerts", "hub_changes", "hub_versions", "audit_log")
        )
    )
    said = problems(market)["capture_gap"][1]
    ((statements,),) = market.rows("SELECT statements FROM kpi_engine.capture_cure()")
    assert all(str(statement).split("  --")[0] in said for statement in statements)  # type: ignore[attr-defined]
    market.execute(*(str(statement) for statement in statements))  # type: ignore[attr-defined]
    assert market.rows("SELECT analytics.capture_gap()") == [(None,)]


# -- released, for a change of the schema ---------------------------------------------------------


@pytest.mark.parametrize("binding", ["bind_source", "migrate"])
def test_a_column_can_be_retyped_without_uninstalling(market: Database, binding: str) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        market.execute("ALTER TABLE public.ofertas_detalle ALTER COLUMN cantidad TYPE bigint")
    market.execute(
        "SELECT analytics.release_source()",
        "ALTER TABLE public.ofertas_detalle ALTER COLUMN cantidad TYPE bigint",
        "UPDATE public.ofertas_detalle SET cantidad = cantidad + 1",
    )
    check_fails_by_name(market, "was released from table")
    if binding == "bind_source":
        market.execute("SELECT analytics.bind_source()")
        assert migrate(market.url) == []
    else:
        migrate(market.url)
    assert refresh(market, NOW)[0] == "full"
    assert view_differences(market, NOW) == []
    assert problems(market) == {}
    assert refresh(market, NOW)[0] == "unchanged"


def test_the_owner_of_the_tables_releases_and_binds_in_one_transaction(market: Database) -> None:
    role = f"shop_{market.name}"
    market.execute(f"CREATE ROLE {role}")
    try:
        market.execute(
            f"GRANT {role} TO CURRENT_USER",
            f"GRANT USAGE ON SCHEMA analytics TO {role}",
            "GRANT EXECUTE ON FUNCTION analytics.release_source(), analytics.bind_source() "
            f"TO {role}",
            f"ALTER TABLE public.asesores OWNER TO {role}",
        )
        with market.session() as connection:
            connection.execute(f"SET ROLE {role}")
            with connection.transaction():
                connection.execute("SELECT analytics.release_source()")
                connection.execute(
                    "ALTER TABLE public.asesores ALTER COLUMN confianza TYPE numeric(6, 3)"
                )
                connection.execute("SELECT analytics.bind_source()")
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        assert "make migrate" in str(error.diag.message_hint)
    finally:
        market.execute(
            "ALTER TABLE public.asesores OWNER TO postgres",
            f"DROP OWNED BY {role}",
            f"DROP ROLE {role}",
        )
    migrate(market.url)
    refresh(market, NOW)
    assert view_differences(market, NOW) == []
    assert problems(market) == {}


def test_the_doctor_names_optional_columns_that_are_missing(migrated: Database) -> None:
    """They are NULL in the facts: a misspelt one would be so for ever."""
    query = "SELECT message FROM analytics.doctor() WHERE check_name = 'contract' AND status = 'ok'"
    ((before,),) = migrated.rows(query)
    assert "ciudad_origen" not in str(before)
    migrated.execute("ALTER TABLE public.solicitudes DROP COLUMN ciudad_origen CASCADE")
    migrate(migrated.url)
    ((after,),) = migrated.rows(query)
    assert "without " in str(after)
    assert "solicitudes.ciudad_origen" in str(after)


# -- an update of the operating system changes the order of letters --------------------------------

CURE = (
    "REINDEX DATABASE CONCURRENTLY {name}",
    "ALTER DATABASE {name} REFRESH COLLATION VERSION",
)


@pytest.fixture
def spanish(system_server: Server) -> Iterator[Database]:
    """The golden data in a database that orders text as Spanish does, refreshed."""
    postgres = Database(system_server.cluster, "postgres")
    database = Database(system_server.cluster, system_server.new_name("spanish"))
    postgres.execute(
        f"CREATE DATABASE {database.name} LOCALE_PROVIDER icu ICU_LOCALE 'es' LOCALE 'C.UTF-8' "
        "TEMPLATE template0 ENCODING 'UTF8'"
    )
    try:
        yield golden(database, "A")
    finally:
        postgres.execute(f"DROP DATABASE {database.name} WITH (FORCE)")


def made_with(database: Database, version: str) -> str:
    """Let the indexes look as if another version of the collation had made them; return it."""
    database.execute(
        f"UPDATE pg_database SET datcollversion = '{version}' WHERE datname = '{database.name}'"
    )
    ((now,),) = database.rows(
        "SELECT pg_database_collation_actual_version(oid) FROM pg_database "
        f"WHERE datname = '{database.name}'"
    )
    return str(now)


def test_without_new_indexes_refreshes_fail_by_name(spanish: Database) -> None:
    assert refresh(spanish, NOW)[0] == "unchanged"
    now = made_with(spanish, "1.2")
    spanish.execute("UPDATE public.ofertas SET monto_total = monto_total + 1")
    check_fails_by_name(
        spanish,
        "version 1.2 of its collation",
        f"has version {now} now",
        problem="source_hidden",
    )
    ((_, message),) = problems(spanish).values()
    for statement in CURE:
        assert statement.format(name=spanish.name) in message
    spanish.execute(*(statement.format(name=spanish.name) for statement in CURE))
    assert problems(spanish) == {}
    assert refresh(spanish, NOW)[0] == "incremental"
    assert view_differences(spanish, NOW) == []
    assert refresh(spanish, NOW)[0] == "unchanged"


@pytest.mark.parametrize("who", ["refresh", "tick"])
def test_another_version_makes_everything_anew(spanish: Database, who: str) -> None:
    """Keys of cities and brands are upper-cased text."""
    assert refresh(spanish, NOW)[0] == "unchanged"
    # As if the last look had been on another server.
    spanish.execute(
        "UPDATE kpi_engine.engine_state SET collation_version = '1.2', catalog_fingerprint = '1.2'"
    )
    now = made_with(spanish, "1.3")
    check_fails_by_name(spanish, "version 1.3", problem="source_hidden")
    spanish.execute(f"ALTER DATABASE {spanish.name} REFRESH COLLATION VERSION")
    if who == "tick":
        spanish.execute("CALL analytics.tick()")
    mode, reason, *_ = spanish.rows(
        "SELECT mode, reason FROM analytics.explain_refresh()", today=NOW
    )[0]
    assert (mode, reason) == (
        "full",
        f"the server has version {now} of the collation, and before it had 1.2",
    )
    assert refresh(spanish, NOW)[0] == "full"
    assert view_differences(spanish, NOW) == []
    assert refresh(spanish, NOW)[0] == "unchanged"


def test_a_collation_without_a_version_is_never_at_fault(spanish: Database) -> None:
    """Such as C.UTF-8, which orders by code points."""
    spanish.execute(
        f"UPDATE pg_database SET datcollversion = NULL WHERE datname = '{spanish.name}'"
    )
    assert problems(spanish) == {}
    assert refresh(spanish, NOW)[0] == "unchanged"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        spanish.execute("SET ROLE analytics_lector; SELECT kpi_engine.collation_fault()")
