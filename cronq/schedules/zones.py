"""Convert local times to instants and back, and find the changes of a zone's offset."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND = timedelta(seconds=1)
_PROBE = timedelta(days=1)
"""The step of the search for changes: no two changes of a zone that cancel each other out are this close together."""

_LAST_YEAR = 9998


class Change(NamedTuple):
    """A change of a zone's offset: the first instant with the new offset, and both offsets."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def gap(self) -> timedelta:
        """The length of local time that is skipped; negative where local time is repeated."""
        return self.after - self.before

    @property
    def local_before(self) -> datetime:
        """The local time of the change by the old offset."""
        return (self.at + self.before).replace(tzinfo=None)

    @property
    def local_after(self) -> datetime:
        """The local time of the change by the new offset."""
        return (self.at + self.after).replace(tzinfo=None)


class Zone:
    """A time zone of the tz database, by its name. Raises ConfigError for a name that this host doesn't know."""

    __slots__ = ("_info", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            # UTC works also on a host without a tz database, such as a small container.
            self._info: tzinfo = UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
        except (LookupError, ValueError, OSError):
            raise ConfigError(f"timezone {name!r}: {_expected(name)}") from None

    def offset(self, instant: datetime) -> timedelta:
        """Return the time by which local time is ahead of UTC at the instant."""
        return _offset(self._info, instant)

    def local(self, instant: datetime) -> datetime:
        """Return the local time at the instant, without a zone."""
        return instant.astimezone(self._info).replace(tzinfo=None, fold=0)

    def aware(self, instant: datetime) -> datetime:
        """Return the instant as a datetime in this zone."""
        return instant.astimezone(self._info)

    def skipping(self, local: datetime) -> Change | None:
        """Return the change that skips this local time; None if the clocks show it."""
        early, late = self._offsets(local)
        if early >= late:
            return None
        return _first_change(self._info, (local - late).replace(tzinfo=UTC), (local - early).replace(tzinfo=UTC))

    def first_instant(self, local: datetime) -> datetime:
        """Return the instant of this local time: the first if it is repeated, the end of the gap if it is skipped."""
        change = self.skipping(local)
        return change.at if change else self._first(local)

    def if_shown(self, local: datetime, *, longest_gap: timedelta) -> datetime | None:
        """Return the same as `first_instant`, but None for a local time in a gap of `longest_gap` or more."""
        change = self.skipping(local)
        if change is None:
            return self._first(local)
        return change.at if change.gap < longest_gap else None

    def changes(self, after: datetime, until: datetime) -> Iterator[Change]:
        """Yield the changes after the one instant and up to the other, oldest first."""
        years = range(after.year, min(until.year, _LAST_YEAR) + 1)
        for year in years if self._info is not UTC else ():
            for change in _changes_in(self._info, year):
                if after < change.at <= until:
                    yield change

    def _first(self, local: datetime) -> datetime:
        return (local - self._offsets(local)[0]).replace(tzinfo=UTC)

    def _offsets(self, local: datetime) -> tuple[timedelta, timedelta]:
        aware = local.replace(tzinfo=self._info)
        return _known(aware.utcoffset()), _known(aware.replace(fold=1).utcoffset())


def tzdata_version() -> str:
    """Return the version of the tz database that is used, like 2026a; "unknown" if that has none."""
    for directory in zoneinfo.TZPATH:
        for file, begin in (("tzdata.zi", "# version "), ("+VERSION", "")):
            try:
                with (Path(directory) / file).open(encoding="utf-8") as stream:
                    return stream.readline().removeprefix(begin).strip()
            except OSError:
                continue
    try:
        import tzdata
    except ImportError:
        return "unknown"
    return str(tzdata.IANA_VERSION)


@lru_cache(maxsize=4096)
def _changes_in(info: tzinfo, year: int) -> tuple[Change, ...]:
    found = []
    here, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    while here < end:
        there = min(here + _PROBE, end)
        change = _first_change(info, here, there)
        if change is not None:
            found.append(change)
        here = change.at if change else there
    return tuple(found)


def _first_change(info: tzinfo, after: datetime, until: datetime) -> Change | None:
    """Find the change after the one instant and up to the other by bisection; both are full seconds.

    Returns None if the offset is the same at both.
    """
    before = _offset(info, after)
    if _offset(info, until) == before:
        return None
    while until - after > _SECOND:
        middle = after + (until - after) // _SECOND // 2 * _SECOND
        if _offset(info, middle) == before:
            after = middle
        else:
            until = middle
    return Change(until, before, _offset(info, until))


def _offset(info: tzinfo, instant: datetime) -> timedelta:
    return _known(instant.astimezone(info).utcoffset())


def _known(offset: timedelta | None) -> timedelta:
    return offset or timedelta(0)


def _expected(name: str) -> str:
    from difflib import get_close_matches

    known = zoneinfo.available_timezones()
    if not known:
        return "this host has no time zones: install the package tzdata, of the system or of Python"
    lower = {zone.lower(): zone for zone in known}
    near = get_close_matches(name.lower(), lower, n=1)
    meant = f"did you mean {lower[near[0]]!r}?" if near else "see `timedatectl list-timezones`"
    return f"expected the name of a time zone that this host knows, like Europe/Prague; {meant}"
