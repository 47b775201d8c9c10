"""Stop an engine: start no more jobs, and kill running ones after a grace."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from cronq.model.job import Failure
from cronq.model.outcome import Outcome

if TYPE_CHECKING:
    from cronq.execution.pool import Pool

SHUTDOWN_GRACE = 60.0
"""Seconds that running jobs have to end after SIGTERM."""

_WHY = Failure("Stopped", "the runner was told to stop; the job went back, its attempt returned")
_GIVEN_BACK = Outcome("crashed", 0, 0, "release", error=_WHY, signal="SIGKILL")


class Stopping:
    """Notes signals and requests to stop; kills running jobs after the grace, or at a second signal.

    `grace` is the number of seconds that running jobs have after a signal.
    """

    def __init__(self, pool: Pool, grace: float = SHUTDOWN_GRACE) -> None:
        self.grace = grace
        self.signals = 0
        """The number of signals to stop that have come."""
        self._pool = pool
        self._until: float | None = None

    @property
    def asked(self) -> bool:
        """Whether no more jobs are to be started."""
        return self._until is not None

    def note_signal(self) -> None:
        """Count a signal, and do nothing else: it may interrupt any code."""
        self.signals += 1

    def ask(self, grace: float) -> None:
        """Have no more jobs started; running ones have `grace` seconds to end, or less by an earlier request."""
        self._until = min(math.inf if self._until is None else self._until, time.monotonic() + grace)

    def kill_when_over(self) -> None:
        """Kill running jobs if their grace is over or a second signal came."""
        if self._until is not None and (time.monotonic() > self._until or self.signals > 1):
            self.kill_all()

    def kill_all(self) -> None:
        """Kill running jobs; they return to the queue, and the attempts don't count."""
        for child in self._pool.children:
            if child.running is not None:
                self._pool.kill(child, _GIVEN_BACK)
