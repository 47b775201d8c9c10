"""Decide which due times of one schedule give a job, and which don't, and why.

Pure: computes a Decision from the row as it was read, the definition and the instant.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.schedule import MISSED, SKIPPED, Decided, Decision, Due, Timing
from cronq.schedules.rule import DROPPED, jitter
from cronq.times import SECOND, from_datetime, span, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cronq.model.job import NewJob
    from cronq.model.schedule import StoredSchedule
    from cronq.schedules.definition import Definition
    from cronq.schedules.rule import Rule

ON_TIME = 300 * SECOND
"""Microseconds after its due time within which a decision is on time."""

COUNTED = 10_000
"""The most missed due times that are counted; with more of them, the count is a lower bound."""

_TICK = timedelta(microseconds=1)


class Look(NamedTuple):
    """The instant and the host of a decision, and the data by which the host computes due times."""

    now: int
    host: str
    tz_version: str
    installation: str


class Planner:
    """Computes and decides the due times of one schedule, as its row was read."""

    def __init__(self, schedule: StoredSchedule, definition: Definition, look: Look) -> None:
        self.rule: Rule = definition.rule()
        self._schedule = schedule
        self._definition = definition
        self._look = look
        self._delay = round(jitter(schedule.name, look.installation, definition.jitter) * SECOND)

    # When it is due next

    def timing(self, after: int) -> Timing:
        """Return the times with the first due time strictly after this instant, which becomes the watermark."""
        if not self._definition.enabled:
            return Timing(None, None, after, self._look.tz_version)
        return self._timing(after, self.rule.next_after(to_datetime(after)))

    def _timing(self, after: int, following: datetime | None) -> Timing:
        if following is None:
            return Timing(None, None, after, self._look.tz_version)
        return Timing(from_datetime(following), self._delayed(following), after, self._look.tz_version)

    def _delayed(self, due: datetime) -> int:
        """Return the due time plus the jitter, at most until one second before the next due time."""
        instant = from_datetime(due)
        following = self.rule.next_after(due) if self._delay else None
        if following is None:
            return instant + self._delay
        return max(instant, min(instant + self._delay, from_datetime(following) - SECOND))

    # What is decided now

    def decide(self, job: NewJob) -> Decision:
        """Decide every due time up to now; `job` is enqueued for those that give one."""
        first = self._first()
        last = max(first, to_datetime(self._look.now - self._delay))
        following = self.rule.next_after(first)
        if following is None or following > last:
            return self._decide_one(first, following, job)
        return self._decide_all(first, last, job)

    def _decide_one(self, first: datetime, following: datetime | None, job: NewJob) -> Decision:
        """Decide the only due time that is to be decided, which is the usual case."""
        due, until = self._due(first, job), self._paused_until(first)
        passed = []
        if until is not None and first <= until:
            passed = [self._row(due.fire_at, due.fire_at, 1, SKIPPED, self._pause_in_words())]
        elif due.late > self._patience():
            passed = self._missed(first - _TICK, first)
        dropped = self._dropped(first, taken={due.fire_at})
        timing = self._timing(due.fire_at, following)
        return self._decision(timing, () if passed else (due,), (*passed, *dropped))

    def _patience(self) -> float:
        """Return the microseconds after which a due time gives no job any more; infinite without a window."""
        window = self._definition.catch_up_window
        if window is None:
            return math.inf
        return max(ON_TIME, window * SECOND) if self._definition.catch_up == "latest" else window * SECOND

    def _decide_all(self, first: datetime, last: datetime, job: NewJob) -> Decision:
        skipped_until = self._paused_until(last)
        passed: list[Decided] = []
        if skipped_until is not None:
            passed += self._run(first - _TICK, skipped_until, SKIPPED, self._pause_in_words())
        after = first - _TICK if skipped_until is None else skipped_until
        chosen = self._chosen(after, last)
        passed += self._missed(after, chosen[0] - _TICK if chosen else last)
        due = tuple(self._due(instant, job) for instant in chosen)
        passed += self._dropped(last, taken={*(one.fire_at for one in due), *(row.fire_at for row in passed)})
        watermark = max([one.fire_at for one in due] + [row.fire_at for row in passed] + [from_datetime(first)])
        return self._decision(self.timing(watermark), due, tuple(passed))

    def _decision(self, timing: Timing, due: tuple[Due, ...], passed: tuple[Decided, ...]) -> Decision:
        room = self._definition.catch_up_max if self._definition.overlap == "queue" else None
        return Decision(timing, partial(without, self.rule), due, passed, self._definition.timezone, room)

    def _first(self) -> datetime:
        assert self._schedule.next_at is not None
        return to_datetime(self._schedule.next_at)

    def _paused_until(self, last: datetime) -> datetime | None:
        """Return the instant up to which due times are skipped because of a pause; None without one."""
        if self._schedule.is_paused(self._look.now):
            return last
        if self._schedule.paused_at is None or self._schedule.paused_until is None:
            return None
        return min(last, to_datetime(self._schedule.paused_until) - _TICK)

    def _pause_in_words(self) -> str:
        why = f": {self._schedule.reason}" if self._schedule.reason else ""
        return f"paused by {self._schedule.paused_by}{why}"

    def _chosen(self, after: datetime, last: datetime) -> list[datetime]:
        """Return the due times that give a job, oldest first."""
        definition, window = self._definition, self._definition.catch_up_window
        opens = after if window is None else max(after, self._ago(window) - _TICK)
        late_until = self._ago(ON_TIME / SECOND) - _TICK
        if definition.catch_up == "none" or (definition.catch_up == "latest" and not self._any(after, late_until)):
            if definition.catch_up == "latest":
                opens = after
            return list(islice(self.rule.due_between(opens, last), COUNTED))
        return newest(self.rule, opens, last, 1 if definition.catch_up == "latest" else definition.catch_up_max)

    def _ago(self, seconds: float) -> datetime:
        """Return the instant of the oldest due time that, with its jitter, was due at most this many seconds ago."""
        return to_datetime(self._look.now - self._delay - round(seconds * SECOND))

    def _any(self, after: datetime, until: datetime) -> bool:
        return until > after and next(self.rule.due_between(after, until), None) is not None

    def _due(self, instant: datetime, job: NewJob) -> Due:
        fire_at = from_datetime(instant)
        return Due(fire_at, job, max(0, self._look.now - fire_at - self._delay))

    def _missed(self, after: datetime, until: datetime) -> list[Decided]:
        late = (self._look.now - self._delay - from_datetime(after + _TICK)) / SECOND
        return self._run(after, until, MISSED, f"nothing looked for {span(max(0.0, late))} after it was due")

    def _run(self, after: datetime, until: datetime, outcome: str, reason: str) -> list[Decided]:
        """Return one row for all due times after an instant and up to another one; none without due times."""
        counted = _counted(self.rule, after, until)
        return [self._row(*counted, outcome, reason)] if counted else []

    def _dropped(self, last: datetime, *, taken: set[int]) -> list[Decided]:
        """Return rows for the local times since the watermark that a clock change of 3 h or more dropped."""
        watermark = self._schedule.last_at
        after = to_datetime(watermark) if watermark is not None else self._first() - _TICK
        gone: dict[int, list[datetime]] = {}
        for doubt in self.rule.doubts(after, last):
            if doubt.kind == DROPPED:
                gone.setdefault(from_datetime(doubt.at), []).append(doubt.local)
        rows = []
        for at, locals_ in gone.items():
            instant = at - 1 if at in taken else at
            reason = f"a change of local time skipped {locals_[0].isoformat(' ')}"
            rows.append(self._row(instant, instant, len(locals_), SKIPPED, reason))
        return rows

    def _row(self, fire_at: int, since: int, times: int, outcome: str, reason: str) -> Decided:
        late = max(0, self._look.now - fire_at - self._delay)
        return Decided(
            self._schedule.name, fire_at, since, times, outcome, reason, None, late, self._look.host, self._look.now
        )


def without(rule: Rule, run: Decided, instants: Iterable[int]) -> list[Decided]:
    """Return a run of the ledger without these due times: one row for each part that is left, oldest first.

    Of a run by another rule, as after a change of the schedule, one row is left with the number of the others.
    """
    taken = sorted(instant for instant in set(instants) if _is_in(run, instant, rule))
    if not taken:
        return [run]
    gaps = zip([run.since - 1, *taken], [*(instant - 1 for instant in taken), run.fire_at], strict=True)
    counted = [_counted(rule, to_datetime(after), to_datetime(until)) for after, until in gaps]
    parts = [_part(run, *part) for part in counted if part]
    number = sum(part.times for part in parts) + len(taken)
    if number == run.times or number > run.times >= COUNTED:
        return parts
    last = run.fire_at - (run.fire_at in taken)  # another row has this due time
    left = run.times - len(taken)
    return [_part(run, last, min(run.since, last), left)] if left > 0 else []


def _is_in(run: Decided, instant: int, rule: Rule) -> bool:
    if not run.since < instant < run.fire_at:
        return instant in (run.since, run.fire_at)
    return next(rule.due_between(to_datetime(instant - 1), to_datetime(instant)), None) is not None


def _part(run: Decided, fire_at: int, since: int, times: int) -> Decided:
    return run._replace(fire_at=fire_at, since=since, times=times, late=run.late + run.fire_at - fire_at)


def _counted(rule: Rule, after: datetime, until: datetime) -> tuple[int, int, int] | None:
    """Return the last and the first due time after an instant and up to another one, and how many; None for none."""
    times = list(islice(rule.due_between(after, until), COUNTED + 1)) if until > after else []
    if not times:
        return None
    last = times[-1] if len(times) <= COUNTED else newest(rule, after, until, 1)[-1]
    return from_datetime(last), from_datetime(times[0]), min(len(times), COUNTED)


def newest(rule: Rule, after: datetime, until: datetime, count: int) -> list[datetime]:
    """Return the last `count` due times after an instant and up to another one, oldest first.

    The search begins at the end: a rule of every second has more than a million due times in two weeks.
    """
    reach = timedelta(minutes=1)
    while True:
        start = max(after, until - reach) if until - after > reach else after
        found: Sequence[datetime] = list(rule.due_between(start, until))
        if len(found) >= count or start <= after:
            return list(found[-count:])
        reach *= 4
