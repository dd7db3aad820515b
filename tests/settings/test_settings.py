"""Whatever a database or a role sets as defaults, everything works and gives the same numbers."""

from datetime import date

import psycopg
import pytest

from conftest import Database, install
from development.demo_source import load_source_schema
from marketplace import BASE_SEED, SMALL, fill
from migrate import migrate
from oracle import all_differences, compute, read_views

NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
SETTINGS: dict[str, dict[str, str]] = {
    "serializable": {
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
    },
    "repeatable read": {"default_transaction_isolation": "repeatable read"},
    "read only": {"default_transaction_read_only": "on"},
    "formats": {
        "standard_conforming_strings": "off",
        "backslash_quote": "off",
        "quote_all_identifiers": "on",
        "datestyle": "SQL, DMY",
        "intervalstyle": "sql_standard",
        "extra_float_digits": "-15",
        "bytea_output": "escape",
        "timezone": "Pacific/Apia",
        "xmloption": "document",
        "array_nulls": "off",
        "transform_null_equals": "on",
        "lc_monetary": "C",
        "lc_numeric": "C",
    },
    "plans": {
        "search_path": "pg_temp",
        "row_security": "off",
        "plan_cache_mode": "force_custom_plan",
        "enable_hashjoin": "off",
        "enable_indexscan": "off",
        "enable_hashagg": "off",
        "enable_sort": "off",
        "jit_above_cost": "0",
        "constraint_exclusion": "on",
        "check_function_bodies": "on",
        "default_toast_compression": "pglz",
        "plpgsql.variable_conflict": "use_variable",
        "plpgsql.extra_errors": "all",
        "work_mem": "64kB",
    },
    "limits": {
        "statement_timeout": "50ms",
        "lock_timeout": "1ms",
        "idle_in_transaction_session_timeout": "300ms",
        "idle_session_timeout": "0",
    },
}


def connect(database: Database, options: str) -> psycopg.Connection:
    """Connect with the defaults of the database, but for options that a person may have set."""
    return psycopg.connect(database.url, autocommit=True, options=options)


def differences(database: Database, options: str) -> list[str]:
    """Compare both views with what the rows give."""
    # What reads the rows here in Python wants them as they are written by default.
    formats = " -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1"
    formats += " -c timezone=UTC -c standard_conforming_strings=on -c transform_null_equals=off"
    formats += " -c quote_all_identifiers=off"
    with connect(database, options + formats) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        return all_differences(compute(connection, TODAY), read_views(connection))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.takes_turns(2)
def test_everything_works_under_settings_of_the_database(
    system_database: Database, settings: str
) -> None:
    name = system_database.name
    load_source_schema(system_database.url)
    with psycopg.connect(system_database.cluster.url("postgres"), autocommit=True) as connection:
        for setting, value in SETTINGS[settings].items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    # A person who calls by hand gets a transaction that can be written in, and time.
    options = (
        "-c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed "
        "-c statement_timeout=0 -c lock_timeout=30s -c idle_in_transaction_session_timeout=0"
    )
    migrate(system_database.url)
    assert migrate(system_database.url) == []
    with connect(system_database, "-c search_path=public " + options) as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    try:
        with connect(system_database, options) as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
            assert {row[1] for row in rows} == {"SUCCESS"}, rows
            connection.execute("UPDATE public.ofertas SET estado = 'ACEPTADA'")
            rows = connection.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
            assert {row[1] for row in rows} == {"SUCCESS"}, rows
            assert differences(system_database, options) == []
            rows = connection.execute("SELECT * FROM analytics.refresh_all_mv(true)").fetchall()
            assert {row[1] for row in rows} == {"SUCCESS"}, rows
            for query in (
                "SELECT * FROM analytics.get_mv_stats()",
                "SELECT * FROM analytics.explain_refresh()",
                "SELECT api.health()",
                "SELECT * FROM analytics.v_metricas_mensuales_tiempo_real",
            ):
                connection.execute(query)
        # The jobs, and what commits, with the defaults as they are.
        jobs = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
        with connect(system_database, jobs) as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            connection.execute("CALL analytics.tick()")
            connection.execute("CALL analytics.rebuild(true)")
            connection.execute("CALL analytics.work()")
        with connect(system_database, options) as connection:
            connection.execute("SELECT set_config('analytics.now', %s, false)", [NOW])
            assert connection.execute("SELECT analytics.audit()").fetchone() == (0,)
        assert differences(system_database, options) == []
        if settings == "limits":
            migrate(system_database.url)
            assert system_database.cluster
            with connect(system_database, options) as connection:
                assert connection.execute(
                    "SELECT count(*) FROM pg_roles, unnest(rolconfig) AS setting WHERE rolname = "
                    "'analytics_scheduler' AND setting IN ('statement_timeout=0', "
                    "'lock_timeout=0', 'idle_in_transaction_session_timeout=0')"
                ).fetchone() == (3,)
    finally:
        with psycopg.connect(
            system_database.cluster.url("postgres"), autocommit=True
        ) as connection:
            connection.execute(f"ALTER DATABASE {name} RESET ALL")
            for setting in ("statement_timeout", "lock_timeout"):
                connection.execute(f"ALTER ROLE analytics_scheduler RESET {setting}")
            connection.execute(
                "ALTER ROLE analytics_scheduler RESET idle_in_transaction_session_timeout"
            )


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        (
            "default_transaction_isolation",
            "serializable",
            psycopg.errors.ObjectNotInPrerequisiteState,
        ),
        ("default_transaction_read_only", "on", psycopg.errors.ReadOnlySqlTransaction),
    ],
)
def test_a_refusal_names_the_default_that_causes_it_and_how_to_change_it(
    system_database: Database, setting: str, value: str, error: type[psycopg.Error]
) -> None:
    install(system_database)
    with system_database.session() as connection:
        connection.execute(f"ALTER DATABASE {system_database.name} SET {setting} = '{value}'")
    for statement in ("SELECT * FROM analytics.refresh_all_mv()", "SELECT analytics.audit()"):
        with system_database.session() as connection:
            with pytest.raises(error) as refused:
                connection.execute(statement)
            hint = str(refused.value.diag.message_hint)
            assert f"ALTER DATABASE {system_database.name} SET {setting} = " in hint, hint
            # The cure for now.
            connection.execute(hint[hint.index("BEGIN") :])
        with system_database.session() as connection:
            connection.execute(f"SET {setting} = '{value}'")
            with pytest.raises(error) as refused:
                connection.execute(statement)
            assert "ALTER" not in str(refused.value.diag.message_hint)


def test_a_history_of_a_view_that_is_not_there_is_refused(migrated: Database) -> None:
    """Names and e-mails would stay for ever for a letter that is missing."""
    set_to = "SELECT analytics.set_setting('publication_history', '{}')"
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refusal:
        migrated.execute(set_to.format("mv_rankin_asesores=90, *=all"))
    assert "mv_ranking_asesores" in str(refusal.value.diag.message_hint)
    migrated.execute(set_to.format("mv_ranking_asesores=30, *=all"))
