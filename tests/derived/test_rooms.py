"""The rooms of sql/functions and sql/views: small, and each says what it is for."""

import re
from pathlib import Path

import pytest

from database.sql_files import SQL_DIRECTORY

AT_MOST = 25
ROOMS = sorted(
    {
        path.parent
        for folder in ("functions", "views")
        for path in (SQL_DIRECTORY / folder).rglob("*")
    }
    - {SQL_DIRECTORY / "functions", SQL_DIRECTORY / "views"}
)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: f"{room.parent.name}/{room.name}")
def test_each_room_is_small_and_says_what_comes_in_and_what_goes_out(room: Path) -> None:
    files = {path.name for path in room.glob("*.sql")}
    assert 0 < len(files) <= AT_MOST
    text = (room / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 16
    for part in ("**In**", "**Out**", "**Read first**"):
        assert part in text
    named = set(re.findall(r"(?<![\w/])(\w+\.sql)\b", text))
    assert named, "which file to read first?"
    assert named <= files


def test_the_way_through_the_rooms_names_each_once() -> None:
    text = (SQL_DIRECTORY / "functions" / "README.md").read_text(encoding="utf-8")
    rooms = re.findall(r"^\| \[(\w+)\]\(\1/README\.md\)", text, re.MULTILINE)
    assert sorted(rooms) == [room.name for room in ROOMS if room.parent.name == "functions"]
    assert not list((SQL_DIRECTORY / "functions").glob("*.sql"))
    assert not list((SQL_DIRECTORY / "views").glob("*.sql"))
