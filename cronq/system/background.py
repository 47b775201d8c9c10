"""Run work in the background: each piece in a forked process and session of its own.

cron waits until all processes have closed its pipe, so such a process keeps no stream that may be this pipe.
"""

from __future__ import annotations

import atexit
import os
import signal
import stat
import time

from cronq.config.environment import is_main_process, journal_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AT_EXIT = 60.0
"""The most seconds that a process started by systemd waits at its end for its background processes."""

_LOOK_AGAIN = 0.02
_FAILED = 70

_running: set[int] = set()


def start(work: Callable[[], object]) -> int:
    """Run `work` in a forked process with a session of its own; returns its pid.

    Its errors are dropped: it must log what matters.
    """
    if is_main_process() and not _running:
        atexit.register(_wait_for_all)
    pid = os.fork()
    if pid == 0:
        _run(work)
    _running.add(pid)
    return pid


def has_ended(pid: int) -> bool:
    """Tell whether a background process has ended, and reap it."""
    if pid in _running and os.waitpid(pid, os.WNOHANG)[0]:
        _running.discard(pid)
    return pid not in _running


def _run(work: Callable[[], object]) -> None:
    """Run the work in the new process; never returns."""
    status = _FAILED
    try:
        os.setsid()
        _reset_signals()
        _release_streams()
        _running.clear()
        work()
        status = 0
    finally:
        os._exit(status)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _release_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1) if _stderr_may_stay() else (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def _stderr_may_stay() -> bool:
    """Tell whether stderr is a file, a device or the journal: no process waits for its end."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    is_quiet = stat.S_ISREG(status.st_mode) or stat.S_ISCHR(status.st_mode)
    return is_quiet or journal_stream() == f"{status.st_dev}:{status.st_ino}"


def _wait_for_all() -> None:
    """Wait for the background processes: systemd kills them when this process ends."""
    deadline = time.monotonic() + _AT_EXIT
    for pid in tuple(_running):
        while not has_ended(pid) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
