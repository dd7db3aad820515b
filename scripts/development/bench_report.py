"""The results of the bench: compared with the bars, as a table, as JSON, as an SVG chart."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal
from xml.sax.saxutils import escape

from tabulate import tabulate

from cluster import PROJECT
from commandline.console import LOGGER

Kind = Literal["speedup", "throughput", "cost", "milliseconds"]


@dataclass(frozen=True)
class Bar:
    """The least that may land, and what we are after."""

    least: float
    goal: float


# By measure and scale; "" is every scale.
BARS = {
    ("day of work", "small"): Bar(4, 8),
    ("day of work", "medium"): Bar(8, 14),
    ("day of work", "large"): Bar(15, 30),
    ("monthly path alone", "medium"): Bar(15, 40),
    ("monthly path alone", "large"): Bar(40, 100),
    ("growth: day of work", "small to large"): Bar(35, 20),
    ("growth: one changed request", "small to large"): Bar(4, 1.5),
    ("nothing changed", ""): Bar(15, 5),
    ("tick, nothing due", ""): Bar(10, 10),
    ("nine views: day of work", "small"): Bar(6, 10),
    ("nine views: day of work", "medium"): Bar(15, 20),
    ("nine views: day of work", "large"): Bar(25, 40),
    ("nine views: one changed request", "medium"): Bar(100, 200),
    ("nine views: nothing changed", ""): Bar(15, 6),
    ("one update on 274 days", "medium"): Bar(4, 15),
    ("insert transaction", ""): Bar(0.85, 0.95),
    ("update of an offer", ""): Bar(0.85, 0.95),
    ("bulk insert of 10,000 offers", ""): Bar(1.25, 1.1),
    ("full rebuild, forced", "large"): Bar(3, 1.5),
    ("full rebuild, analytics.rebuild()", "large"): Bar(3, 1.5),
    ("apply 100,000 updated rows", ""): Bar(1.5, 1.2),
    ("apply transactions of one row", ""): Bar(0.9, 0.95),
    ("follow two writers of one row", ""): Bar(0.9, 0.95),
    ("derived tables", ""): Bar(0.25, 0.2),
    ("nine views: derived tables", ""): Bar(0.25, 0.2),
    ("reader's longest wait", ""): Bar(100, 20),
    ("PostgREST", "16 connections"): Bar(0.15, 0.25),
    ("gateway with micro-cache", "16 connections"): Bar(2, 4),
    ("PostgREST against FastAPI", "16 connections"): Bar(1.2, 2),
    ("p99 while a refresh runs", ""): Bar(3, 1.5),
    ("last failure after a restart", ""): Bar(10000, 2000),
}
# Read as: is the value the other side by ours, or ours by the other side?
AT_LEAST = ("speedup", "throughput")


@dataclass(frozen=True)
class Result:
    """One measure at one scale: what our side took and what the other side took."""

    measure: str
    scale: str
    kind: Kind
    ours: Sequence[float]
    other: Sequence[float]
    unit: str
    other_is: str
    note: str = ""
    details: dict[str, object] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """What is held against the bar: a ratio of medians, or milliseconds."""
        if self.kind == "milliseconds":
            return median(self.ours)
        if not (self.ours and self.other):
            return math.nan
        ratio = median(self.ours) / median(self.other)
        return 1 / ratio if self.kind == "speedup" else ratio

    @property
    def bar(self) -> Bar | None:
        """The bar for this measure at this scale."""
        return BARS.get((self.measure, self.scale)) or BARS.get((self.measure, ""))

    @property
    def mark(self) -> str:
        """Where the value is: goal, pass or FAIL; nothing where there is no bar."""
        if self.bar is None:
            return ""
        sign = -1 if self.kind in AT_LEAST else 1
        if sign * self.value <= sign * self.bar.goal:
            return "goal"
        return "pass" if sign * self.value <= sign * self.bar.least else "FAIL"

    def shown_value(self, value: float) -> str:
        """Write a value or a bar with its unit."""
        if math.isnan(value):
            return ""
        return f"{number(value)} ms" if self.kind == "milliseconds" else f"{number(value)}×"

    def shown_bar(self) -> str:
        """Write the bar as pass / goal."""
        if self.bar is None:
            return ""
        sign = "≥" if self.kind in AT_LEAST else "≤"
        return f"{sign} {self.shown_value(self.bar.least)} / {self.shown_value(self.bar.goal)}"


def number(value: float) -> str:
    """Write a number with about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def side(values: Sequence[float], unit: str) -> str:
    """Write the median of one side."""
    return f"{number(median(values))} {unit}" if values else ""


def table(results: Sequence[Result], style: str = "simple") -> str:
    """Lay out all results, one a line."""
    return tabulate(
        [
            [
                result.measure,
                result.scale,
                side(result.ours, result.unit),
                side(result.other, result.unit),
                result.other_is,
                result.shown_value(result.value),
                result.shown_bar(),
                result.mark,
                result.note,
            ]
            for result in results
        ],
        headers=[
            "measure",
            "scale",
            "ours",
            "other",
            "other is",
            "value",
            "pass / goal",
            "mark",
            "note",
        ],
        colalign=["left", "left", "right", "right", "left", "right", "right", "left", "left"],
        disable_numparse=True,
        tablefmt=style,
    )


class Record:
    """The results of one run: each is shown and written when it is measured.

    So a run that is interrupted keeps what it measured.
    """

    def __init__(self, postgresql: str, command: str, folder: Path, name: str) -> None:
        self.ran = machine(postgresql, command)
        self.results: list[Result] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{name}.json"

    def add(self, result: Result) -> None:
        """Keep a result, show it, and write all results so far."""
        self.results.append(result)
        LOGGER.info(
            "%s, %s: %s %s",
            result.measure,
            result.scale,
            result.shown_value(result.value) or side(result.ours or result.other, result.unit),
            result.mark,
        )
        self.path.write_text(as_json(self.results, self.ran), encoding="utf-8")

    def show(self) -> None:
        """Print all results, the machine, and where they are written."""
        print(f"\n{table(self.results)}\n" if self.results else "\nnothing was measured")
        print(", ".join(f"{key} {value}" for key, value in self.ran.items()))
        if self.results:
            print(f"written: {self.path}")

    def exit_code(self) -> int:
        """Name the bars that were missed; return 3 if there are any, else 0."""
        missed = [result for result in self.results if result.mark == "FAIL"]
        if missed:
            print(
                f"{len(missed)} bar(s) missed: "
                + ", ".join(f"{result.measure} ({result.scale})" for result in missed)
            )
        return 3 if missed else 0


def machine(postgresql: str, command: str) -> dict[str, str | int | float]:
    """Say what ran where, when, and from which state of the code."""

    def git(*arguments: str) -> str:
        result = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False
        )
        return result.stdout.strip()

    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    changed = "+changes" if git("status", "--porcelain") else ""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "command": command,
        "commit": (git("rev-parse", "--short", "HEAD") or "unknown") + changed,
        "postgresql": postgresql,
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "memory_gb": round(memory / 2**30, 1),
    }


def as_json(results: Sequence[Result], ran: dict[str, str | int | float]) -> str:
    """Write everything that was measured, each single run too."""
    return (
        json.dumps(
            {
                "ran": ran,
                "results": [
                    {
                        "measure": result.measure,
                        "scale": result.scale,
                        "kind": result.kind,
                        "unit": result.unit,
                        "ours": [round(value, 3) for value in result.ours],
                        "other": [round(value, 3) for value in result.other],
                        "other_is": result.other_is,
                        "value": None if math.isnan(result.value) else round(result.value, 4),
                        "pass": result.bar.least if result.bar else None,
                        "goal": result.bar.goal if result.bar else None,
                        "mark": result.mark,
                        "note": result.note,
                        **result.details,
                    }
                    for result in results
                ],
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )


# -- the chart -----------------------------------------------------------------------------

WIDTH = 920
LEFT = 290
RIGHT = 110
ROW = 46
OURS = "#1a6fb4"
OTHER = "#a3a9b0"
TEXT = "#24292f"


def chart(results: Sequence[Result], ran: dict[str, str | int | float]) -> str:
    """Draw the refreshes in milliseconds, both sides, on a logarithmic axis."""
    shown = [result for result in results if result.kind == "speedup"]
    values = [median(values) for result in shown for values in (result.ours, result.other)]
    low = math.floor(math.log10(min(values))) if values else 0
    high = max(math.ceil(math.log10(max(values))), low + 1) if values else 1
    height = 96 + ROW * len(shown) + 40

    def position(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" '
        f'fill="{TEXT}" role="img" aria-label="Refresh against full recomputation">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="16" font-weight="bold">'
        "Refresh against the best full recomputation, milliseconds (logarithmic)</text>",
        f'<rect x="16" y="40" width="12" height="12" fill="{OURS}"/>'
        '<text x="34" y="51">refresh_all_mv(), incremental</text>'
        f'<rect x="250" y="40" width="12" height="12" fill="{OTHER}"/>'
        '<text x="268" y="51">full recomputation, published with CONCURRENTLY</text>',
    ]
    bottom = 76 + ROW * len(shown)
    for power in range(low, high + 1):
        x = position(10.0**power)
        parts.append(
            f'<line x1="{x:.1f}" y1="68" x2="{x:.1f}" y2="{bottom}" stroke="#d8dce0"/>'
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#57606a">'
            f"{10.0**power:,g}</text>"
        )
    for index, result in enumerate(shown):
        y = 76 + ROW * index
        parts.append(
            f'<text x="{LEFT - 12}" y="{y + 22}" text-anchor="end">'
            f"{escape(result.measure)}, {escape(result.scale)}</text>"
        )
        for values_of, colour, top in ((result.ours, OURS, y), (result.other, OTHER, y + 17)):
            end = position(median(values_of))
            parts.append(
                f'<rect x="{LEFT}" y="{top}" width="{max(end - LEFT, 1):.1f}" height="15" '
                f'fill="{colour}"/>'
                f'<text x="{end + 6:.1f}" y="{top + 12}">{number(median(values_of))}'
                + (
                    f' <tspan font-weight="bold">{result.value:.1f}×</tspan>'
                    if colour == OURS
                    else ""
                )
                + "</text>"
            )
    parts.append(
        f'<text x="16" y="{height - 10}" font-size="11" fill="#57606a">'
        + escape(
            f"{ran['date']}, commit {ran['commit']}, PostgreSQL {ran['postgresql']}, "
            f"{ran['cores']} cores, {ran['memory_gb']} GB; medians"
        )
        + "</text></svg>"
    )
    return "\n".join(parts) + "\n"


# -- docs/performance.md -------------------------------------------------------------------

BEGIN = "<!-- written by make bench PUBLISH=1: begin -->"
END = "<!-- written by make bench PUBLISH=1: end -->"


def publish(results: Sequence[Result], ran: dict[str, str | int | float], page: Path) -> None:
    """Put the results on the page, its JSON and its chart beside it."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.with_suffix(".json").write_text(as_json(results, ran), encoding="utf-8")
    page.with_suffix(".svg").write_text(chart(results, ran), encoding="utf-8")
    facts = (
        f"`{ran['command']}`, {ran['date']}, commit {ran['commit']}, PostgreSQL "
        f"{ran['postgresql']}, {ran['cores']} cores ({ran['processor']}), {ran['memory_gb']} GB."
    )
    page.write_text(
        f"{before}{BEGIN}\n\n{facts}\n\n{table(results, 'github')}\n\n{END}{after}",
        encoding="utf-8",
    )
