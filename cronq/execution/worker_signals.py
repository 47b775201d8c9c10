"""Note the signals of a worker when they arrive; the worker handles them between two steps.

QUIT, HUP, USR1, USR2 and CONT have the same effects as on a worker of Resque, the job queue for Ruby.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AFRESH = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are blocked while a worker restarts itself: they would end a process without handlers for them."""


class WorkerSignals:
    """The requests that signals other than SIGTERM and SIGINT have made to a worker."""

    def __init__(self) -> None:
        self.finish = False
        """Whether to end after the running jobs, however long they take."""
        self.afresh = False
        """Whether to restart after that."""
        self.rest = False
        """Whether to claim no jobs."""
        self._kill = False

    def handlers(self) -> dict[int, Callable[[], None]]:
        """Return the handler of each signal."""
        return {
            signal.SIGQUIT: self._note_finish,
            signal.SIGHUP: self.restart,
            signal.SIGUSR1: self._note_kill,
            signal.SIGUSR2: self._note_rest,
            signal.SIGCONT: self._note_work,
        }

    def take_kill(self) -> bool:
        """Tell whether running jobs are to be killed; true once for each signal."""
        wanted, self._kill = self._kill, False
        return wanted

    def _note_finish(self) -> None:
        self.finish = True

    def restart(self) -> None:
        """Request a restart after the running jobs."""
        self.finish = self.afresh = True

    def _note_kill(self) -> None:
        self._kill = True

    def _note_rest(self) -> None:
        self.rest = True

    def _note_work(self) -> None:
        self.rest = False
