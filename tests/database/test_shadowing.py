"""What a caller puts before pg_catalog, or into pg_temp, is never run with the owner's rights.

For each SECURITY DEFINER function of the catalog that a role may call: the caller has operators,
functions, types and tables with the names of those of PostgreSQL and of ours, first in its
search_path and in pg_temp. Each trap notes who runs it.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import psycopg
import pytest

from conftest import Database, Server, fresh_database
from openapi import document
from sequences import small_marketplace
from services.service import check
from source_indexes import build

SYSTEM_SERVER_IS_ENOUGH = True
CALLERS = (
    *("analytics_anon", "analytics_lector", "analytics_operador", "analytics_scheduler"),
    "analytics_hub",
)
# Names that functions of ours use without a schema, and the types of their arguments.
FUNCTIONS = {
    "now": "",
    "clock_timestamp": "",
    "current_setting": "text, boolean",
    "set_config": "text, text, boolean",
    "format": "text, VARIADIC text[]",
    "quote_ident": "text",
    "quote_literal": "text",
    "count": "anyelement",
    "lower": "text",
    "upper": "text",
    "length": "text",
    "round": "numeric, integer",
    "date_trunc": "text, timestamp",
    "md5": "text",
    "to_jsonb": "anyelement",
    "to_regclass": "text",
    "jsonb_populate_record": "anyelement, jsonb",
    "unnest": "anyarray",
    "pg_has_role": "text, text",
    "pg_get_viewdef": "oid",
    "has_table_privilege": "text, text, text",
}
OPERATORS = {
    "=": ("text", "uuid", "bigint", "integer", "date", "name", "oid", "boolean", "jsonb"),
    "<>": ("text", "uuid", "bigint", "date", "name"),
    "<": ("text", "bigint", "date", "timestamptz"),
    ">": ("text", "bigint", "date", "timestamptz"),
    "||": ("text",),
    "~": ("text",),
    "+": ("bigint", "integer"),
    "*": ("bigint", "numeric"),
}
RELATIONS = (
    *("pg_class", "pg_proc", "pg_namespace", "pg_attribute", "pg_locks", "pg_roles"),
    *("settings", "engine_state", "view_state", "change_log", "refresh_jobs", "refresh_log"),
    *("pending_changes", "derived_tables", "solicitudes", "ofertas", "mv_metricas_mensuales"),
    *("mv_ranking_asesores", "month_totals", "solicitud_facts", "notes", "targets"),
)
KINDS = {"bigint": "int8", "integer": "int4", "boolean": "bool"}
TYPES = ("text", "uuid", "jsonb", "numeric", "regclass", "refresh_log", "changed_keys")
# Some arguments by type. Functions that are given wrong ones fail after they began, as they should.
ARGUMENTS = {
    "text": "'mv_metricas_mensuales'",
    "text[]": "ARRAY['mv_metricas_mensuales']::pg_catalog.text[]",
    "boolean": "true",
    "integer": "1",
    "bigint": "1",
    "numeric": "1",
    "date": "'2026-11-01'::pg_catalog.date",
    "uuid": "'00000000-0000-0000-0000-000000000000'::pg_catalog.uuid",
    "interval": "'1 s'::pg_catalog.interval",
}
DEFINERS = """
SELECT oid::regprocedure::text,
    ARRAY(SELECT format_type(kind, NULL) FROM unnest(proargtypes) AS kind),
    prokind::text, provariadic <> 0
FROM pg_proc
WHERE pronamespace IN ('analytics'::regnamespace, 'kpi_engine'::regnamespace, 'api'::regnamespace)
AND prosecdef AND prorettype <> 'trigger'::regtype
AND has_function_privilege('{role}', oid, 'EXECUTE')
AND has_schema_privilege('{role}', pronamespace, 'USAGE')
ORDER BY 1
"""


def traps(role: str) -> list[str]:
    """Return the statements by which a role sets its traps. A warning outlives a rollback."""
    made = [
        "CREATE FUNCTION evil.ran(what pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql "
        f"SET search_path = pg_catalog AS $$ BEGIN IF CURRENT_USER <> '{role}' THEN "
        "RAISE WARNING 'trap: %', what; END IF; RETURN what; END $$"
    ]
    for name, arguments in FUNCTIONS.items():
        made.append(
            f"CREATE FUNCTION evil.{name}({arguments}) RETURNS pg_catalog.text LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM evil.ran('{name}()'); RETURN NULL; END $$"
        )
    for number, (operator, kinds) in enumerate(OPERATORS.items()):
        for kind in kinds:
            own = f"pg_catalog.{KINDS.get(kind, kind)}"
            result = "pg_catalog.bool" if operator in ("=", "<>", "<", ">", "~") else own
            made += [
                f"CREATE FUNCTION evil.operator_{number}_{kind}({own}, {own}) RETURNS {result} "
                f"LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.ran('{operator} of {kind}'); "
                "RETURN NULL; END $$",
                f"CREATE OPERATOR evil.{operator} (FUNCTION = evil.operator_{number}_{kind}, "
                f"LEFTARG = {own}, RIGHTARG = {own})",
            ]
    for relation in RELATIONS:
        # A view that is read springs the trap; it has no column that anybody wants.
        for schema in ("evil", "pg_temp"):
            made += [
                f"CREATE VIEW {schema}.{relation} AS "
                f"SELECT evil.ran('{schema}.{relation}') AS trap",
                f"GRANT SELECT ON {schema}.{relation} TO public",
            ]
    made += [
        f"CREATE TYPE pg_temp.{name} AS ENUM ('evil')" for name in TYPES if name not in RELATIONS
    ]
    return made


@pytest.fixture(scope="module")
def shadowed(system_server: Server) -> Iterator[Database]:
    """A small marketplace where each role of the API may create what it likes in a schema."""
    for database in fresh_database(system_server):
        small_marketplace(database, "A")
        database.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO public")
        make_room(database)
        yield database


def make_room(database: Database) -> None:
    """Give the callers an empty schema for their traps, which the owner of ours may use."""
    database.execute(
        "DROP SCHEMA IF EXISTS evil CASCADE",
        "CREATE SCHEMA evil",
        f"GRANT ALL ON SCHEMA evil TO {', '.join((*CALLERS, 'analytics_owner'))}",
    )


def sprung(connection: psycopg.Connection, role: str, functions: list[tuple[object, ...]]) -> str:
    """Set the traps of a role, call all functions, and return what ran with rights of others."""
    ran: list[str] = []
    call = ""
    connection.add_notice_handler(
        lambda notice: (
            ran.append(f"{call}: {notice.message_primary}")
            if str(notice.message_primary).startswith("trap: ")
            else None
        )
    )
    connection.execute(f"SET ROLE {role}")
    for statement in traps(role):
        connection.execute(statement.encode())
    for path in ("evil, pg_temp, pg_catalog", "pg_temp, evil, pg_catalog"):
        connection.execute(f"SET search_path = {path}")
        for name, kinds, kind, is_variadic in functions:
            assert isinstance(kinds, list)
            given = [ARGUMENTS.get(str(one), f"NULL::{one}") for one in kinds]
            if is_variadic:
                given[-1] = f"VARIADIC {given[-1]}"
            call = f"{str(name).partition('(')[0]}({', '.join(given)})"
            connection.execute("BEGIN")
            # It may fail: with these arguments, or because the caller may not.
            with suppress(psycopg.Error):
                connection.execute(
                    (f"CALL {call}" if kind == "p" else f"SELECT * FROM {call}").encode()
                )
            connection.execute("ROLLBACK")
    return "\n".join(ran)


@pytest.mark.parametrize("role", CALLERS)
def test_no_definer_runs_what_its_caller_made(shadowed: Database, role: str) -> None:
    functions = shadowed.rows(DEFINERS.format(role=role))
    assert functions
    try:
        with shadowed.connect() as connection:
            assert sprung(connection, role, functions) == ""
    finally:
        make_room(shadowed)


# Better matches than those of PostgreSQL for arguments that tools have; what they return.
PUBLIC_TRAPS = {
    "format(pg_catalog.text, pg_catalog.text)": ("pg_catalog.text", " NULL"),
    "unnest(pg_catalog.text[])": ("pg_catalog.text", " NULL"),
    "pg_sleep(pg_catalog.numeric)": ("pg_catalog.void", ""),
    "sprung(pg_catalog.oid, pg_catalog.regclass)": ("pg_catalog.bool", " NULL"),
}


def test_no_tool_runs_what_others_create_in_public(shadowed: Database) -> None:
    """A tool is run by a superuser or the owner of the tables, and public is on his search_path."""

    def describe() -> None:
        with shadowed.connect(autocommit=False) as connection:
            document(connection)

    def capture() -> None:
        with shadowed.connect(autocommit=False) as writer, shadowed.connect() as connection:
            writer.execute("LOCK TABLE public.ofertas IN ROW EXCLUSIVE MODE")
            connection.execute("CALL analytics.apply_change_capture('0.3 s')")

    tools: dict[str, Callable[[], object]] = {
        "source_indexes": lambda: build(shadowed.url, "unbuilt", "public.ofertas", "SELECT 1"),
        "openapi": describe,
        "a service": lambda: check(shadowed.url, ["analytics.tick()"]),
        "apply_change_capture": capture,
    }
    shadowed.execute(
        "CREATE SEQUENCE public.traps",
        *(
            f"CREATE FUNCTION public.{name} RETURNS {kind} LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM nextval('public.traps'); RETURN{value}; END $$"
            for name, (kind, value) in PUBLIC_TRAPS.items()
        ),
        "CREATE OPERATOR public.= (FUNCTION = public.sprung, LEFTARG = oid, RIGHTARG = regclass)",
        "SELECT analytics.set_setting('change_capture', 'off')",
        "CREATE INDEX unbuilt ON public.ofertas (id); SET allow_system_table_mods = on; "
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.unbuilt'::regclass::oid",
    )
    sprung = []
    try:
        for name, tool in tools.items():
            # With a trap's answer it may fail, and with a writer's lock it has to.
            with suppress(Exception):
                tool()
            if shadowed.rows("SELECT is_called FROM public.traps") != [(False,)]:
                sprung.append(name)
            shadowed.execute("SELECT setval('public.traps', 1, false)")
    finally:
        shadowed.execute(
            "SELECT analytics.set_setting('change_capture', 'on')",
            "DROP OPERATOR public.= (oid, regclass)",
            *(f"DROP FUNCTION public.{name}" for name in PUBLIC_TRAPS),
            "DROP SEQUENCE public.traps",
            "DROP INDEX IF EXISTS public.unbuilt",
        )
    assert sprung == []


def test_a_definer_without_a_search_path_would_spring_the_traps(shadowed: Database) -> None:
    shadowed.execute(
        "CREATE FUNCTION kpi_engine.careless(OUT found text) LANGUAGE plpgsql SECURITY DEFINER AS "
        "$$ BEGIN found := lower('A') || quote_ident('b'); PERFORM * FROM settings; END $$",
        "ALTER FUNCTION kpi_engine.careless() OWNER TO analytics_owner",
        "GRANT EXECUTE ON FUNCTION kpi_engine.careless() TO analytics_operador",
    )
    functions = shadowed.rows(DEFINERS.format(role="analytics_operador"))
    careless = [row for row in functions if "careless" in str(row[0])]
    try:
        with shadowed.connect() as connection:
            ran = sprung(connection, "analytics_operador", careless)
    finally:
        shadowed.execute("DROP FUNCTION kpi_engine.careless()")
        make_room(shadowed)
    for trap in ("lower()", "|| of text", "evil.settings", "pg_temp.settings"):
        assert f"trap: {trap}" in ran, ran
