"""Subscriptions to digests by SQL: what can be written, by whom, and what an error says."""

import psycopg
import pytest

from conftest import Database
from database import farewell

SYSTEM_SERVER_IS_ENOUGH = True

SUBSCRIPTIONS = (
    "SELECT address, frequency, language, cities, subscribed_by FROM "
    "analytics.digest_subscriptions ORDER BY subscription_id"
)
ADDRESS = "p_address must be one mailbox without a name, in ASCII, such as ana@example.com"
CITIES = "p_cities must be NULL (the whole country), or 1 to 100 names of cities, in any spelling"


def subscribe(database: Database, *values: object, role: str = "analytics_operador") -> None:
    with database.session() as connection:
        connection.execute(f"SET ROLE {role}")
        connection.execute(
            f"SELECT analytics.subscribe_digest({', '.join(['%s'] * len(values))})", list(values)
        )


def test_a_mailbox_has_one_subscription_of_a_frequency(migrated: Database) -> None:
    subscribe(migrated, "Ana@Example.com", "daily")
    subscribe(migrated, "ana@example.com", "weekly", "en", [" bogota", "Bogotá", "Cali"])
    subscribe(migrated, "ana@example.com", "daily", "en")
    assert migrated.rows(SUBSCRIPTIONS) == [
        ("ana@example.com", "daily", "en", None, "postgres"),
        ("ana@example.com", "weekly", "en", ["BOGOTA", "CALI"], "postgres"),
    ]
    migrated.execute("SELECT analytics.unsubscribe_digest('ANA@example.com', 'daily')")
    assert [row[1] for row in migrated.rows(SUBSCRIPTIONS)] == ["weekly"]
    subscribe(migrated, "ana@example.com", "monthly")
    migrated.execute("SELECT analytics.unsubscribe_digest('ana@example.com')")
    assert migrated.rows(SUBSCRIPTIONS) == []
    with pytest.raises(psycopg.errors.NoDataFound, match=r"'ana@example\.com' has no digest"):
        migrated.execute("SELECT analytics.unsubscribe_digest('ana@example.com')")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, "daily"], ADDRESS),
        (["", "daily"], ADDRESS),
        (["ana", "daily"], ADDRESS),
        (["ana@example.com\nBcc: eve@example.com", "daily"], ADDRESS),
        (["ana@example.com\n", "daily"], ADDRESS),
        (["ana@example.com\r", "daily"], ADDRESS),
        (["ana@example.com,eve@example.com", "daily"], ADDRESS),
        (["Ana <ana@example.com>", "daily"], ADDRESS),
        (["ana @example.com", "daily"], ADDRESS),
        (["ana@example.com>", "daily"], ADDRESS),
        (["ana@@example.com", "daily"], ADDRESS),
        ([".ana@example.com", "daily"], ADDRESS),
        (["ana@-example.com", "daily"], ADDRESS),
        (["aña@example.com", "daily"], ADDRESS),
        (["a" * 65 + "@example.com", "daily"], ADDRESS),
        (["ana@" + "example." * 40 + "com", "daily"], ADDRESS),
        (["ana@example.com", None], "p_frequency must be daily, weekly or monthly"),
        (["ana@example.com", "hourly"], "p_frequency must be daily, weekly or monthly"),
        (["ana@example.com", "daily", "fr"], "p_language must be es or en"),
        (["ana@example.com", "daily", None], "p_language must be es or en"),
        (["ana@example.com", "daily", "es", []], CITIES),
        (["ana@example.com", "daily", "es", [None]], CITIES),
        (["ana@example.com", "daily", "es", ["Cali", " "]], CITIES),
        (["ana@example.com", "daily", "es", ["Ca\nli"]], CITIES),
        (["ana@example.com", "daily", "es", ["C" * 101]], CITIES),
        (["ana@example.com", "daily", "es", [f"C{n}" for n in range(101)]], CITIES),
    ],
)
def test_what_is_wrong_is_named_with_the_right_values(
    migrated: Database, values: list[object], message: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
        subscribe(migrated, *values)
    assert error.value.diag.message_primary == message
    assert str(error.value.diag.message_detail).startswith("Got ")
    assert migrated.rows(SUBSCRIPTIONS) == []


def test_addresses_that_people_have_are_right(migrated: Database) -> None:
    addresses = ["o'neil+kpi@sub.example.co", "a.b-c_d@example.com", "ops@mailhost"]
    for address in addresses:
        subscribe(migrated, address, "daily")
    subscribe(migrated, addresses[0], "weekly", "es", [f"C{n}" for n in range(100)])
    assert sorted({str(row[0]) for row in migrated.rows(SUBSCRIPTIONS)}) == sorted(addresses)


@pytest.mark.parametrize("role", ["analytics_lector", "analytics_anon", "analytics_scheduler"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT analytics.subscribe_digest('ana@example.com', 'daily')",
        "SELECT analytics.unsubscribe_digest('ana@example.com')",
        "SELECT * FROM analytics.digest_subscriptions",
        "SELECT * FROM analytics.digest_deliveries",
        "SELECT * FROM kpi_engine.digest_subscriptions",
    ],
)
def test_only_operators_see_addresses(migrated: Database, role: str, statement: str) -> None:
    with migrated.session() as connection:
        connection.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_operators_read_them_and_write_by_the_functions_alone(migrated: Database) -> None:
    subscribe(migrated, "ana@example.com", "daily")
    with migrated.session() as connection:
        connection.execute("SET ROLE analytics_operador")
        assert connection.execute(SUBSCRIPTIONS).rowcount == 1
        for statement in (
            "DELETE FROM analytics.digest_subscriptions",
            "UPDATE analytics.digest_subscriptions SET address = 'eve@example.com'",
            "SELECT * FROM kpi_engine.take_digest()",
            "SELECT kpi_engine.report_digest(1, NULL)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_uninstall_says_what_goes(migrated: Database) -> None:
    subscribe(migrated, "ana@example.com", "daily")
    with migrated.session() as connection:
        lines = farewell.lost_history(connection)
    assert (
        "lost: who gets digests by mail, 1 row(s); to keep them, before: "
        "\\copy kpi_engine.digest_subscriptions TO 'digest_subscriptions.csv' CSV HEADER"
    ) in lines
    assert not [line for line in lines if "ana@" in line]


def test_both_tables_of_digests_are_in_the_farewell(migrated: Database) -> None:
    tables = migrated.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'kpi_engine'::regnamespace "
        "AND relkind = 'r' AND relname LIKE 'digest%' ORDER BY 1"
    )
    assert [name for (name,) in tables] == ["digest_deliveries", "digest_subscriptions"]
    assert {name for (name,) in tables} <= farewell.HISTORY.keys()
