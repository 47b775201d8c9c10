"""Define the rule of a schedule: its due times as instants, by cron expressions in a time zone or by an interval."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import ConfigError
from cronq.schedules.expression import Expression
from cronq.schedules.zones import Zone, tzdata_version
from cronq.times import exact_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Doubt", "Rule", "jitter", "tzdata_version"]

CORRECTION = timedelta(hours=3)
"""A clock change of this size or more drops the local times it skips, as cron(8) does; a smaller one moves them."""

MOVED, DROPPED, ONCE = "moved", "dropped", "once"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_SHORTEST = 1.0
_LONGEST = 1e10


class Doubt(NamedTuple):
    """A fixed local time that a clock change skips or repeats.

    `kind`: "moved" to the first instant after the gap; "dropped", because the change is one of 3 h or more;
    "once": due the first time (`at`), not again the second time.
    """

    kind: str
    local: datetime
    at: datetime


class Rule:
    """The rule by which a schedule is due. Made by `parse`; instants are aware datetimes in UTC."""

    __slots__ = ("end", "every", "expressions", "start", "zone")

    def __init__(self, zone: Zone, expressions: tuple[Expression, ...], every: timedelta | None) -> None:
        self.zone = zone
        self.expressions = expressions
        self.every = every
        self.start: datetime | None = None
        self.end: datetime | None = None

    @classmethod
    def parse(
        cls,
        crons: Sequence[str] = (),
        every: float | None = None,
        *,
        timezone: str = "UTC",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Rule:
        """Return the rule of cron expressions, or of an interval in seconds, from `start` to `end` (both included).

        `start` and `end` without an offset are local times of the zone. Raises ConfigError naming what was expected
        for a bad expression, zone or interval, and for a rule without a due time.
        """
        crons = (crons,) if isinstance(crons, str) else tuple(crons)
        if bool(crons) == (every is not None):
            raise ConfigError("expected either cron, with at least one expression, or every")
        rule = cls(Zone(timezone), tuple(Expression(cron) for cron in crons), _interval(every))
        rule.start, rule.end = rule._instant(start), rule._instant(end)
        if rule.end and rule.next_after((rule.start or rule.end - timedelta(days=40 * 366)) - _TICK) is None:
            raise ConfigError(f"end {end}: expected a time with a due time before it, this rule never comes true")
        return rule

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due time strictly after the instant; None if there is none."""
        return next(self.following(instant), None)

    def following(self, after: datetime) -> Iterator[datetime]:
        """Yield the due times strictly after the instant, oldest first, mostly without an end."""
        if self.start:
            after = max(after, self.start - _TICK)
        after = after.astimezone(UTC)
        last = after
        try:
            for due in self._all(after):
                if self.end and due > self.end:
                    return
                if due > last:
                    yield due
                    last = due
        except OverflowError:  # the end of the calendar
            return

    def due_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the due times strictly after the one instant and up to the other, oldest first."""
        for due in self.following(after):
            if due > until:
                return
            yield due

    def doubts(self, after: datetime, until: datetime) -> Iterator[Doubt]:
        """Yield the fixed local times that clock changes skip or repeat, after the one instant and up to the other."""
        fixed = [expression for expression in self.expressions if not expression.follows_clock]
        for change in self.zone.changes(after, until) if fixed else ():
            low, high = sorted((change.local_before, change.local_after))
            for local in sorted({local for expression in fixed for local in expression.between(low, high)}):
                if change.gap < timedelta(0):
                    yield Doubt(ONCE, local, (local - change.before).replace(tzinfo=UTC))
                else:
                    yield Doubt(MOVED if change.gap < CORRECTION else DROPPED, local, change.at)

    def words(self) -> str:
        """Return the rule in words: `At 02:30 every day, Europe/Prague`."""
        if self.every is not None:
            return f"Every {exact_span(self.every // _TICK)}"
        return f"{'; '.join(expression.words() for expression in self.expressions)}, {self.zone.name}"

    def _instant(self, given: datetime | None) -> datetime | None:
        if given is None:
            return None
        return given.astimezone(UTC) if given.tzinfo else self.zone.first_instant(given)

    def _all(self, after: datetime) -> Iterator[datetime]:
        if self.every is not None:
            return _intervals(after, self.every, self.start or _EPOCH)
        each = [self._clock(one, after) if one.follows_clock else self._fixed(one, after) for one in self.expressions]
        return each[0] if len(each) == 1 else heapq.merge(*each)

    def _fixed(self, expression: Expression, after: datetime) -> Iterator[datetime]:
        # The instants never decrease: a repeated local time gives its first instant, a skipped one the gap's end.
        for local in expression.after(self.zone.local(after)):
            instant = self.zone.if_shown(local, longest_gap=CORRECTION)
            if instant is not None:
                yield instant

    def _clock(self, expression: Expression, after: datetime) -> Iterator[datetime]:
        locals_ = expression.after(self.zone.local(after))
        offset = self.zone.offset(after)
        local = next(locals_, None)
        while local is not None:
            instant = (local - offset).replace(tzinfo=UTC)
            change = next(self.zone.changes(after, instant), None)
            if change is not None:
                # After this change the offset is another one, and local times may be earlier than before it.
                after, offset = change.at, change.after
                locals_ = expression.after(change.local_after - _SECOND)
            else:
                yield instant
                after = instant
            local = next(locals_, None)


def jitter(name: str, installation_id: str, seconds: float) -> float:
    """Return the seconds in [0, seconds) by which this schedule's jobs are delayed: always the same, on each host."""
    digest = sha256(f"{installation_id}\0{name}".encode()).digest()
    return int.from_bytes(digest[:6]) / (1 << 48) * seconds


def _interval(every: float | None) -> timedelta | None:
    if every is None:
        return None
    if not _SHORTEST <= every < _LONGEST:
        raise ConfigError(f"every {every}: expected a duration of at least 1 s such as 90s, 15m, 2h or 14d")
    return timedelta(seconds=every)


def _intervals(after: datetime, every: timedelta, anchor: datetime) -> Iterator[datetime]:
    due = anchor + ((after - anchor) // every + 1) * every
    while True:
        yield due
        due += every
