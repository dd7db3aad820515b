"""Runs the pgTAP files, each of which is one transaction that rolls back, on both servers."""

import re
from pathlib import Path

import pytest

from conftest import Database, Server, install

FILES = sorted((Path(__file__).resolve().parents[1] / "pgtap").glob("*_test.sql"))
PGTAP_SQL = sorted(Path("/usr/share/postgresql").glob("*/extension/pgtap--[0-9.]*.sql"))


def install_pgtap(database: Database) -> None:
    """Create pgTAP: the system's extension; PostgreSQL 18 is given the same file's functions."""
    if database.rows("SELECT true FROM pg_available_extensions WHERE name = 'pgtap'"):
        database.execute("CREATE EXTENSION pgtap SCHEMA public")
        return
    script = max(path for path in PGTAP_SQL if path.name.count("--") == 1)
    text = re.sub(r"^\\.*$", "", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = text.replace("MODULE_PATHNAME", "$libdir/pgtap")
    database.execute(f"SET search_path = public; {text}")


def test_there_are_pgtap_files() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.stem))
def test_pgtap(migrated: Database, file: Path) -> None:
    install_pgtap(migrated)
    lines: list[str] = []
    with migrated.session() as connection:
        cursor = connection.execute(file.read_text(encoding="utf-8"))
        more: bool | None = True
        while more:
            if cursor.description:
                lines += [str(row[0]) for row in cursor.fetchall()]
            more = cursor.nextset()
    plan = next(line for line in lines if line.startswith("1.."))
    passed = [line for line in lines if re.match(r"ok \d+", line)]
    assert not [line for line in lines if line.startswith("not ok")], "\n".join(lines)
    assert len(passed) == int(plan[3:]), "\n".join(lines)


@pytest.mark.system_only("plpgsql_check")
def test_plpgsql_check_finds_nothing(system_server: Server, system_database: Database) -> None:
    """Look into every function body, where linters don't."""
    install(system_database)
    system_database.execute("CREATE EXTENSION plpgsql_check SCHEMA public")
    checked = system_database.rows(
        """
        SELECT pg_proc.oid::regprocedure::text, issue.*
        FROM pg_proc
        INNER JOIN pg_language ON pg_language.oid = prolang AND lanname = 'plpgsql'
        LEFT JOIN LATERAL plpgsql_check_function_tb(
            pg_proc.oid,
            CASE
                WHEN prorettype <> 'trigger'::regtype THEN 0
                WHEN proname = 'note_changed_oferta_id' THEN 'public.ofertas_detalle'::regclass
                WHEN proname LIKE 'note%' THEN 'public.ofertas'::regclass
                ELSE 'analytics.settings'::regclass
            END,
            newtable => CASE WHEN proname LIKE 'note_changed%' THEN 'new_row'::name END,
            oldtable => CASE WHEN proname LIKE 'note_changed%' THEN 'old_row'::name END,
            extra_warnings => true
        ) AS issue ON true
        WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace)
        """
    )
    assert len({row[0] for row in checked}) > 10
    assert [row for row in checked if row[1] is not None] == []
