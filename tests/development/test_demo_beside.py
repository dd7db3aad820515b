"""The demos of several servers: one command each, and the figures at home are those of the shops.

Short: with small marketplaces, on servers of the tests' own.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import demo
import federation
import oracle
from capture import origins
from capture.subscriber import QUICK_WORKERS
from cluster import PROJECT, Cluster
from conftest import TEST_SETTINGS, wait_for_the_new_day
from demo import Phases
from development import demo_hub, demo_origins, demo_replica
from development.demo_beside import Beside, cell, connect
from development.demo_source import load_source_schema
from development.replication import PUBLISHER_SETTINGS
from gateway import Gateway
from marketplace import BASE_SEED, SMALL, fill

TAKES_MINUTES = True
ZONE = ZoneInfo("America/Bogota")
MAKERS = (demo_replica.make, demo_origins.make, demo_hub.make)


@pytest.mark.parametrize("make", MAKERS)
def test_one_command_of_the_readme_starts_each(make: Callable[[], Beside]) -> None:
    wanted = make()
    command = f"make demo {wanted.option}"
    assert command in (PROJECT / "README.md").read_text(encoding="utf-8")
    printed = subprocess.run(
        [*shlex.split(command), "-n"], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout
    arguments = shlex.split(printed.replace("\\\n", " ").partition("demo.py")[2])
    chosen = demo.demo_beside(demo.command_line().parse_args(arguments))
    assert type(chosen) is type(wanted)
    assert demo.demo_beside(demo.command_line().parse_args([])) is None


class Stage:
    """A demo on servers of its own, with small marketplaces."""

    def __init__(self, made: Beside, log: Path) -> None:
        self.demo = made
        self.log = log
        # Fill the shops again in the next run.
        self.reload = False

    def fill(self, shop: Cluster, number: int, begin_anew: Callable[[], None]) -> None:
        """Fill a shop; as make demo does, only once."""
        with connect(shop) as connection:
            is_there = cell(connection, "SELECT true FROM pg_class WHERE relname = 'solicitudes'")
        if is_there and not self.reload:
            return
        if is_there:
            begin_anew()
            demo.recreate_database(shop)
        load_source_schema(shop.url())
        with connect(shop) as connection:
            fill(connection, BASE_SEED + number, "A", datetime.now(ZONE).date(), size=SMALL)

    def run(self) -> None:
        """Run it, as make demo does."""
        demo.run_beside(self.demo, Gateway(self.demo.home), Phases(self.log), self.fill)

    def stop(self) -> None:
        """Stop all, as make stop does."""
        Gateway(self.demo.home).stop()
        for cluster in (self.demo.home, *self.demo.shops.values()):
            cluster.stop()

    def sources(self) -> list[oracle.Source]:
        """Return the rows of each shop."""
        found = []
        for name, shop in self.demo.shops.items():
            with connect(shop) as connection:
                schema = name if isinstance(self.demo, demo_origins.Origins) else "public"
                found.append(oracle.read_schema(connection, schema))
        return found

    def requests(self) -> list[int]:
        """Return the requests of this month at each shop, by Python; then of all."""
        today = datetime.now(ZONE).date()
        each = [
            int(str(month["solicitudes_creadas"]))
            for source in self.sources()
            for month in oracle.compute_months(source, ZONE.key)
            if month["mes"] == today.replace(day=1)
        ]
        return [*each, sum(each)]


@contextmanager
def staged(make: Callable[[], Beside], log: Path) -> Iterator[Stage]:
    """Make a demo whose servers are of the tests' own."""
    made = make()
    made.home = server(made.home.name)
    made.shops = {name: server(shop.name) for name, shop in made.shops.items()}
    wait_for_the_new_day()
    try:
        yield Stage(made, log)
    finally:
        Gateway(made.home).stop()
        for cluster in (made.home, *made.shops.values()):
            cluster.remove()


def server(name: str) -> Cluster:
    """Return a server of the tests' own, in the place of one of the demo's."""
    return Cluster(
        f"test-{name}-{os.getpid()}-1",
        settings=f"{TEST_SETTINGS}{PUBLISHER_SETTINGS}{QUICK_WORKERS}shared_buffers = 64MB\n",
    )


def moments(output: str) -> list[tuple[str, list[int | None], str]]:
    """Return the lines of the table: what happened, requests of each and of all, X-Partial."""
    found = []
    for line in re.split(r"\n-[- ]+\n", output)[1].split("\n\n")[0].split("\n"):
        what, *numbers, partial = re.split(r" {2,}", line.strip())
        found.append(
            (what, [None if n == "stopped" else int(n.replace(",", "")) for n in numbers], partial)
        )
    return found


def wrong_cells(stage: Stage) -> list[str]:
    """Compare all nine views at home with what Python computes from the rows of all shops."""
    now = datetime.now(ZONE)
    with connect(stage.demo.home) as connection:
        if isinstance(stage.demo, demo_hub.Hub):
            return federation.differences(connection, stage.sources(), now)
        source = origins.united(stage.sources(), ZONE.key)
        return origins.differences(connection, source, now.date())


@pytest.mark.parametrize(("make", "reload"), [(demo_origins.make, True), (demo_hub.make, False)])
def test_a_shop_is_stopped_and_comes_back(
    make: Callable[[], Beside],
    reload: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with staged(make, tmp_path / "log") as stage:
        before: list[int | None] = []
        for number in (1, 2):
            stage.run()
            output = capsys.readouterr().out
            at_first, at_both, at_one, at_end = moments(output)
            one, other, everything = zip(*(m[1] for m in moments(output)), strict=True)
            # The second run goes on with what is there, or with new data.
            assert (at_first[1] == before) == (number == 2 and not reload)
            came = [int(n) for n in re.findall(r"(\d+) came at", at_both[0])]
            assert [one[1] - one[0], other[1] - other[0]] == came
            assert min(came) > 0
            assert at_one[0].startswith("medellin is stopped; ")
            assert one[2] > one[1]
            assert everything[2] - everything[1] == one[2] - one[1]
            assert other[2] in (None, other[1])
            assert at_end[0].startswith("medellin is back; ")
            assert [one[3], other[3], everything[3]] == stage.requests()
            told = [m[2].partition("=")[0] for m in moments(output)]
            assert told == ["-", "-", "medellin", "-"]
            problem = stage.demo.problem  # type: ignore[attr-defined]
            assert f"the health said {problem}: s" in output
            assert re.search(r"first writes: incremental, \d+ changed keys", output)
            assert "/#token=" in output
            before = at_end[1]
            if number == 1:
                stage.stop()
                stage.reload = reload
        assert wrong_cells(stage) == []


def test_an_analytics_server_follows_a_shop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with staged(demo_replica.make, tmp_path / "log") as stage:
        for number in (1, 2):
            stage.run()
            output = capsys.readouterr().out
            came = int(re.findall(r"(\d+) requests came", output)[0])
            assert came > 0
            assert "Behind the shop: " in output
            assert "The refresh: incremental, " in output
            before, after = re.findall(r"requests ([\d,]+) → ([\d,]+),", output)[0]
            assert int(after.replace(",", "")) - int(before.replace(",", "")) == came
            assert int(after.replace(",", "")) == stage.requests()[-1]
            if number == 1:
                stage.stop()
