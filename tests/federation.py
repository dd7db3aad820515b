"""Random sequences at several sites, and a hub whose views are compared with the rows of all."""

from collections import Counter
from collections.abc import Sequence as Several
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

import psycopg

import oracle
from conftest import Database
from hub_sites import united
from marketplace import Generation
from oracle import ZONE, Source
from oracle_views import compute_seven, read_seven, seven_differences
from sequences import Arena, Sequence, SequenceError, Totals

# At a site alone; a hub has a zone and limits of its own, and the refreshes are made here.
LEFT_OUT = ("change the zone", "change a segment", "change the day", "refresh")


class Federation:
    """A hub and its sites, with the connections that all sequences use."""

    def __init__(
        self, hub: Database, sites: Several[Database], generation: Generation = "A"
    ) -> None:
        self.hub = hub
        self.arenas = [Arena(site, generation) for site in sites]
        for site in sites:
            # An arena makes its database anew.
            site.execute("SELECT analytics.set_setting('hub_days', '30')")
        self.refresher = hub.connect()
        self.done: Counter[str] = Counter()
        self.comparisons = 0

    def close(self) -> None:
        """Close all connections."""
        for arena in self.arenas:
            arena.close()
        self.refresher.close()

    def run(self, seed: int) -> None:
        """Run one sequence; raise SequenceError if the hub shows anything wrong."""
        FederationSequence(self, seed).run()

    def __str__(self) -> str:
        """Return one line."""
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        return (
            f"{len(self.arenas)} sites; {done}; comparisons of the nine views: {self.comparisons}"
        )


class FederationSequence:
    """One sequence: steps at the sites, refreshes there, refreshes at the hub."""

    def __init__(self, federation: Federation, seed: int) -> None:
        self.federation = federation
        self.seed = seed
        self.random = Random(seed)  # noqa: S311
        self.totals = Totals()
        self.sites = [
            Sequence(arena, 1000 * seed + place, self.totals)
            for place, arena in enumerate(federation.arenas, 1)
        ]
        for site in self.sites:
            site.now = self.sites[0].now
            for name in LEFT_OUT:
                del site.steps[name]
        # What each site had at its last refresh.
        self.shown: list[Source] = []
        self.transcript: list[str] = []
        self.must_refresh_all = False

    def note(self, text: str) -> None:
        """Add a line to the transcript."""
        self.transcript.append(text)

    def run(self) -> None:
        """Run it."""
        try:
            for site in self.sites:
                site.begin()
                self.shown.append(site.arena.read_source())
            self.compare()
            for _ in range(self.random.randrange(10, 25)):
                self.step()
            for site in self.sites:
                for writer in site.arena.writers:
                    if writer.isolation:
                        site.end(writer)
            for place in range(len(self.sites)):
                self.refresh_site(place)
            self.compare()
            self.audit()
        except (psycopg.Error, AssertionError) as error:
            raise SequenceError(
                f"hub sequence {self.seed}: {type(error).__name__}: {error}\n"
                + "\n".join(self.transcript)
            ) from error
        finally:
            for site in self.sites:
                for writer in site.arena.writers:
                    if writer.isolation:
                        writer.isolation = None
                        writer.connection.execute("ROLLBACK")
        self.federation.done["sequences"] += 1

    def step(self) -> None:
        """Do something somewhere."""
        dice = self.random.random()
        place = self.random.randrange(len(self.sites))
        site = self.sites[place]
        if dice < 0.6:
            for _ in range(self.random.randrange(1, 6)):
                weights = [weight for weight, _ in site.steps.values()]
                name = self.random.choices(list(site.steps), weights)[0]
                self.note(f"site {place}: {name}")
                site.steps[name][1](self.random.choice(site.arena.writers))
        elif dice < 0.75:
            self.refresh_site(place)
        elif dice < 0.8:
            self.change_day()
        elif dice < 0.84:
            self.upset(place)
        else:
            if self.must_refresh_all:
                for each in range(len(self.sites)):
                    self.refresh_site(each)
            self.compare()

    def change_day(self) -> None:
        """Let time pass everywhere, or go back."""
        first = self.sites[0]
        before = first.now
        first.change_day(first.arena.writers[0])
        self.note(f"the clock: {before} to {first.now}")
        for site in self.sites:
            site.now = first.now
            site.set_now()
        if first.now < before:
            # Until then a site is ahead of the hub, and refused.
            self.must_refresh_all = True

    def upset(self, place: int) -> None:
        """Do to a site, or to the hub, what makes it compute or send everything again."""
        refresher = self.sites[place].arena.refresher
        what = self.random.choice(
            ("rebuild", "hub rebuild", "lose the log", "switch the log off", "roll back", "restore")
        )
        self.note(f"site {place}: {what}")
        self.federation.done[what] += 1
        if what == "rebuild":
            refresher.execute("CALL analytics.rebuild()")
            self.shown[place] = self.sites[place].arena.read_source()
        elif what == "hub rebuild":
            self.set_hub_now()
            self.federation.refresher.execute("CALL analytics.rebuild()")
        elif what == "lose the log":
            refresher.execute("DELETE FROM kpi_engine.hub_versions")
            refresher.execute("SELECT * FROM analytics.refresh_all_mv(true)")
            self.shown[place] = self.sites[place].arena.read_source()
        elif what == "switch the log off":
            refresher.execute("SELECT analytics.set_setting('hub_days', '0')")
            self.refresh_site(place)
            refresher.execute("SELECT analytics.set_setting('hub_days', '30')")
            refresher.execute("SELECT * FROM analytics.refresh_all_mv(true)")
            self.shown[place] = self.sites[place].arena.read_source()
        elif what == "roll back":
            self.set_hub_now()
            with self.federation.refresher.transaction(force_rollback=True):
                self.federation.refresher.execute("SELECT * FROM analytics.refresh_all_mv()")
        else:
            # As after the restore of a dump: the same numbers, another history.
            refresher.execute("UPDATE kpi_engine.hub_versions SET mark = gen_random_uuid()")

    def refresh_site(self, place: int) -> None:
        """Refresh a site; what it reads is what the hub may show from then on."""
        site = self.sites[place]
        self.note(f"site {place}: refresh")
        self.shown[place] = site.arena.read_source()
        rows = site.arena.refresher.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
        assert [row[1] for row in rows] == ["SUCCESS"] * len(rows), rows
        self.federation.done["refreshes of sites"] += 1

    def set_hub_now(self) -> None:
        """Give the hub the clock of the sites."""
        self.federation.refresher.execute(
            "SELECT set_config('analytics.now', %s, false)", [self.sites[0].now.isoformat()]
        )

    def compare(self) -> None:
        """Refresh the hub; its nine views must be those over the rows of all sites."""
        self.must_refresh_all = False
        self.set_hub_now()
        hub = self.federation.refresher
        rows = hub.execute("SELECT * FROM analytics.refresh_all_mv()").fetchall()
        assert [row[1] for row in rows] == ["SUCCESS"] * len(rows), rows
        states = hub.execute("SELECT site, state, message FROM analytics.hub_sites").fetchall()
        assert {state for _, state, _ in states} == {"ok"}, states
        mode, reason = hub.execute(
            "SELECT mode, reason FROM analytics.refresh_log WHERE view_name IS NULL "
            "ORDER BY log_id DESC LIMIT 1"
        ).fetchone() or ("", "")
        self.note(f"hub: refresh, {mode}: {reason}")
        self.federation.done[f"{mode} at the hub"] += 1
        assert not differences(hub, self.shown, self.sites[0].now), "\n".join(
            differences(hub, self.shown, self.sites[0].now)[:40]
        )
        self.federation.comparisons += 1

    def audit(self) -> None:
        """Audit the hub: no cell may be wrong."""
        found = self.federation.refresher.execute("SELECT analytics.audit()").fetchone()
        assert found == (0,), found


def differences(
    hub: psycopg.Connection, sources: Several[Source], now: datetime, zone: str = ZONE
) -> list[str]:
    """Compare the views of a hub with what the rows of all sites give, by Python."""
    source = united(sources)
    day = now.astimezone(ZoneInfo(zone)).date()
    right = (oracle.compute_months(source, zone), oracle.compute_ranking(source, day, zone))
    return oracle.all_differences(right, oracle.read_views(hub)) + seven_differences(
        compute_seven(source, day, zone), read_seven(hub)
    )
