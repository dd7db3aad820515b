"""The committed pages of docs/reference are what a new installation says."""

from pathlib import Path

import pytest

import reference
from conftest import Database, install
from database import prerequisites
from development import reference_pages


def test_the_committed_pages_are_what_the_database_says(system_database: Database) -> None:
    install(system_database)
    with prerequisites.connect(system_database.url, "reference") as connection:
        made = reference_pages.pages(connection)
    differing = reference_pages.differing(made)
    assert not differing, f"not current: {', '.join(differing)}. Run: make reference"


def test_a_page_that_is_changed_missing_or_left_over_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path
    monkeypatch.setattr(reference_pages, "DIRECTORY", directory)
    for name in ("same", "changed", "old"):
        (directory / f"{name}.md").write_text("text", encoding="utf-8")
    made = {"same.md": "text", "changed.md": "another text", "new.md": "text"}
    assert reference_pages.differing(made) == ["changed.md", "new.md", "old.md"]


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 100}, "1 to 100"),
        ({"type": "integer"}, "whole number"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string"}, "text"),
    ],
)
def test_each_kind_of_parameter_has_words(schema: dict[str, object], shown: str) -> None:
    assert reference_pages.rule("weeks", schema) == shown


def test_making_the_pages_leaves_nothing_in_the_database(system_database: Database) -> None:
    install(system_database)
    with prerequisites.connect(system_database.url, "reference") as connection:
        reference_pages.metrics(connection)
    for table in ("trimmed_counts", "refresh_jobs", "refresh_log"):
        assert system_database.rows(f"SELECT count(*) FROM kpi_engine.{table}") == [(0,)]


def test_the_command_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        reference.main(["--help"])
    assert stopped.value.code == 0
    assert "docs/reference" in capsys.readouterr().out


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT SELECT ON kpi_engine.settings TO public",
        "GRANT SELECT (name) ON kpi_engine.settings TO analytics_anon",
        "GRANT EXECUTE ON FUNCTION kpi_engine.setting_problem(text, text) TO analytics_lector",
        "GRANT CREATE ON SCHEMA api TO analytics_scheduler",
        "ALTER FUNCTION analytics.today() SECURITY DEFINER",
        "GRANT UPDATE ON public.ofertas TO analytics_owner",
    ],
)
def test_a_right_that_nobody_meant_shows_on_the_page(system_database: Database, grant: str) -> None:
    install(system_database)
    with prerequisites.connect(system_database.url, "reference") as connection:
        before = reference_pages.rights(connection)
        with connection.transaction(force_rollback=True):
            connection.execute(grant.encode())
            changed = reference_pages.rights(connection)
    assert changed != before
