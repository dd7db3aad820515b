"""At a hub, each table of facts reads the copy of the sites, in whatever form it is declared."""

import re

import pytest

from commandline.console import UserError
from database import hub
from database.sql_files import SqlFile, load_objects

FACTS = "kpi_engine.recomputed_asesor_facts"


def with_declaration(change: tuple[str, str]) -> list[SqlFile]:
    """Return the objects of the package, with another text in the file of asesor_facts."""
    objects = []
    for item in load_objects():
        if item.object_name == FACTS:
            text = re.sub(*change, item.sql)
            assert text != item.sql
            item = SqlFile(name=item.name, kind=item.kind, sql=text, object_name=item.object_name)
        objects.append(item)
    return objects


@pytest.mark.parametrize(
    "change",
    [
        # On one line, and with names.
        (r"\n\);\s*$", ");\n"),
        (r"'asesor_facts', 'key', ARRAY", "'asesor_facts',\n    'key', p_key_columns => ARRAY"),
        (r"'asesor_facts', 'key'", "p_table_name => 'asesor_facts', p_upkeep => 'key'"),
    ],
)
def test_facts_are_found_in_each_form_of_the_declaration(change: tuple[str, str]) -> None:
    objects = with_declaration(change)
    names = [item.object_name for item in hub.facts(objects)]
    assert names == [item.object_name for item in hub.facts(load_objects())]
    assert len(names) == 5
    (template,) = [item for item in hub.templates(objects) if "asesor" in item.object_name]
    assert "declare_derived_table" not in template.sql
    assert "recomputed_asesor_facts" not in template.sql
    assert hub.key_of(next(item for item in objects if item.object_name == FACTS)) == "asesor_id"


@pytest.mark.parametrize(
    "change",
    [
        (r"ARRAY\['asesor_id'\]", "'{asesor_id}'::text[]"),
        (r"p_source_view => 'src_asesores',", ""),
    ],
)
def test_a_declaration_that_a_hub_can_not_read_is_refused(change: tuple[str, str]) -> None:
    item = next(one for one in with_declaration(change) if one.object_name == FACTS)
    with pytest.raises(UserError, match="recomputed_asesor_facts"):
        hub.definition(item, "SELECT 1")


def test_a_comment_with_a_semicolon_at_the_end_of_a_line_is_whole() -> None:
    objects = with_declaration((r"(COMMENT ON VIEW \S+ IS\s+)'[^']*'", r"\1'One;\nand more.'"))
    item = next(one for one in objects if one.object_name == FACTS)
    assert "'One;\nand more.'" in hub.definition(item, "SELECT 1").sql
