"""Simulate all schedules over a span of time: load by the hour, full minutes, overlaps, doubtful times."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import ConfigError, InvalidInput
from cronq.schedules.definition import KEYS, Definition, require_sense
from cronq.schedules.rule import jitter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cronq.schedules.rule import Doubt

_HOUR = timedelta(hours=1)
_MOST = 1_000_000
"""The most due times that are simulated, of all schedules together."""

_FULLEST = 10
_SETTABLE = ("cron", "every", "timezone", "jitter", "overlap", "start", "end", "enabled")


class SimulatedSchedule(NamedTuple):
    """One schedule, and the mean duration of its jobs; 0 if it isn't known."""

    definition: Definition
    duration: timedelta = timedelta(0)


class Overlap(NamedTuple):
    """Due times of a schedule at which an earlier job of it will still be running, by the mean duration."""

    definition: Definition
    times: int
    first: datetime


class Simulation:
    """The due times of all schedules from one instant up to another; raises InvalidInput where there are too many."""

    def __init__(
        self, schedules: Sequence[SimulatedSchedule], start: datetime, until: datetime, *, installation: str = ""
    ) -> None:
        self.jobs: Counter[str] = Counter()
        """The number of jobs of each schedule."""
        self.hours: dict[datetime, int] = {}
        """The number of jobs that start in each hour."""
        self.busy: dict[datetime, timedelta] = {}
        """The time that jobs run in each hour, all together."""
        self.overlaps: list[Overlap] = []
        self.doubts: list[tuple[str, Doubt]] = []
        self._minutes: Counter[datetime] = Counter()
        self._start, self._until = start, until
        self._installation = installation
        hour = start.replace(minute=0, second=0, microsecond=0)
        while hour <= until:
            self.hours[hour], self.busy[hour] = 0, timedelta(0)
            hour += _HOUR
        for schedule in schedules:
            if schedule.definition.enabled:
                self._run(schedule)

    @property
    def fullest(self) -> list[tuple[datetime, int]]:
        """The minutes in which the most jobs start, at most ten, without those in which a single one does."""
        return [(minute, jobs) for minute, jobs in self._ranked() if jobs > 1]

    def _ranked(self) -> list[tuple[datetime, int]]:
        return sorted(self._minutes.items(), key=lambda entry: (-entry[1], entry[0]))[:_FULLEST]

    def _run(self, schedule: SimulatedSchedule) -> None:
        definition, rule = schedule.definition, schedule.definition.rule()
        delay = timedelta(seconds=jitter(definition.name, self._installation, definition.jitter))
        due = list(islice(rule.due_between(self._start - timedelta(microseconds=1), self._until), _MOST + 1))
        if self.jobs.total() + len(due) > _MOST:
            raise InvalidInput(f"--to: expected a shorter time, there are more than {_MOST:,} due times in this one")
        run = _ScheduleRun(schedule)
        for instant in due:
            starts = run.start(instant)
            if starts is not None:
                self.jobs[definition.name] += 1
                self._start_job(starts + delay, schedule.duration)
        if run.first is not None:
            self.overlaps.append(Overlap(definition, run.count, run.first))
        self.doubts += [(definition.name, doubt) for doubt in rule.doubts(self._start, self._until)]

    def _start_job(self, starts: datetime, duration: timedelta) -> None:
        hour = starts.replace(minute=0, second=0, microsecond=0)
        self._minutes[starts.replace(second=0, microsecond=0)] += 1
        if hour in self.hours:
            self.hours[hour] += 1
        ends = starts + duration
        while hour < ends and hour in self.busy:
            self.busy[hour] += min(ends, hour + _HOUR) - max(starts, hour)
            hour += _HOUR


class _ScheduleRun:
    """Simulates the jobs of one schedule, and counts the due times at which an earlier one still runs."""

    def __init__(self, schedule: SimulatedSchedule) -> None:
        self.count = 0
        """The number of due times with an earlier job still running."""
        self.first: datetime | None = None
        self._schedule = schedule
        self._ends: deque[datetime] = deque()

    def start(self, due: datetime) -> datetime | None:
        """Return the instant at which the job of this due time starts, by `overlap`; None if it is skipped."""
        while self._ends and self._ends[0] <= due:
            self._ends.popleft()
        starts = due
        if self._ends:
            self.count, self.first = self.count + 1, self.first or due
            if self._schedule.definition.overlap == "skip":
                return None
            if self._schedule.definition.overlap == "queue":
                starts = self._ends[-1]
        if self._schedule.duration:
            self._ends.append(starts + self._schedule.duration)
        return starts


def changed(definitions: Mapping[str, Definition], settings: Sequence[str]) -> dict[str, Definition]:
    """Return the definitions with the changes of `--set NAME.KEY=VALUE`. Raises InvalidInput."""
    found = dict(definitions)
    for text in settings:
        place, equals, value = text.partition("=")
        name, _, key = place.rpartition(".")
        if not equals or key not in _SETTABLE:
            raise InvalidInput(f"--set: expected NAME.KEY=VALUE with a key of {', '.join(_SETTABLE)}: got {text!r}")
        if name not in found:
            raise InvalidInput(
                f"--set: {name!r} is none of the schedules {', '.join(sorted(found)) or '(there are none)'}"
            )
        try:
            found[name] = _with(found[name], key, value)
        except ConfigError as error:
            raise InvalidInput(f"--set: {place}: {error}") from None
    return found


def _with(definition: Definition, key: str, value: str) -> Definition:
    checked: Any = KEYS[key].convert(KEYS[key].from_text(value), key=key, where=definition.name)
    instead: dict[str, dict[str, Any]] = {"cron": {"every": None}, "every": {"cron": ()}}
    given = replace(definition, **{key: checked, **instead.get(key, {})})
    require_sense(given)
    return given
