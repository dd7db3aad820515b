"""Daily slots in every zone, against Python's zoneinfo; and that none is lost or run twice."""

import itertools
import os
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest

from conftest import Database
from demo_source import load_source_schema
from migrate import migrate

LONG = os.environ.get("TELOO_LONG") == "1"
FIRST = date(2026, 1, 1)
DAYS = 3652 if LONG else 730
TIMES = ("00:00", "01:00", "01:30", "02:30")


def expected(day: date, at: str, zone: ZoneInfo) -> datetime | None:
    """Return the first instant of a local time, after a gap; None where there is no such day."""
    local = datetime.combine(day, time.fromisoformat(at), zone)
    instant = local.replace(fold=0).astimezone(UTC)
    return instant if instant.astimezone(zone).date() == day else None


def zones(names: list[str], first: date = FIRST, days: int = DAYS) -> list[str]:
    """Leave out what has the same rules as another zone, unless all are asked for."""
    if LONG:
        return names
    rules: dict[tuple[object, ...], str] = {}
    for name in names:
        zone = ZoneInfo(name)
        start = datetime.combine(first, time(), UTC)
        offsets = tuple(
            (start + timedelta(hours=6 * number)).astimezone(zone).utcoffset()
            for number in range(days * 4)
        )
        rules.setdefault(offsets, name)
    return sorted(rules.values())


def slots_of(
    connection: psycopg.Connection, zone: str, at: str, first: date, days: int
) -> list[datetime | None]:
    rows = connection.execute(
        "SELECT analytics.slot_instant(%s::date + number, %s, %s) "
        "FROM generate_series(0, %s) AS number ORDER BY number",
        [first, at, zone, days - 1],
    ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.system_only("the same time zone files as Python")
def test_slots_of_every_zone_are_those_of_python(system_database: Database) -> None:
    load_source_schema(system_database.url)
    migrate(system_database.url)
    with system_database.connect() as connection:
        known = {row[0] for row in connection.execute("SELECT name FROM pg_timezone_names")}
        tried = zones(sorted(known & available_timezones()))
        assert len(tried) > 50
        different = []
        for zone in tried:
            for at in TIMES:
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
    with migrated.connect() as connection:
        for at in (*TIMES, "00:30", "23:30"):
            ours = slots_of(connection, zone, at, first, days)
            theirs = [
                expected(first + timedelta(days=number), at, ZoneInfo(zone))
                for number in range(days)
            ]
            assert ours == theirs, at


class Ticking:
    """A clock that only goes on when it is told to, over one database."""

    def __init__(self, connection: psycopg.Connection, start: datetime) -> None:
        self.connection = connection
        self.now = start
        connection.execute("UPDATE analytics.scheduler_state SET scheduled_since = %s", [start])
        connection.execute("TRUNCATE analytics.refresh_jobs")
        self.pin()

    def pin(self) -> None:
        self.connection.execute(
            "SELECT set_config('analytics.now', %s, false)", [self.now.isoformat()]
        )

    def tick(self, later: timedelta) -> None:
        self.now += later
        self.pin()
        self.connection.execute("SELECT analytics.queue_due_refresh()")

    def jobs(self, *states: str) -> list[tuple[date, datetime, bool]]:
        return self.connection.execute(
            "SELECT slot_date, slot_at, is_missed FROM analytics.refresh_jobs "
            "WHERE state = ANY (%s) ORDER BY slot_at",
            [list(states)],
        ).fetchall()


@pytest.fixture
def ticking(migrated: Database) -> Iterator[Ticking]:
    migrated.execute("UPDATE analytics.settings SET value = 'on' WHERE name = 'allow_pinned_clock'")
    with migrated.connect() as connection:
        yield Ticking(connection, datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo"]
)
def test_each_local_day_runs_once_whatever_happens(ticking: Ticking, zone: str) -> None:
    """Random ticks, downtime and new times: each local day has one slot, and only one."""
    chance = random.Random(zone)  # noqa: S311
    ticking.connection.execute("SELECT analytics.set_schedule('01:30', %s)", [zone])
    start = ticking.now
    while ticking.now < start + timedelta(days=300):
        action = chance.random()
        if action < 0.1:
            ticking.tick(timedelta(hours=chance.uniform(1, 80)))
        elif action < 0.2:
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
