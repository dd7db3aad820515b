"""A release as one SQL file: it equals make migrate, it upgrades, it never leaves a half."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from commandline.console import UserError
from conftest import SERVERS, Database, Server, server_of_kind
from database.release_file import release_text
from database.sql_files import SQL_DIRECTORY
from database.test_migrate import lose
from database.version import package_version, version_key
from development.demo_source import load_source_schema
from golden_data import load_change, load_source
from installations import contents, differences, installation
from marketplace import load_schema_b
from migrate import migrate

TAKES_MINUTES = True
SERVERS_TAKE_TURNS = True

PROJECT = SQL_DIRECTORY.parent
PASSWORD = "secret"  # noqa: S105
ROLE = "duena"
NEXT = "999.0.0"
# Views of which an earlier release names a column otherwise.
RENAMED = ("mv_retencion_asesores", "mv_antes")


@pytest.fixture(scope="module", params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this module's own: nobody has made the roles, and ROLE is no superuser."""
    for server in server_of_kind(request.param):
        Database(server.cluster, "postgres").execute(
            f"CREATE ROLE {ROLE} LOGIN CREATEROLE PASSWORD '{PASSWORD}'"
        )
        yield server


@pytest.fixture(autouse=True)
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release does what migrate does in production: the clock can't be pinned."""
    monkeypatch.setenv("ENVIRONMENT", "production")


class Tree:
    """A copy of this tree, with a history of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("scripts", "sql"):
            shutil.copytree(
                PROJECT / name, path / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        (path / "docs").mkdir()
        for name in ("pyproject.toml", ".gitignore", "docs/installing.md"):
            shutil.copy(PROJECT / name, path / name)
        (path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- Something.\n")
        self.git("init", "-q")
        self.commit()

    def git(self, *arguments: str) -> None:
        command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments]
        subprocess.run(command, cwd=self.path, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "state")

    def release(self, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(self.path / "scripts/release.py"), version, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release that this tree would be."""
    path = tmp_path_factory.mktemp("present") / "present.sql"
    path.write_text(release_text(package_version()), encoding="utf-8")
    return path


def release_of(version: str, path: Path, change: Callable[[Path], None]) -> Path:
    """Return the release of a changed copy of the folder sql."""
    shutil.copytree(SQL_DIRECTORY, path / "sql")
    change(path / "sql")
    file = path / f"{version}.sql"
    file.write_text(release_text(version, path / "sql"), encoding="utf-8")
    return file


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def make_earlier(sql: Path) -> None:
    """Differ from this tree in each way that an upgrade can meet."""
    # A parameter has another name: it can't be replaced, and views read it.
    edit(sql / "functions/kpis/percentage.sql", "p_part", "p_share")
    # Another definition of a function that an index holds.
    edit(sql / "functions/facts/city_key.sql", "LANGUAGE", "COST 77\nLANGUAGE")
    # A materialized view that is built again, one with another column, one with other words.
    edit(
        sql / "views/kpis/mv_demanda_ciudades.sql", "WITH NO DATA;", "LIMIT 1000000\nWITH NO DATA;"
    )
    edit(sql / "views/kpis/mv_retencion_asesores.sql", "asesores_retenidos", "asesores_antes")
    edit(sql / "views/kpis/mv_embudo_niveles.sql", "COMMENT ON COLUMN", "\nCOMMENT ON COLUMN")
    edit(sql / "views/kpis/mv_embudo_niveles.sql", "es: ", "es: Antes. ")
    edit(sql / "migrations/0003_engine.sql", " IS\n'", " IS\n'Before: ")
    # COMMENTs that are gone now: of a view with the same code, and with another one.
    for name, column in (
        ("mv_ranking_asesores_base", "kpi_engine.mv_ranking_asesores_base.ciudad"),
        ("v_metricas_mensuales_tiempo_real", "analytics.v_metricas_mensuales_tiempo_real.mes"),
    ):
        with (sql / f"views/kpis/{name}.sql").open("a", encoding="utf-8") as file:
            file.write(f"COMMENT ON COLUMN {column} IS 'Before.';\n")
    edit(sql / "views/kpis/v_metricas_mensuales_tiempo_real.sql", "BY 1;", "BY 1 DESC;")
    # Objects that are gone now.
    (sql / "functions/kpis/went_away.sql").write_text(
        "CREATE OR REPLACE FUNCTION analytics.went_away() RETURNS integer LANGUAGE sql\n"
        "AS $a$ SELECT 1 $a$;\nREVOKE ALL ON FUNCTION analytics.went_away() FROM public;\n"
    )
    (sql / "views/kpis/mv_antes.sql").write_text(
        "CREATE MATERIALIZED VIEW mv_antes AS SELECT month_totals.mes FROM "
        "kpi_engine.month_totals WHERE isfinite(month_totals.mes) WITH NO DATA;\n"
        "CREATE UNIQUE INDEX mv_antes_mes ON mv_antes (mes);\n"
        "COMMENT ON MATERIALIZED VIEW mv_antes IS 'Antes / Before\nes: Una.\nen: One.';\n"
        "COMMENT ON COLUMN mv_antes.mes IS 'Mes [fecha, none]\nes: Uno.\nen: One.';\n"
        "GRANT SELECT ON mv_antes TO analytics_lector;\n"
    )


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An earlier release."""
    return release_of("0.0.2", tmp_path_factory.mktemp("earlier"), make_earlier)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A later release that fails."""

    def change(sql: Path) -> None:
        (sql / "migrations/0999_broken.sql").write_text(
            "CREATE TABLE kpi_engine.half_done (id integer);\nSELECT 1 / 0;\n"
        )

    return release_of(NEXT, tmp_path_factory.mktemp("broken"), change)


@dataclass(frozen=True)
class Fresh:
    """A new installation by the file over empty tables, which tests leave as it is."""

    database: Database
    said: str
    installed: dict[str, str]
    refreshed: dict[str, str]


@pytest.fixture(scope="module")
def fresh(own_server: Server, present: Path) -> Iterator[Fresh]:
    with database_of(own_server) as database:
        said = apply(database, present)
        installed = installation(database)
        refresh(database)
        yield Fresh(database, said, installed, installation(database))


def releases() -> list[Path]:
    """Return the files of all releases of the repository; there may be none yet."""
    return sorted(
        (PROJECT / "releases").glob("teloo-analytics--*.sql"),
        key=lambda path: version_key(path.stem.partition("--")[2]),
    )


@contextmanager
def database_of(
    server: Server, load: Callable[[str], None] = load_source_schema
) -> Iterator[Database]:
    """Make a database that ROLE owns, with its tables; drop it at the end."""
    name = server.new_name("release")
    postgres = Database(server.cluster, "postgres")
    postgres.execute(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE template0 ENCODING 'UTF8'")
    database = Database(server.cluster, name)
    try:
        load(url(database))
        yield database
    finally:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def url(database: Database) -> str:
    return database.url_as(ROLE, PASSWORD)


def psql(database: Database, file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["psql", "-X", "-f", str(file), *(arguments or ("-1",)), url(database)],
        capture_output=True,
        text=True,
        check=False,
    )


def apply(database: Database, file: Path, *arguments: str) -> str:
    """Run the file of a release, and change capture after it; return what it said."""
    ran = psql(database, file, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    with database.connect(url(database)) as connection:
        connection.execute("CALL analytics.apply_change_capture()")
    return ran.stderr


def refused(database: Database, file: Path, *arguments: str) -> str:
    """Run a file that has to fail; return what it said. It changed nothing."""
    before = installation(database)
    ran = psql(database, file, *arguments)
    assert ran.returncode == 3, ran.stderr
    assert differences(before, installation(database)) == []
    return ran.stderr


def refresh(database: Database) -> None:
    """Refresh all views; each succeeds."""
    with database.connect(url(database)) as connection:
        rows = connection.execute("SELECT * FROM refresh_all_mv()").fetchall()
    assert {row[1] for row in rows} == {"SUCCESS"}


def of_objects(found: dict[str, str]) -> dict[str, str]:
    """Return what does not depend on data: no rows but those of the package's own lists."""
    lists = ("migration_ledger", "settings", "installation", "derived_rules")
    return {
        name: what
        for name, what in found.items()
        if not name.startswith("rows ") or name.endswith(lists)
    }


def figures(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Return what all KPI views show, without when it was computed."""
    views = database.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'm' "
        "AND relnamespace = 'analytics'::regnamespace ORDER BY 1"
    )
    return {
        str(view): database.rows(
            f"SELECT to_jsonb(v) - 'calculado_at' FROM analytics.{view} AS v ORDER BY 1"
        )
        for (view,) in views
    }


@contextmanager
def reading(database: Database | None) -> Iterator[list[float]]:
    """Read a KPI view all the time; give how long each reading took, an error as infinity."""
    if database is None:
        yield []
        return
    ended = threading.Event()
    times: list[float] = []

    def read() -> None:
        with database.session() as connection:
            while not ended.is_set():
                started = time.monotonic()
                try:
                    connection.execute("SELECT * FROM analytics.mv_demanda_ciudades").fetchall()
                    times.append(time.monotonic() - started)
                except psycopg.Error:
                    times.append(float("inf"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield times
    finally:
        ended.set()
        reader.join()


def load_elsewhere(url: str) -> None:
    """Load the tables of generation B, in a schema that nobody looks into."""
    load_schema_b(url)
    with psycopg.connect(url) as connection:
        connection.execute("ALTER SCHEMA teloo RENAME TO ventas")


def test_the_file_installs_what_migrate_installs(
    own_server: Server, present: Path, fresh: Fresh
) -> None:
    assert "CALL analytics.apply_change_capture()" in fresh.said
    with database_of(own_server) as other:
        migrate(url(other))
        assert differences(fresh.installed, installation(other)) == []
        # A later migrate knows it, and a second run changes nothing.
        assert migrate(url(fresh.database)) == []
        assert "up to date, nothing was changed" in apply(fresh.database, present)
        assert "up to date, nothing was changed" in apply(other, present)
        assert differences(fresh.installed, installation(other)) == []
        # As after pg_restore --no-comments --no-privileges: only the order of the grants is new.
        lose(other)
        apply(other, present)
        assert [
            line
            for line in differences(fresh.installed, installation(other))
            if "schema" not in line
        ] == []
        assert "up to date, nothing was changed" in apply(other, present)
        assert migrate(url(other)) == []
    assert differences(fresh.refreshed, installation(fresh.database)) == []
    ((left,),) = fresh.database.rows(
        "SELECT count(*) FROM pg_class AS c INNER JOIN pg_namespace AS n "
        "ON n.oid = relnamespace WHERE nspname ~ '^pg_temp' OR nspname ~ '^analytics_'"
    )
    assert left == 0


def test_the_source_may_be_in_other_schemas_and_in_several(
    own_server: Server, present: Path
) -> None:
    with (
        database_of(own_server, load_elsewhere) as one,
        database_of(own_server, load_elsewhere) as other,
    ):
        said = refused(one, present)
        assert "do not fit" in said
        assert "ventas" not in said
        said = psql(one, present, "-1", "-v", "source_schema=ventas,ventas").stderr
        assert "source_schema names a schema twice; nothing was changed" in said
        apply(one, present, "-1", "-v", "source_schema=ventas")
        migrate(url(other), source_schema="ventas")
        assert differences(installation(one), installation(other)) == []
        # It stays so without being told again.
        assert migrate(url(one)) == []
        assert "up to date" in apply(one, present)
        # One more is taken in. Then one gets another name, and is found again.
        for database in (one, other):
            load_source_schema(url(database))
        apply(one, present, "-1", "-v", "source_schema=ventas, public")
        migrate(url(other), source_schema="ventas, public")
        assert differences(installation(one), installation(other)) == []
        one.execute("ALTER SCHEMA ventas RENAME TO sales")
        assert "bound schema sales, generation B" in apply(one, present)
        assert migrate(url(one)) == []
        refresh(one)


def test_the_comparison_tells_each_kind_of_difference(fresh: Fresh) -> None:
    name = fresh.database.name
    ((trigger,), *_) = fresh.database.rows(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.ofertas'::regclass "
        "AND NOT tgisinternal ORDER BY 1"
    )
    changes = {
        "function today()": "GRANT EXECUTE ON FUNCTION analytics.today() TO public",
        "function now()": f"ALTER FUNCTION analytics.now() OWNER TO {ROLE}",
        "function setting(text)": "ALTER FUNCTION analytics.setting(text) COST 12",
        "relation settings": "COMMENT ON VIEW analytics.settings IS 'x'",
        "column settings.name": "COMMENT ON COLUMN analytics.settings.name IS 'x'",
        "relation mv_demanda_ciudades_ciudad_key": "DROP INDEX "
        "analytics.mv_demanda_ciudades_ciudad_key",
        "trigger kpi_engine.settings.validate_setting": "ALTER TABLE kpi_engine.settings "
        "DISABLE TRIGGER validate_setting",
        "rows kpi_engine.migration_ledger": "UPDATE kpi_engine.migration_ledger "
        "SET checksum = 'x' WHERE version = 3",
        "rows kpi_engine.settings": "UPDATE kpi_engine.settings SET value = '7' "
        "WHERE name = 'closing_days'",
        "column kpi_engine.notes.note": "ALTER TABLE kpi_engine.notes ALTER note DROP NOT NULL",
        "relation one_more": "CREATE TABLE analytics.one_more ()",
        "setting -": f"ALTER DATABASE {name} SET search_path = public",
        "source public.ofertas": "REVOKE SELECT ON public.ofertas FROM analytics_owner",
        f"trigger public.ofertas.{trigger}": f"DROP TRIGGER {trigger} ON public.ofertas",
        "default right analytics_owner": "ALTER DEFAULT PRIVILEGES FOR ROLE analytics_owner "
        "GRANT SELECT ON TABLES TO public",
    }
    with fresh.database.connect(autocommit=False) as connection:
        for statement in changes.values():
            connection.execute(statement)
        found = differences(fresh.refreshed, contents(connection))
        connection.rollback()
    names = {text.partition(": ")[0].replace("analytics.", "") for text in found}
    for expected in changes:
        assert any(one.startswith(expected) for one in names), (expected, names)
    assert len(found) < 2 * len(changes)


@pytest.mark.parametrize(
    ("by", "with_data"),
    [("file", False), ("file", True), ("migrate", True)],
    ids=["file, empty", "file, with data", "migrate, with data"],
)
def test_each_release_upgrades_to_what_a_new_installation_is(
    own_server: Server, present: Path, earlier: Path, fresh: Fresh, by: str, with_data: bool
) -> None:
    files = [earlier, *releases()]
    if not os.environ.get("TELOO_LONG"):
        # The oldest and the newest; make test-long takes those between them, too.
        files = [earlier, files[1], *files[-1:]]
    # By migrate from the last one: tests/database/test_migrate.py has each kind of change.
    for file in files if by == "file" else files[-1:]:
        with database_of(own_server, load_source if with_data else load_source_schema) as old:
            apply(old, file)
            if with_data:
                refresh(old)
            before = figures(old) if with_data else {}
            if file == earlier:
                old.execute(
                    "INSERT INTO kpi_engine.gate_holds (view_name, rule, allowed, run_id, held_at) "
                    "VALUES ('mv_antes', 'total', '', 0, now())"
                )
                assert len(differences(installation(old), fresh.installed)) > 20
            with reading(old if with_data else None) as times:
                if by == "file":
                    apply(old, present)
                else:
                    migrate(url(old))
            if with_data:
                assert times
                assert max(times) < 2
                after = figures(old)
                assert {view: before[view] for view in after if view not in RENAMED} == {
                    view: rows for view, rows in after.items() if view not in RENAMED
                }
                refresh(old)
                load_change(url(old))
                refresh(old)
                assert old.rows("SELECT analytics.audit()") == [(0,)]
            assert old.rows("SELECT count(*) FROM kpi_engine.gate_holds") == [(0,)]
            wanted = fresh.refreshed if with_data else fresh.installed
            assert differences(of_objects(installation(old)), of_objects(wanted)) == []
            assert migrate(url(old)) == []
            assert "up to date" in apply(old, present)


def test_the_file_publishes_nothing_that_the_breaker_holds(
    own_server: Server, present: Path, tmp_path: Path
) -> None:
    """Facts of other rules are computed before a view is built anew over them."""

    def changed(sql: Path) -> None:
        edit(sql / "functions/facts/city_key.sql", "LANGUAGE", "COST 77\nLANGUAGE")
        edit(
            sql / "views/kpis/mv_demanda_ciudades.sql",
            "WITH NO DATA;",
            "LIMIT 1000000\nWITH NO DATA;",
        )

    later = release_of(NEXT, tmp_path, changed)
    with database_of(own_server, load_source) as database:
        apply(database, present)
        refresh(database)
        database.execute(
            "SELECT analytics.set_setting('gate_least_requests', '0')",
            "UPDATE solicitudes SET ciudad_origen = 'Leticia'",
        )
        before = figures(database)
        assert database.rows("SELECT DISTINCT refresh_status FROM analytics.refresh_all_mv()") == [
            ("ERROR",)
        ]
        said = refused(database, later)
        assert "known requests changed at once" in said
        assert "nothing was changed" in said
        assert "accept_gate('changes'" in said
        assert "run the file again" in said
        assert figures(database) == before


def test_a_view_that_another_one_names_as_its_sum_is_not_dropped(
    own_server: Server, present: Path, tmp_path: Path
) -> None:
    later = release_of(
        NEXT, tmp_path, lambda sql: (sql / "views/kpis/mv_embudo_operativo.sql").unlink()
    )
    with database_of(own_server) as database:
        apply(database, present)
        assert (
            "column solicitudes_aceptadas of mv_finanzas_mensuales says "
            "sum mv_embudo_operativo.solicitudes_aceptadas, which is gone"
        ) in refused(database, later)


def test_a_failed_upgrade_leaves_all_as_it_was(
    own_server: Server, present: Path, earlier: Path, broken: Path
) -> None:
    with database_of(own_server) as database:
        # Nothing was there.
        said = refused(database, broken)
        assert "migrations/0999_broken.sql failed; nothing was changed: division by zero" in said
        assert "CONTEXT" not in said
        apply(database, earlier)
        refused(database, broken)
        # As the last step: somebody's view reads what has to be replaced.
        database.execute("CREATE VIEW public.theirs AS SELECT kpi_engine.percentage(1, 2)")
        said = refused(database, present)
        assert "other objects read what has to be replaced; nothing was changed" in said
        assert "theirs" in said


def test_an_upgrade_lets_a_tick_end_first(own_server: Server, present: Path, earlier: Path) -> None:
    """Else the two can wait for each other."""
    with database_of(own_server) as database:
        apply(database, earlier)
        with database.connect(autocommit=False) as ticking, ThreadPoolExecutor(1) as pool:
            ticking.execute("SELECT kpi_engine.begin_tick()")
            upgrading = pool.submit(psql, database, present)
            database.wait_until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted "
                "AND relation = 'kpi_engine.tick_lock'::regclass"
            )
            assert database.rows(
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' "
                "AND relation IN (SELECT oid FROM pg_class WHERE relkind = 'r' "
                "AND relnamespace = 'kpi_engine'::regnamespace)"
            ) == [(0,)]
            ticking.commit()
            ran = upgrading.result(timeout=120)
        assert ran.returncode == 0, ran.stderr


def test_a_database_that_the_file_does_not_continue_is_refused(
    fresh: Fresh, present: Path, earlier: Path
) -> None:
    database = fresh.database
    for change, back, reasons in (
        (
            f"UPDATE kpi_engine.installation SET version = '{NEXT}'",
            f"UPDATE kpi_engine.installation SET version = '{package_version()}'",
            (
                f"the database has teloo-analytics {NEXT}, this file is the older",
                f"Take the file of {NEXT} or a newer one.",
            ),
        ),
        # A migration that this version does not have says it too.
        (
            "INSERT INTO kpi_engine.migration_ledger (name, kind, version, file, checksum, "
            "text_checksum) VALUES ('migrations/0999_newer.sql', 'migration', 999, "
            "'migrations/0999_newer.sql', 'x', 'x')",
            "DELETE FROM kpi_engine.migration_ledger WHERE version = 999",
            ("the database is newer than this file: sql/migrations/0999_newer.sql",),
        ),
        (
            "UPDATE kpi_engine.migration_ledger SET checksum = 'x' || checksum WHERE version = 2",
            "UPDATE kpi_engine.migration_ledger SET checksum = substr(checksum, 2) "
            "WHERE version = 2",
            ("the database has another sql/migrations/0002_changes.sql than this file",),
        ),
    ):
        database.execute(change)
        said = refused(database, present)
        for reason in reasons:
            assert reason in said
        if NEXT in change:
            ran = subprocess.run(
                [sys.executable, str(PROJECT / "scripts/migrate.py")],
                env={**os.environ, "DATABASE_URL": url(database)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 1
            assert f"the database has teloo-analytics {NEXT}, these files are" in ran.stderr
        database.execute(back)
    assert f"the database has teloo-analytics {package_version()}" in refused(database, earlier)
    assert differences(fresh.refreshed, installation(database)) == []


def test_what_only_a_migration_makes_is_named_when_it_is_gone(
    own_server: Server, present: Path
) -> None:
    """As migrate names it; the file would not make it again either."""
    with database_of(own_server) as database:
        apply(database, present)
        with database.connect(url(database)) as connection:
            connection.execute("SET ROLE analytics_owner")
            connection.execute("DROP TABLE kpi_engine.notes CASCADE")
        said = refused(database, present)
        assert (
            "kpi_engine.notes is gone, and this file can't make it again: a migration runs once; "
            "nothing was changed"
        ) in said
        assert "make uninstall; this file" in said
        with pytest.raises(UserError, match=r"kpi_engine\.notes is gone"):
            migrate(url(database))
        database.execute("DROP SCHEMA api CASCADE")
        assert re.search(
            r'api\."text/plain", .*, kpi_engine\.notes are gone, and this file',
            refused(database, present),
        )


def test_what_a_later_migration_drops_is_missed_only_before_it(
    own_server: Server, present: Path, tmp_path: Path
) -> None:
    def change(sql: Path) -> None:
        for name, text in (
            ("0997_made.sql", "CREATE TABLE kpi_engine.short_lived (id integer PRIMARY KEY);"),
            ("0998_dropped.sql", "DROP TABLE kpi_engine.short_lived;"),
            ("0999_again.sql", "CREATE TABLE kpi_engine.short_lived (name text PRIMARY KEY);"),
        )[:count]:
            (sql / "migrations" / name).write_text(
                f"{text}\n"
                + "COMMENT ON TABLE kpi_engine.short_lived IS 'A test.';\n" * ("CREATE" in text)
            )

    releases = []
    for count in (1, 2, 3):
        (tmp_path / str(count)).mkdir()
        releases.append(release_of(f"999.0.{count}", tmp_path / str(count), change))
    with database_of(own_server) as database:
        for place, release in enumerate(releases, start=1):
            apply(database, release)
            assert "up to date" in apply(database, release)
            assert database.rows("SELECT to_regclass('kpi_engine.short_lived') IS NULL") == [
                (place == 2,)
            ]
            if place == 1:
                # The later files miss it, too.
                database.execute("ALTER TABLE kpi_engine.short_lived RENAME TO kept")
                for later in releases:
                    assert "kpi_engine.short_lived is gone" in refused(database, later)
                database.execute("ALTER TABLE kpi_engine.kept RENAME TO short_lived")
        database.execute("DROP TABLE kpi_engine.short_lived")
        assert "kpi_engine.short_lived is gone" in refused(database, releases[-1])


def test_a_hub_is_refused(own_server: Server, present: Path) -> None:
    with database_of(own_server) as database:
        said = refused(database, present, "-1", "-v", "source_schema=kpi_engine")
        assert "do not fit" in said
        migrate(url(database), hub=True)
        said = refused(database, present)
        assert "this database is a hub, which this file can't upgrade; nothing was changed" in said
        assert "make migrate" in said


def test_with_pg_cron_in_this_database_it_schedules_as_migrate_does(present: Path) -> None:
    for server in server_of_kind("system"):
        database = Database(server.cluster, "cron")
        database.execute(
            f"CREATE ROLE {ROLE} LOGIN CREATEROLE PASSWORD '{PASSWORD}'",
            f"ALTER DATABASE cron OWNER TO {ROLE}",
            "CREATE EXTENSION IF NOT EXISTS pg_cron",
        )
        load_source_schema(url(database))
        said = apply(database, present)
        assert "no schedule: the roles lack rights for pg_cron" in said
        (grants,) = re.findall(r"Have a superuser run: (.*?) then run this file again", said)
        database.execute(*filter(None, map(str.strip, grants.split(";"))))
        assert "scheduled teloo-analytics tick" in apply(database, present)
        assert database.rows(
            "SELECT command, username, database, schedule FROM cron.job ORDER BY 1"
        ) == [
            ("CALL analytics.tick()", "analytics_scheduler", "cron", "* * * * *"),
            ("CALL analytics.work()", "analytics_scheduler", "cron", "* * * * *"),
        ]
        assert "up to date" in apply(database, present)
        assert migrate(url(database)) == []


def test_without_a_transaction_nothing_is_done(fresh: Fresh, present: Path) -> None:
    assert "this file has to be one transaction; nothing was changed" in refused(
        fresh.database, present, "-q"
    )


def test_the_file_goes_by_its_own_transaction_whatever_psql_and_the_database_have_as_default(
    own_server: Server, present: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "psqlrc"
    settings.write_text("\\set AUTOCOMMIT off\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", *arguments, "-f", str(present), url(database)],
            env={**os.environ, "PSQLRC": str(settings)},
            capture_output=True,
            text=True,
            check=False,
        )

    with database_of(own_server) as database:
        before = installation(database)
        ran = run()
        assert ran.returncode == 3
        assert "this file has to be one transaction; nothing was changed" in ran.stderr
        assert differences(before, installation(database)) == []
        if database.rows("SHOW server_version_num") >= [("170000",)]:
            # All that the file does takes longer.
            database.execute(f"ALTER DATABASE {database.name} SET transaction_timeout = '1s'")
        database.execute(
            f"ALTER DATABASE {database.name} SET default_transaction_read_only = on",
            f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'serializable'",
        )
        ran = run("-1")
        assert ran.returncode == 0, ran.stderr
        assert database.rows("SELECT to_regnamespace('kpi_engine') IS NOT NULL") == [(True,)]


def test_a_role_without_rights_is_told_all_statements_at_once(
    own_server: Server, present: Path
) -> None:
    with database_of(own_server) as database:
        database.execute(
            f"CREATE ROLE nadie LOGIN PASSWORD '{PASSWORD}'",
            "ALTER SCHEMA public OWNER TO CURRENT_USER",
        )
        before = installation(database)
        ran = subprocess.run(
            ["psql", "-X", "-1", "-f", str(present), database.url_as("nadie", PASSWORD)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 3
        assert "role nadie lacks rights for teloo-analytics" in ran.stderr
        found = re.search(r"^DETAIL:  (.*?)^HINT:", ran.stderr, re.MULTILINE | re.DOTALL)
        assert found
        assert "GRANT SELECT ON public.ofertas TO analytics_owner;" in found[1].splitlines()
        assert differences(before, installation(database)) == []
        # They are all that was missing, but the search_path, which only the owner may set.
        database.execute(*filter(None, found[1].splitlines()))
        database.execute(f"ALTER DATABASE {database.name} SET search_path = public, analytics")
        ran = subprocess.run(
            ["psql", "-X", "-1", "-f", str(present), database.url_as("nadie", PASSWORD)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        database.execute("DROP OWNED BY nadie")


def test_the_file_says_how_an_owner_that_was_renamed_gets_its_name_back(
    own_server: Server, present: Path
) -> None:
    with database_of(own_server) as database:
        migrate(database.url)
        database.execute("ALTER ROLE analytics_owner RENAME TO datos")
        try:
            ran = subprocess.run(
                ["psql", "-X", "-1", "-f", str(present), url(database)],
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            database.execute("ALTER ROLE datos RENAME TO analytics_owner")
        assert ran.returncode == 3
        assert "role analytics_owner was renamed to datos; nothing was changed" in ran.stderr
        assert "ALTER ROLE datos RENAME TO analytics_owner;" in ran.stderr
        assert migrate(database.url) == []


def test_make_release_checks_everything_first_and_says_what_it_did(tree: Tree) -> None:
    def files() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in tree.path.rglob("*")
            if path.is_file() and ".git/" not in str(path) and path.suffix != ".pyc"
        }

    def refused_with(version: str, *reasons: str) -> None:
        before = files()
        ran = tree.release(version, "--checks", "none")
        assert ran.returncode == 1, ran.stdout
        for reason in reasons:
            assert reason in ran.stderr
        assert files() == before

    refused_with("1.0", "is no version")
    refused_with("0.0.1", f"pyproject.toml has the newer version {package_version()}")
    tree.git("tag", f"v{NEXT}")
    (tree.path / "stray.txt").write_text("x")
    # All reasons at once.
    refused_with(NEXT, "the tree is not clean", "stray.txt", f"the tag v{NEXT} is there")
    tree.git("tag", "-d", f"v{NEXT}")
    (tree.path / "stray.txt").unlink()

    changelog = (tree.path / "CHANGELOG.md").read_text()
    (tree.path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n")
    tree.commit()
    refused_with(NEXT, "CHANGELOG.md says nothing under [Unreleased]")
    (tree.path / "CHANGELOG.md").write_text(changelog)
    tree.commit()

    ran = tree.release(NEXT, "--checks", "none")
    assert ran.returncode == 0, ran.stderr
    for line in (
        f"pyproject.toml: version {package_version()} became {NEXT}",
        f"CHANGELOG.md: [Unreleased] became [{NEXT}]",
        f"docs/installing.md: names teloo-analytics--{NEXT}.sql",
        "META.json: written",
        f"releases/teloo-analytics--{NEXT}.sql: written",
        "not run: the tests",
        f"git tag v{NEXT}",
    ):
        assert line in ran.stdout
    assert f"## [Unreleased]\n\n## [{NEXT}] - 20" in (tree.path / "CHANGELOG.md").read_text()
    assert f"psql -1 -f releases/teloo-analytics--{NEXT}.sql " in (
        (tree.path / "docs/installing.md").read_text()
    )
    meta = (tree.path / "META.json").read_text()
    assert f'"version": "{NEXT}"' in meta
    tree.commit()
    refused_with(NEXT, f"{NEXT} is released")
    refused_with("998.0.0", f"{NEXT} is released, and newer than 998.0.0")


def test_a_failed_check_writes_nothing(tree: Tree) -> None:
    (tree.path / "scripts/run_tests.py").write_text("raise SystemExit(1)\n")
    tree.commit()
    ran = tree.release(NEXT)
    assert ran.returncode == 1
    assert "a check failed; nothing was written" in ran.stderr
    assert not (tree.path / "releases").exists()
    assert not (tree.path / "META.json").exists()
