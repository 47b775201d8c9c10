"""Define and convert instants, which are whole microseconds since 1970 in UTC, and durations, which are seconds.

An instant is an `int` because it is compared, sorted and stored far more often than it
is shown. Each start imports this module, so it imports little: not even datetime, which takes a millisecond.
"""

from __future__ import annotations

import time

from cronq.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from datetime import time as clock_time
    from typing import Protocol

    class LocalTimes(Protocol):
        """A time zone by which times without an offset are read."""

        def local(self, instant: datetime) -> datetime:
            """Return the local time at the instant, without an offset."""
            ...

        def first_instant(self, local: datetime) -> datetime:
            """Return the first instant of a local time."""
            ...


SECOND = 1_000_000
_LONGEST = 1e10
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))
_SPAN_TENTH = 0.1
_SPAN_AT_LEAST = 2
"""A unit is used from this number of it on: 90s, not 1m."""

_DAYS = {"today": 0, "yesterday": 1}

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that can't be set and goes on while the machine sleeps."""

_REMEMBERED = 180 * SECOND
"""Microseconds for which a jump of the database's clock adds to `Clock.doubt`.

In this time each runner notices the jump and renews its leases.
"""


_OLD = 600 * SECOND
"""Microseconds for which a program that only enqueues uses one measurement."""


def ticks() -> int:
    """Return microseconds since a fixed moment, by a clock that can't be set."""
    return time.clock_gettime_ns(_BOOT) // 1000


class Measured:
    """A reading of another clock: its instant, our `ticks` then, and the microseconds by which it may be wrong."""

    __slots__ = ("at", "instant", "within")

    def __init__(self, instant: int, *, at: int, within: int) -> None:
        self.instant = instant
        self.at = at
        self.within = within


class Clock:
    """The one clock of a process: the host's, or one that was measured, such as the database's.

    Between two measurements it runs on `ticks`: setting the host's clock doesn't change it.
    """

    def __init__(self, offset: int = 0) -> None:
        self._offset = offset
        self._measured: Measured | None = None
        self._jump = 0
        self._jumped_at = 0

    def now(self) -> int:
        """Return the microseconds since 1970, UTC."""
        measured = self._measured
        if measured is None:
            return time.time_ns() // 1000 + self._offset
        return measured.instant + ticks() - measured.at

    def set_by(self, measured: Measured) -> None:
        """Follow another clock from this reading on."""
        known = self._measured
        if known is not None:
            jump = abs(measured.instant - known.instant - (measured.at - known.at))
            if jump >= self._recent_jump():
                self._jump, self._jumped_at = jump, measured.at
        self._measured = measured

    @property
    def ahead(self) -> int:
        """The microseconds by which this clock is ahead of the host's."""
        return self.now() - time.time_ns() // 1000

    @property
    def doubt(self) -> int:
        """The microseconds by which this clock may be wrong: the measurement's error and a recent jump."""
        return (self._measured.within if self._measured else 0) + self._recent_jump()

    @property
    def is_old(self) -> bool:
        """Whether the measurement is so old that it should be made again."""
        return self._measured is not None and ticks() - self._measured.at > _OLD

    def _recent_jump(self) -> int:
        return self._jump if ticks() - self._jumped_at < _REMEMBERED else 0


def parse_duration(value: str | float | timedelta, *, what: str = "duration") -> float:
    """Return the seconds in `90`, `90s`, `15m`, `1h30m` or `14d`; a number counts as seconds.

    Raises InvalidInput naming `what` for anything else, negative durations included.
    """
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds < _LONGEST:
        raise InvalidInput(f"{what}: {value!r} is not a duration like 90, 90s, 15m, 1h30m or 14d")
    return float(seconds)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        from datetime import timedelta

        return value.total_seconds() if isinstance(value, timedelta) else None
    text = value.strip()
    return _in_units(text) if text[-1:] in _UNITS else _number(text)


def _in_units(text: str) -> float | None:
    """Parse the seconds in `1h30m`: each unit once, from the largest to the smallest."""
    total, digits, last = 0.0, "", float("inf")
    for letter in text:
        unit = _UNITS.get(letter)
        if unit is None:
            digits += letter
            continue
        number = _number(digits)
        if number is None or unit >= last:
            return None
        total, digits, last = total + number * unit, "", unit
    return total


def _number(digits: str) -> float | None:
    return float(digits) if digits.isascii() and digits.replace(".", "", 1).isdecimal() else None


def parse_when(
    value: str | datetime | timedelta | float, *, now: int, what: str = "at", zone: LocalTimes | None = None
) -> int:
    """Return the instant of an ISO 8601 time, `+DURATION`, `02:30`, a datetime, or a delay (timedelta, seconds).

    `02:30` is the next one by this host's clock, `tomorrow 02:30` the one of the next day. A date and time
    without an offset is taken as UTC. With a `zone` all of these are local times of the zone. A datetime without
    an offset is refused, because most are meant as local times. Raises InvalidInput naming `what`.
    """
    from datetime import datetime, timedelta

    if isinstance(value, timedelta | int | float):
        return now + round(parse_duration(value, what=what) * SECOND)
    if isinstance(value, str) and value.startswith("+"):
        return now + round(parse_duration(value[1:], what=what) * SECOND)
    if isinstance(value, datetime) and value.tzinfo is None:
        hint = "datetime.now(UTC) has one, .astimezone() adds this host's"
        raise InvalidInput(f"{what}: {value!r} has no time zone ({hint})")
    try:
        instant = _written(value, now, zone) if isinstance(value, str) else from_datetime(value)
        to_datetime(instant)
    except (AttributeError, TypeError, ValueError, OverflowError):
        known = "a time like 2026-11-21T08:00:00Z, 02:30 or tomorrow 02:30"
        message = f"{what}: {value!r} is neither {known} nor a delay like +15m or +1h30m"
        raise InvalidInput(message) from None
    return instant


def _written(text: str, now: int, zone: LocalTimes | None) -> int:
    """Return the instant in `02:30`, `today 18:00`, `tomorrow 02:30`, or ISO 8601."""
    from datetime import datetime
    from datetime import time as clock_time

    day, _, at = text.strip().rpartition(" ")
    day = day.lower()
    if day in ("", "today", "tomorrow") and ":" in at[:3]:
        return _by_the_clock(day, clock_time.fromisoformat(at), now, zone)
    then = datetime.fromisoformat(text)
    return from_datetime(then if zone is None or then.tzinfo else zone.first_instant(then))


def _by_the_clock(day: str, time_of_day: clock_time, now: int, zone: LocalTimes | None) -> int:
    """Return the instant of a time of today, of tomorrow, or of the next one without a day."""
    from datetime import datetime, timedelta

    at = to_datetime(now)
    ours = None if time_of_day.tzinfo else zone
    here = ours.local(at) if ours else at.astimezone(time_of_day.tzinfo)
    instant_of: Callable[[datetime], datetime] = ours.first_instant if ours else datetime.astimezone
    then = datetime.combine(here.date() + timedelta(days=day == "tomorrow"), time_of_day)
    if not day and instant_of(then) <= at:
        then += timedelta(days=1)
    return from_datetime(instant_of(then))


def parse_past(text: str, *, now: int, what: str) -> int:
    """Return the instant in `2h` (ago), `02:30` (the last one), `yesterday 18:00`, `today`, `yesterday`, or ISO 8601.

    A time of the day is by this host's clock, a date and time without an offset in UTC. Raises
    InvalidInput naming `what`.
    """
    from datetime import datetime, timedelta
    from datetime import time as clock_time

    day, _, at = text.strip().rpartition(" ")
    try:
        ago = _seconds(text)
        if ago is not None and ago < _LONGEST:
            return now - round(ago * SECOND)
        if text.strip().lower() in _DAYS:
            day, at = text.strip(), "00:00"
        if day.lower() in ("", *_DAYS) and ":" in at[:3]:
            time_of_day = clock_time.fromisoformat(at)
            here = to_datetime(now).astimezone(time_of_day.tzinfo)
            then = datetime.combine(here.date() - timedelta(days=_DAYS.get(day.lower(), 0)), time_of_day)
            if not day and then.astimezone() > here:
                then -= timedelta(days=1)
            return from_datetime(then.astimezone())
        return from_datetime(datetime.fromisoformat(text.strip()))
    except (TypeError, ValueError, OverflowError):
        known = "a time like 02:30, yesterday 18:00 or 2026-11-21T08:00:00Z"
        raise InvalidInput(f"{what}: {text!r} is neither {known} nor an age like 15m or 2h") from None


def from_datetime(value: datetime) -> int:
    """Return the instant of a datetime; one without an offset is taken as UTC."""
    from datetime import UTC, timedelta

    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - to_datetime(0)) // timedelta(microseconds=1)


def to_datetime(instant: int) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def iso(instant: int) -> str:
    """Return the instant as ISO 8601 in UTC ending in Z, with microseconds."""
    return to_datetime(instant).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def local_time(text: str | None) -> datetime | None:
    """Parse a due time such as `2026-03-29T03:00:00+02:00[Europe/Prague]` into an aware datetime; None for None."""
    if text is None:
        return None
    from datetime import datetime
    from zoneinfo import ZoneInfo  # here, not above: few jobs are from schedules

    when, _, zone = text.rstrip("]").partition("[")
    return datetime.fromisoformat(when).astimezone(ZoneInfo(zone))


def in_zone(instant: int, zone: str) -> str:
    """Write the local time in a zone with its offset and the zone's name, as `local_time` reads it."""
    from zoneinfo import ZoneInfo  # here, not above: few jobs are from schedules

    return f"{to_datetime(instant).astimezone(ZoneInfo(zone)).isoformat()}[{zone}]"


def exact_span(microseconds: int) -> str:
    """Write a length of time in one unit, exactly, as the configuration has it: `90s`, `5m`, `0.5s`."""
    for size, unit in _SPAN_UNITS:
        if microseconds and microseconds % (size * SECOND) == 0:
            return f"{microseconds // (size * SECOND)}{unit}"
    return f"{microseconds / SECOND:.15g}s"


def span(seconds: float) -> str:
    """Write a length of time in one unit and few digits: `2ms`, `0.3s`, `42s`, `90s`, `3m`, `5h`, `12d`."""
    for size, unit in _SPAN_UNITS:
        if seconds >= _SPAN_AT_LEAST * size:
            return f"{int(seconds // size)}{unit}"
    if 0 < seconds < _SPAN_TENTH:
        return f"{1000 * seconds:.0f}ms"
    return f"{max(0.0, round(seconds, 1 if seconds < _SPAN_AT_LEAST else 0)):g}s"
