"""End a runner's attempts from another process when its leases end and the runner itself is stopped.

A runner that is stopped, or waits for a disk, can't kill its children in time, and another host takes their
jobs over. So a second process watches the end of the leases in memory that both share.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from cronq.execution import leftovers
from cronq.system.prctl import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronq.execution.journal_file import JournalFile

_LOOKS = 20
"""The number of checks in the length of a lease."""

_AGAIN = 0.01
_LONG_ENOUGH = 1.0
"""After the end of the leases: seconds between two checks of the children, and seconds for which they are checked,
because a child may just begin its next job."""

_DYING = 2.0
"""Seconds to wait for killed processes."""


class LeaseGuard:
    """The runner's handle of the guard process. `journals` opens the journals of the runner's children."""

    def __init__(self, lease: float, journals: Callable[[], Iterable[JournalFile]]) -> None:
        self._pause = lease / _LOOKS
        self._journals = journals
        self._pid = 0
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._end = memoryview(self._shared).cast("q")

    def start(self) -> None:
        """Fork the guard process."""
        runner = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            self._watch(runner)

    def stop(self) -> None:
        """Kill and reap the guard process."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def expect(self, end: float) -> None:
        """Set the monotonic time at which attempts are killed; it replaces that of the last call."""
        self._end[0] = round(end * 1e9)

    def _watch(self, runner: int) -> NoReturn:
        try:
            die_with_parent()
            for number in (
                signal.SIGTERM,
                signal.SIGINT,
                signal.SIGHUP,
                signal.SIGQUIT,
                signal.SIGUSR1,
                signal.SIGUSR2,
            ):
                signal.signal(number, signal.SIG_IGN)
            over = 0
            while os.getppid() == runner:
                end = self._end[0]
                left = (end - time.monotonic_ns()) / 1e9
                if end != over and left <= 0:
                    self._end_attempts()
                    over = end
                else:
                    time.sleep(min(self._pause, left) if left > 0 else self._pause)
        finally:
            os._exit(0)

    def _end_attempts(self) -> None:
        deadline = time.monotonic() + _LONG_ENOUGH
        while time.monotonic() < deadline:
            for journal in self._journals():
                if journal.child_lives and _is_running(journal):
                    leftovers.end(journal, patience=_DYING)
                journal.close()
            time.sleep(_AGAIN)


def _is_running(journal: JournalFile) -> bool:
    """Tell whether the child runs an attempt; also true if its journal was emptied after its last one."""
    begun = journal.current()[:2]
    return bool(begun[0]) and begun not in {(entry.job_id, entry.token) for entry in journal.ended()}
