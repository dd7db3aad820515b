"""Sites, and the hub over them: real databases."""

import json
from collections.abc import Sequence as Several

import psycopg
from psycopg.conninfo import conninfo_to_dict

from conftest import Database, install
from database import prerequisites
from migrate import migrate
from oracle import Source

PASSWORD = "a-password-of-the-hub"  # noqa: S105
ROLE = "reader_of_the_hub"


def make_site(database: Database) -> None:
    """Make an empty database a site: a migrated source that notes its changes for a hub."""
    install(database, "A")
    serve(database)


def serve(database: Database) -> None:
    """Let a migrated database note its changes, and make a role for the hub."""
    database.execute(
        f"DO $$ BEGIN CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}' IN ROLE analytics_hub; "
        "EXCEPTION WHEN duplicate_object THEN END; $$",
        "SELECT analytics.set_setting('hub_days', '30')",
    )


def make_hub(database: Database) -> None:
    """Make an empty database a hub without sites."""
    database.execute("CREATE EXTENSION dblink")
    migrate(database.url, hub=True)
    database.execute("GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO analytics_owner")


def add_site(hub: Database, name: str, site: Database) -> None:
    """Tell a hub of a site."""
    with hub.connect() as connection:
        add_site_over(connection, name, site)


def add_site_over(connection: psycopg.Connection, name: str, site: Database) -> None:
    """Tell a hub of a site, over a connection to the hub."""
    address = conninfo_to_dict(site.url)
    options = {key: str(address[key]) for key in ("host", "port", "dbname")}
    connection.execute(f"SET ROLE {prerequisites.OWNER}")
    connection.execute(
        "SELECT kpi_engine.add_hub_site(%s, %s::jsonb, %s, %s)",
        [name, json.dumps(options), ROLE, PASSWORD],
    )


def united(sources: Several[Source]) -> Source:
    """Return the rows of several databases of one generation, as if one had them all."""
    first = sources[0]
    return Source(
        first.schema,
        {name: [row for source in sources for row in source.tables[name]] for name in first.tables},
        first.types,
    )


def partial_header(database: Database) -> str | None:
    """Return the header X-Partial of an answer at this moment; None without it."""
    with database.session() as connection, connection.transaction():
        connection.execute("SELECT kpi_engine.set_reading_headers('tag', 1, NULL, NULL, false)")
        row = connection.execute(
            "SELECT item ->> 'X-Partial' FROM json_array_elements("
            "current_setting('response.headers')::json) AS listed (item) "
            "WHERE item ->> 'X-Partial' IS NOT NULL"
        ).fetchone()
        return str(row[0]) if row else None
