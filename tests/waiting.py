"""Wait for a condition, with a deadline: the only place where a test lets time pass."""

from __future__ import annotations

import select

from daemons.waiting import wait_until

__all__ = ["readable", "wait_until"]


def readable(fd: int) -> bool:
    """Tell whether the descriptor can be read now; also for numbers that select doesn't accept."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
