"""What a caller puts before pg_catalog, or into pg_temp, is never run with the owner's rights.

For each SECURITY DEFINER function of the catalog that a role may call: the caller has operators,
functions, types and tables with the names of those of PostgreSQL and of ours, first in its
search_path and in pg_temp. Each trap notes who runs it.
"""

from collections.abc import Iterator

import psycopg
import pytest

from conftest import Database, Server, fresh_database
from sequences import small_marketplace

SYSTEM_SERVER_IS_ENOUGH = True
CALLERS = ("analytics_anon", "analytics_lector", "analytics_operador", "analytics_scheduler")
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
    proretset, prokind::text, provariadic <> 0
FROM pg_proc
WHERE pronamespace IN ('analytics'::regnamespace, 'kpi_engine'::regnamespace, 'api'::regnamespace)
AND prosecdef AND prorettype <> 'trigger'::regtype
AND has_function_privilege('{role}', oid, 'EXECUTE')
AND has_schema_privilege('{role}', pronamespace, 'USAGE')
ORDER BY 1
"""


def traps(role: str) -> list[str]:
    """Return the statements by which a role sets its traps."""
    spring = "PERFORM pg_catalog.set_config('evil.ran', pg_catalog.concat("
    spring += "pg_catalog.current_setting('evil.ran', true), CURRENT_USER, ' {0}; '), false)"
    made = [
        "CREATE FUNCTION evil.ran(what pg_catalog.text) RETURNS pg_catalog.void LANGUAGE plpgsql AS "
        "$$ BEGIN IF CURRENT_USER <> '" + role + "' THEN PERFORM pg_catalog.set_config('evil.ran', "
        "pg_catalog.concat(pg_catalog.current_setting('evil.ran', true), what, '; '), false); "
        "END IF; END $$"
    ]
    for name, arguments in FUNCTIONS.items():
        made.append(
            f"CREATE FUNCTION evil.{name}({arguments}) RETURNS pg_catalog.text LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM evil.ran('{name}()'); RETURN NULL; END $$"
        )
    for operator, kinds in OPERATORS.items():
        for kind in kinds:
            result = "boolean" if operator in ("=", "<>", "<", ">", "~") else kind
            name = "evil." + "".join(str(ord(letter)) + "_" for letter in operator)
            made += [
                f'CREATE FUNCTION {name.replace("evil.", "evil.op_")}{kind}(pg_catalog.{KINDS.get(kind, kind)}, '
                f"pg_catalog.{KINDS.get(kind, kind)}) RETURNS pg_catalog.{KINDS.get(result, result)} "
                f"LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.ran('{operator} of {kind}'); "
                "RETURN NULL; END $$",
                f"CREATE OPERATOR evil.{operator} (FUNCTION = {name.replace('evil.', 'evil.op_')}{kind}, "
                f"LEFTARG = pg_catalog.{KINDS.get(kind, kind)}, "
                f"RIGHTARG = pg_catalog.{KINDS.get(kind, kind)})",
            ]
    for relation in RELATIONS:
        # A view that is read springs the trap; it has no column that anybody wants.
        made += [
            f"CREATE VIEW {schema}.{relation} AS SELECT evil.ran('{schema}.{relation}') AS trap"
            for schema in ("evil", "pg_temp")
        ]
    made += [f"CREATE TYPE pg_temp.{name} AS ENUM ('evil')" for name in TYPES if name not in RELATIONS]
    return made


KINDS = {"bigint": "int8", "integer": "int4", "boolean": "bool"}


@pytest.fixture(scope="module")
def shadowed(system_server: Server) -> Iterator[Database]:
    """A small marketplace where each role of the API may create what it likes in a schema."""
    for database in fresh_database(system_server):
        small_marketplace(database, "A")
        database.execute(
            "CREATE SCHEMA evil",
            f"GRANT TEMPORARY ON DATABASE {database.name} TO public",
            *(f"GRANT ALL ON SCHEMA evil TO {role}" for role in CALLERS),
        )
        yield database


@pytest.mark.parametrize("role", CALLERS)
def test_no_definer_runs_what_its_caller_made(shadowed: Database, role: str) -> None:
    functions = shadowed.rows(DEFINERS.format(role=role))
    assert functions
    ran: dict[str, str] = {}
    with shadowed.connect() as connection:
        connection.execute(f"SET ROLE {role}")
        try:
            for statement in traps(role):
                connection.execute(statement.encode())
            for setting in ("evil, pg_temp, pg_catalog", "pg_temp, evil, pg_catalog"):
                connection.execute(f"SET search_path = {setting}")
                for name, kinds, _, kind, variadic in functions:
                    assert isinstance(kinds, list)
                    given = [ARGUMENTS.get(str(one), f"NULL::{one}") for one in kinds]
                    if variadic:
                        given[-1] = f"VARIADIC {given[-1]}"
                    call = f"{str(name).partition('(')[0]}({', '.join(given)})"
                    connection.execute("SELECT pg_catalog.set_config('evil.ran', '', false)")
                    connection.execute("BEGIN")
                    try:
                        connection.execute(
                            (f"CALL {call}" if kind == "p" else f"SELECT * FROM {call}").encode()
                        )
                    except psycopg.Error:
                        pass
                    row = connection.execute(
                        "SELECT pg_catalog.current_setting('evil.ran', true)"
                    ) if connection.info.transaction_status.name == "INTRANS" else None
                    if row and (found := row.fetchone()) and found[0]:
                        ran[call] = str(found[0])
                    connection.execute("ROLLBACK")
        finally:
            connection.execute("RESET search_path")
            connection.execute("ROLLBACK")
    shadowed.execute("DROP SCHEMA evil CASCADE", "CREATE SCHEMA evil")
    shadowed.execute(*(f"GRANT ALL ON SCHEMA evil TO {one}" for one in CALLERS))
    assert ran == {}
