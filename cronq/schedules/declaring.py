"""Declare schedules: store a host's declarations where they differ from those that it made before.

A host that declares the same as before changes nothing. So of two deploys the later one holds, and a host
with older code doesn't overwrite a newer definition.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from cronq.errors import ConfigError
from cronq.model.schedule import EVERY_HOST, Declaration, StoredSchedule, Timing
from cronq.schedules.deciding import Planner
from cronq.schedules.definition import Definition, hash_of
from cronq.schedules.firing import Firing, is_outdated
from cronq.storage.declarations import is_fresh
from cronq.system.log import log
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.store import Store

HOUR = 3600 * SECOND
DAY = 24 * HOUR
KEPT = 90 * DAY
"""Microseconds for which rows are kept: schedules that no host declares, old declarations, and decisions."""


class Declaring:
    """Stores the declarations of one host, and changes the rows of schedules by them.

    `source` is where the definitions come from. With `for_all` they are declared for every host.
    """

    def __init__(self, store: Store, firing: Firing, *, source: str, for_all: bool = False) -> None:
        self._store = store
        self._schedules = store.schedules
        self._declarations = store.schedules.declarations
        self._firing = firing
        self._source = source
        self._for_all = for_all
        self._host = EVERY_HOST if for_all else os.uname().nodename

    def declare(self, definitions: Sequence[Definition], *, anew: bool = False) -> list[str]:
        """Declare all schedules of this host; returns the names of the schedules that changed.

        `anew` also restores what was removed or changed elsewhere, although this host declares the same as before.
        """
        now = self._store.tell_time()
        said, fresh = self._declarations.of(self._host), self._fresh_hashes(now)
        there = {schedule.name: schedule for schedule in self._schedules.all()}
        changed = [
            one.name
            for one in definitions
            if (anew or self._differs(one, said.get(one.name)) or _stands_alone(one, there.get(one.name), fresh))
            and self._say(one, said.get(one.name), now)
        ]
        names = {one.name for one in definitions}
        gone = [name for name, one in said.items() if name not in names and one.source == self._source]
        self._declarations.withdraw(self._host, gone)
        self._declarations.withdraw_others(self._host) if self._for_all else self._declarations.withdraw_all(EVERY_HOST)
        seen = [one.seen_at for one in said.values() if one.name in names]
        waiting = [one for one in there.values() if one.next_at is not None]
        forgotten = [one for one in waiting if one.name not in {*fresh, *names} or self._is_outdated(one)]
        if anew or changed or gone or forgotten or min(seen, default=now) < now - HOUR // 2:
            self._declarations.see(self._host, sorted(names), now)
            changed += self._keep(now)
        return changed

    def _differs(self, definition: Definition, before: Declaration | None) -> bool:
        return before is None or before.definition_hash != definition.hash

    def _fresh_hashes(self, now: int) -> dict[str, set[str]]:
        """Return the hashes of the definitions that hosts seen within a day declare, by the schedule's name."""
        fresh: dict[str, set[str]] = {}
        for one in self._declarations.all():
            if is_fresh(one, now - DAY):
                fresh.setdefault(one.name, set()).add(one.definition_hash)
        return fresh

    def _say(self, definition: Definition, before: Declaration | None, now: int) -> bool:
        """Store the declaration, and change the schedule to it; returns whether that changed the schedule."""
        since = now if before is None or self._differs(definition, before) else before.declared_at
        declaration = Declaration(self._host, definition.name, definition.hash, self._source, now, since)
        while True:
            stored = self._schedules.get(definition.name) or self._renamed(definition)
            if stored is None:
                timing = self._planner(definition, None).timing(now)
                if self._declarations.add(declaration, definition.json, timing):
                    return True
                continue
            if stored.definition == definition.json and (stored.next_at is not None or not definition.enabled):
                self._declarations.declare(declaration)
                return False
            self._firing.fire(stored.name, now)
            stored = self._schedules.get(definition.name) or stored
            timing = self._planner(definition, stored).timing(max(now, stored.last_at or now))
            if self._declarations.change(declaration, stored, definition.json, timing):
                return stored.definition != definition.json or stored.next_at != timing.next_at

    def _renamed(self, definition: Definition) -> StoredSchedule | None:
        """Rename the schedule that has the definition's former name, and return it; None if there is none."""
        if definition.was is None or not self._declarations.rename(definition.was, definition.name):
            return None
        return self._schedules.get(definition.name)

    def _planner(self, definition: Definition, stored: StoredSchedule | None) -> Planner:
        row = stored or StoredSchedule(definition.name, definition.json, *[None] * 8)
        return Planner(row, definition, self._firing.look(self._store.clock.now()))

    # Schedules that no host declares any more, and old rows

    def _keep(self, now: int) -> list[str]:
        """Retire schedules that no host declares, recompute those of older time zone data, delete old rows.

        Returns the names of the retired schedules, which have no due times any more.
        """
        declared = set(self._fresh_hashes(now))
        retired = []
        for schedule in self._schedules.all():
            if schedule.name not in declared:
                retired += self._retire(schedule, now)
            elif self._is_outdated(schedule):
                self._recompute(schedule)
        self._declarations.forget(before=now - KEPT)
        self._schedules.prune(before=now - KEPT)
        return retired

    def _retire(self, schedule: StoredSchedule, now: int) -> list[str]:
        if schedule.next_at is None:
            if (schedule.last_at or now) < now - KEPT:
                self._schedules.remove(schedule.name)
            return []
        self._firing.fire(schedule.name, now)
        schedule = self._schedules.get(schedule.name) or schedule
        timing = (None, None, max(now, schedule.last_at or now), schedule.tz_version)
        if not self._schedules.set_times(schedule, Timing(*timing)):
            return []
        log.info("schedule %s: no host declares it any more", schedule.name)
        return [schedule.name]

    def _is_outdated(self, schedule: StoredSchedule) -> bool:
        return is_outdated(schedule, self._firing.tz_version)

    def _recompute(self, schedule: StoredSchedule) -> None:
        if schedule.next_at is None or schedule.last_at is None:
            return
        with suppress(ConfigError):  # a newer cronq wrote it, or this host doesn't know its zone
            definition = Definition.from_json(schedule.name, schedule.definition)
            self._schedules.set_times(schedule, self._planner(definition, schedule).timing(schedule.last_at))


def _stands_alone(definition: Definition, stored: StoredSchedule | None, fresh: dict[str, set[str]]) -> bool:
    """Tell whether the schedule has no due times though it should, or a definition that no host declares any more."""
    if stored is None:
        return False
    if stored.next_at is None and definition.enabled:
        return True
    return stored.definition != definition.json and hash_of(stored.definition) not in fresh.get(definition.name, set())
