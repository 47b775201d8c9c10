"""Act as a container's first process: reap orphans, pass signals on, and end with the child's status."""

from __future__ import annotations

import os
import signal

_PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)
_FROM_THE_KERNEL = 0x80
"""`si_code` of a terminal's Ctrl-C, which reaches the child, too: passed on, it would count as a second one."""


def go_on_below() -> None:
    """Fork if this is process 1: the child returns, the parent never does. Any other process returns at once."""
    if os.getpid() != 1:
        return
    awaited = {*_PASSED_ON, signal.SIGCHLD}
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
        return
    while True:
        told = signal.sigwaitinfo(awaited)
        if told.si_signo == signal.SIGCHLD:
            _reap(child)
        elif told.si_code != _FROM_THE_KERNEL:
            os.kill(child, told.si_signo)


def _reap(child: int) -> None:
    """Reap all processes that have ended; if the child is one of them, end with its status."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if ended == 0:
            return
