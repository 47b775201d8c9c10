"""What a runner owes to the others: its jobs don't outlive their leases.

A runner that can't reach the database can't know whether another host has taken its jobs over.
Until the leases end nobody may, afterwards anybody; so that is when its jobs must end. An alarm
clock sees to it, because the runner itself may be waiting for the database's answer just then; and
where the runner as a whole stands still, a process beside it does.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Self

from cronq.execution.lease_guard import LeaseGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from cronq.execution.journal_file import JournalFile

_EARLIER = 0.9
_LATEST = 0.95
"""The shares of a lease after which its jobs are stopped, by the runner or beside it: to be dead when it ends."""


class LeaseDeadline:
    """Calls `stop` when the leases are about to end, at any moment, unless they are renewed before."""

    def __init__(
        self, lease: float, stop: Callable[[], None], books: Callable[[], Iterable[JournalFile]] = tuple
    ) -> None:
        self._lease = lease
        self._books = books
        self._stop = stop
        self._end = 0.0

    def __enter__(self) -> Self:
        self._guard = LeaseGuard(self._lease, self._books)
        self._guard.start()
        self._usual = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._usual)
        self._guard.stop()

    @property
    def fallen(self) -> bool:
        """Whether the leases have to be renewed before anything is started under them."""
        return time.monotonic() >= self._end

    def renewed(self, since: float) -> None:
        """All leases count from this monotonic time, or from later."""
        self._end = since + _EARLIER * self._lease
        self._guard.expect(since + _LATEST * self._lease)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self._end - time.monotonic()))

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self.fallen:
            self._stop()


class NoDeadline(LeaseDeadline):
    """For a file, which a host that is cut off can't share."""

    fallen = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def renewed(self, since: float) -> None:
        """Nothing depends on it."""
