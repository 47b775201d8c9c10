"""Change one schedule on a person's request: run it now, replay, pause, resume, reset, remove."""

from __future__ import annotations

from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING

from cronq.errors import InvalidInput
from cronq.model.schedule import Decision, Due, Timing
from cronq.schedules.deciding import Planner, newest, without
from cronq.schedules.declaring import DAY
from cronq.schedules.definition import Definition
from cronq.schedules.firing import Firing
from cronq.schedules.zones import Zone
from cronq.storage.declarations import is_fresh
from cronq.times import from_datetime, parse_when, to_datetime

if TYPE_CHECKING:
    from cronq.model.job import NewJob
    from cronq.model.schedule import Decided, StoredSchedule
    from cronq.store import Store

MOST = 10_000
"""The most due times that one call replays."""


class ByHand:
    """The changes that a person can make to one stored schedule. Each raises InvalidInput if none has this name."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._schedules = store.schedules
        self._firing = Firing(store)
        self.name = name

    @cached_property
    def definition(self) -> Definition:
        """The stored definition.

        Raises ConfigError if this host can't read it; the schedule can still be paused and removed.
        """
        return Definition.from_json(self.name, self._stored().definition)

    def _stored(self) -> StoredSchedule:
        stored = self._schedules.get(self.name)
        if stored is None:
            raise self._missing()
        return stored

    def _missing(self) -> InvalidInput:
        return InvalidInput(f"there is no schedule {self.name!r}")

    def instant(self, written: str, *, what: str) -> int:
        """Return the instant that a person wrote; without an offset it is a local time of the schedule's zone.

        Raises InvalidInput naming `what`.
        """
        return parse_when(written, now=self._store.tell_time(), what=what, zone=Zone(self.definition.timezone))

    def run(self, *, force: bool) -> Decided:
        """Enqueue its job now, paused or not; with `force` also if `overlap` is "skip" and a job is unfinished.

        Returns the row of the ledger; its outcome is "skipped" if an unfinished job kept this one out.
        """
        job = self.definition.job()
        if force and self.definition.overlap == "skip":
            job = job._replace(key=None, unique=False)
        instant = self._store.tell_time()
        while not (rows := self._enqueue([instant], job, "run by hand")):  # the ledger has a job of this microsecond
            instant += 1
        return rows[0]

    def due_between(self, start: int, end: int) -> list[int]:
        """Return the due times between two instants, both included, without an enqueued job.

        Raises InvalidInput if there are more than `MOST`.
        """
        enqueued = self._schedules.enqueued(self.name, since=start, until=end + 1)
        times = map(from_datetime, self.definition.rule().due_between(to_datetime(start - 1), to_datetime(end)))
        due = list(islice((instant for instant in times if instant not in enqueued), MOST + 1))
        if len(due) > MOST:
            raise InvalidInput(f"schedule {self.name!r}: expected a span with at most {MOST:,} due times without a job")
        return due

    def replay(self, start: int, end: int) -> list[Decided]:
        """Enqueue the jobs of the due times between two instants that have none yet, oldest first.

        They run one after another unless `overlap` is "allow". Returns the rows of the ledger. Raises InvalidInput
        for more than `MOST` jobs.
        """
        return self._replay(self.due_between(start, end))

    def _replay(self, instants: list[int]) -> list[Decided]:
        job = self.definition.job()
        if self.definition.overlap == "skip":  # its unique key would keep out all but the first
            job = job._replace(key=None, unique=False, group=job.group or f"schedule:{self.name}")
        return self._enqueue(instants, job, "replayed")

    def _enqueue(self, instants: list[int], job: NewJob, reason: str) -> list[Decided]:
        dues = [Due(instant, job, max(0, self._store.clock.now() - instant)) for instant in instants]
        stored, definition = self._stored(), self.definition
        timing = Timing(stored.next_at, stored.due_at, stored.last_at, stored.tz_version)
        decision = Decision(timing, partial(without, definition.rule()), tuple(dues), zone=definition.timezone)
        return self._schedules.enqueue(stored, decision, reason=reason)

    def pause(self, *, until: int | None, by: str, reason: str | None) -> None:
        """Skip its due times from now on, up to `until` if it is given; due times up to now are decided first."""
        self._firing.fire(self.name, self._store.tell_time())
        if not self._schedules.pause(self.name, until=until, by=by, reason=reason):
            raise self._missing()

    def resume(self, *, catch_up: bool) -> list[Decided]:
        """End its pause; with `catch_up`, enqueue jobs of due times that it skipped.

        These are the latest one, or if the definition's `catch_up` is "all" the latest `catch_up_max`. Returns their
        rows of the ledger. Raises InvalidInput if the schedule isn't paused.
        """
        now = self._store.tell_time()
        self._firing.fire(self.name, now)  # due times up to now belong to the pause
        paused_at = self._stored().paused_at
        if not self._schedules.resume(self.name) or paused_at is None:
            raise InvalidInput(f"schedule {self.name!r} is not paused")
        if not catch_up:
            return []
        number = self.definition.catch_up_max if self.definition.catch_up == "all" else 1
        return self._replay(self._newest_without_job(paused_at, now, number))

    def _newest_without_job(self, start: int, end: int, number: int) -> list[int]:
        enqueued = self._schedules.enqueued(self.name, since=start, until=end + 1)
        times = newest(self.definition.rule(), to_datetime(start - 1), to_datetime(end), number + len(enqueued))
        return [instant for instant in map(from_datetime, times) if instant not in enqueued][-number:]

    def reset(self) -> None:
        """Compute its times anew: its next due time is the first one after now, even if a later one is decided."""
        while True:
            now, stored = self._store.tell_time(), self._stored()
            timing = Planner(stored, self.definition, self._firing.look(now)).timing(now)
            if self._schedules.set_times(stored, timing):
                return

    def remove(self) -> None:
        """Delete the schedule with its ledger. Raises InvalidInput while a host declares it."""
        since = self._store.tell_time() - DAY
        hosts = [
            one.host for one in self._schedules.declarations.all() if one.name == self.name and is_fresh(one, since)
        ]
        if hosts:
            raise InvalidInput(
                f"schedule {self.name!r} is declared by {', '.join(hosts)}: remove it there first, or pause it"
            )
        if not self._schedules.remove(self.name):
            raise self._missing()
