"""A limit for what may hang: a server that answers nothing, a file system that is gone."""

from __future__ import annotations

import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Never


class DeadlineExceeded(BaseException):
    """It took too long. Not an Exception: nothing on the way may swallow it or try again."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TimeIsUp in the block when it takes longer. For the main thread; an outer limit waits meanwhile."""
    before = signal.signal(signal.SIGALRM, _ring)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, outer)
        signal.signal(signal.SIGALRM, before)


def _ring(_number: int, _frame: FrameType | None) -> Never:
    raise DeadlineExceeded
