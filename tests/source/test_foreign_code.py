"""Code of a source table's owner does not run with our rights, or the doctor tells of it."""

from collections.abc import Iterator

import pytest

from commandline.console import UserError
from conftest import Database
from development.demo_source import load_source_schema
from migrate import migrate

EVIL = """
    CREATE FUNCTION public.evil(anyelement) RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN current_user; END'
"""


@pytest.fixture
def owner(system_database: Database) -> Iterator[str]:
    """A role that owns the operational tables and a function, and is no superuser."""
    load_source_schema(system_database.url)
    role = f"owner_{system_database.name}"
    system_database.execute(
        f"CREATE ROLE {role}",
        f"GRANT ALL ON SCHEMA public TO {role}",
        EVIL,
        f"ALTER FUNCTION public.evil(anyelement) OWNER TO {role}",
    )
    for (table,) in system_database.rows(
        "SELECT oid::regclass::text FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    ):
        system_database.execute(f"ALTER TABLE {table} OWNER TO {role}")
    yield role
    system_database.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER", f"DROP OWNED BY {role}")
    system_database.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX evil_constant ON public.ofertas ((public.evil(1)))",
        "CREATE INDEX evil_partial ON public.ofertas (id) WHERE public.evil(id) <> ''",
        "CREATE STATISTICS public.evil_statistics ON (public.evil(estado)), estado "
        "FROM public.ofertas",
        "CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE "
        "AS 'SELECT true'; CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = text, "
        "FUNCTION = public.same); "
        "CREATE INDEX evil_operator ON public.ofertas ((estado OPERATOR(public.===) 'x'))",
        "CREATE POLICY evil ON public.ofertas USING (public.evil(id) <> '')",
    ],
)
@pytest.mark.takes_turns(2)
def test_functions_that_planning_a_refresh_may_run_are_named(
    system_database: Database, owner: str, statement: str
) -> None:
    migrate(system_database.url)
    assert system_database.rows("SELECT * FROM kpi_engine.foreign_code()") == []
    with system_database.session() as connection:
        connection.execute(f"SET ROLE {owner}")
        connection.execute(statement)
    rows = system_database.rows(
        "SELECT relation::regclass::text, owner FROM kpi_engine.foreign_code()"
    )
    assert rows == [("ofertas", owner)] or rows == [("public.ofertas", owner)]
    said = "SELECT DISTINCT status FROM kpi_engine.doctor_check('code of others')"
    assert system_database.rows(said) == [("warning",)]
    # In the hands of a superuser it is trusted.
    system_database.execute(f"REASSIGN OWNED BY {owner} TO CURRENT_USER")
    assert system_database.rows("SELECT * FROM kpi_engine.foreign_code()") == []
    assert system_database.rows(said) == [("ok",)]


def test_a_view_of_somebody_else_in_a_table_s_place_is_refused(
    system_database: Database, owner: str
) -> None:
    with system_database.session() as connection:
        connection.execute(f"SET ROLE {owner}")
        connection.execute("ALTER TABLE public.ofertas RENAME TO ofertas_kept")
        connection.execute("CREATE VIEW public.ofertas AS SELECT * FROM public.ofertas_kept")
    with pytest.raises(UserError) as refused:
        migrate(system_database.url)
    assert f"public.ofertas is a view of role {owner}" in refused.value.hint


def test_a_column_whose_cast_to_text_is_somebody_s_function_is_refused(
    system_database: Database, owner: str
) -> None:
    system_database.execute(
        "CREATE TYPE public.offer_state AS ENUM ('ENVIADA', 'GANADORA')",
        "CREATE FUNCTION public.told(public.offer_state) RETURNS text LANGUAGE plpgsql IMMUTABLE "
        "AS 'BEGIN RETURN current_user; END'",
        "CREATE CAST (public.offer_state AS text) WITH FUNCTION public.told(public.offer_state)",
        "ALTER TABLE public.ofertas ALTER estado DROP DEFAULT, "
        "ALTER estado TYPE public.offer_state USING NULL",
    )
    with pytest.raises(UserError) as refused:
        migrate(system_database.url)
    assert "cast function" in refused.value.hint


def test_a_constraint_of_a_source_table_is_not_worked_out_by_a_refresh(
    system_database: Database, owner: str
) -> None:
    migrate(system_database.url)
    with system_database.session() as connection:
        connection.execute(f"SET ROLE {owner}")
        connection.execute("CREATE TABLE public.seen_as (name text)")
        connection.execute("GRANT INSERT ON public.seen_as TO PUBLIC")
        connection.execute(
            "CREATE OR REPLACE FUNCTION public.evil(anyelement) RETURNS text LANGUAGE plpgsql "
            "IMMUTABLE AS 'BEGIN PERFORM set_config(''evil.ran_as'', current_user, false); "
            "RETURN ''x''; END'"
        )
        connection.execute("ALTER TABLE public.ofertas ADD CHECK (public.evil(1) <> '') NOT VALID")
    with system_database.session() as connection:
        connection.execute("SET constraint_exclusion = on")
        connection.execute("SELECT * FROM analytics.refresh_all_mv(true)")
        row = connection.execute("SELECT current_setting('evil.ran_as', true)").fetchone()
        assert row == (None,)
