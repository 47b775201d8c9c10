"""Kill this runner's jobs before their leases end, so that no other host runs them at the same time.

A runner that can't reach the database can't know whether another host has taken its jobs over,
which is possible once the leases have ended. The handler of an alarm kills the jobs, because the
runner may be waiting for the database's answer; if the whole runner is stopped, another process does.
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
"""The fractions of a lease after which its jobs are killed: by the runner, and by the other process."""


class LeaseDeadline:
    """Calls `stop` from the handler of an alarm when the leases are about to end without having been renewed."""

    def __init__(
        self, lease: float, stop: Callable[[], None], journals: Callable[[], Iterable[JournalFile]] = tuple
    ) -> None:
        self._lease = lease
        self._journals = journals
        self._stop = stop
        self._end = 0.0

    def __enter__(self) -> Self:
        self._guard = LeaseGuard(self._lease, self._journals)
        self._guard.start()
        self._usual = signal.signal(signal.SIGALRM, self._on_alarm)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._usual)
        self._guard.stop()

    @property
    def fallen(self) -> bool:
        """Whether the leases must be renewed before jobs are started under them."""
        return time.monotonic() >= self._end

    def renewed(self, since: float) -> None:
        """Set the deadline anew: all leases began at this monotonic time."""
        self._end = since + _EARLIER * self._lease
        self._guard.expect(since + _LATEST * self._lease)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self._end - time.monotonic()))

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self.fallen:
            self._stop()


class NoDeadline(LeaseDeadline):
    """Replaces the deadline for SQLite, whose file isn't shared with other hosts: does nothing."""

    fallen = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def renewed(self, since: float) -> None:
        """Do nothing."""
