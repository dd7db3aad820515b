"""The source schema of generation A, shipped as demo material; never part of migrate."""

import psycopg
from psycopg import sql

from database.sql_files import SQL_DIRECTORY

DEMO_DIRECTORY = SQL_DIRECTORY / "demo"


def demo_sql(name: str) -> bytes:
    """Return the text of one of the files in sql/demo, to be executed as it is."""
    return (DEMO_DIRECTORY / name).read_bytes()


def load_source_schema(url: str) -> None:
    """Create the operational tables, with keys and indexes, in schema public of a database."""
    with psycopg.connect(url) as connection:
        connection.execute(demo_sql("source_schema.sql"))
        connection.execute(demo_sql("source_keys.sql"))


def move_source(url: str, schema: str, *, on_path: bool = True) -> None:
    """Move the operational tables from schema public into one of this name, if that is not done.

    With ``on_path`` it is where this database looks for tables.
    """
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() != (None,):
            return
        name = sql.Identifier(schema)
        connection.execute(sql.SQL("ALTER SCHEMA public RENAME TO {}").format(name))
        connection.execute("CREATE SCHEMA public")
        if on_path:
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET search_path = {}").format(
                    sql.Identifier(connection.info.dbname), name
                )
            )
