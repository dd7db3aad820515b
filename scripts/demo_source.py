"""The source schema of generation A, shipped as demo material; never part of migrate."""

import psycopg

from sql_files import SQL_DIRECTORY


def load_source_schema(url: str) -> None:
    """Create the operational tables, with keys and indexes, in schema public of a database."""
    text = (SQL_DIRECTORY / "demo" / "source_schema.sql").read_text(encoding="utf-8")
    with psycopg.connect(url) as connection:
        connection.execute(text)  # type: ignore[call-overload]
