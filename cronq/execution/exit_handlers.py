"""Call the atexit handlers of jobs when their child ends between two jobs."""

from __future__ import annotations

import atexit
import signal
import sys


def forget_inherited() -> None:
    """Drop handlers that were registered before the fork, as multiprocessing does: the runner calls them."""
    atexit._clear()
    if "weakref" in sys.modules:  # serve-inetd starts a command without importing it
        finalize = sys.modules["weakref"].finalize
        for info in finalize._registry.values():
            info.atexit = False
        finalize._registered_with_atexit = False


def are_there() -> bool:
    """Tell whether handlers are registered."""
    return atexit._ncallbacks() > 0


def call(seconds: float) -> None:
    """Call the handlers, the last one first; the kernel kills this process if they take more than `seconds`."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    atexit._run_exitfuncs()
