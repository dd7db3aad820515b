"""The source schema of generation A, shipped as demo material; never part of migrate."""

import psycopg

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
