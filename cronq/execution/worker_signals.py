"""The signals that a worker heeds, as resque has them: noted when they come, obeyed when there is time."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AFRESH = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that would end a process which doesn't heed them yet: they wait while a worker starts afresh."""


class WorkerSignals:
    """What signals have told a worker, SIGTERM and SIGINT aside."""

    def __init__(self) -> None:
        self.finish = False
        """End after the running jobs, however long they take."""
        self.afresh = False
        """And then start again."""
        self.rest = False
        """Claim nothing."""
        self._kill = False

    def heeded(self) -> dict[int, Callable[[], None]]:
        """What is noted at which signal."""
        return {
            signal.SIGQUIT: self._note_finish,
            signal.SIGHUP: self._note_afresh,
            signal.SIGUSR1: self._note_kill,
            signal.SIGUSR2: self._note_rest,
            signal.SIGCONT: self._note_work,
        }

    def take_kill(self) -> bool:
        """Whether running jobs are to be killed; true once for each order."""
        wanted, self._kill = self._kill, False
        return wanted

    def _note_finish(self) -> None:
        self.finish = True

    def _note_afresh(self) -> None:
        self.finish = self.afresh = True

    def _note_kill(self) -> None:
        self._kill = True

    def _note_rest(self) -> None:
        self.rest = True

    def _note_work(self) -> None:
        self.rest = False
