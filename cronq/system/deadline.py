"""Limit the time of calls that may hang: a server that doesn't answer, a file system that was unmounted."""

from __future__ import annotations

import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Never


_AGAIN = 1.0
"""Seconds after which DeadlineExceeded is raised again: raised inside a `__del__`, it is lost."""


class DeadlineExceeded(BaseException):
    """The block took too long. Not an Exception: no code in between may catch it and go on, or try again."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExceeded in the block if it takes longer. For the main thread only; suspends an outer limit."""
    before = signal.signal(signal.SIGALRM, _on_alarm)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, before)


def _on_alarm(_number: int, _frame: FrameType | None) -> Never:
    raise DeadlineExceeded
