"""Migrations: once, whole or not at all, by whom it may be, on both ends of PostgreSQL."""

import logging
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import migrate as migrate_module
import uninstall as uninstall_module
from commandline.console import UserError
from conftest import KPI_VIEWS, Database, Server
from database.prerequisites import ROLES, path_elements
from database.sql_files import SQL_DIRECTORY, dependency_order, load_migrations, load_objects
from development.demo_source import load_source_schema
from doctor import diagnose
from marketplace import load_schema_b
from migrate import migrate
from oracle_views import NINE
from uninstall import uninstall

TAKES_MINUTES = True
SERVERS_TAKE_TURNS = True

SCRIPTS = SQL_DIRECTORY.parent / "scripts"

# Everything that a migrate makes or changes, as the catalogs know it, without oids.
CATALOG = """
WITH ours AS (
    SELECT oid FROM pg_namespace WHERE nspname IN ('analytics', 'kpi_engine', 'api')
)

SELECT kind, name, definition FROM (
    SELECT 'relation' AS kind, c.oid::regclass::text AS name, concat_ws(
        ' ', c.relkind, c.relowner::regrole, c.relacl::text, obj_description(c.oid, 'pg_class'),
        CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
        CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END
    ) AS definition
    FROM pg_class AS c WHERE c.relnamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'column', a.attrelid::regclass || '.' || a.attname, concat_ws(
        ' ', format_type(a.atttypid, a.atttypmod), a.attnotnull,
        col_description(a.attrelid, a.attnum), pg_get_expr(d.adbin, d.adrelid)
    )
    FROM pg_attribute AS a
    INNER JOIN pg_class AS c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace IN (SELECT oid FROM ours) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, concat_ws(
        ' ', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, p.proowner::regrole,
        p.proacl::text,
        obj_description(p.oid, 'pg_proc')
    )
    FROM pg_proc AS p WHERE p.pronamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'schema', nspname, concat_ws(' ', nspowner::regrole, nspacl::text)
    FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT 'setting', setrole::regrole::text, setconfig::text
    FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT 'default acl', defaclrole::regrole || defaclobjtype::text, defaclacl::text
    FROM pg_default_acl
) AS object ORDER BY 1, 2, 3
"""

# The operational database as it is seen from outside: what uninstall may not touch.
SOURCE = """
SELECT c.oid::regclass::text, c.relowner::regrole::text,
    coalesce(c.relacl, acldefault('r', c.relowner))::text,
    (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid),
    (SELECT count(*) FROM pg_attribute WHERE attrelid = c.oid)
FROM pg_class AS c
WHERE c.relnamespace IN (to_regnamespace('public'), to_regnamespace('teloo')) ORDER BY 1
"""


def catalog(database: Database) -> list[tuple[object, ...]]:
    return database.rows(CATALOG)


@pytest.fixture
def source(database: Database) -> Database:
    """An empty source of generation A, not migrated."""
    load_source_schema(database.url)
    return database


@pytest.fixture
def sql_copy(tmp_path: Path) -> Path:
    """A copy of the SQL files that a test may change."""
    return Path(shutil.copytree(SQL_DIRECTORY, tmp_path / "sql"))


def words(view: str, column: str, unit: str = "conteo") -> str:
    """Return the COMMENTs and the GRANT that a KPI view of one column needs."""
    return (
        f"COMMENT ON MATERIALIZED VIEW {view} IS 'Una / One\nes: Una.\nen: One.';\n"
        f"COMMENT ON COLUMN {view}.{column} IS 'Una [{unit}, none]\nes: Una.\nen: One.';\n"
        f"GRANT SELECT ON {view} TO analytics_lector;\n"
    )


def test_second_run_changes_nothing_and_says_so(
    source: Database, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate_module.main(["--database-url", source.url]) == 0
    before = catalog(source)
    ledger = source.rows("SELECT * FROM analytics.migration_ledger ORDER BY name")
    assert migrate_module.main(["--database-url", source.url]) == 0
    assert "up to date: nothing changed" in capsys.readouterr().err
    assert catalog(source) == before
    assert source.rows("SELECT * FROM analytics.migration_ledger ORDER BY name") == ledger
    assert migrate(source.url) == []


def test_ledger_holds_version_checksum_duration_user_and_time(source: Database) -> None:
    migrate(source.url)
    rows = source.rows(
        "SELECT name, version, checksum ~ '^[0-9a-f]{64}$', duration_ms > 0, applied_by = "
        "session_user, applied_at > now() - interval '10 minutes' FROM analytics.migration_ledger"
    )
    assert ("migrations/0001_foundation.sql", 1, True, True, True, True) in rows
    assert all(row[2:] == (True, True, True, True) for row in rows)
    files = {item.name for item in load_objects()}
    assert files <= {row[0] for row in rows}


def test_after_migrate_the_three_statements_work_unqualified(source: Database) -> None:
    migrate(source.url)
    with source.session() as connection:
        refreshed = connection.execute("SELECT * FROM refresh_all_mv();").fetchall()
        assert sorted(row[:2] for row in refreshed) == [(view, "SUCCESS") for view in KPI_VIEWS]
        stats = connection.execute("SELECT * FROM get_mv_stats();").fetchall()
        assert sorted((row[0], row[4]) for row in stats) == [(view, True) for view in KPI_VIEWS]
        assert {row[1] for row in stats} == {0}
        count = connection.execute("SELECT count(*) FROM mv_metricas_mensuales;").fetchone()
        assert count == (0,)
        path = connection.execute("SHOW search_path").fetchone()
        assert path == ('"$user", public, analytics',)


def test_edited_migration_stops_it_and_is_named(source: Database, sql_copy: Path) -> None:
    migrate(source.url, directory=sql_copy)
    file = sql_copy / "migrations" / "0001_foundation.sql"
    file.write_text(file.read_text() + "\nSELECT 1;\n")
    before = catalog(source)
    with pytest.raises(UserError, match=r"sql/migrations/0001_foundation\.sql was edited"):
        migrate(source.url, directory=sql_copy)
    assert catalog(source) == before


def test_database_that_is_newer_than_the_files_is_refused(source: Database, sql_copy: Path) -> None:
    newer = sql_copy / "migrations" / "0999_newer.sql"
    newer.write_text("SELECT 1;\n")
    migrate(source.url, directory=sql_copy)
    newer.unlink()
    with pytest.raises(UserError, match="0999_newer"):
        migrate(source.url, directory=sql_copy)


def test_two_migrations_with_one_number_are_refused_by_name(sql_copy: Path) -> None:
    (sql_copy / "migrations" / "0002_again.sql").write_text("SELECT 1;\n")
    with pytest.raises(UserError, match=r"/0002_again\.sql and .*/0002_\w+\.sql have") as refused:
        load_migrations(sql_copy)
    assert "the next free number" in refused.value.hint


def test_migration_numbered_before_an_applied_one_is_refused(
    source: Database, sql_copy: Path
) -> None:
    (sql_copy / "migrations" / "0999_later.sql").write_text("SELECT 1;\n")
    migrate(source.url, directory=sql_copy)
    (sql_copy / "migrations" / "0998_earlier.sql").write_text("SELECT 1;\n")
    with pytest.raises(UserError, match="comes before"):
        migrate(source.url, directory=sql_copy)


def test_failing_migration_leaves_the_database_as_it_was(source: Database, sql_copy: Path) -> None:
    migrate(source.url, directory=sql_copy)
    before = catalog(source)
    (sql_copy / "migrations" / "0999_broken.sql").write_text(
        "CREATE TABLE analytics.half_done (id integer);\nSELECT 1 / 0;\n"
    )
    with pytest.raises(UserError, match=r"0999_broken.*division by zero.*22012"):
        migrate(source.url, directory=sql_copy)
    assert catalog(source) == before


def test_dry_run_says_what_it_would_do_and_changes_nothing(
    source: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    before = catalog(source)
    assert migrate_module.main(["--database-url", source.url, "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "would have: applied views/kpis/mv_ranking_asesores.sql" in said
    assert catalog(source) == before


def test_status_tells_pending_from_up_to_date(
    source: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate_module.main(["status", "--database-url", source.url]) == 3
    assert "not installed" in capsys.readouterr().out
    migrate(source.url)
    assert migrate_module.main(["status", "--database-url", source.url]) == 0
    assert "schema public, generation A" in capsys.readouterr().out
    source.execute("UPDATE analytics.migration_ledger SET checksum = '' WHERE name ~ 'city_key'")
    assert migrate_module.main(["status", "--database-url", source.url]) == 3
    assert "pending       sql/functions/facts/city_key.sql" in capsys.readouterr().out


def test_no_database_named_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate_module.main([]) == 1
    assert "Set DATABASE_URL" in capsys.readouterr().err
    assert migrate_module.main(["--database-url", "postgresql://127.0.0.1:1/none"]) == 1


def test_twenty_at_once_end_with_one_install(source: Database) -> None:
    barrier = threading.Barrier(20)

    def one(_: int) -> list[str]:
        barrier.wait()
        return migrate(source.url)

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(one, range(20)))
    assert sum(bool(changes) for changes in results) == 1
    assert len(source.rows("SELECT FROM analytics.migration_ledger WHERE version = 1")) == 1


def test_missing_tables_and_columns_are_listed_in_one_error_and_nothing_changed(
    source: Database,
) -> None:
    source.execute(
        "ALTER TABLE public.asesores DROP COLUMN confianza",
        "ALTER TABLE public.solicitudes DROP COLUMN cliente_acepto",
        "ALTER TABLE public.ofertas ALTER COLUMN estado DROP DEFAULT",
        "ALTER TABLE public.ofertas ALTER COLUMN estado TYPE integer USING 1",
        "DROP TABLE public.auditorias_tiendas",
        "ALTER TABLE public.usuarios ENABLE ROW LEVEL SECURITY",
    )
    before = catalog(source)
    with pytest.raises(UserError) as refused:
        migrate(source.url)
    assert refused.value.hint.splitlines()[:5] == [
        "column public.asesores.confianza is missing",
        "column public.ofertas.estado has type integer, which is no text",
        "column public.solicitudes.cliente_acepto is missing",
        "table public.auditorias_tiendas is missing",
        "table public.usuarios has row-level security, which would hide rows: "
        "ALTER ROLE analytics_owner BYPASSRLS",
    ]
    assert catalog(source) == before


def test_empty_database_lists_all_tables_that_are_missing(database: Database) -> None:
    with pytest.raises(UserError) as refused:
        migrate(database.url)
    assert refused.value.hint.count("is missing") == 10


def test_source_in_both_schemas_is_ambiguous_until_one_is_named(source: Database) -> None:
    source.execute("CREATE SCHEMA teloo", "CREATE TABLE teloo.solicitudes (id uuid)")
    with pytest.raises(UserError, match="more than one schema"):
        migrate(source.url)
    assert migrate(source.url, source_schema="public")
    assert migrate(source.url) == []


def test_source_column_that_is_added_is_bound_and_none_can_be_retyped_below_a_view(
    source: Database,
) -> None:
    migrate(source.url)
    source.execute("SELECT refresh_all_mv()")
    # PostgreSQL itself refuses to change a column that a view reads.
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        source.execute("ALTER TABLE public.asesores ALTER COLUMN confianza TYPE double precision")
    source.execute("ALTER TABLE public.asesores ADD COLUMN nivel_actual integer DEFAULT 4")
    assert "changed kpi_engine.src_asesores" in migrate(source.url)
    assert "nivel_actual" in str(
        source.rows("SELECT pg_get_viewdef('kpi_engine.src_asesores'::regclass)")
    )
    assert source.rows("SELECT is_populated FROM get_mv_stats()") == [(True,)] * len(KPI_VIEWS)


def test_older_objects_that_would_shadow_ours_stop_it_with_the_statements_to_move_them(
    source: Database,
) -> None:
    source.execute(
        "CREATE MATERIALIZED VIEW public.mv_metricas_mensuales AS SELECT 1 AS mes",
        "CREATE FUNCTION public.refresh_all_mv() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION public.get_mv_stats(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    )
    before = catalog(source)
    with pytest.raises(UserError, match="win over ours") as refused:
        migrate(source.url)
    assert catalog(source) == before
    statements = [line for line in refused.value.hint.splitlines() if line.startswith("    ")]
    assert len(statements) == 4
    source.execute(*statements)
    assert migrate(source.url)


def test_schema_of_somebody_else_stops_it(source: Database) -> None:
    source.execute("CREATE SCHEMA analytics", "CREATE TABLE analytics.theirs (id integer)")
    with pytest.raises(UserError, match="does not belong to this package"):
        migrate(source.url)
    assert source.rows("SELECT count(*) FROM analytics.theirs") == [(0,)]


def test_own_search_path_of_the_database_is_kept_and_restored(source: Database) -> None:
    source.execute(
        "CREATE SCHEMA ventas",
        f'ALTER DATABASE {source.name} SET search_path = ventas, "$user", public',
    )
    before = source.rows("SHOW search_path")
    migrate(source.url)
    assert source.rows("SHOW search_path") == [('ventas, "$user", public, analytics',)]
    uninstall(source.url)
    assert source.rows("SHOW search_path") == before


def test_changed_function_with_another_signature_replaces_the_old_one(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT refresh_all_mv()")
    file = sql_copy / "functions" / "facts" / "city_key.sql"
    file.write_text(
        file.read_text()
        .replace("city_key(p_ciudad text)", "city_key(p_ciudad text, p_more text DEFAULT '')")
        .replace("analytics.city_key(text)", "analytics.city_key(text, text)")
    )
    assert "changed functions/facts/city_key.sql" in migrate(source.url, directory=sql_copy)
    assert source.rows(
        "SELECT pg_get_function_identity_arguments(oid) FROM pg_proc WHERE proname = 'city_key'"
    ) == [("p_ciudad text, p_more text",)]
    # The view whose index reads it was rebuilt, populated as it was.
    assert source.rows("SELECT is_populated FROM get_mv_stats()") == [(True,)] * len(KPI_VIEWS)
    assert migrate(source.url, directory=sql_copy) == []


def test_view_that_can_not_be_replaced_in_place_takes_those_that_read_it_along(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT refresh_all_mv()")
    fresh = catalog(source)
    view = sql_copy / "views" / "kpis" / "mv_ranking_asesores_base.sql"
    original = view.read_text()
    changed = original.replace("AS\nSELECT\n", "AS\nSELECT\n    1 AS first_column,\n")
    assert changed != original
    view.write_text(changed)
    changes = migrate(source.url, directory=sql_copy)
    assert "changed views/kpis/mv_ranking_asesores_base.sql" in changes
    assert "changed views/kpis/mv_ranking_asesores.sql" in changes
    assert "changed views/kpis/mv_metricas_mensuales.sql" not in changes
    assert source.rows("SELECT is_populated FROM get_mv_stats()") == [(True,)] * len(KPI_VIEWS)
    view.write_text(original)
    migrate(source.url, directory=sql_copy)
    assert catalog(source) == fresh


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Another name, in the middle.
        (" AS solicitudes_con_ofertas,", " AS solicitudes_ofertadas,"),
        # Another type.
        (
            "month_niveles.requests AS solicitudes,",
            "month_niveles.requests::numeric AS solicitudes,",
        ),
        # One more before the others' end, and one that is gone.
        ("    month_niveles.nivel,\n", "    month_niveles.nivel,\n    1::bigint AS uno,\n"),
        ("    month_niveles.requests_accepted AS solicitudes_aceptadas,\n", ""),
    ],
)
def test_columns_of_a_kpi_view_may_be_renamed_retyped_moved_or_dropped(
    source: Database, sql_copy: Path, old: str, new: str
) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT refresh_all_mv()")
    fresh = catalog(source)
    view = sql_copy / "views" / "kpis" / "mv_embudo_niveles.sql"
    original = view.read_text()
    text = original.replace(old, new)
    assert text != original
    renamed = old.strip(" ,").endswith("con_ofertas")
    if renamed:
        text = text.replace(
            "mv_embudo_niveles.solicitudes_con_ofertas IS",
            ("mv_embudo_niveles.solicitudes_ofertadas IS"),
        )
    if "uno" in new:
        text += (
            "COMMENT ON COLUMN mv_embudo_niveles.uno IS 'Uno [conteo, none]\nes: Uno.\nen: One.';\n"
        )
    if not new:
        text = re.sub(
            r"COMMENT ON COLUMN mv_embudo_niveles.solicitudes_aceptadas IS\n(?:'[^']*'\s*)+;\n",
            "",
            text,
        )
    view.write_text(text)
    assert migrate(source.url, directory=sql_copy) == [
        "changed views/kpis/mv_embudo_niveles.sql",
        "changed api.mv_embudo_niveles",
    ]
    assert source.rows("SELECT is_populated FROM get_mv_stats()") == [(True,)] * len(KPI_VIEWS)
    columns = [
        [
            row[0]
            for row in source.rows(
                "SELECT attname FROM pg_attribute WHERE attrelid = "
                f"'{schema}.mv_embudo_niveles'::regclass AND attnum > 0 ORDER BY attnum"
            )
        ]
        for schema in ("analytics", "api")
    ]
    assert columns[0] == columns[1]
    view.write_text(original)
    migrate(source.url, directory=sql_copy)
    assert catalog(source) == fresh


def test_new_view_is_one_new_file_and_its_removal_takes_it_away(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    before = catalog(source)
    new = sql_copy / "views" / "mv_ciudades.sql"
    new.write_text(
        "CREATE MATERIALIZED VIEW mv_ciudades AS\n"
        "SELECT DISTINCT analytics.city_key(ciudad) AS ciudad\n"
        "FROM analytics.mv_ranking_asesores WITH NO DATA;\n"
        "CREATE UNIQUE INDEX mv_ciudades_ciudad ON mv_ciudades (ciudad);\n"
        + words("mv_ciudades", "ciudad", "texto")
    )
    assert migrate(source.url, directory=sql_copy) == [
        "applied views/mv_ciudades.sql",
        "applied api.mv_ciudades",
    ]
    names = [row[0] for row in source.rows("SELECT view_name FROM refresh_all_mv()")]
    assert set(names) == {*NINE, "mv_ciudades"}
    assert names[-1] == "mv_ciudades"
    # A view that it reads is rebuilt: both are, and it reads the new one.
    ranking = sql_copy / "views" / "kpis" / "mv_ranking_asesores.sql"
    ranking.write_text(ranking.read_text().replace("WITH NO DATA", "WHERE 1 = 1\nWITH NO DATA"))
    changes = migrate(source.url, directory=sql_copy)
    assert changes == [
        "changed views/kpis/mv_ranking_asesores.sql",
        "changed views/mv_ciudades.sql",
        "changed api.mv_ciudades",
        "changed api.mv_ranking_asesores",
    ]
    assert source.rows("SELECT is_populated FROM get_mv_stats()") == [(True,)] * (
        len(KPI_VIEWS) + 1
    )
    new.unlink()
    assert migrate(source.url, directory=sql_copy) == [
        "removed api.mv_ciudades",
        "removed views/mv_ciudades.sql",
    ]
    assert [row[:2] for row in catalog(source)] == [row[:2] for row in before]


def test_a_view_that_another_one_or_a_function_names_is_not_dropped(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    before = catalog(source)
    kpis = sql_copy / "views" / "kpis"
    (kpis / "mv_embudo_operativo.sql").unlink()
    with pytest.raises(UserError) as refused:
        migrate(source.url, directory=sql_copy)
    assert str(refused.value) == (
        "column solicitudes_aceptadas of mv_finanzas_mensuales says "
        "sum mv_embudo_operativo.solicitudes_aceptadas, which is gone; nothing was changed"
    )
    assert 'Take "sum mv_embudo_operativo.solicitudes_aceptadas" out' in refused.value.hint
    assert catalog(source) == before
    for path in kpis.glob("*.sql"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r", sum mv_embudo_operativo\.\w+", "", text), encoding="utf-8")
    # A digest would never be due again, and an endpoint would fail.
    with pytest.raises(UserError) as refused:
        migrate(source.url, directory=sql_copy)
    assert str(refused.value) == (
        "functions name materialized view mv_embudo_operativo, which is gone: "
        "kpi_engine.digest_views(text,boolean), kpi_engine.kpis_en_vivo(); nothing was changed"
    )
    assert catalog(source) == before
    for name in ("digests/digest_views.sql", "kpis/kpis_en_vivo.sql"):
        path = sql_copy / "functions" / name
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("mv_embudo_operativo", "mv_salud_marketplace"), encoding="utf-8"
        )
    assert "removed views/kpis/mv_embudo_operativo.sql" in migrate(source.url, directory=sql_copy)


def test_materialized_view_is_rebuilt_only_when_its_definition_changed(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    before = source.rows("SELECT 'analytics.mv_ranking_asesores'::regclass::oid")
    function = sql_copy / "functions" / "clock" / "today.sql"
    function.write_text(function.read_text() + "SELECT 1;\n")
    assert migrate(source.url, directory=sql_copy) == ["changed functions/clock/today.sql"]
    assert source.rows("SELECT 'analytics.mv_ranking_asesores'::regclass::oid") == before


def test_analysts_own_view_stops_a_rebuild_with_its_name(source: Database, sql_copy: Path) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("CREATE VIEW public.mine AS SELECT mes FROM analytics.mv_metricas_mensuales")
    view = sql_copy / "views" / "kpis" / "mv_metricas_mensuales.sql"
    view.write_text(view.read_text() + "SELECT 1;\n")
    before = catalog(source)
    with pytest.raises(UserError, match=r"view public\.mine depends"):
        migrate(source.url, directory=sql_copy)
    assert catalog(source) == before
    with pytest.raises(UserError, match="other objects read the views"):
        uninstall(source.url)
    assert catalog(source) == before


def test_object_dropped_by_hand_is_made_again(source: Database) -> None:
    migrate(source.url)
    before = catalog(source)
    source.execute("DROP MATERIALIZED VIEW analytics.mv_ranking_asesores CASCADE")
    source.execute("DROP FUNCTION analytics.get_mv_stats()")
    assert sorted(migrate(source.url)) == [
        "changed api.mv_ranking_asesores",
        "changed functions/refresh/get_mv_stats.sql",
        "changed views/kpis/mv_ranking_asesores.sql",
    ]
    assert catalog(source) == before


def test_rebuild_waits_for_a_long_reader_without_blocking_the_others(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT refresh_all_mv()")
    for name in ("mv_metricas_mensuales", "mv_ranking_asesores"):
        view = sql_copy / "views" / "kpis" / f"{name}.sql"
        view.write_text(view.read_text() + "SELECT 1;\n")
    with source.connect(autocommit=False) as reader, ThreadPoolExecutor(1) as pool:
        reader.execute("SELECT count(*) FROM mv_ranking_asesores")
        migrating = pool.submit(migrate, source.url, directory=sql_copy)
        with source.session() as other:
            wait_for_lock(other, "teloo-analytics migrate")
            # It waits for the long reader in short turns, holds nothing in between, and so
            # lets others read both views.
            other.execute("SET statement_timeout = '30s'")
            for _ in range(10):
                other.execute("SELECT count(*) FROM mv_metricas_mensuales")
                other.execute("SELECT count(*) FROM mv_ranking_asesores")
        assert not migrating.done()
        reader.commit()
        # Both, and the two views of schema api that show them.
        assert len(migrating.result(timeout=120)) == 4


def wait_for_lock(connection: psycopg.Connection, application_name: str) -> None:
    """Wait until a session of that name in this database waits for a lock."""
    for _ in range(12000):
        if connection.execute(
            "SELECT true FROM pg_stat_activity WHERE application_name = %s "
            "AND wait_event_type = 'Lock' AND datname = current_database()",
            [application_name],
        ).fetchone():
            return
        connection.execute("SELECT pg_sleep(0.01)")
    pytest.fail(f"{application_name} never waited for a lock")


@pytest.mark.parametrize("work", [migrate, uninstall])
def test_migrate_and_uninstall_wait_for_another_for_a_refresh_and_for_a_tick(
    source: Database, sql_copy: Path, work: Callable[[str], object]
) -> None:
    migrate(source.url)
    changed = (
        "UPDATE analytics.migration_ledger SET checksum = '' "
        "WHERE name ~ 'mv_' OR name = 'kpi_engine.recomputed_solicitud_facts'"
    )
    source.execute(changed)
    name = f"teloo-analytics {work.__name__}"
    for lock in (
        "SELECT pg_advisory_xact_lock(hashtextextended('teloo-analytics migrate', 0))",
        "SELECT * FROM refresh_all_mv()",
        "SELECT kpi_engine.begin_tick()",
    ):
        with (
            source.connect(autocommit=False) as holder,
            source.session() as watcher,
            ThreadPoolExecutor(1) as pool,
        ):
            holder.execute(lock)  # type: ignore[call-overload, unused-ignore]
            working = pool.submit(work, source.url)
            wait_for_lock(watcher, name)
            assert not working.done()
            # A rebuild, or a writer, that needs one of these would wait for it meanwhile.
            locked = watcher.execute(
                "SELECT relation::regclass::text FROM pg_locks INNER JOIN pg_stat_activity "
                "USING (pid) WHERE application_name = %s AND mode = 'AccessExclusiveLock' "
                "AND locktype = 'relation' AND granted",
                [name],
            ).fetchall()
            assert locked == []
            holder.commit()
            assert working.result(timeout=120) is not None
        migrate(source.url)
        source.execute(changed)


def end_by_a_deadlock(
    source: Database, program: str, run: Callable[[], object], first: str, second: str
) -> object:
    """Return what a program gives that waits for a reader, who then waits for it.

    The reader reads a table, and another one when the program waits.
    """
    with (
        source.connect(autocommit=False) as reader,
        source.session() as watcher,
        ThreadPoolExecutor(1) as pool,
    ):
        # The other session is the last to look for a deadlock, so the victim is ours. Ours looks
        # once, when the other one surely waits.
        source.execute(f"ALTER DATABASE {source.name} SET deadlock_timeout = '5s'")
        reader.execute("SET LOCAL deadlock_timeout = '2min'")
        reader.execute(f"SELECT FROM {first}".encode())
        running = pool.submit(run)
        wait_for_lock(watcher, f"teloo-analytics {program}")
        reader.execute(f"SELECT FROM {second}".encode())
        reader.commit()
        return running.result(timeout=120)


@pytest.mark.parametrize("dry_run", [True, False])
def test_uninstall_locks_no_source_table_while_somebody_reads_our_objects(
    source: Database, dry_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(source.url)
    source.execute("SELECT refresh_all_mv()")
    before = catalog(source)
    write = "UPDATE solicitudes SET updated_at = updated_at"
    with (
        source.connect(autocommit=False) as reader,
        source.session() as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        writer.execute("SET lock_timeout = '1s'")
        reader.execute("SELECT count(*) FROM analytics.mv_ranking_asesores")
        monkeypatch.setattr(uninstall_module, "PATIENCE_SECONDS", 0.5)
        with pytest.raises(UserError, match="in use all the time; nothing was changed") as refused:
            uninstall(source.url, dry_run=dry_run)
        assert "mv_ranking_asesores: process" in refused.value.hint
        assert catalog(source) == before
        monkeypatch.setattr(uninstall_module, "PATIENCE_SECONDS", 60)
        running = pool.submit(uninstall, source.url, dry_run=dry_run)
        for _ in range(20):
            writer.execute(write)
            time.sleep(0.05)
        assert not running.done()
        reader.commit()
        assert running.result(timeout=60) is not None
        writer.execute(write)
    assert (catalog(source) == before) is dry_run


def test_uninstall_waits_for_a_busy_source_table_in_short_turns(source: Database) -> None:
    migrate(source.url)
    with (
        source.connect(autocommit=False) as holder,
        source.session() as reader,
        ThreadPoolExecutor(1) as pool,
    ):
        holder.execute("SELECT FROM solicitudes")
        running = pool.submit(uninstall, source.url)
        reader.execute("SET lock_timeout = '1s'")
        for _ in range(20):
            reader.execute("SELECT FROM solicitudes LIMIT 1")
            time.sleep(0.05)
        assert not running.done()
        holder.commit()
        assert running.result(timeout=60) is not None


def test_migrate_that_a_deadlock_ends_starts_again(
    source: Database, sql_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    caplog.set_level("INFO")
    migrate(source.url)
    (sql_copy / "migrations/0999_locks.sql").write_text(
        "LOCK TABLE kpi_engine.notes;\nLOCK TABLE kpi_engine.targets;\n"
    )
    changes = end_by_a_deadlock(
        source,
        "migrate",
        lambda: migrate(source.url, directory=sql_copy),
        "kpi_engine.targets",
        "kpi_engine.notes",
    )
    assert changes == ["applied migrations/0999_locks.sql"]
    assert "trying again: migrations/0999_locks.sql failed" in caplog.text


def test_renamed_kpi_view_stops_it_with_a_cure(source: Database) -> None:
    migrate(source.url)
    before = catalog(source)
    source.execute(
        "ALTER MATERIALIZED VIEW analytics.mv_finanzas_mensuales RENAME TO mv_finanzas_antes"
    )
    with pytest.raises(UserError, match="mv_finanzas_antes has its indexes") as caught:
        migrate(source.url)
    cure = re.search("ALTER MATERIALIZED VIEW [^;]*;", caught.value.hint)
    assert cure
    assert "DROP MATERIALIZED VIEW analytics.mv_finanzas_antes;" in caught.value.hint
    source.execute(cure[0])
    assert migrate(source.url) == []
    assert catalog(source) == before


def test_an_index_name_of_another_kpi_view_is_to_be_changed_in_the_new_file(
    source: Database, sql_copy: Path
) -> None:
    """As in a file that was copied: the view that has the index has a file of its own."""
    migrate(source.url, directory=sql_copy)
    before = catalog(source)
    new = sql_copy / "views" / "kpis" / "mv_hb_ix.sql"
    for index, right in (
        ("mv_metricas_mensuales_mes", "mv_hb_ix_mes"),
        ("mv_ranking_asesores_nacional", "mv_hb_ix_nacional"),
    ):
        new.write_text(
            "CREATE MATERIALIZED VIEW mv_hb_ix AS\n"
            "SELECT mes FROM kpi_engine.month_totals WITH NO DATA;\n"
            f"CREATE UNIQUE INDEX {index} ON mv_hb_ix (mes);\n" + words("mv_hb_ix", "mes", "fecha")
        )
        with pytest.raises(UserError) as refused:
            migrate(source.url, directory=sql_copy)
        view = index.rpartition("_")[0]
        assert str(refused.value) == (
            f"sql/views/kpis/mv_hb_ix.sql makes index {index}, which view {view} has already; "
            "nothing was changed"
        )
        assert refused.value.hint == (
            f"Give it another name in sql/views/kpis/mv_hb_ix.sql, such as {right}."
        )
        assert catalog(source) == before
    new.write_text(new.read_text().replace(index, right))
    assert migrate(source.url, directory=sql_copy)


def test_prepared_transaction_that_read_a_view_is_named_with_its_end(
    source: Database, sql_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_module, "SWAP_PATIENCE_SECONDS", 1)
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT refresh_all_mv()")
    view = sql_copy / "views/kpis/mv_ranking_asesores.sql"
    view.write_text(view.read_text() + "SELECT 1;\n")
    name = f"forgotten_{source.name}"
    with source.connect(autocommit=False) as connection:
        connection.execute("SELECT FROM analytics.mv_ranking_asesores")
        ((process,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
        with pytest.raises(UserError, match=f"all the time by process {process};"):
            migrate(source.url, directory=sql_copy)
        connection.execute(f"PREPARE TRANSACTION '{name}'".encode())
    with pytest.raises(UserError, match=f"by prepared transaction '{name}';") as caught:
        migrate(source.url, directory=sql_copy)
    cure = re.search("ROLLBACK PREPARED [^;]*;", caught.value.hint)
    assert cure
    source.execute(cure[0])
    assert migrate(source.url, directory=sql_copy)


def test_uninstall_leaves_no_trace_and_the_source_as_it_was(source: Database) -> None:
    before, source_before = catalog(source), source.rows(SOURCE)
    grants_query = (
        "SELECT coalesce(datacl, acldefault('d', datdba)) FROM pg_database "
        "WHERE datname = current_database()"
    )
    grants = source.rows(grants_query)
    migrate(source.url)
    source.execute("SELECT refresh_all_mv()")
    assert source.rows(SOURCE) != source_before
    installed = catalog(source)
    assert uninstall_module.main(["--database-url", source.url, "--dry-run"]) == 0
    assert catalog(source) == installed
    assert uninstall(source.url) is not None
    assert catalog(source) == before
    assert source.rows(SOURCE) == source_before
    assert source.rows(grants_query) == grants
    assert uninstall(source.url) is None
    assert uninstall_module.main(["--database-url", source.url]) == 0


def test_comments_and_the_use_of_schemas_that_a_restore_left_out_come_back(
    source: Database,
) -> None:
    """As after pg_restore --no-comments --no-privileges."""
    migrate(source.url)
    with_comments = [row for row in catalog(source) if row[0] != "schema"]
    grants = (
        "SELECT nspname, grantee::regrole::text, privilege_type "
        "FROM pg_namespace CROSS JOIN aclexplode(nspacl) WHERE nspname IN "
        "('analytics', 'kpi_engine', 'api') ORDER BY 1, 2, 3"
    )
    with_grants = source.rows(grants)
    lose(source)
    assert source.rows("SELECT view_name FROM kpi_engine.declared_totals()") == []
    for check in ("objects", "what they need"):
        ((status, fixes),) = source.rows(
            "SELECT status, array_agg(fix) "
            f"FROM kpi_engine.doctor_check('{check}'), unnest(fixes) AS fix GROUP BY 1"
        )
        assert status == "wrong"
        expected = "-- $ make migrate" if check == "objects" else "GRANT USAGE ON SCHEMA"
        assert str(fixes).count(expected) == (1 if check == "objects" else 11)
    changes = migrate(source.url)
    assert "GRANT USAGE ON SCHEMA analytics TO analytics_lector" in changes
    assert [row for row in catalog(source) if row[0] != "schema"] == with_comments
    assert source.rows(grants) == with_grants
    assert migrate(source.url) == []


def lose(database: Database) -> None:
    """Take all comments of our schemas away, and the rights of our roles to use them."""
    schemas = "analytics, kpi_engine, api"
    roles = ", ".join(role for role in ROLES if role != "analytics_owner")
    database.execute(
        f"REVOKE USAGE ON SCHEMA {schemas} FROM {roles}",
        "SET allow_system_table_mods = on; DELETE FROM pg_description WHERE objoid IN ("
        f"{OURS.format(schemas=schemas)}); RESET allow_system_table_mods",
    )


OURS = """
    SELECT oid FROM pg_class WHERE relnamespace::regnamespace::text = ANY ('{{{schemas}}}')
    UNION ALL
    SELECT oid FROM pg_proc WHERE pronamespace::regnamespace::text = ANY ('{{{schemas}}}')
    UNION ALL
    SELECT oid FROM pg_namespace WHERE nspname = ANY ('{{{schemas}}}')
"""


def test_what_only_a_migration_makes_is_named_when_it_is_gone(source: Database) -> None:
    migrate(source.url)
    source.execute("DROP SCHEMA api CASCADE", "DROP TABLE kpi_engine.notes CASCADE")
    before = catalog(source)
    with pytest.raises(
        UserError, match=r'^api\."text/plain", .*, kpi_engine\.notes are gone'
    ) as refused:
        migrate(source.url)
    assert "make uninstall; make migrate" in refused.value.hint
    assert catalog(source) == before
    (files,) = [
        found
        for check, _, found in diagnose(source.url, with_counts=False, timeout=60)
        if check.name == "files"
    ]
    assert any("kpi_engine.notes" in finding.message for finding in files)
    assert any("make uninstall" in fix.command for finding in files for fix in finding.fixes)
    assert uninstall(source.url) is not None
    assert migrate(source.url)


def test_uninstall_refuses_to_drop_what_is_not_ours(source: Database) -> None:
    migrate(source.url)
    source.execute(
        "CREATE TABLE public.theirs (id integer)",
        "ALTER TABLE public.theirs OWNER TO analytics_lector",
    )
    with pytest.raises(UserError, match="own objects outside") as refused:
        uninstall(source.url)
    assert "public.theirs" in refused.value.hint or "theirs" in refused.value.hint
    source.execute("DROP TABLE public.theirs")
    uninstall(source.url)


@pytest.mark.parametrize(
    ("locale", "brands"),
    [
        ("LOCALE 'C'", "CITROËN and citroën"),
        ("LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C.UTF-8'", "KIA and kia"),
    ],
    ids=["ASCII only", "Turkish"],
)
def test_database_whose_locale_tells_spellings_apart_is_refused(
    system_server: Server, locale: str, brands: str
) -> None:
    server = system_server
    name = server.new_name("locale")
    with psycopg.connect(server.cluster.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {locale} TEMPLATE template0 ENCODING 'UTF8'")
    database = Database(server.cluster, name)
    try:
        load_source_schema(database.url)
        with pytest.raises(UserError, match=f"{brands} would be two brands"):
            migrate(database.url)
    finally:
        with psycopg.connect(server.cluster.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}")


def test_production_forbids_pinned_clocks_and_writes_json(
    source: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(source.url)
    assert source.rows("SELECT analytics.setting('allow_pinned_clock')") == [("on",)]
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert migrate_module.main(["--database-url", source.url]) == 0
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("{") and '"levelname": "INFO"' in line
    assert source.rows("SELECT analytics.setting('allow_pinned_clock')") == [("off",)]
    monkeypatch.setenv("ENVIRONMENT", "staging")
    assert migrate_module.main(["--database-url", source.url]) == 1


def test_objects_are_ordered_by_what_they_need() -> None:
    ordered = [item.object_name for item in dependency_order(load_objects())]
    assert ordered.index("kpi_engine.trim_white_space") < ordered.index("city_key")
    assert ordered.index("city_key") < ordered.index("kpi_engine.recomputed_asesor_facts")
    assert {item.object_name for item in load_objects()} == set(ordered)
    assert set(ordered[-9:]) == set(NINE)
    derived = ordered.index("kpi_engine.recomputed_solicitud_facts")
    assert derived < ordered.index("kpi_engine.recomputed_month_totals")


def test_warnings_of_the_server_are_shown(
    source: Database, sql_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (sql_copy / "migrations" / "0999_warns.sql").write_text(
        "DO $$ BEGIN RAISE WARNING 'look at this'; END $$;\n"
    )
    logging.getLogger("teloo_analytics").propagate = True
    migrate(source.url, directory=sql_copy)
    assert "look at this" in caplog.text


def test_twenty_at_once_where_snapshots_outlast_statements(source: Database) -> None:
    source.execute(
        f"ALTER DATABASE {source.name} SET default_transaction_isolation = 'repeatable read'",
        f"ALTER DATABASE {source.name} SET default_transaction_read_only = on",
    )
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda _: migrate(source.url), range(20)))
    assert sum(bool(changes) for changes in results) == 1


def test_changed_parameter_name_of_a_function_that_a_source_view_reads(
    database: Database, sql_copy: Path
) -> None:
    load_schema_b(database.url)
    migrate(database.url, directory=sql_copy)
    before = catalog(database)
    function = sql_copy / "functions" / "facts" / "local_date.sql"
    original = function.read_text()
    function.write_text(original.replace("p_instant", "p_moment"))
    changes = migrate(database.url, directory=sql_copy)
    assert "changed kpi_engine.src_ofertas_historicas" in changes
    function.write_text(original)
    migrate(database.url, directory=sql_copy)
    assert catalog(database) == before
    assert migrate(database.url, directory=sql_copy) == []


def test_changed_body_of_an_indexed_function_builds_its_index_anew(
    source: Database, sql_copy: Path
) -> None:
    source.execute(
        "INSERT INTO public.usuarios (id, nombre, apellido, telefono) "
        "SELECT md5(n::text)::uuid, 'Ana', 'Gómez', '300' FROM generate_series(1, 500) AS n",
        "INSERT INTO public.asesores (id, usuario_id, ciudad, departamento, punto_venta) "
        "SELECT id, id, 'Bogotá', '', '' FROM public.usuarios",
    )
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT refresh_all_mv()")
    # Indirectly: city_key reads trim_white_space.
    function = sql_copy / "functions" / "facts" / "trim_white_space.sql"
    function.write_text(
        function.read_text().replace("RETURN btrim(p_text,", "RETURN 'x' || btrim(p_text,")
    )
    assert "built index mv_ranking_asesores_ciudad anew" in migrate(source.url, directory=sql_copy)
    with source.session() as connection:
        connection.execute("SET enable_seqscan = off")
        assert connection.execute(
            "SELECT count(*) FROM mv_ranking_asesores WHERE analytics.city_key(ciudad) = 'XBOGOTA'"
        ).fetchone() == (500,)


def test_view_that_becomes_a_materialized_one_and_back(source: Database, sql_copy: Path) -> None:
    plain = sql_copy / "views" / "nueva.sql"
    plain.write_text("CREATE OR REPLACE VIEW analytics.nueva AS SELECT 1 AS one;\n")
    migrate(source.url, directory=sql_copy)
    plain.write_text(
        "CREATE MATERIALIZED VIEW nueva AS SELECT 1 AS one WITH NO DATA;\n"
        "CREATE UNIQUE INDEX nueva_one ON nueva (one);\n" + words("nueva", "one")
    )
    changed = "changed views/nueva.sql"
    assert migrate(source.url, directory=sql_copy) == [changed]
    plain.write_text("CREATE OR REPLACE VIEW analytics.nueva AS SELECT 1 AS one;\n")
    assert migrate(source.url, directory=sql_copy) == [changed]
    assert source.rows("SELECT one FROM nueva") == [(1,)]


def test_removed_files_that_need_each_other_are_removed_together(
    source: Database, sql_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below, above = (sql_copy / "views" / f"{name}.sql" for name in ("zzz", "aaa"))
    below.write_text("CREATE OR REPLACE VIEW analytics.zzz AS SELECT 1 AS one;\n")
    above.write_text("CREATE OR REPLACE VIEW analytics.aaa AS SELECT one FROM analytics.zzz;\n")
    migrate(source.url, directory=sql_copy)
    assert migrate_module.print_status(source.url) == 3
    assert "to be removed views/zzz.sql" in capsys.readouterr().out
    below.unlink()
    above.unlink()
    assert migrate(source.url, directory=sql_copy) == [
        "removed views/aaa.sql",
        "removed views/zzz.sql",
    ]


GIVEN_BY_OTHERS = """
    SELECT attname::text, attacl::text FROM pg_attribute
    WHERE attrelid = 'analytics.mv_metricas_mensuales'::regclass AND attacl IS NOT NULL
    UNION ALL
    SELECT 'all', unnest(relacl)::text FROM pg_class
    WHERE oid = 'analytics.mv_metricas_mensuales'::regclass AND relacl::text LIKE '%grafana%'
    UNION ALL
    SELECT 'option', concat(relkind, unnest(reloptions)) FROM pg_class
    WHERE 'analytics.mv_metricas_mensuales'::regclass IN (
        oid, (SELECT owner.oid FROM pg_class AS owner WHERE owner.reltoastrelid = pg_class.oid)
    )
    ORDER BY 1, 2
"""


def test_rebuild_keeps_the_grants_of_others_and_names_the_indexes_it_loses(
    source: Database, sql_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    migrate(source.url, directory=sql_copy)
    source.execute(
        "CREATE ROLE grafana",
        "GRANT SELECT ON analytics.mv_metricas_mensuales TO grafana WITH GRANT OPTION",
        "GRANT SELECT (mes) ON analytics.mv_metricas_mensuales TO PUBLIC",
        "GRANT SELECT (ofertas_totales) ON analytics.mv_metricas_mensuales TO grafana",
        "ALTER MATERIALIZED VIEW analytics.mv_metricas_mensuales SET "
        "(autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_enabled = off)",
        "CREATE INDEX of_a_dba ON analytics.mv_metricas_mensuales (ofertas_totales)",
    )
    try:
        before = source.rows(GIVEN_BY_OTHERS)
        view = sql_copy / "views" / "kpis" / "mv_metricas_mensuales.sql"
        view.write_text(view.read_text() + "SELECT 1;\n")
        migrate(source.url, directory=sql_copy)
        assert source.rows(GIVEN_BY_OTHERS) == before
        assert len(before) == 8
        assert source.rows(
            "SELECT has_table_privilege('grafana', 'analytics.mv_metricas_mensuales', "
            "'SELECT WITH GRANT OPTION')"
        ) == [(True,)]
        assert "rebuilt without index of_a_dba" in caplog.text
    finally:
        source.execute("DROP OWNED BY grafana", "DROP ROLE grafana")


def test_grant_that_a_file_no_longer_gives_is_withdrawn(source: Database, sql_copy: Path) -> None:
    migrate(source.url, directory=sql_copy)
    function = sql_copy / "functions" / "refresh" / "get_mv_stats.sql"
    function.write_text(function.read_text().replace("TO analytics_lector, ", "TO "))
    migrate(source.url, directory=sql_copy)
    allowed = "SELECT has_function_privilege('{}', 'analytics.get_mv_stats()', 'EXECUTE')"
    assert source.rows(allowed.format("analytics_lector")) == [(False,)]
    assert source.rows(allowed.format("analytics_operador")) == [(True,)]


def test_dropped_index_is_built_again_with_its_view(source: Database) -> None:
    migrate(source.url)
    before = catalog(source)
    source.execute("DROP INDEX analytics.mv_metricas_mensuales_mes")
    assert migrate(source.url) == [
        "changed views/kpis/mv_metricas_mensuales.sql",
        "changed api.mv_metricas_mensuales",
    ]
    assert catalog(source) == before


def test_odd_names_of_database_and_schema(server: Server) -> None:
    name = 'Mi %s "Base"\'x ' + server.new_name("odd")
    with psycopg.connect(server.cluster.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    database = Database(server.cluster, name)
    schema = "Ventas-2 %d'x"
    try:
        load_source_schema(database.url)
        database.execute(f'ALTER SCHEMA public RENAME TO "{schema}"', "CREATE SCHEMA public")
        assert migrate(database.url, source_schema=schema)
        assert migrate(database.url) == []
        assert database.rows("SELECT refresh_status FROM refresh_all_mv()") == [("SUCCESS",)] * len(
            KPI_VIEWS
        )
        assert uninstall(database.url) is not None
    finally:
        with psycopg.connect(server.cluster.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", []),
        ("public", [("public", "public")]),
        ('"$user", public', [('"$user"', "$user"), ("public", "public")]),
        ('"a,b", "c ""d""" ,X', [('"a,b"', "a,b"), ('"c ""d"""', 'c "d"'), ("X", "x")]),
    ],
)
def test_search_path_is_split_as_postgresql_does(
    system_database: Database, path: str, expected: list[tuple[str, str]]
) -> None:
    with system_database.session() as connection:
        assert path_elements(connection, path) == expected


def test_uninstall_takes_only_our_schema_off_a_search_path_that_was_changed_since(
    source: Database,
) -> None:
    migrate(source.url)
    source.execute(
        'CREATE SCHEMA "a,b"',
        f'ALTER DATABASE {source.name} SET search_path = "a,b", public, analytics, pg_catalog',
    )
    uninstall(source.url)
    assert source.rows("SHOW search_path") == [('"a,b", public, pg_catalog',)]


@pytest.mark.parametrize("schemas", ["analytics, kpi_engine", "analytics", "kpi_engine"])
def test_uninstall_clears_up_after_a_schema_that_was_dropped_by_hand(
    source: Database, schemas: str
) -> None:
    before, source_before = catalog(source), source.rows(SOURCE)
    migrate(source.url)
    source.execute(f"DROP SCHEMA {schemas} CASCADE")
    assert uninstall(source.url) is not None
    assert source.rows(SOURCE) == source_before
    assert catalog(source) == before
    assert uninstall(source.url) is None


def test_uninstall_refuses_where_names_are_quoted_too(source: Database) -> None:
    source.execute(f"ALTER DATABASE {source.name} SET quote_all_identifiers = on")
    migrate(source.url)
    assert migrate(source.url) == []
    source.execute(
        "CREATE TABLE public.theirs (id integer)",
        "ALTER TABLE public.theirs OWNER TO analytics_lector",
    )
    with pytest.raises(UserError, match="own objects outside"):
        uninstall(source.url)
    source.execute("DROP TABLE public.theirs")
    assert uninstall(source.url) is not None


def test_timeout_of_the_database_does_not_matter(source: Database) -> None:
    # In a session that has no such limit itself.
    with source.session() as connection:
        connection.execute(f"ALTER DATABASE {source.name} SET statement_timeout = '200ms'")
        assert migrate_module.main(["--database-url", source.url]) == 0
        connection.execute(f"ALTER DATABASE {source.name} RESET statement_timeout")


def test_a_limit_of_transactions_does_not_end_a_scheduled_refresh(source: Database) -> None:
    """From PostgreSQL 17 on, a database may limit the time of a transaction."""
    role_has_it = (
        "SELECT count(*) FROM pg_roles, unnest(rolconfig) AS setting "
        "WHERE rolname = 'analytics_scheduler' AND setting = 'transaction_timeout=0'"
    )
    with source.session() as connection:
        has_it = connection.info.server_version >= 170000
        if has_it:
            connection.execute(f"ALTER DATABASE {source.name} SET transaction_timeout = '1s'")
        try:
            migrate(source.url)
            assert source.rows(role_has_it) == [(int(has_it),)]
            source.rewrite("kpi_engine.settle()", "BEGIN\n", "BEGIN\n    PERFORM pg_sleep(1.5);\n")
            # Procedures that commit set it by themselves.
            with source.connect() as worker:
                worker.execute("SELECT kpi_engine.queue_refresh(false, 'test')")
                worker.execute("CALL analytics.work()")
        finally:
            if has_it:
                connection.execute("ALTER ROLE analytics_scheduler RESET transaction_timeout")
                connection.execute(f"ALTER DATABASE {source.name} RESET transaction_timeout")
        assert source.rows("SELECT state FROM analytics.refresh_jobs") == [("SUCCESS",)]


def test_latin1_client_is_no_hindrance(source: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    assert migrate(source.url)


def test_without_pg_cron_it_says_so_and_everything_else_works(
    source: Database, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    migrate(source.url)
    assert "no schedule: " in caplog.text
    assert "SELECT * FROM refresh_all_mv()" in caplog.text
    assert source.rows("SELECT refresh_status FROM refresh_all_mv()") == [("SUCCESS",)] * len(
        KPI_VIEWS
    )


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: str(path.stem))
@pytest.mark.takes_turns(2)
def test_every_command_has_help(script: Path) -> None:
    if 'if __name__ == "__main__"' not in script.read_text(encoding="utf-8"):
        return
    run = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"usage: {script.name}")
    wrong = subprocess.run([sys.executable, script, "--wrong"], capture_output=True, check=False)
    assert wrong.returncode == 2


# -- files and the objects that they make ----------------------------------------------------------


def test_a_file_that_moves_changes_nothing(source: Database, sql_copy: Path) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT * FROM analytics.refresh_all_mv()")
    before = catalog(source)
    for folder in ("functions", "views"):
        room = sql_copy / folder / "another" / "room"
        room.mkdir(parents=True)
        for path in (sql_copy / folder).rglob("*.sql"):
            if path.parent.name != "api":
                path.rename(room / path.name)
    assert migrate(source.url, directory=sql_copy) == []
    assert catalog(source) == before
    assert source.rows(
        "SELECT file FROM analytics.migration_ledger WHERE name IN ('city_key', 'api.health') "
        "ORDER BY name"
    ) == [("functions/api/health.sql",), ("functions/another/room/city_key.sql",)]
    assert source.rows("SELECT DISTINCT mode FROM analytics.explain_refresh()") == [("unchanged",)]


def test_a_reworded_comment_changes_nothing_but_the_comment(
    source: Database, sql_copy: Path
) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT * FROM analytics.refresh_all_mv()")
    ours = "ANY ('{analytics, kpi_engine, api}'::regnamespace[])"
    code = f"SELECT oid, xmin FROM pg_proc WHERE pronamespace = {ours} ORDER BY 1"
    views = f"SELECT oid, relfilenode FROM pg_class WHERE relnamespace = {ours} ORDER BY 1"
    before = source.rows(code), source.rows(views)
    for path in sql_copy.rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            "-- Said in other words.\n" + re.sub(r" IS\n'", " IS\n'In other words: ", text),
            encoding="utf-8",
        )
    changes = migrate(source.url, directory=sql_copy)
    assert changes
    assert all(change.startswith("reworded ") for change in changes), changes
    assert (source.rows(code), source.rows(views)) == before
    assert source.rows(
        "SELECT left(obj_description('analytics.city_key(text)'::regprocedure), 15), "
        "left(obj_description('analytics.mv_ranking_asesores'::regclass), 15), "
        "left(obj_description('kpi_engine.engine_state'::regclass), 14)"
    ) == [("In other words:", "In other words:", "One row: what ")]
    assert source.rows("SELECT DISTINCT mode FROM analytics.explain_refresh()") == [("unchanged",)]
    assert migrate(source.url, directory=sql_copy) == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("trim_white_space", "the rules of asesor_facts, solicitud_facts, "),
        ("city_key", "the rules of asesor_facts, solicitud_facts, "),
        ("get_mv_stats", "nothing changed"),
        ("health_problems", "nothing changed"),
        ("upkeep_statement", "nothing changed"),
    ],
)
@pytest.mark.takes_turns(2)
def test_what_decides_a_derived_table_follows_from_references(
    source: Database, sql_copy: Path, file: str, reason: str
) -> None:
    migrate(source.url, directory=sql_copy)
    source.execute("SELECT * FROM analytics.refresh_all_mv()")
    (path,) = sql_copy.rglob(f"{file}.sql")
    text = path.read_text(encoding="utf-8")
    changed = text.replace("SET search_path = pg_catalog, pg_temp", "COST 200", 1)
    changed = (
        text.replace("PARALLEL SAFE", "PARALLEL RESTRICTED", 1) if changed == text else changed
    )
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    migrate(source.url, directory=sql_copy)
    ((why,),) = source.rows("SELECT DISTINCT mode_reason FROM analytics.explain_refresh()")
    assert str(why).startswith(reason)


def test_two_files_of_one_object_are_refused(source: Database, sql_copy: Path) -> None:
    (sql_copy / "functions" / "room").mkdir()
    shutil.copy(sql_copy / "functions" / "facts" / "city_key.sql", sql_copy / "functions" / "room")
    with pytest.raises(UserError, match=r"city_key\.sql and .*city_key\.sql make the same object"):
        migrate(source.url, directory=sql_copy)


def test_a_file_is_named_after_its_object(source: Database, sql_copy: Path) -> None:
    path = sql_copy / "functions" / "facts" / "city_key.sql"
    path.rename(path.with_name("city.sql"))
    with pytest.raises(UserError, match=r"city\.sql makes city_key; name the file city_key\.sql"):
        migrate(source.url, directory=sql_copy)
