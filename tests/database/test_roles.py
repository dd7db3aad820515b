"""Migrating as a role that is no superuser, and roles that databases of a server share."""

import logging
import re
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

import hub
from cluster import system_binaries
from commandline.console import UserError
from conftest import KPI_VIEWS, SERVERS, Database, Server, fresh_database, server_of_kind
from database.prerequisites import ROLES
from database.release_file import release_text
from database.test_migrate import catalog
from database.version import package_version
from development.demo_source import load_source_schema
from migrate import main, migrate
from uninstall import uninstall

SERVERS_TAKE_TURNS = True


@pytest.fixture(scope="module", params=SERVERS)
def role_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that no other test uses: roles are shared by all databases of a server."""
    yield from server_of_kind(request.param)


@pytest.fixture
def plain_owner(role_server: Server) -> Iterator[tuple[Database, str]]:
    """A database owned, with its tables, by a role with CREATEROLE that is no superuser."""
    name, password = role_server.new_name("migrator"), secrets.token_hex(8)
    for database in fresh_database(role_server):
        database.execute(
            f"CREATE ROLE {name} LOGIN NOSUPERUSER CREATEROLE PASSWORD '{password}'",
            f"ALTER DATABASE {database.name} OWNER TO {name}",
        )
        url = database.url_as(name, password)
        load_source_schema(url)
        yield database, url
        uninstall(database.url)
        for role in ROLES:
            database.execute(f"DROP ROLE IF EXISTS {role}")


def test_databases_of_a_cluster_migrated_at_once_share_the_roles(role_server: Server) -> None:
    with ExitStack() as stack:
        databases = [
            stack.enter_context(contextmanager(fresh_database)(role_server)) for _ in range(4)
        ]
        for database in databases:
            load_source_schema(database.url)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda database: migrate(database.url), databases))
        assert all(results)
        # Roles go with the last database that uses them, and only then.
        kept = [uninstall(database.url) for database in databases]
        assert [len(roles or []) for roles in kept] == [7, 7, 7, 0]
        assert databases[0].rows("SELECT to_regrole('analytics_owner')") == [(None,)]


@pytest.mark.parametrize("user", ["superuser", "plain owner"])
def test_uninstall_in_one_database_leaves_the_rights_that_another_one_needs(
    plain_owner: tuple[Database, str], role_server: Server, user: str
) -> None:
    database, url = plain_owner
    person = role_server.new_name("ana")
    for other in fresh_database(role_server):
        load_source_schema(other.url)
        for name in (database.name, other.name):
            database.execute(f"REVOKE ALL ON DATABASE {name} FROM public")
        database.execute(f"CREATE ROLE {person}")
        try:
            assert migrate(database.url if user == "superuser" else url)
            assert migrate(other.url)
            database.execute(
                f"GRANT CONNECT ON DATABASE {other.name} TO analytics_lector WITH GRANT OPTION",
                f"SET ROLE analytics_lector; GRANT CONNECT ON DATABASE {other.name} TO {person}; "
                "RESET ROLE",
                "GRANT CREATE ON TABLESPACE pg_default TO analytics_owner",
                "GRANT SET ON PARAMETER session_replication_role TO analytics_owner",
                f"GRANT analytics_lector TO {person}",
            )
            before = rights_of_all(other)
            assert len(before) > 8
            kept = uninstall(database.url if user == "superuser" else url)
            assert len(kept or []) == len(ROLES)
            assert rights_of_all(other) == before
            assert migrate(other.url) == []
            # With the last database the roles go, and so their rights.
            assert uninstall(other.url) == []
            assert len(rights_of_all(other)) <= 1
        finally:
            uninstall(other.url)
            database.execute(f"DROP OWNED BY {person}", f"DROP ROLE {person}")


def rights_of_all(other: Database) -> list[tuple[object, ...]]:
    """What our roles, and members of them, may do with this database and the whole server."""
    return other.rows(
        """
        SELECT object.name, grantee.rolname, granted.privilege_type, granted.is_grantable
        FROM (
            SELECT datname::text, datacl FROM pg_database WHERE datname = current_database()
            UNION ALL SELECT spcname::text, spcacl FROM pg_tablespace
            UNION ALL SELECT parname, paracl FROM pg_parameter_acl
        ) AS object (name, acl)
        CROSS JOIN LATERAL aclexplode(object.acl) AS granted
        INNER JOIN pg_roles AS grantee ON grantee.oid = granted.grantee
        WHERE NOT grantee.rolsuper
        UNION ALL
        SELECT 'member', member.rolname || ' of ' || granted.rolname, '', false
        FROM pg_auth_members
        INNER JOIN pg_roles AS granted ON granted.oid = pg_auth_members.roleid
        INNER JOIN pg_roles AS member ON member.oid = pg_auth_members.member
        WHERE granted.rolname LIKE 'analytics%'
        AND member.rolname NOT LIKE 'migrator%' AND member.rolname <> 'postgres'
        ORDER BY 1, 2, 3
        """
    )


def test_role_that_is_no_superuser_but_owns_the_database_can_do_it_all(
    plain_owner: tuple[Database, str],
) -> None:
    database, url = plain_owner
    assert migrate(url)
    assert migrate(url) == []
    with database.connect(url) as connection:
        connection.execute("SET ROLE analytics_owner")
        statuses = connection.execute("SELECT refresh_status FROM refresh_all_mv()").fetchall()
    assert statuses == [("SUCCESS",)] * len(KPI_VIEWS)
    assert uninstall(url) is not None
    assert database.rows("SELECT to_regnamespace('analytics')") == [(None,)]


def test_no_careless_statement_of_the_database_owner_hits_a_table_of_ours(
    plain_owner: tuple[Database, str],
) -> None:
    database, url = plain_owner
    migrate(url)
    before = catalog(database)
    tables = [
        str(name)
        for (name,) in database.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'kpi_engine'::regnamespace "
            "AND relkind IN ('r', 'S') ORDER BY 1"
        )
    ]
    assert {"alerts", "settings", "refresh_log", "engine_state"} < set(tables)
    # He is a member of analytics_owner, so that no missing right protects us.
    with database.connect(url) as connection:
        for table in tables:
            for statement in ("DROP TABLE {}", "TRUNCATE {}", "DROP SEQUENCE {}"):
                with pytest.raises((psycopg.errors.UndefinedTable, psycopg.errors.WrongObjectType)):
                    connection.execute(statement.format(table))
    assert catalog(database) == before


def test_a_reader_lists_only_what_somebody_may_read(migrated: Database) -> None:
    listed = """
        SELECT nspname, relname, has_table_privilege(pg_class.oid, 'SELECT')
        OR has_table_privilege('analytics_operador', pg_class.oid, 'SELECT')
        FROM pg_class INNER JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(relnamespace, 'USAGE')
        AND (nspname = 'api' OR pg_get_userbyid(nspowner) = 'analytics_owner')
        ORDER BY 1, 2
    """
    with migrated.session() as connection:
        connection.execute("SET ROLE analytics_lector")
        found = connection.execute(listed).fetchall()
        assert ("analytics", "alerts", True) in found
        assert [row for row in found if not row[2]] == []
        assert {row[0] for row in found} == {"analytics", "api"}
        # All that a reader may read can be read without a right on kpi_engine.
        for schema, name, _ in found:
            if connection.execute(
                "SELECT has_table_privilege(%s, 'SELECT')", [f"{schema}.{name}"]
            ).fetchone() == (True,) and not name.startswith("mv_"):
                connection.execute(f"SELECT * FROM {schema}.{name}")
        for call in ("now()", "today()", "setting('time_zone')", "city_key(' bogotá ')"):
            connection.execute(f"SELECT analytics.{call}")
        connection.execute("SET analytics.now = '2026-11-23 12:00:00-05'")
        assert connection.execute("SELECT analytics.today()::text").fetchone() == ("2026-11-23",)


def test_role_without_createrole_is_told_which_statements_to_run(
    plain_owner: tuple[Database, str],
) -> None:
    database, url = plain_owner
    user = psycopg.conninfo.conninfo_to_dict(url)["user"]
    database.execute(f"ALTER ROLE {user} NOCREATEROLE")
    before = catalog(database)
    with pytest.raises(UserError) as refused:
        migrate(url)
    assert catalog(database) == before
    statements = [line for line in refused.value.hint.splitlines() if line.startswith("    ")]
    # Six roles, three memberships and three time limits of the HTTP API, and all other rights.
    assert len(statements) > 12
    database.execute(*statements)
    assert migrate(url)
    assert migrate(url) == []


def test_languages_that_public_may_not_use_are_named(plain_owner: tuple[Database, str]) -> None:
    database, url = plain_owner
    user = psycopg.conninfo.conninfo_to_dict(url)["user"]
    database.execute(
        "REVOKE USAGE ON LANGUAGE plpgsql, sql FROM public",
        f"GRANT USAGE ON LANGUAGE plpgsql TO {user}",
    )
    with pytest.raises(UserError) as refused:
        migrate(url)
    statements = [line for line in refused.value.hint.splitlines() if line.startswith("    ")]
    assert [line.strip() for line in statements if "LANGUAGE" in line] == [
        "GRANT USAGE ON LANGUAGE plpgsql TO analytics_owner;",
        "GRANT USAGE ON LANGUAGE sql TO analytics_owner;",
    ]
    database.execute(*statements)
    assert migrate(url)
    assert migrate(url) == []


def test_functions_that_public_may_not_call_are_named(plain_owner: tuple[Database, str]) -> None:
    """The triggers of change capture call them. With the right of PUBLIC nobody is asked."""
    database, url = plain_owner
    database.execute("REVOKE EXECUTE ON FUNCTION pg_current_xact_id() FROM public")
    with pytest.raises(UserError) as refused:
        migrate(url)
    statements = [line for line in refused.value.hint.splitlines() if line.startswith("    ")]
    assert any(
        "GRANT EXECUTE ON FUNCTION" in line and "pg_current_xact_id()" in line
        for line in statements
    )
    database.execute(*statements)
    assert migrate(url)
    assert migrate(url) == []


def test_role_that_may_not_read_the_source_is_told_the_grants(
    plain_owner: tuple[Database, str],
) -> None:
    database, url = plain_owner
    database.execute("ALTER TABLE public.ofertas OWNER TO CURRENT_USER")
    with pytest.raises(UserError) as refused:
        migrate(url)
    assert "GRANT SELECT ON public.ofertas TO analytics_owner;" in refused.value.hint
    assert database.rows("SELECT to_regnamespace('analytics')") == [(None,)]
    # Whose roles the refusal took back.
    database.execute(*(line for line in refused.value.hint.splitlines() if line.startswith("    ")))
    with pytest.raises(UserError, match="change capture is as before"):
        migrate(url)


def test_the_file_tells_a_role_that_may_not_read_the_source_the_grants(
    plain_owner: tuple[Database, str], tmp_path: Path
) -> None:
    database, url = plain_owner
    database.execute("ALTER TABLE public.ofertas OWNER TO CURRENT_USER")
    file = tmp_path / "release.sql"
    file.write_text(release_text(package_version()), encoding="utf-8")
    command = ["psql", "-X", "-1", "-f", str(file), url]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 3
    found = re.search(r"^DETAIL:  (.*?)^HINT:", ran.stderr, re.MULTILINE | re.DOTALL)
    assert found
    assert "GRANT SELECT ON public.ofertas TO analytics_owner;" in found[1].splitlines()
    database.execute(*filter(None, found[1].splitlines()))
    subprocess.run(command, capture_output=True, check=True)


def test_a_hub_is_uninstalled_by_a_role_that_is_no_superuser(
    plain_owner: tuple[Database, str],
) -> None:
    database, url = plain_owner
    migrate(url, hub=True)
    database.execute(
        "CREATE EXTENSION dblink",
        "GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO analytics_owner",
    )
    hub.add(url, "cali", {"host": "cali.example"}, "reader", "secret")
    # What a superuser granted, only a superuser can take away.
    assert uninstall(url) == [
        "analytics_owner (have a superuser run DROP OWNED BY analytics_owner; "
        "DROP ROLE analytics_owner;)"
    ]
    assert (
        database.rows(
            "SELECT srvname FROM pg_foreign_server UNION ALL SELECT srvname FROM pg_user_mappings"
        )
        == []
    )
    database.execute("DROP OWNED BY analytics_owner; DROP ROLE analytics_owner;")


@pytest.mark.system_only("pg_cron")
def test_plain_owner_gets_as_much_schedule_as_pg_cron_lets_it_have(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("teloo_analytics").propagate = True
    with contextmanager(server_of_kind)("system") as server:
        database = Database(server.cluster, "cron")
        database.execute(
            "CREATE ROLE migrador LOGIN NOSUPERUSER CREATEROLE PASSWORD 'secret'",
            "ALTER DATABASE cron OWNER TO migrador",
        )
        url = database.url_as("migrador", "secret")
        load_source_schema(url)
        jobs = "SELECT DISTINCT username FROM cron.job"

        assert migrate(url)
        assert "only a superuser can create it" in caplog.text
        database.execute("CREATE EXTENSION pg_cron")
        assert migrate(url) == []
        assert "role migrador may not use pg_cron" in caplog.text
        assert database.rows(jobs) == []

        database.execute("GRANT USAGE ON SCHEMA cron TO migrador")
        assert len(migrate(url)) == 2
        assert "the scheduled jobs run as migrador" in caplog.text
        assert database.rows(jobs) == [("migrador",)]
        # They may do what they have to, as this role too.
        with database.connect(url) as connection:
            connection.execute("CALL analytics.tick()")
            connection.execute("CALL analytics.work()")

        database.execute("GRANT USAGE ON SCHEMA cron TO analytics_scheduler")
        assert len(migrate(url)) == 2
        assert database.rows(jobs) == [("analytics_scheduler",)]
        assert migrate(url) == []

        # What a superuser granted, only a superuser can take away.
        assert uninstall(url) == [
            "analytics_scheduler (have a superuser run DROP OWNED BY analytics_scheduler; "
            "DROP ROLE analytics_scheduler;)"
        ]
        database.execute("DROP OWNED BY analytics_scheduler; DROP ROLE analytics_scheduler;")
        assert database.rows("SELECT count(*) FROM cron.job") == [(0,)]
        assert database.rows("SELECT count(*) FROM pg_extension WHERE extname = 'pg_cron'") == [
            (1,)
        ]


def test_role_that_does_not_inherit_can_migrate_again_and_uninstall(
    plain_owner: tuple[Database, str], capsys: pytest.CaptureFixture[str]
) -> None:
    database, url = plain_owner
    user = psycopg.conninfo.conninfo_to_dict(url)["user"]
    database.execute(f"ALTER ROLE {user} NOINHERIT")
    migrate(url)
    if database.cluster.binaries != system_binaries():
        database.execute(f"GRANT analytics_owner TO {user} WITH INHERIT FALSE, SET TRUE")
    assert migrate(url) == []
    assert migrate(url) == []
    assert main(["status", "--database-url", url]) == 0
    assert database.rows("SHOW search_path") == [('"$user", public, analytics',)]
    database.execute(f"ALTER ROLE {user} INHERIT")
    assert uninstall(url) is not None


def test_role_that_always_acts_as_another_migrates_as_that_one(
    plain_owner: tuple[Database, str],
) -> None:
    database, _ = plain_owner
    database.execute(
        "CREATE ROLE aplicacion LOGIN NOINHERIT PASSWORD 'secret'",
        f"GRANT {psycopg.conninfo.conninfo_to_dict(_)['user']} TO aplicacion",
        f"ALTER ROLE aplicacion SET role = {psycopg.conninfo.conninfo_to_dict(_)['user']}",
    )
    try:
        assert migrate(database.url_as("aplicacion", "secret"))
        assert migrate(database.url_as("aplicacion", "secret")) == []
    finally:
        database.execute("DROP ROLE aplicacion")


def test_search_path_of_the_server_is_kept_in_front(role_server: Server) -> None:
    for database in fresh_database(role_server):
        load_source_schema(database.url)
        database.execute(
            "CREATE SCHEMA app",
            "ALTER SYSTEM SET search_path = 'app', 'public'",
            "SELECT pg_reload_conf()",
        )
        try:
            wait_for_path(database, "app, public")
            database.execute(
                "CREATE FUNCTION app.refresh_all_mv() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
            )
            with pytest.raises(UserError, match="win over ours"):
                migrate(database.url)
            database.execute("DROP FUNCTION app.refresh_all_mv()")
            migrate(database.url)
            assert database.rows("SHOW search_path") == [("app, public, analytics",)]
            uninstall(database.url)
            assert database.rows("SHOW search_path") == [("app, public",)]
        finally:
            database.execute("ALTER SYSTEM RESET search_path", "SELECT pg_reload_conf()")
            wait_for_path(database, '"$user", public')


def wait_for_path(database: Database, path: str) -> None:
    """Wait until new sessions have a search_path."""
    database.wait_until(f"SELECT current_setting('search_path') = '{path}'")
