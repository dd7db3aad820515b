"""Computes docs/arithmetic.md: what 3 million to 3 billion requests cost, from what was measured.

``PYTHONPATH=scripts .local/venv/bin/python -m development.arithmetic [RESULTS.json ...]`` takes
results of ``bench.py --only arithmetic`` and ``--only hub`` into docs/arithmetic.json, where they
replace the same measures of the same scale, and writes the page anew. Without files it only writes
the page.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from cluster import PROJECT

PAGE = PROJECT / "docs" / "arithmetic.md"
MEASURED = PAGE.with_suffix(".json")
BEGIN = "<!-- written by development.arithmetic: begin {} -->"
END = "<!-- written by development.arithmetic: end {} -->"

SCALES = ("small", "medium")
REQUESTS = (3_000_000, 30_000_000, 300_000_000, 3_000_000_000)
DAYS = 1095
# Assumed, not measured: advisors at the smallest size, reads of a disk, peaks, limits.
ADVISORS = 10_000
READS_A_SECOND = 10_000
PEAK = 4
LIMITS = {
    "night": (8 * 3600, "8 hours"),
    "hour": (3600, "1 hour"),
    "day": (86_400, "a day"),
    "disk": (4e12, "4 TB"),
}
SITES = 4
# How long the history keeps a row by default (publication_history), after a year.
RANKING_DAYS = 90
SEGMENTS_DAYS = 365
# Of scripts/bench.py --only replica, in docs/scaling.md: transactions of one row that the worker
# applies in a second, with change capture.
APPLIED_TRANSACTIONS_A_SECOND = 5_000 / 0.242
# The rows that one transaction of insert_request.pgbench inserts.
INSERTED_ROWS = 11
# What the size of a derived table follows; all others follow months, days, cities or brands.
FOLLOWS_REQUESTS = (
    "solicitud_facts",
    "notificacion_facts",
    "historica_facts",
    "month_clientes",
)
FOLLOWS_ADVISORS = (
    "asesor_facts",
    "auditoria_facts",
    "month_asesores",
    "asesor_accepted",
    "asesor_activity",
    "asesor_audits",
    "asesor_first_months",
    "asesor_totals",
)
DERIVED = "derived: "
# Of a result of the bench.
KEPT = ("measure", "scale", "unit", "ours", "other", "other_is", "cpu_ms", "site_cpu_ms", "note")
Run = dict[str, Any]
FIRST_PULL = "hub: first pull of four sites: cpu"


@dataclass(frozen=True)
class Measure:
    """One measured number, and what measured it."""

    value: float
    unit: str
    ran: str


def load(path: Path = MEASURED) -> dict[tuple[str, str], Measure]:
    """Return the measured numbers by measure and scale: the medians."""
    found = {}
    for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
        ran = f"`{run['ran']['command']}`, {run['ran']['date'][:10]}"
        for result in run["results"]:
            name, scale = result["measure"], result["scale"]
            numbers = {name: (result["ours"], result.get("unit", ""))}
            if result.get("cpu_ms"):
                # Others used the machine: what it waited for them says nothing.
                numbers = {f"{name}: cpu": (result["cpu_ms"], "ms")}
                if result.get("site_cpu_ms"):
                    numbers[f"{name}: cpu of a site"] = (result["site_cpu_ms"], "ms")
            elif result.get("other"):
                numbers[f"{name}, {result['other_is']}"] = (result["other"], result["unit"])
            for measure, (values, unit) in numbers.items():
                found[measure, scale] = Measure(median(values), unit, ran)
    return found


class Model:
    """What a size costs, by the numbers of two scales."""

    def __init__(self, measured: dict[tuple[str, str], Measure]) -> None:
        self.measured = measured
        # The largest one at which a hub was measured.
        self.hub_scale = [scale for scale in SCALES if (FIRST_PULL, scale) in measured][-1]

    def at(self, measure: str, scale: str = "medium") -> float:
        """Return a measured number."""
        return self.measured[measure, scale].value

    def slope(self, cost: str) -> float:
        """Return what one changed request more costs: of two sizes of days at medium scale."""
        few, many = "a day: ", "a day of 8 days' work: "
        return (self.at(many + cost) - self.at(few + cost)) / (
            self.at(f"{many}changed") - self.at(f"{few}changed")
        )

    def rest(self, cost: str, scale: str) -> float:
        """Return what a day costs beside its changed requests."""
        return self.at(f"a day: {cost}", scale) - self.slope(cost) * self.at(
            "a day: changed", scale
        )

    def ranked(self, requests: float) -> float:
        """Return how many rows the ranking has (the segments have as many)."""
        share = self.at("rows: mv_ranking_asesores") / self.at("advisors")
        return share * advisors(requests)

    def by_advisors(self, cost: str, requests: float) -> float:
        """Return what a day costs beside its changed requests, at a size."""
        small, medium = (self.at("rows: mv_ranking_asesores", scale) for scale in SCALES)
        each = (self.rest(cost, "medium") - self.rest(cost, "small")) / (medium - small)
        return self.rest(cost, "medium") + each * (self.ranked(requests) - medium)

    # -- a day -----------------------------------------------------------------------------

    def changed(self, requests: float) -> float:
        """Return the requests that a day changes: as many old ones as are new."""
        return 2 * requests / DAYS

    def refresh_seconds(self, requests: float) -> float:
        """Return the seconds on a CPU of the refresh after a day."""
        return (
            self.slope("cpu") * self.changed(requests) + self.by_advisors("cpu", requests)
        ) / 1000

    def cold_reads(self, requests: float) -> float:
        """Return the blocks that this refresh reads if nothing of its keys is in memory."""
        return self.slope("blocks read cold") * self.changed(requests)

    def refresh_wal(self, requests: float) -> float:
        """Return the bytes of WAL of this refresh."""
        return self.slope("wal") * self.changed(requests) + self.by_advisors("wal", requests)

    def history(self, requests: float) -> float:
        """Return the bytes of the history after a year: all rows of two views change each day."""
        shown = sum(
            self.at(f"rows: {view}") for view in ("mv_ranking_asesores", "mv_segmentos_asesores")
        )
        each = self.at("a day: history") / self.at("a day: history_rows")
        share = self.at("a day: history_rows") / shown
        return each * share * self.ranked(requests) * (RANKING_DAYS + SEGMENTS_DAYS)

    # -- what lies on disk -----------------------------------------------------------------

    def source(self, requests: float) -> float:
        """Return the bytes of the operational tables."""
        return self.at("source bytes of a request") * requests

    def derived(self, requests: float) -> float:
        """Return the bytes of the derived tables."""
        total = 0.0
        for measure, scale in self.measured:
            if scale != "medium" or not measure.startswith(DERIVED):
                continue
            size, table = self.at(measure), measure.removeprefix(DERIVED)
            if table in FOLLOWS_REQUESTS:
                size *= requests / self.at("requests")
            elif table in FOLLOWS_ADVISORS:
                size *= advisors(requests) / self.at("advisors")
            total += size
        return total

    def hub_bytes(self, requests: float) -> float:
        """Return the bytes of a hub: its mirror of the facts, and its derived tables."""
        mirror = self.at("hub: mirror of the facts", self.hub_scale) * 1024**2
        return mirror / self.hub_requests() * requests + self.derived(requests)

    def hub_requests(self) -> float:
        """Return the requests of the four sites that were measured."""
        return SITES * self.at("requests", self.hub_scale)

    # -- everything again ------------------------------------------------------------------

    def rebuild_seconds(self, requests: float) -> float:
        """Return the seconds on a CPU of a rebuild."""
        return self.at("rebuild: cpu") / self.at("requests") * requests / 1000

    def first_pull_seconds(self, requests: float) -> float:
        """Return the seconds on a CPU until a hub has everything, its rebuild with it."""
        return self.at(FIRST_PULL, self.hub_scale) / self.hub_requests() * requests / 1000

    def hub_seconds(self, requests: float) -> float:
        """Return the seconds on a CPU of the hub's refresh after a day at all sites."""
        one, four = (
            self.at(f"hub: {measure}: cpu", self.hub_scale)
            for measure in ("a day of work at one site", "at each site")
        )
        changed = self.at("a day: changed", self.hub_scale)
        each = (four - one) / ((SITES - 1) * changed)
        rest = (one - each * changed) / (
            SITES * self.at("rows: mv_ranking_asesores", self.hub_scale)
        )
        return (each * self.changed(requests) + rest * self.ranked(requests)) / 1000

    # -- the writers and those who follow --------------------------------------------------

    def rows_written(self, requests: float) -> float:
        """Return the rows that the marketplace inserts on a day."""
        return self.at("source rows of a request") * requests / DAYS

    def writers_wal(self, requests: float, side: str) -> float:
        """Return the bytes of WAL of these rows; without images of pages, the least."""
        return self.at(f"insert_request: WAL {side}") / INSERTED_ROWS * self.rows_written(requests)

    def stream(self, requests: float) -> float:
        """Return the bytes that a publisher sends of these rows."""
        each = self.at("insert_request: logical stream") / INSERTED_ROWS
        return each * self.rows_written(requests)

    def apply_seconds(self, requests: float) -> float:
        """Return the seconds that the worker applies these rows, each in its own transaction."""
        return self.rows_written(requests) / APPLIED_TRANSACTIONS_A_SECOND


def advisors(requests: float) -> float:
    """Return the assumed number of advisors: twice as many for ten times the requests."""
    return ADVISORS * 2 ** math.log10(requests / REQUESTS[0])


# -- the page ------------------------------------------------------------------------------


def in_bytes(value: float) -> str:
    """Write bytes with two or three digits."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{short(value)} {unit}"
        value /= 1000
    raise AssertionError("the last unit has no end")


def in_time(seconds: float) -> str:
    """Write seconds as seconds, minutes, hours or days."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{short(seconds / size)} {unit}"
    return f"{short(seconds)} s"


def in_count(value: float) -> str:
    """Write a large number as thousands or millions."""
    for size, unit in ((1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{float(f'{value:.3g}'):,.0f}"


def short(value: float) -> str:
    """Write a number with two digits, or as it is from 100 on."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


Line = tuple[str, Callable[[float], float], Callable[[float], str]]


def lines(model: Model) -> list[Line]:
    """Return the lines of the large table: what, how it is computed, how it is written."""
    return [
        ("new requests a day", lambda n: n / DAYS, in_count),
        ("advisors (assumed)", advisors, in_count),
        ("rows written a day", model.rows_written, in_count),
        ("operational tables", model.source, in_bytes),
        ("derived tables", model.derived, in_bytes),
        ("history of publishes after a year", model.history, in_bytes),
        (
            "WAL of the writers a day, at least",
            lambda n: model.writers_wal(n, "without capture"),
            in_bytes,
        ),
        (
            "the same with change capture",
            lambda n: model.writers_wal(n, "with capture"),
            in_bytes,
        ),
        (
            "the same, each page just after a checkpoint",
            lambda n: model.writers_wal(n, "with capture, just after a checkpoint"),
            in_bytes,
        ),
        ("WAL of a day's refresh", model.refresh_wal, in_bytes),
        ("a day's refresh, on one CPU", model.refresh_seconds, in_time),
        (
            "of it, what follows the advisors, not the requests",
            lambda n: model.by_advisors("cpu", n) / 1000,
            in_time,
        ),
        ("blocks it reads, if nothing is in memory", model.cold_reads, in_count),
        (
            f"that at {READS_A_SECOND:,} reads a second (assumed)",
            lambda n: model.cold_reads(n) / READS_A_SECOND,
            in_time,
        ),
        ("a rebuild, on one CPU", model.rebuild_seconds, in_time),
        ("replica: stream a day", model.stream, in_bytes),
        (
            "replica: the worker's day, single-row transactions",
            model.apply_seconds,
            in_time,
        ),
        ("hub: mirror and derived tables", model.hub_bytes, in_bytes),
        ("hub: a day's refresh, on one CPU", model.hub_seconds, in_time),
        ("hub: first pull, on one CPU", model.first_pull_seconds, in_time),
    ]


def sizes(model: Model) -> str:
    """Return the table of sizes."""
    return tabulate(
        [
            [what, *(write(compute(requests)) for requests in REQUESTS)]
            for what, compute, write in lines(model)
        ],
        headers=["computed", *(f"{in_count(requests)} requests" for requests in REQUESTS)],
        tablefmt="github",
        disable_numparse=True,
        colalign=["left", *["right"] * len(REQUESTS)],
    )


def largest(compute: Callable[[float], float], limit: float) -> float:
    """Return the number of requests at which a growing cost meets its limit."""
    low, high = 1e3, 1e13
    while high / low > 1.0001:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if compute(middle) < limit else (low, middle)
    return low


def limits(model: Model) -> str:
    """Return the table of what is full first, smallest size first."""
    night, hour, day, disk = (LIMITS[name] for name in ("night", "hour", "day", "disk"))
    cases: list[tuple[str, str, Callable[[float], float], tuple[float, str]]] = [
        ("one server, a replica", "a rebuild", model.rebuild_seconds, night),
        ("one server, a replica", "a day's refresh", model.refresh_seconds, hour),
        (
            "one server, a replica",
            "cold reads of a day's refresh",
            lambda n: model.cold_reads(n) / READS_A_SECOND,
            hour,
        ),
        (
            "one server, a replica",
            "disk",
            lambda n: model.source(n) + model.derived(n) + model.history(n),
            disk,
        ),
        (
            "a replica",
            f"the worker, at {PEAK} times the mean",
            lambda n: PEAK * model.apply_seconds(n),
            day,
        ),
        ("a hub", "first pull and rebuild", model.first_pull_seconds, night),
        ("a hub", "a day's refresh", model.hub_seconds, hour),
        ("a hub", "disk", lambda n: model.hub_bytes(n) + model.history(n), disk),
    ]
    found = [
        (largest(compute, limit), shape, what, words)
        for shape, what, compute, (limit, words) in cases
    ]
    return tabulate(
        [
            [shape, what, words, in_count(requests)]
            for requests, shape, what, words in sorted(found)
        ],
        headers=["shape", "what", "limit (assumed)", "requests at the limit (computed)"],
        tablefmt="github",
        disable_numparse=True,
        colalign=["left", "left", "left", "right"],
    )


def inputs(model: Model) -> str:
    """Return the table of what was measured, and at which scale."""
    return tabulate(
        [
            [
                name,
                *(
                    written(model.measured[name, scale]) if (name, scale) in model.measured else "–"
                    for scale in SCALES
                ),
            ]
            for name in dict.fromkeys(measure for measure, _ in model.measured)
        ],
        headers=["measured", *SCALES],
        tablefmt="github",
        disable_numparse=True,
        colalign=["left", "right", "right"],
    )


def written(measure: Measure) -> str:
    """Write a measured number with its unit."""
    if measure.unit == "bytes":
        return in_bytes(measure.value)
    if measure.unit in ("ms", "MB"):
        return f"{short(measure.value)} {measure.unit}"
    return f"{measure.value:,.0f}" if measure.value >= 100 else short(measure.value)


def commands(model: Model) -> str:
    """Return which commands measured, and when."""
    return "\n".join(f"- {ran}" for ran in {m.ran: None for m in model.measured.values()})


def page(text: str, model: Model) -> str:
    """Return the page with its computed parts as they are now."""
    for name, part in (
        ("sizes", sizes(model)),
        ("limits", limits(model)),
        ("inputs", inputs(model)),
        ("commands", commands(model)),
    ):
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"docs/arithmetic.md has no place for {name}")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def merge(known: Sequence[Run], more: Iterable[Run]) -> list[Run]:
    """Return the runs with more of them: a measure of a scale is there once."""
    runs = list(known)
    for run in more:
        new = {(result["measure"], result["scale"]) for result in run["results"]}
        for old in runs:
            old["results"] = [
                result
                for result in old["results"]
                if (result["measure"], result["scale"]) not in new
            ]
        results = [
            {key: result[key] for key in KEPT if result.get(key)} for result in run["results"]
        ]
        runs.append({"ran": run["ran"], "results": results})
    return [run for run in runs if run["results"]]


def main(arguments: Sequence[str]) -> None:
    """Take results, and write the page."""
    known = json.loads(MEASURED.read_text(encoding="utf-8"))["runs"] if MEASURED.exists() else []
    more = (json.loads(Path(name).read_text(encoding="utf-8")) for name in arguments)
    runs = merge(known, more)
    MEASURED.write_text(
        json.dumps({"runs": runs}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), Model(load())), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
