"""Wait for threads that a job has left running, as Python does when a program ends."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_LINGER = 0.01
"""Seconds to wait for threads that are about to end."""


def running() -> list[threading.Thread]:
    """List the threads that run beside this one."""
    return [thread for thread in threading.enumerate() if thread is not threading.current_thread()]


def wait(usual: Collection[threading.Thread]) -> bool:
    """Wait for all threads that are neither daemons nor `usual`; returns whether pools of threads were closed."""
    soon = time.monotonic() + _LINGER
    for thread in _left(usual):
        thread.join(max(0.0, soon - time.monotonic()))
    pooled = _pooled()
    for thread in _working(usual):
        if thread not in pooled:
            thread.join()
    if not _working(usual):
        return False
    for close in reversed(getattr(threading, "_threading_atexits", ())):
        close()
    for thread in _working(usual):
        thread.join()
    return True


def described(usual: Collection[threading.Thread]) -> str:
    """Describe the threads that aren't `usual`, for a message."""
    names = sorted(thread.name for thread in _left(usual))
    return f"thread {', '.join(names)}" if names else "a thread"


def _working(usual: Collection[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in _left(usual) if not thread.daemon]


def _pooled() -> set[threading.Thread]:
    """List the threads of pools, which end only when the pool is closed; concurrent.futures has two tables of them."""
    found: set[threading.Thread] = set()
    for module, table in (("thread", "_threads_queues"), ("process", "_threads_wakeups")):
        found |= set(getattr(sys.modules.get(f"concurrent.futures.{module}"), table, ()))
    return found


def _left(usual: Collection[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in running() if thread not in usual]
