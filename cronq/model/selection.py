"""Define how jobs are selected: those that a runner may claim, and those that a command shows or changes."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import InvalidInput
from cronq.model.job import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Iterable


class Filter(NamedTuple):
    """The jobs that a runner may claim.

    `queues` are exact names and globs, in order of preference, and `!name` or `!glob` for queues to leave out; without
    any of the former, all other queues are admitted. With `weighted`, queues have the weights 1/rank. Priorities are
    inclusive.
    """

    queues: tuple[str, ...] = ()
    weighted: bool = False
    lowest: int = PRIORITIES.start
    highest: int = PRIORITIES.stop - 1

    def admitted(self, queues: Iterable[str]) -> list[str]:
        """Return those of the queues that this filter admits, in the order of preference."""
        ranked = [(self._rank(queue), queue) for queue in queues]
        return [queue for rank, queue in sorted(r for r in ranked if r[0] is not None)]

    def admits(self, queue: str) -> bool:
        """Tell whether this filter admits the queue."""
        return self._rank(queue) is not None

    def _rank(self, queue: str) -> int | None:
        wanted = [pattern for pattern in self.queues if not pattern.startswith("!")]
        if any(_matches(queue, pattern[1:]) for pattern in self.queues if pattern.startswith("!")):
            return None
        if not wanted:
            return 0
        return next((rank for rank, pattern in enumerate(wanted) if _matches(queue, pattern)), None)

    def __str__(self) -> str:
        """Write the filter on one line, the same for equal filters; it names the lock file."""
        return f"queues={','.join(self.queues)} weighted={self.weighted} {self.lowest}-{self.highest}"


def _matches(queue: str, pattern: str) -> bool:
    return queue == pattern or fnmatchcase(queue, pattern)


def parse_priorities(text: str) -> tuple[int, int]:
    """Parse the inclusive range in `10`, `20-40`, `25-` or `-20`. Raises InvalidInput."""
    low, dash, high = text.partition("-")
    lowest = _priority(low or str(PRIORITIES.start))
    highest = _priority((high or str(PRIORITIES.stop - 1)) if dash else low)
    if text in ("", "-") or lowest is None or highest is None or lowest > highest:
        raise InvalidInput(f"priority: {text!r} is not a range like 10, 20-40, 25- or -20 within 0 to 999")
    return lowest, highest


def _priority(text: str) -> int | None:
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(PRIORITIES.stop))
    return int(text) if plain and int(text) in PRIORITIES else None


NEWEST_FIRST = "-id"
SORTS = (
    "id", "state", "queue", "task", "priority", "attempts", "created", "due", "started", "ended", "when", "duration",
    "memory",
)  # fmt: skip
"""The sort keys of jobs; `-` before one reverses it. `when` is their last event."""

_PATTERN = frozenset("*?[")


def has_patterns(queues: Iterable[str]) -> bool:
    """Tell whether there are globs or exclusions among names of queues."""
    return any(queue.startswith("!") or not _PATTERN.isdisjoint(queue) for queue in queues)


class Selection(NamedTuple):
    """The jobs that a command's options select: each given field must match, an empty one matches all."""

    states: frozenset[str] = frozenset()
    queues: tuple[str, ...] = ()
    """Exact names, globs, and `!name` to leave out, as in a filter."""
    tasks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    """Fingerprints of failures, or names of error classes."""
    older_than: float | None = None
    """Seconds since they ended, or since they were enqueued if they haven't ended."""
    ids: tuple[int, ...] = ()
    since: int | None = None
    """The instant of the earliest last event (end, else start, else enqueueing)."""
    until: int | None = None
    batches: tuple[int, ...] = ()
    search: str | None = None
    """Text in the task, its arguments, queue, key, group or error; the case of letters doesn't matter."""
