"""docs/arithmetic.md: its tables are what the measured numbers give."""

import json
from pathlib import Path

import pytest

from development import arithmetic
from development.arithmetic import Measure, Model, Run


@pytest.fixture
def model() -> Model:
    """The model of the measured numbers that are committed."""
    return Model(arithmetic.load())


def test_the_page_has_what_the_measured_numbers_give(model: Model) -> None:
    text = arithmetic.PAGE.read_text(encoding="utf-8")
    assert arithmetic.page(text, model) == text, (
        "run: PYTHONPATH=scripts .local/venv/bin/python -m development.arithmetic"
    )


def test_another_measured_number_makes_another_page(model: Model) -> None:
    text = arithmetic.PAGE.read_text(encoding="utf-8")
    for measure, scale in [
        ("source bytes of a request", "medium"),
        ("rebuild: cpu", "medium"),
        ("a day: blocks read cold", "medium"),
        ("a day: cpu", "small"),
        ("insert_request: logical stream", "medium"),
        ("derived: month_clientes", "medium"),
        (arithmetic.FIRST_PULL, model.hub_scale),
    ]:
        known = model.measured[measure, scale]
        other = Measure(known.value * 1.5, known.unit, known.ran)
        changed = Model({**model.measured, (measure, scale): other})
        assert arithmetic.sizes(changed) != arithmetic.sizes(model), measure
        assert arithmetic.page(text, changed) != text, measure


def test_a_page_without_a_place_for_a_table_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="no place for sizes"):
        arithmetic.page("# A page", model)


def test_each_derived_table_is_measured_and_each_one_that_grows_is_there(model: Model) -> None:
    measured = {
        measure.removeprefix(arithmetic.DERIVED)
        for measure, scale in model.measured
        if scale == "medium" and measure.startswith(arithmetic.DERIVED)
    }
    assert set(arithmetic.FOLLOWS_REQUESTS + arithmetic.FOLLOWS_ADVISORS) <= measured


def test_the_computed_costs_are_the_measured_ones_at_the_measured_size(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, advisors = model.at("requests"), model.at("advisors")
    monkeypatch.setattr(arithmetic, "advisors", lambda _: advisors)
    assert model.refresh_seconds(requests) == pytest.approx(model.at("a day: cpu") / 1000, rel=0.01)
    assert model.refresh_wal(requests) == pytest.approx(model.at("a day: wal"), rel=0.01)
    days = (arithmetic.RANKING_DAYS + arithmetic.SEGMENTS_DAYS) / 2
    assert model.history(requests) == pytest.approx(days * model.at("a day: history"), rel=0.01)
    assert model.rebuild_seconds(requests) == pytest.approx(model.at("rebuild: cpu") / 1000)
    assert model.source(requests) == model.at("source bytes of a request") * requests
    assert model.derived(requests) == sum(
        measure.value
        for (name, scale), measure in model.measured.items()
        if scale == "medium" and name.startswith(arithmetic.DERIVED)
    )


def test_the_size_at_a_limit_is_where_the_cost_is_the_limit() -> None:
    assert arithmetic.largest(lambda n: n / 1000, 3600) == pytest.approx(3.6e6, rel=0.001)


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999 B"), (5_400, "5.4 kB"), (14.9e12, "15 TB"), (3.2e15, "3,200 TB"), (0, "0.0 B")],
)
def test_bytes_are_written_with_their_unit(number: float, text: str) -> None:
    assert arithmetic.in_bytes(number) == text


def test_a_measure_that_is_taken_again_replaces_the_old_one(tmp_path: Path) -> None:
    def run(command: str, *measures: tuple[str, float]) -> Run:
        results = [
            {"measure": name, "scale": "small", "unit": "ms", "ours": [value], "value": None}
            for name, value in measures
        ]
        return {"ran": {"command": command, "date": "2026-11-28"}, "results": results}

    runs = arithmetic.merge([run("old", ("a", 1), ("b", 2))], [run("new", ("a", 3))])
    assert [run["ran"]["command"] for run in runs] == ["old", "new"]
    path = tmp_path / "arithmetic.json"
    path.write_text(json.dumps({"runs": runs}), encoding="utf-8")
    measured = arithmetic.load(path)
    assert [measured[name, "small"].value for name in ("a", "b")] == [3, 2]
    runs = arithmetic.merge(runs, [run("newest", ("a", 4), ("b", 5))])
    assert [run["ran"]["command"] for run in runs] == ["newest"]
