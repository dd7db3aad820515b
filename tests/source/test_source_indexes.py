"""The indexes on the operational tables that the engine needs."""

from datetime import date

import psycopg
import pytest

import oracle
import source_indexes
from conftest import Database, install
from marketplace import BASE_SEED, SMALL, change, fill
from sequences import audited, refresh, view_differences

NOW = "2026-11-23 12:00:00-05"
TODAY = date(2026, 11, 23)
LISTED = (
    "SELECT replace(table_name, 'public.', ''), column_name, index_name "
    "FROM analytics.source_indexes() WHERE is_present = {present} ORDER BY 1, 2"
)
MISSING = LISTED.format(present="false")
VALID = (
    "SELECT indisvalid, indnatts, indkey[0] = (SELECT attnum FROM pg_attribute WHERE "
    "attrelid = indrelid AND attname = '{column}') FROM pg_index "
    "WHERE indexrelid = to_regclass('public.{name}')"
)
# Keys stay: foreign keys refer to them.
DROP_ALL = """
DO $$
DECLARE
    v_index record;
BEGIN
    FOR v_index IN
        SELECT pg_index.indexrelid::regclass AS name, indrelid::regclass AS relation, conname
        FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype = 'u'
        WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        AND NOT indisprimary
    LOOP
        IF v_index.conname IS NULL THEN
            EXECUTE format('DROP INDEX %s', v_index.name);
        ELSE
            EXECUTE format(
                'ALTER TABLE %s DROP CONSTRAINT %I', v_index.relation, v_index.conname);
        END IF;
    END LOOP;
END $$
"""


def run(database: Database, *arguments: str) -> int:
    """Run the command line."""
    return source_indexes.main(["--database-url", database.url, *arguments])


def test_without_the_package_it_says_so(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(database) == 1
    assert f"teloo-analytics is not installed in database {database.name}" in (
        capsys.readouterr().err
    )


def test_dropped_indexes_are_listed_as_missing_and_built(
    migrated: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(migrated) == 0
    capsys.readouterr()
    assert run(migrated, "--list") == 0
    assert "MISSING" not in capsys.readouterr().out
    assert migrated.rows(MISSING) == []
    migrated.execute(DROP_ALL)
    expected = [
        ("adjudicaciones_repuesto", "oferta_id"),
        ("ofertas", "created_at"),
        ("ofertas", "solicitud_id"),
        ("ofertas_detalle", "oferta_id"),
        ("repuestos_solicitados", "solicitud_id"),
        ("solicitudes", "created_at"),
    ]
    missing = migrated.rows(MISSING)
    assert missing == [(*pair, f"teloo_analytics_{pair[0]}_{pair[1]}") for pair in expected]
    assert run(migrated, "--list") == 3
    assert capsys.readouterr().out.count("MISSING") == len(expected)
    assert run(migrated) == 0
    assert run(migrated, "--list") == 0
    for _, column, name in missing:
        assert migrated.rows(VALID.format(name=name, column=column)) == [(True, 1, True)]
    # Nothing to do a second time.
    assert run(migrated) == 0
    assert migrated.rows(MISSING) == []


def test_operators_may_list_and_readers_may_not(migrated: Database) -> None:
    with migrated.session() as connection:
        connection.execute("SET ROLE analytics_operador")
        connection.execute("SELECT * FROM analytics.source_indexes()")
        connection.execute("SET ROLE analytics_lector")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM analytics.source_indexes()")


def test_leftover_of_an_interrupted_build_is_replaced(migrated: Database) -> None:
    name = "teloo_analytics_ofertas_created_at"
    with migrated.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON public.ofertas (tiempo_entrega_dias)"
            )
    assert migrated.rows(VALID.format(name=name, column="created_at")) == [(False, 1, False)]
    assert ("ofertas", "created_at", name) in migrated.rows(MISSING)
    assert run(migrated, "--list") == 3
    assert run(migrated) == 0
    assert migrated.rows(VALID.format(name=name, column="created_at")) == [(True, 1, True)]
    assert run(migrated, "--list") == 0


@pytest.mark.parametrize(
    "index",
    [
        "(estado, created_at)",
        "(created_at) WHERE estado = 'ABIERTA'",
        "(date(created_at AT TIME ZONE 'UTC'))",
        "USING hash (created_at)",
    ],
)
def test_index_that_does_not_serve_is_not_taken_for_one(
    system_database: Database, index: str
) -> None:
    install(system_database)
    system_database.execute(DROP_ALL, f"CREATE INDEX of_somebody ON public.solicitudes {index}")
    assert ("solicitudes", "created_at", "teloo_analytics_solicitudes_created_at") in (
        system_database.rows(MISSING)
    )


def test_partitions_with_long_names_get_their_indexes(system_database: Database) -> None:
    install(system_database)
    child = "ofertas_" + "of_a_very_long_name_" * 2 + "2026"
    system_database.execute(f"CREATE TABLE public.{child} () INHERITS (public.ofertas)")
    assert run(system_database) == 0
    assert system_database.rows(MISSING) == []


def test_refresh_without_any_of_the_indexes_is_right(migrated: Database) -> None:
    migrated.execute(DROP_ALL)
    with migrated.session() as connection:
        fill(connection, BASE_SEED, "A", TODAY, size=SMALL)
    assert refresh(migrated, NOW)[0] == "full"
    assert view_differences(migrated, NOW) == []
    for seed in range(3):
        with migrated.session() as connection:
            change(connection, seed, "A", TODAY)
            months = oracle.compute_months(oracle.read_source(connection), "America/Bogota")
            actual = oracle.read_view(connection, "v_metricas_mensuales_tiempo_real", "mes")
            assert oracle.differences(months, actual, "mes") == []
        assert refresh(migrated, NOW)[0] == "incremental"
        assert view_differences(migrated, NOW) == []
    assert audited(migrated) == 0
