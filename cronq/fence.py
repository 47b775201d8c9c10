"""Jobs must not outlive their leases: another host takes them over then, and runs them, too.

A runner that can't reach the database can't know whether that has happened. A timer ends its jobs
in time, because the runner itself may be in the middle of a call.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_SHARE = 0.9
"""The part of a lease after which the runner gives it up, unless it was renewed."""


class Fence:
    """Calls `on_end` shortly before leases end that were not renewed; never with `seconds` of None."""

    def __init__(self, seconds: float | None, on_end: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_end = on_end
        self._end = 0.0

    @property
    def fallen(self) -> bool:
        """Whether the leases must be renewed before anything is started under them."""
        return self._seconds is not None and time.monotonic() >= self._end

    def renewed(self, since: float) -> None:
        """All leases hold for their whole time from this monotonic moment on."""
        if self._seconds is not None:
            self._end = since + _SHARE * self._seconds
            signal.setitimer(signal.ITIMER_REAL, max(0.001, self._end - time.monotonic()))

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._usual = signal.signal(signal.SIGALRM, self._on_alarm)
        return self

    def __exit__(self, *_: object) -> None:
        if self._seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._usual)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self.fallen:
            self._on_end()
