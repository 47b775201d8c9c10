"""Compute when cron(8) itself would start a job, minute by minute as its main loop does.

`schedules import` compares the rules that it writes with these times. For that, this module has its own parser and
its own computation of local time. It reads names like @daily, and five fields without L, # and seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = {
    3: "jan feb mar apr may jun jul aug sep oct nov dec".split(),  # noqa: SIM905 - as crontab(5) has them
    4: "sun mon tue wed thu fri sat".split(),  # noqa: SIM905
}
_MONTH, _WEEKDAY = 3, 4
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LARGE = 180
_MEDIUM = 5
_HORIZON = timedelta(days=30 * 366)


class CronDaemon:
    """A simulated cron daemon with one job, on a host with the given time zone."""

    def __init__(self, expression: str, timezone: str) -> None:
        fields = _NAMED.get(expression.lower(), expression).lower().split()
        self._zone = ZoneInfo(timezone)
        self._fields = [_values(field, place) for place, field in enumerate(fields)]
        self._wild = fields[0].startswith("*") or fields[1].startswith("*")
        self._both = fields[2].startswith("*") or fields[4].startswith("*")
        self._virtual = 0

    def starts(self, after: datetime) -> Iterator[datetime]:
        """Yield the minutes after an instant in which cron starts the job, for thirty years."""
        now = after.astimezone(UTC).replace(second=0, microsecond=0)
        self._virtual = self._local(now)
        end = now + _HORIZON
        while now < end:
            later = now + _DAY
            quiet = self._virtual == self._local(now) and self._offset(now) == self._offset(later)
            yield from self._quiet_day(now) if quiet else self._minutes(now, later)
            now = later

    def _quiet_day(self, now: datetime) -> Iterator[datetime]:
        """Yield the matching minutes of the 24 hours after this minute, in which the offset doesn't change."""
        first, offset = self._local(now), self._offset(now)
        for day in (0, 1):
            midnight = (first // 1440 + day) * 1440
            if not self._day_matches(midnight):
                continue
            for hour in sorted(self._fields[1]):
                for minute in sorted(self._fields[0]):
                    at = midnight + hour * 60 + minute
                    if first < at <= first + 1440:
                        yield datetime.fromtimestamp(at * 60, UTC) - offset
        self._virtual = first + 1440

    def _minutes(self, now: datetime, until: datetime) -> Iterator[datetime]:
        while now < until:
            now += _MINUTE
            if self._wakes(self._local(now)):
                yield now

    def _wakes(self, running: int) -> bool:
        """Tell whether cron starts the job in this minute, by the four kinds of wake-up in its main()."""
        passed = running - self._virtual
        if passed == 1 or not -_LARGE <= passed <= _LARGE:
            self._virtual = running
            return self._matches(running)
        if passed <= 0:
            return self._wild and self._matches(running)
        skipped = range(self._virtual + 1, running + 1)
        self._virtual = running
        if passed <= _MEDIUM or not self._wild:
            return any(self._matches(minute) for minute in skipped)
        return self._matches(running)

    def _matches(self, minute: int) -> bool:
        in_hour = minute % 60 in self._fields[0]
        return in_hour and minute // 60 % 24 in self._fields[1] and self._day_matches(minute)

    def _day_matches(self, minute: int) -> bool:
        day = datetime.fromtimestamp(minute * 60, UTC)
        by_day, by_weekday = day.day in self._fields[2], day.isoweekday() % 7 in self._fields[4]
        return day.month in self._fields[3] and (by_day and by_weekday if self._both else by_day or by_weekday)

    def _local(self, instant: datetime) -> int:
        """Return the local time as minutes since 1970, read as if it were UTC."""
        return int((instant + self._offset(instant)).timestamp()) // 60

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self._zone).utcoffset() or timedelta(0)


def _values(field: str, place: int) -> set[int]:
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        low, high = _RANGES[place]
        first, dash, last = span.partition("-")
        if span != "*":
            low = _number(first, place)
            high = _number(last, place) if dash else high if step else low
        if place == _WEEKDAY and dash and high == 0 and low > 0:
            high = 7
        found.update(range(low, high + 1, int(step or 1)))
    return {value % 7 for value in found} if place == _WEEKDAY else found


def _number(text: str, place: int) -> int:
    names = _NAMES.get(place, [])
    return names.index(text) + (place == _MONTH) if text in names else int(text)
