"""The signals of a worker: noted when they come, handled between two steps.

QUIT, HUP, USR1, USR2 and CONT mean what they mean to a worker of Resque, the job queue for Ruby.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AFRESH = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are blocked while a worker restarts itself: they would end a process without handlers for them."""


class WorkerSignals:
    """What signals other than SIGTERM and SIGINT have asked a worker to do."""

    def __init__(self) -> None:
        self.finish = False
        """End after the running jobs, however long they take."""
        self.afresh = False
        """Restart after that."""
        self.rest = False
        """Claim no jobs."""
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
        """End after the running jobs, and start afresh."""
        self.finish = self.afresh = True

    def _note_kill(self) -> None:
        self._kill = True

    def _note_rest(self) -> None:
        self.rest = True

    def _note_work(self) -> None:
        self.rest = False
