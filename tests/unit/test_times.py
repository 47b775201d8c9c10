"""Durations, instants and how they are written."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronq.errors import InvalidInput
from cronq.schedules.zones import Zone
from cronq.times import (
    SECOND,
    Clock,
    Measured,
    from_datetime,
    iso,
    parse_duration,
    parse_past,
    parse_when,
    ticks,
    to_datetime,
)

NOW = from_datetime(datetime(2026, 11, 21, 8, tzinfo=UTC))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("14d", 14 * 86400),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1d12h", 36 * 3600),
        (" 90 ", 90),
        ("0", 0),
        (90, 90),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_duration_is_seconds(written: Any, seconds: float) -> None:
    duration = parse_duration(written)
    assert duration == seconds
    assert type(duration) is float


@pytest.mark.parametrize(
    "written",
    [
        "",
        "s",
        ".",
        ".s",
        "-1",
        "+1",
        "1e3",
        "1h30",
        "30m1h",
        "1h1h",
        "h",
        "1 h 2",
        "90x",
        "٣",
        "½",
        "nan",
        "inf",
        "0x10",
        "1_000",
        "9" * 5000,
        "9" * 5000 + ".0",
        10**400,
        -1,
        -0.1,
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        [],
        {},
        b"90",
        timedelta(seconds=-1),
        timedelta.max,
        datetime(2026, 1, 1, tzinfo=UTC),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_duration_is_refused_by_name(written: Any) -> None:
    with pytest.raises(InvalidInput, match=r"time_limit: .* is not a duration like 90, 90s, 15m, 1h30m or 14d"):
        parse_duration(written, what="time_limit")


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-11-21T08:00:00Z", NOW),
        ("2026-11-21T08:00:00", NOW),
        ("2026-11-21 08:00", NOW),
        ("2026-11-21T09:00:00+01:00", NOW),
        ("2026-11-21", NOW - 8 * 3600 * SECOND),
        ("2026-11-21T08:00:00.000001Z", NOW + 1),
        ("+15m", NOW + 900 * SECOND),
        ("+0", NOW),
        ("+1h30m", NOW + 5400 * SECOND),
        ("08:30Z", NOW + 1800 * SECOND),
        ("08:00Z", NOW + 86400 * SECOND),
        ("today 07:00Z", NOW - 3600 * SECOND),
        ("Tomorrow 02:30+01:00", NOW + (17 * 3600 + 1800) * SECOND),
        (60, NOW + 60 * SECOND),
        (0.5, NOW + SECOND // 2),
        (timedelta(hours=1), NOW + 3600 * SECOND),
        (datetime(2026, 11, 21, 8, tzinfo=UTC), NOW),
        (datetime(2026, 11, 21, 10, tzinfo=timezone(timedelta(hours=2))), NOW),
    ],
)
def test_a_time_is_an_instant(written: Any, instant: int) -> None:
    assert parse_when(written, now=NOW) == instant


def test_a_time_of_the_day_is_this_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")  # 09:00 there, summer time ended weeks ago
        time.tzset()
        try:
            assert parse_when("09:30", now=NOW) == NOW + 1800 * SECOND
            assert parse_when("02:30", now=NOW) == NOW + (17 * 3600 + 1800) * SECOND
            assert parse_when("tomorrow 02:30", now=NOW) == NOW + (17 * 3600 + 1800) * SECOND
        finally:
            patch.undo()
            time.tzset()


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("13:00", "2027-03-27T12:00:00"),
        ("08:00", "2027-03-28T06:00:00"),
        ("tomorrow 02:30", "2027-03-28T01:00:00"),  # the clocks skip it
        ("2027-03-27T13:00", "2027-03-27T12:00:00"),
        ("2027-03-28", "2027-03-27T23:00:00"),
        ("2027-10-31T02:30", "2027-10-31T00:30:00"),  # the first one
        ("13:00Z", "2027-03-27T13:00:00"),
        ("2027-03-27T13:00+04:00", "2027-03-27T09:00:00"),
        ("+2h", "2027-03-27T10:00:00"),
    ],
)
def test_a_time_without_an_offset_is_one_of_the_zone(written: str, instant: str) -> None:
    now = from_datetime(datetime(2027, 3, 27, 8, tzinfo=UTC))
    assert iso(parse_when(written, now=now, zone=Zone("Europe/Prague"))) == f"{instant}.000000Z"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "+",
        "+x",
        "+-1",
        "tomorrow",
        "15m",
        "2026-13-01",
        "2026-11-21T25:00",
        "25:00",
        "yesterday 08:00",
        "08",
        True,
        -5,
        None,
        [],
        {},
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        float("nan"),
        b"+1",
    ],
)
def test_what_is_no_time_is_refused_by_name(written: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^at: "):
        parse_when(written, now=NOW)


def test_an_instant_is_written_in_utc_with_microseconds() -> None:
    assert iso(NOW) == "2026-11-21T08:00:00.000000Z"
    assert iso(NOW + 1) == "2026-11-21T08:00:00.000001Z"
    assert iso(from_datetime(datetime(7, 1, 1, tzinfo=UTC))) == "0007-01-01T00:00:00.000000Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_and_its_datetime_are_the_same(moment: datetime) -> None:
    instant = from_datetime(moment)
    assert to_datetime(instant) == moment
    assert parse_when(iso(instant), now=0) == instant


def test_a_clock_adds_its_offset() -> None:
    before = Clock().now()
    ahead = Clock(offset=3600 * SECOND).now()
    assert before + 3600 * SECOND <= ahead < before + 3660 * SECOND


def test_a_clock_follows_one_that_was_read() -> None:
    clock = Clock()
    assert clock.doubt == 0
    clock.set_by(Measured(NOW, at=ticks(), within=7))
    assert NOW <= clock.now() < NOW + 60 * SECOND
    assert clock.doubt == 7
    assert clock.ahead == pytest.approx(NOW - Clock().now(), abs=60 * SECOND)


def test_a_reading_gets_old() -> None:
    clock = Clock()
    assert not clock.is_old
    clock.set_by(Measured(NOW, at=ticks(), within=7))
    assert not clock.is_old
    clock.set_by(Measured(NOW, at=ticks() - 601 * SECOND, within=7))
    assert clock.is_old


@pytest.mark.parametrize("jump", [-600 * SECOND, 45 * SECOND])
def test_a_clock_that_jumps_leaves_a_doubt(jump: int) -> None:
    clock = Clock()
    for moved in (0, jump, jump):
        at = ticks()
        clock.set_by(Measured(NOW + at + moved, at=at, within=7))
    assert clock.doubt == pytest.approx(abs(jump), abs=SECOND)
    assert clock.now() == pytest.approx(NOW + ticks() + jump, abs=SECOND)


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2h", NOW - 7200 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("07:30Z", NOW - 1800 * SECOND),
        ("08:30Z", NOW - (23 * 3600 + 1800) * SECOND),
        ("yesterday 08:30Z", NOW - (23 * 3600 + 1800) * SECOND),
        ("2026-11-21T07:00:00", NOW - 3600 * SECOND),
        ("2026-11-21", NOW - 8 * 3600 * SECOND),
    ],
)
def test_a_time_in_the_past(written: str, instant: int) -> None:
    assert parse_past(written, now=NOW, what="--since") == instant


def test_a_day_in_the_past_begins_at_midnight_here() -> None:
    midnight = to_datetime(NOW).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    assert parse_past("today", now=NOW, what="x") == from_datetime(midnight)
    assert to_datetime(parse_past("yesterday", now=NOW, what="x")).astimezone().day in {midnight.day - 1}


@pytest.mark.parametrize("written", ["", "soon", "+1h", "tomorrow 02:30", "25:00", "-1h", "9" * 400])
def test_what_is_no_time_in_the_past_is_refused_by_name(written: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--since: "):
        parse_past(written, now=NOW, what="--since")
