"""Compute the next due times of one schedule, with the effects of clock changes on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cronq.schedules.rule import DROPPED, MOVED, ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.schedules.rule import Doubt, Rule

AT_ONCE = 1000
"""The number of due times that are computed before the first of them is yielded."""

_LONGEST_REPEAT = timedelta(days=1)
_LAST = datetime.max.replace(tzinfo=UTC) - _LONGEST_REPEAT
_SENTENCES = {
    MOVED: "the clocks skip {local}: due when they go on",
    DROPPED: "the clocks skip {local} with 3 hours or more: not due",
    ONCE: "the clocks show {local} twice: due the first time only",
}


class Foreseen(NamedTuple):
    """One due time, or a local time that gives none: then `due` is None."""

    due: datetime | None
    change: str | None = None
    """The effect of a clock change: "moved", "dropped" or "once"; None without one."""
    instead_of: tuple[datetime, ...] = ()
    """The local times that the clocks skip or repeat."""

    @property
    def note(self) -> str:
        """The effect of the clock change in words; empty without one."""
        locals_ = ", ".join(f"{local:%H:%M}" if not local.second else f"{local:%H:%M:%S}" for local in self.instead_of)
        return "" if self.change is None else _SENTENCES[self.change].format(local=locals_)


def foresee(rule: Rule, after: datetime, *, count: int) -> Iterator[Foreseen]:
    """Yield the next `count` due times strictly after an instant, and the local times among them that give none."""
    following = islice(rule.following(after), count)
    while due := list(islice(following, AT_ONCE)):
        yield from _noted(rule, after, due)
        after = due[-1]


def _noted(rule: Rule, after: datetime, due: Sequence[datetime]) -> list[Foreseen]:
    doubts = list(rule.doubts(after, min(due[-1], _LAST) + _LONGEST_REPEAT))
    foreseen = {instant: Foreseen(instant) for instant in due}
    dropped: dict[datetime, Foreseen] = {}
    for doubt in doubts:
        if doubt.kind == DROPPED and doubt.at <= due[-1]:
            _note(dropped, doubt, Foreseen(None, DROPPED))
        elif doubt.kind != DROPPED and doubt.at in foreseen:
            _note(foreseen, doubt, foreseen[doubt.at])
    # At one instant, the local times that a clock change drops come before the due time after it.
    order = sorted(
        [(instant, 0, one) for instant, one in dropped.items()]
        + [(instant, 1, one) for instant, one in foreseen.items()],
        key=lambda entry: entry[:2],
    )
    return [one for _, _, one in order]


def _note(into: dict[datetime, Foreseen], doubt: Doubt, plain: Foreseen) -> None:
    before = into.get(doubt.at, plain)
    into[doubt.at] = before._replace(change=doubt.kind, instead_of=(*before.instead_of, doubt.local))
