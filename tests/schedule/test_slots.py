"""Daily slots in every zone, against Python's zoneinfo; and that none is lost or run twice."""

import itertools
import os
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest

from conftest import Database, install
from marketplace import BASE_SEED

TAKES_MINUTES = True
SYSTEM_SERVER_IS_ENOUGH = True
LONG = os.environ.get("TELOO_LONG") == "1"
FIRST = date(2026, 1, 1)
DAYS = 3652 if LONG else 730
TIMES = ("00:00", "01:00", "01:30", "02:30")
# To PostgreSQL they are a fixed offset all the year.
ABBREVIATIONS = {"CET", "EET", "MET", "WET"}
# How often a tick comes around a change of the clock, and for how long before and after it.
STEP = timedelta(minutes=30 if LONG else 120)
AROUND = timedelta(days=2 if LONG else 1)
GRACE = timedelta(minutes=60)


def expected(day: date, at: str, zone: ZoneInfo) -> datetime | None:
    """Return the first instant of a local time; in a gap by the clock before it, which comes after
    the gap, else by the clock after it; None where neither is on that day."""
    local = datetime.combine(day, time.fromisoformat(at), zone)
    for fold in (0, 1):
        instant = local.replace(fold=fold).astimezone(UTC)
        if instant.astimezone(zone).date() == day:
            return instant
    return None


def has_day(day: date, zone: ZoneInfo) -> bool:
    """Tell whether any quarter of an hour is on that local day."""
    start = datetime.combine(day, time(), UTC) - timedelta(days=1)
    return any(
        (start + timedelta(minutes=15 * number)).astimezone(zone).date() == day
        for number in range(96 * 3)
    )


@cache
def offsets(name: str) -> tuple[timedelta | None, ...]:
    """Return what a zone is ahead of UTC, every 6 hours."""
    zone = ZoneInfo(name)
    start = datetime.combine(FIRST, time(), UTC)
    return tuple(
        (start + timedelta(hours=6 * number)).astimezone(zone).utcoffset()
        for number in range(DAYS * 4)
    )


def distinct(names: list[str]) -> list[str]:
    """Leave out what has the same rules as another zone."""
    rules: dict[tuple[timedelta | None, ...], str] = {}
    for name in names:
        rules.setdefault(offsets(name), name)
    return sorted(rules.values())


def known_zones(connection: psycopg.Connection) -> list[str]:
    """Return the zones that PostgreSQL and Python know, but those that are not the same."""
    known = {row[0] for row in connection.execute("SELECT name FROM pg_timezone_names")}
    return sorted(known & available_timezones() - ABBREVIATIONS)


def slots_of(
    connection: psycopg.Connection, zone: str, at: str, first: date, days: int
) -> list[datetime | None]:
    rows = connection.execute(
        "SELECT kpi_engine.slot_instant(%s::date + number, %s, %s) "
        "FROM generate_series(0, %s) AS number ORDER BY number",
        [first, at, zone, days - 1],
    ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.system_only("the same time zone files as Python")
def test_slots_of_every_zone_are_those_of_python(system_database: Database) -> None:
    install(system_database)
    with system_database.session() as connection:
        known = known_zones(connection)
        tried = known if LONG else distinct(known)
        assert len(tried) > 50
        different = []
        for zone in tried:
            for at in (*TIMES, "23:30"):
                ours = slots_of(connection, zone, at, FIRST, DAYS)
                theirs = [
                    expected(FIRST + timedelta(days=number), at, ZoneInfo(zone))
                    for number in range(DAYS)
                ]
                different += [
                    (zone, at, pair)
                    for pair in zip(ours, theirs, strict=True)
                    if pair[0] != pair[1]
                ]
    assert different == []


@pytest.mark.parametrize(
    ("zone", "first", "days"),
    [
        ("Pacific/Apia", date(2011, 12, 20), 20),  # has no 30 December 2011
        ("Pacific/Kwajalein", date(1993, 8, 15), 15),  # has no 21 August 1993
        ("America/Nuuk", date(2026, 3, 20), 20),  # put forward at 23:00, to the next day
        ("America/Godthab", date(2030, 3, 20), 20),
        ("America/Scoresbysund", date(2026, 3, 20), 20),
        ("Asia/Pyongyang", date(2018, 5, 1), 10),  # at 23:30, once
        ("America/St_Johns", date(2010, 11, 1), 15),  # put back at 00:01, to the day before
        ("America/Havana", date(2026, 10, 25), 15),  # put back at 01:00, to midnight
        ("America/Sao_Paulo", date(2017, 10, 10), 140),  # midnight itself left out
        ("Australia/Lord_Howe", date(2026, 3, 25), 20),  # half an hour
        ("Africa/Casablanca", date(2026, 2, 1), 60),
        ("Europe/Dublin", date(2026, 3, 20), 20),
    ],
)
def test_slots_of_odd_days_are_those_of_python(
    migrated: Database, zone: str, first: date, days: int
) -> None:
    with migrated.session() as connection:
        for at in (*TIMES, "00:30", "23:00", "23:30", "23:59"):
            ours = slots_of(connection, zone, at, first, days)
            theirs = [
                expected(first + timedelta(days=number), at, ZoneInfo(zone))
                for number in range(days)
            ]
            assert ours == theirs, at
            for number, instant in enumerate(ours):
                day = first + timedelta(days=number)
                assert has_day(day, ZoneInfo(zone)) == (instant is not None), (day, at)


def test_slot_in_the_last_hour_that_nuuk_leaves_out_is_the_same_evening(
    migrated: Database,
) -> None:
    """Worked out by hand: 23:00 at UTC-2 is 00:00 of the 29th at UTC-1."""
    slots = "SELECT kpi_engine.slot_instant('2026-03-28', '{}', 'America/Nuuk')"
    for at, utc in (("22:59", "00:59"), ("23:00", "00:00"), ("23:30", "00:30")):
        assert migrated.rows(slots.format(at)) == [
            (datetime.fromisoformat(f"2026-03-29 {utc}+00:00"),)
        ]


def changes(name: str) -> list[datetime]:
    """Return when a zone's clock was changed, at most 6 hours after it; else one day."""
    start = datetime.combine(FIRST, time(), UTC)
    found = [
        start + timedelta(hours=6 * (number + 1))
        for number, (before, after) in enumerate(itertools.pairwise(offsets(name)))
        if before != after
    ]
    return found or [start + timedelta(days=DAYS // 2)]


@dataclass
class Years:
    """The ticks of some years in one zone, close to each other where its clock is changed.

    In between, and across the second change, there are none: that is downtime. On the day of
    the third change the time is moved to 23:45 at noon, and back at noon of the next day.
    """

    zone: ZoneInfo
    begin: datetime
    ticks: list[datetime]
    moved: date

    @classmethod
    def of(cls, name: str) -> "Years":
        zone = ZoneInfo(name)
        begin = datetime.combine(FIRST, time(12), UTC)
        end = begin + timedelta(days=DAYS - 2)
        found = changes(name)
        ticks = {end}
        ticks.update(begin + timedelta(days=number) for number in range(180, DAYS - 2, 180))
        for number, change in enumerate(found):
            first = change - AROUND - timedelta(hours=6)
            for step in range(int((change + AROUND - first) / STEP) + 1):
                tick = first + step * STEP
                is_down = number == 1 and abs(change - tick) < AROUND - timedelta(hours=12)
                if not is_down and begin <= tick <= end:
                    ticks.add(tick)
        moved = (found[2] if len(found) > 2 else found[0]) - timedelta(hours=6)
        return cls(zone, begin, sorted(ticks), moved.astimezone(zone).date())

    def noon(self, day: date) -> datetime:
        return datetime.combine(day, time(12), self.zone).astimezone(UTC)

    def run(self, connection: psycopg.Connection, at: str) -> None:
        self.reschedule(connection, self.begin, at)
        connection.execute("TRUNCATE kpi_engine.refresh_jobs")
        connection.execute(
            "UPDATE analytics.scheduler_state SET scheduled_since = %s, schedule_changed_at = NULL",
            [self.begin],
        )
        noon, next_noon = self.noon(self.moved), self.noon(self.moved + timedelta(days=1))
        after = self.begin
        for moment, local_time in ((noon, "23:45"), (next_noon, at)):
            self.tick(connection, after, moment)
            after = moment
            self.reschedule(connection, moment, local_time)
        self.tick(connection, after, self.ticks[-1])

    def reschedule(self, connection: psycopg.Connection, moment: datetime, at: str) -> None:
        connection.execute("SELECT set_config('analytics.now', %s, false)", [str(moment)])
        connection.execute("SELECT analytics.set_schedule(%s)", [at])

    def tick(self, connection: psycopg.Connection, after: datetime, until: datetime) -> None:
        ticks = [tick for tick in self.ticks if after < tick <= until]
        connection.execute("CALL public.tick_at(%s::timestamptz[])", [ticks])

    def differences(self, connection: psycopg.Connection, at: str) -> list[object]:
        """Each day once; queued at its slot, or missed where the next tick came after another."""
        jobs = connection.execute(
            "SELECT slot_date, slot_at, state, is_missed FROM analytics.refresh_jobs "
            "ORDER BY slot_at"
        ).fetchall()
        slots = [
            (day, slot)
            for day in (FIRST + timedelta(days=number - 1) for number in range(DAYS + 2))
            if (slot := expected(day, at, self.zone)) and slot >= self.begin
        ]
        wanted = []
        for (day, slot), (_, following) in itertools.pairwise(slots):
            if slot > self.ticks[-1]:
                break
            tick = self.ticks[bisect_left(self.ticks, slot)]
            state = "QUEUED" if tick < following else "MISSED"
            wanted.append((day, slot, state, tick - slot > GRACE))
        if [job[0] for job in jobs] != [row[0] for row in wanted]:
            return [(self.zone, at, [job[0] for job in jobs], [row[0] for row in wanted])]
        return [
            (self.zone, at, job, row)
            for job, row in zip(jobs, wanted, strict=True)
            if job != row and not -1 <= (row[0] - self.moved).days <= 2
        ]


@pytest.mark.system_only("the same time zone files as Python")
def test_each_local_day_of_every_zone_runs_exactly_once(system_database: Database) -> None:
    install(system_database)
    system_database.execute(
        "UPDATE analytics.settings SET value = 'on' WHERE name = 'allow_pinned_clock'",
        # Often committed: nothing clears away the row versions of one's own transaction.
        """
        CREATE PROCEDURE public.tick_at(p_instants timestamptz[])
        LANGUAGE plpgsql
        AS $tick_at$
        DECLARE
            v_job_id bigint;
        BEGIN
            FOR v_number IN 1..cardinality(p_instants) LOOP
                PERFORM set_config('analytics.now', p_instants[v_number]::text, false);
                v_job_id := kpi_engine.queue_due_refresh();
                -- As if its refresh began at once.
                UPDATE analytics.refresh_jobs SET attempts = 1 WHERE job_id = v_job_id;
                IF v_number % 50 = 0 THEN
                    COMMIT;
                END IF;
            END LOOP;
        END;
        $tick_at$
        """,
    )
    with system_database.session() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tried = distinct(known_zones(connection))
        if not LONG:
            # A sixth of those with the usual midnights; another seed takes another sixth.
            tried = [
                name
                for number, name in enumerate(tried)
                if (number + BASE_SEED) % 6 == 0 or skips_midnight(ZoneInfo(name))
            ]
        assert len(tried) > (50 if LONG else 10)
        differences = []
        for number, name in enumerate(tried):
            years = Years.of(name)
            connection.execute("SELECT analytics.set_schedule('12:00', %s)", [name])
            # 23:30 where it is left out on some day, and the next day begins.
            late = ("23:30",) if skips_midnight(years.zone) else ()
            # One time of the day after the other, from zone to zone; make test-long takes all.
            times = TIMES if LONG else TIMES[number % len(TIMES) :][:1]
            for at in (*times, *late):
                years.run(connection, at)
                differences += years.differences(connection, at)
    assert differences == []


def skips_midnight(zone: ZoneInfo) -> bool:
    days = (FIRST + timedelta(days=number) for number in range(DAYS))
    late = (datetime.combine(day, time(23, 30), zone) for day in days)
    return any(at.astimezone(UTC).astimezone(zone).date() > at.date() for at in late)


class Ticking:
    """A clock that only goes on when it is told to, over one database."""

    def __init__(self, connection: psycopg.Connection, start: datetime) -> None:
        self.connection = connection
        self.now = start
        connection.execute("UPDATE analytics.scheduler_state SET scheduled_since = %s", [start])
        connection.execute("TRUNCATE kpi_engine.refresh_jobs")
        self.pin()

    def pin(self) -> None:
        self.connection.execute(
            "SELECT set_config('analytics.now', %s, false)", [self.now.isoformat()]
        )

    def tick(self, later: timedelta) -> None:
        self.now += later
        self.pin()
        queued = self.connection.execute("SELECT kpi_engine.queue_due_refresh()").fetchone()
        # As if its refresh began at once.
        self.connection.execute(
            "UPDATE analytics.refresh_jobs SET attempts = 1 WHERE job_id = %s", queued
        )

    def jobs(self, *states: str) -> list[tuple[date, datetime, bool]]:
        return self.connection.execute(
            "SELECT slot_date, slot_at, is_missed FROM analytics.refresh_jobs "
            "WHERE state = ANY (%s) ORDER BY slot_at",
            [list(states)],
        ).fetchall()


@pytest.fixture
def ticking(migrated: Database) -> Iterator[Ticking]:
    migrated.execute("UPDATE analytics.settings SET value = 'on' WHERE name = 'allow_pinned_clock'")
    with migrated.session() as connection:
        yield Ticking(connection, datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo"]
)
def test_each_local_day_runs_once_whatever_happens(ticking: Ticking, zone: str) -> None:
    """Random ticks, downtime and new times in it: each local day has one slot, and only one."""
    chance = random.Random(zone)  # noqa: S311
    ticking.connection.execute("SELECT analytics.set_schedule('01:30', %s)", [zone])
    start = ticking.now
    while ticking.now < start + timedelta(days=300):
        action = chance.random()
        if action < 0.1:
            ticking.tick(timedelta(hours=chance.uniform(1, 80)))
        elif action < 0.2:
            # No tick has seen what came due by then.
            ticking.now += timedelta(hours=chance.uniform(0, 40))
            ticking.pin()
            at = chance.choice((*TIMES, "12:00", "23:30"))
            ticking.connection.execute("SELECT analytics.set_schedule(%s)", [at])
        else:
            ticking.tick(timedelta(minutes=chance.uniform(1, 900)))
    ticking.connection.execute("SELECT analytics.set_schedule('00:00')")
    ticking.tick(timedelta(0))
    days = [row[0] for row in ticking.jobs("QUEUED", "MISSED")]
    first = start.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    last = ticking.now.astimezone(ZoneInfo(zone)).date()
    wanted = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    # The day of the installation counts where a new time of that day was still to come.
    assert days[-len(wanted) :] == wanted
    assert set(days) - set(wanted) <= {first - timedelta(days=1)}


def test_zone_that_changes_leaves_no_two_days_without_a_refresh(ticking: Ticking) -> None:
    chance = random.Random(7)  # noqa: S311
    names = ["America/Bogota", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"]
    for _ in range(60):
        zone = chance.choice(names)
        ticking.connection.execute("SELECT analytics.set_schedule('01:00', %s)", [zone])
        for _ in range(chance.randrange(1, 40)):
            ticking.tick(timedelta(hours=1))
    slots = [row[1] for row in ticking.jobs("QUEUED", "MISSED")]
    assert len(slots) > 20
    # Each runs within the hour of its tick, or at the change of the zone.
    assert max(b - a for a, b in itertools.pairwise(slots)) < timedelta(hours=49)


def test_one_refresh_makes_up_for_days_of_downtime(ticking: Ticking) -> None:
    ticking.connection.execute("SELECT analytics.set_schedule('01:00', 'America/Bogota')")
    ticking.tick(timedelta(days=1))
    ticking.tick(timedelta(days=4))
    assert [row[0].day for row in ticking.jobs("MISSED")] == [3, 4, 5]
    assert [(row[0].day, row[2]) for row in ticking.jobs("QUEUED")] == [(2, True), (6, True)]


def test_slot_seen_within_the_grace_period_was_not_missed(ticking: Ticking) -> None:
    ticking.connection.execute("SELECT analytics.set_schedule('01:00', 'UTC')")
    ticking.tick(timedelta(hours=14))
    ticking.tick(timedelta(hours=24, seconds=1))
    assert [row[2] for row in ticking.jobs("QUEUED")] == [False, True]


def test_new_time_that_is_over_already_runs_at_once_and_was_not_missed(ticking: Ticking) -> None:
    ticking.connection.execute("SELECT analytics.set_schedule('20:00', 'UTC')")
    ticking.tick(timedelta(hours=22))
    ticking.connection.execute("SELECT analytics.set_schedule('02:00')")
    ticking.tick(timedelta(minutes=1))
    assert [(row[0].day, row[2]) for row in ticking.jobs("QUEUED")] == [(1, True), (2, False)]
