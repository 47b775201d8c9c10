"""Enqueue the jobs of schedules that are due, by the definitions in the database alone.

Every runner does the same; by the store, only one of them decides each due time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cronq.errors import CronqError, Unavailable
from cronq.model.schedule import ENQUEUED
from cronq.schedules.deciding import Look, Planner
from cronq.schedules.definition import Definition
from cronq.schedules.rule import tzdata_version
from cronq.schedules.unable import Unable
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.model.schedule import StoredSchedule
    from cronq.store import Store

_CHANCE = 120 * SECOND
"""Microseconds for which a host leaves a due time to hosts with newer time zone data, if it computes another one."""

_AT_ONCE = 500
"""The number of schedules that are read at once."""


class Firing:
    """Decides due times. A schedule that can't be fired on this host is logged once, as `unable` records."""

    def __init__(self, store: Store, unable: Unable | None = None) -> None:
        self._store = store
        self._unable = unable or Unable()
        self._host = os.uname().nodename
        self._installation: str | None = None
        self.tz_version = tzdata_version()
        """The version of this host's time zone data."""

    def look(self, now: int) -> Look:
        """Return the instant, with the data by which this host computes due times."""
        if self._installation is None:
            self._installation = self._store.schedules.installation()
        return Look(now, self._host, self.tz_version, self._installation)

    def fire_all(self, now: int) -> int:
        """Decide every due time up to an instant; returns the number of jobs enqueued."""
        jobs, refused = 0, set[str]()
        while True:
            rows = self._store.schedules.due(now, limit=_AT_ONCE + len(refused))
            rows = [row for row in rows if row.name not in refused]
            if not rows:
                return jobs
            for row in rows:
                fired = self._fire(row, now)
                jobs += fired or 0
                if fired is None:
                    refused.add(row.name)

    def fire(self, name: str, now: int) -> int:
        """Decide the due times of one schedule up to an instant; returns the number of jobs enqueued."""
        jobs = 0
        while True:
            row = self._store.schedules.get(name)
            if row is None or row.due_at is None or row.due_at > now:
                return jobs
            fired = self._fire(row, now)
            if fired is None:
                return jobs
            jobs += fired

    def _fire(self, row: StoredSchedule, now: int) -> int | None:
        """Decide the due times of one schedule; returns the number of jobs enqueued.

        The number is 0 also if only the next due time was computed anew, by newer time zone data. Returns None if
        this host can't decide them, or leaves them to others.
        """
        try:
            definition = Definition.from_json(row.name, row.definition)
            planner = Planner(row, definition, self.look(now))
            if self._leaves(row, planner, now):
                return None
            if is_outdated(row, self.tz_version):
                self._store.schedules.set_times(row, planner.timing(row.last_at or now))
                return 0
            decided = self._store.schedules.decide(row, planner.decide(definition.job()), host=self._host)
        except CronqError as error:
            if isinstance(error, Unavailable):
                raise
            self._unable.tell(row.name, str(error))
            return None
        self._unable.end(row.name)
        return sum(one.outcome == ENQUEUED for one in decided or ())

    def _leaves(self, row: StoredSchedule, planner: Planner, now: int) -> bool:
        """Tell whether the due time is left to hosts with newer time zone data, which computed another one."""
        if row.last_at is None or row.due_at is None or not is_newer(row, self.tz_version):
            return False
        return now - row.due_at < _CHANCE and planner.timing(row.last_at).next_at != row.next_at


def is_newer(row: StoredSchedule, tz_version: str) -> bool:
    """Tell whether its next due time was computed by newer time zone data than this."""
    return tz_version[:1].isdigit() and _known(row.tz_version) > tz_version


def is_outdated(row: StoredSchedule, tz_version: str) -> bool:
    """Tell whether its next due time was computed by older time zone data than this."""
    return tz_version[:1].isdigit() and row.last_at is not None and _known(row.tz_version) < tz_version


def _known(tz_version: str | None) -> str:
    return tz_version if tz_version and tz_version[:1].isdigit() else ""
