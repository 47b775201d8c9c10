"""Numbers that all viewers share: read once every few seconds, however many pages are open."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from cronq.errors import CronqError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")
_SHARE = 6
"""A reading that takes long is made less often: at most a sixth of the time is spent with it."""

_QUICK = 0.15
"""Seconds that a page waits for new numbers while it has older ones, unless it says otherwise."""


class Seen(NamedTuple, Generic[T]):
    """Numbers, their age in seconds, and why there are no newer ones."""

    value: T
    age: float
    problem: str | None


class Snapshot(Generic[T]):
    """The last good result of a reading that may be slow or fail."""

    def __init__(self, read: Callable[[], T], *, every: float, patience: float = 2.0) -> None:
        self._read = read
        self._every = self._pace = every
        self._patience = patience
        self._lock = threading.Lock()
        self._last: tuple[T, float] | None = None
        self._problem: str | None = None
        self._reading: Future[None] | None = None
        self._stale = False
        self._executor: ThreadPoolExecutor | None = None

    def get(self, *, quick: float = _QUICK) -> Seen[T]:
        """Return the numbers; a new reading is begun where they are old, and waited for up to `quick` seconds.

        Raises Unavailable before the first ones.
        """
        last = self._last
        if last is None or self._stale or time.monotonic() - last[1] >= self._pace:
            wait([self._begin()], self._patience if last is None or self._stale else quick)
        last = self._last
        if last is None:
            raise Unavailable(self._problem or "the database has not answered yet")
        age = time.monotonic() - last[1]
        return Seen(last[0], age, self._problem if age > self._pace else None)

    def peek(self, otherwise: T) -> T:
        """Return the numbers, or something else while the first ones are being read: that may take long."""
        if self._last is None:
            wait([self._begin()], _QUICK)
        return otherwise if self._last is None else self.get(quick=0.0).value

    def expire(self) -> None:
        """Have the next page wait for new numbers: something was changed."""
        self._stale = True

    def _begin(self) -> Future[None]:
        with self._lock:
            if self._reading is None or self._reading.done():
                self._executor = self._executor or ThreadPoolExecutor(1, "cronq-web-snapshot")
                self._stale = False
                self._reading = self._executor.submit(self._look)
            return self._reading

    def _look(self) -> None:
        began = time.monotonic()
        try:
            value = self._read()
        except CronqError as error:
            self._problem = str(error)
        else:
            self._last, self._problem = (value, began), None
            self._pace = max(self._every, _SHARE * (time.monotonic() - began))
