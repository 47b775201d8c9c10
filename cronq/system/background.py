"""Errands that nobody waits for: each in a forked process of its own, out of reach of what is running.

cron waits until everybody has closed its pipe, so such a process holds no stream that could be one.
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

_SEE_OFF = 60.0
"""Seconds that errands get at the end of a process that systemd started."""

_LOOK_AGAIN = 0.02
_FAILED = 70

_under_way: set[int] = set()


def start(errand: Callable[[], object]) -> int:
    """Do it in a process of its own, in a session of its own; returns its pid.

    Its errors go nowhere: whatever somebody has to hear of, it must log.
    """
    if is_main_process() and not _under_way:
        atexit.register(_see_off)
    pid = os.fork()
    if pid == 0:
        _run(errand)
    _under_way.add(pid)
    return pid


def has_ended(pid: int) -> bool:
    """Whether an errand is done; its process is buried then."""
    if pid in _under_way and os.waitpid(pid, os.WNOHANG)[0]:
        _under_way.discard(pid)
    return pid not in _under_way


def _run(errand: Callable[[], object]) -> None:
    """In the new process; never returns."""
    status = _FAILED
    try:
        os.setsid()
        _usual_signals()
        _let_go_of_streams()
        _under_way.clear()
        errand()
        status = 0
    finally:
        os._exit(status)


def _usual_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _let_go_of_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1) if _stderr_may_stay() else (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def _stderr_may_stay() -> bool:
    """Whether nobody waits for the end of what comes on stderr."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    is_quiet = stat.S_ISREG(status.st_mode) or stat.S_ISCHR(status.st_mode)
    return is_quiet or journal_stream() == f"{status.st_dev}:{status.st_ino}"


def _see_off() -> None:
    """Wait for errands under way: with the end of this process systemd would kill them."""
    deadline = time.monotonic() + _SEE_OFF
    for pid in tuple(_under_way):
        while not has_ended(pid) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
