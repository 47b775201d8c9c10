"""The rule against a scan of real time: each second or minute around changes of the clocks, in zones of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronq.schedules.rule import Rule
from tests.scale import times

CHANGES = [
    ("Europe/Prague", "2025-03-30"),
    ("Europe/Prague", "2025-10-26"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2025-11-02"),
    ("Australia/Lord_Howe", "2025-10-04"),
    ("Australia/Lord_Howe", "2025-04-05"),
    ("Africa/Casablanca", "2025-02-23"),
    ("Africa/Casablanca", "2025-04-06"),
    ("Africa/Cairo", "2010-08-11"),
    ("Africa/Cairo", "2025-10-30"),
    ("America/Havana", "2025-03-09"),
    ("America/Havana", "2025-11-02"),
    ("America/Santiago", "2025-09-07"),
    ("America/Santiago", "2025-04-06"),
    ("Asia/Beirut", "2025-03-29"),
    ("Asia/Gaza", "2025-10-25"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("Antarctica/Troll", "2025-03-30"),
    ("Antarctica/Troll", "2025-10-26"),
    ("Antarctica/Casey", "2009-10-17"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Asia/Pyongyang", "2015-08-14"),
    ("Asia/Pyongyang", "2018-05-04"),
    ("Asia/Kathmandu", "1985-12-31"),
    ("America/Caracas", "2016-05-01"),
    ("Pacific/Chatham", "2025-09-27"),
    ("Europe/Dublin", "2025-10-26"),
    ("America/St_Johns", "2006-10-29"),
    ("Asia/Manila", "1990-05-20"),
    ("America/Nuuk", "2024-03-31"),
]
MONROVIA = ("Africa/Monrovia", "1972-01-07")
"""From 44 minutes and 30 seconds behind UTC to none."""

EDGE = timedelta(hours=2)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Scan:
    """Each tick of real time with its local time, and what the clocks skipped."""

    ticks: list[tuple[datetime, datetime]]
    first: dict[datetime, datetime]
    gaps: list[tuple[datetime, datetime, datetime]]
    """The first local time that is skipped, the first that is not, and the instant of it."""


@cache
def scan(zone: str, day: str, tick: timedelta) -> Scan:
    info = ZoneInfo(zone)
    middle, half = change_near(info, datetime.fromisoformat(day).replace(tzinfo=UTC)), 720 * max(tick, SECOND * 20)
    ticks, first, gaps = [], dict[datetime, datetime](), []
    instant, expected = middle - half, None
    while instant <= middle + half:
        local = instant.astimezone(info).replace(tzinfo=None, fold=0)
        if expected is not None and local > expected:
            gaps.append((expected, local, instant))
        ticks.append((instant, local))
        first.setdefault(local, instant)
        instant, expected = instant + tick, local + tick
    return Scan(ticks, first, gaps)


def change_near(info: ZoneInfo, day: datetime) -> datetime:
    hours = [day + timedelta(hours=number) for number in range(-36, 60)]
    return next(
        two
        for one, two in pairwise(hours)
        if (two - one) != two.astimezone(info).replace(tzinfo=None) - one.astimezone(info).replace(tzinfo=None)
    )


@dataclass(frozen=True)
class Field:
    text: str
    values: frozenset[int]


def fields(low: int, high: int) -> st.SearchStrategy[Field]:
    """What cron makes of one field, read anew here."""
    number = st.integers(low, high)
    every = range(low, high + 1)

    def stepped(step: int) -> Field:
        return Field(f"*/{step}", frozenset(every[::step]))

    def spanned(ends: tuple[int, int]) -> Field:
        first, last = sorted(ends)
        return Field(f"{first}-{last}", frozenset(range(first, last + 1)))

    def listed(numbers: list[int]) -> Field:
        return Field(",".join(map(str, numbers)), frozenset(numbers))

    return st.one_of(
        st.just(Field("*", frozenset(every))),
        st.integers(1, high - low).map(stepped),
        st.tuples(number, number).map(spanned),
        st.lists(number, min_size=1, max_size=4).map(listed),
    )


@dataclass(frozen=True)
class Cron:
    second: Field
    minute: Field
    hour: Field
    day: Field
    weekday: Field

    @property
    def text(self) -> str:
        seconds = "" if self.second.text == "0" else f"{self.second.text} "
        return f"{seconds}{self.minute.text} {self.hour.text} {self.day.text} * {self.weekday.text}"

    @property
    def follows_clock(self) -> bool:
        return any(field.text.startswith("*") for field in (self.second, self.minute, self.hour))

    def matches(self, local: datetime) -> bool:
        if local.minute not in self.minute.values or local.hour not in self.hour.values:
            return False
        by_day = local.day in self.day.values
        by_weekday = bool({local.isoweekday() % 7, local.isoweekday()} & self.weekday.values)
        stars = self.day.text.startswith("*") or self.weekday.text.startswith("*")
        return local.second in self.second.values and (by_day and by_weekday if stars else by_day or by_weekday)

    def due(self, scanned: Scan, tick: timedelta) -> list[datetime]:
        if self.follows_clock:
            return [instant for instant, local in scanned.ticks if self.matches(local)]
        found = {instant for local, instant in scanned.first.items() if self.matches(local)}
        for skipped, end, instant in scanned.gaps:
            count = (end - skipped) // tick
            if end - skipped < timedelta(hours=3) and any(self.matches(skipped + n * tick) for n in range(count)):
                found.add(instant)
        return sorted(found)


MIDNIGHTS = st.sampled_from([Field(str(hour), frozenset({hour})) for hour in (0, 1, 2, 3, 23)])
ANY_DAY = st.just(Field("*", frozenset(range(1, 32))))
ANY_WEEKDAY = st.just(Field("*", frozenset(range(8))))
ON_THE_MINUTE = st.just(Field("0", frozenset({0})))


def crons(seconds: st.SearchStrategy[Field]) -> st.SearchStrategy[Cron]:
    return st.builds(
        Cron,
        second=seconds,
        minute=fields(0, 59),
        hour=st.one_of(MIDNIGHTS, fields(0, 23)),
        day=st.one_of(ANY_DAY, ANY_DAY, fields(1, 31)),
        weekday=st.one_of(ANY_WEEKDAY, ANY_WEEKDAY, fields(0, 7)),
    )


def agree(cron: Cron, change: tuple[str, str], share: float, tick: timedelta) -> None:
    zone, day = change
    scanned = scan(zone, day, tick)
    start, end = scanned.ticks[0][0], scanned.ticks[-1][0]
    expected = cron.due(scanned, tick)
    rule = Rule.parse([cron.text], timezone=zone)
    # The first pass of what is repeated at the very edge of the scan isn't seen by it.
    found = list(rule.due_between(start + EDGE, end))
    assert found == [instant for instant in expected if instant > start + EDGE]
    somewhere = start + EDGE + share * (end - start - EDGE)
    later = [instant for instant in expected if instant > somewhere]
    following = rule.next_after(somewhere)
    assert following == later[0] if later else following is None or following > end


@pytest.mark.slow
@settings(max_examples=times(300, full=2000), deadline=None, derandomize=True)
@given(crons(ON_THE_MINUTE), st.sampled_from(CHANGES), st.floats(0, 1))
def test_each_minute(cron: Cron, change: tuple[str, str], share: float) -> None:
    agree(cron, change, share, timedelta(minutes=1))


@settings(max_examples=times(40, full=100), deadline=None, derandomize=True)
@given(
    crons(fields(0, 59)),
    st.sampled_from([*CHANGES[::5], MONROVIA]),
    st.floats(0, 1),
)
def test_each_second(cron: Cron, change: tuple[str, str], share: float) -> None:
    agree(cron, change, share, SECOND)


def test_there_are_at_least_fifteen_zones() -> None:
    assert len({zone for zone, _ in CHANGES}) >= 15
