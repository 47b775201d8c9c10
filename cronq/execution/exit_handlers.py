"""What is registered with atexit in a child: called when the child ends between two jobs."""

from __future__ import annotations

import atexit
import signal
import weakref
from typing import Any


def forget_inherited() -> None:
    """Leave to the runner what was registered before the fork, as multiprocessing does."""
    atexit._clear()
    finalize: Any = weakref.finalize
    for info in finalize._registry.values():
        info.atexit = False
    finalize._registered_with_atexit = False


def are_there() -> bool:
    """Whether anything is registered."""
    return atexit._ncallbacks() > 0


def call(seconds: float) -> None:
    """Call what is registered, the last one first; the kernel ends this process when it takes longer."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM,))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    atexit._run_exitfuncs()
