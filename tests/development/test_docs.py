"""README and docs: each relative link and each path that they name exists."""

import re
import shutil
from pathlib import Path

import pytest

from cluster import PROJECT
from conftest import Database, install
from database.sql_files import SQL_DIRECTORY
from migrate import migrate
from release import file_of, released

LONGEST_README = 900
PAGES = sorted(
    path
    for path in (
        *PROJECT.glob("*.md"),
        *(PROJECT / "docs").rglob("*.md"),
        *(PROJECT / "sql").rglob("*.md"),
        PROJECT / "scripts" / "README.md",
        PROJECT / "tests" / "README.md",
    )
    # History names files that are gone.
    if path.name != "CHANGELOG.md"
)
# Of the recipes: their test creates these.
NEW = {
    path
    for page in ("changing.md", "outside.md")
    for path in re.findall(
        r"^Create `([^`]+)`", (PROJECT / "docs" / page).read_text("utf-8"), re.MULTILINE
    )
}
FOLDERS = "config|docs|scripts|sql|tests|web"


def headings(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(
            " ", "-"
        )
        for heading in re.findall(r"^#+ (.*?)\s*$", text, re.MULTILINE)
    }


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    text = re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    return broken


def missing_paths(page: Path) -> list[str]:
    """Return the files and folders of this project that a page names and that do not exist."""
    named = re.findall(
        rf"(?<![\w/.…-])((?:{FOLDERS})/[\w./*<>-]*[\w*>/])", page.read_text(encoding="utf-8")
    )
    return [
        path
        for path in named
        if path not in NEW and "<" not in path and not list(PROJECT.glob(path.rstrip("/")))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_each_link_and_each_path_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []
    assert missing_paths(page) == []


def test_a_link_or_path_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A head-line, `code`\n[a](gone.md) [b](#a-head-line-code) [c](#gone) [d](https://e.org)\n"
        "`sql/gone/file.sql` and scripts/migrate.py; tests/*/test_gone.py, `sql/views/kpis`",
        encoding="utf-8",
    )
    assert broken_links(page) == ["gone.md", "#gone"]
    assert missing_paths(page) == ["sql/gone/file.sql", "tests/*/test_gone.py"]


def test_each_page_is_in_the_index() -> None:
    index = (PROJECT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w/-]+\.md)", index))
    here = {
        str(path.relative_to(PROJECT / "docs"))
        for path in (PROJECT / "docs").rglob("*.md")
        if path != PROJECT / "docs" / "README.md"
    }
    assert linked == here


def test_the_readme_is_short() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= LONGEST_README


def test_each_target_that_a_page_names_is_in_the_makefile() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(
            re.findall(r"(?:^|`|\w=\S+ |DRY_RUN=1 )make ([a-z][a-z-]+)", text, re.MULTILINE)
        )
        assert named <= targets, page


def test_the_statements_of_the_first_hour_run(system_database: Database, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "first-hour.md").read_text(encoding="utf-8")
    *statements, view = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(statements) > 4
    install(system_database)
    system_database.execute("SELECT * FROM refresh_all_mv()")
    with system_database.session() as connection:
        for block in statements:
            connection.execute(block)
    directory = tmp_path / "sql"
    shutil.copytree(SQL_DIRECTORY, directory)
    (name,) = re.findall(r"is one file: `(\w+\.sql)`", page)
    (directory / "views" / "kpis" / name).write_text(view, encoding="utf-8")
    changes = migrate(system_database.url, directory=directory)
    assert any(name in change for change in changes)
    rows = system_database.rows("SELECT view_name, refresh_status FROM refresh_all_mv()")
    assert (name.removesuffix(".sql"), "SUCCESS") in rows


def test_the_page_on_installing_names_the_newest_release() -> None:
    page = (PROJECT / "docs" / "installing.md").read_text(encoding="utf-8")
    assert set(re.findall(r"teloo-analytics--[0-9.]+\.sql", page)) == {file_of(released()[-1]).name}
