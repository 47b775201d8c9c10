"""Cache numbers that all viewers share: read once every few seconds, however many pages are open."""

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
"""Readings begin at least this many of their own durations apart: they take at most a sixth of the time."""

QUICK = 0.15
"""Seconds that a page waits for new numbers if there are older ones, by default."""


class Seen(NamedTuple, Generic[T]):
    """Numbers, their age in seconds, and the error that kept newer ones from being read, if they are old."""

    value: T
    age: float
    problem: str | None


class Snapshot(Generic[T]):
    """Keeps the last good result of a reading that may be slow or fail, and that runs in a thread."""

    def __init__(
        self,
        read: Callable[[], T],
        *,
        every: float,
        patience: float = 2.0,
        executor: ThreadPoolExecutor | None = None,
    ) -> None:
        self._read = read
        self._every = self._pace = every
        self._patience = patience
        self._lock = threading.Lock()
        self._last: tuple[T, float] | None = None
        self._error: CronqError | None = None
        self._reading: Future[None] | None = None
        self._changed = float("-inf")
        self._executor = executor

    def get(self, *, quick: float = QUICK, first: float | None = None) -> Seen[T]:
        """Return the numbers. If they are old, begin a new reading and wait for it up to `quick` seconds.

        The first numbers, and the first after a change, are waited for up to `first` seconds (by default the
        snapshot's `patience`). Before there are any, raises the error of the reading, or Unavailable if it still runs.
        """
        if self._is_useless():
            self._wait_for_newer(self._patience if first is None else first)
        elif self._last is None or time.monotonic() - self._last[1] >= self._pace:
            wait([self._begin()], quick)
        last = self._last
        if last is None:
            raise self._why_none()
        age = time.monotonic() - last[1]
        return Seen(last[0], age, str(self._error) if self._error is not None and age > self._pace else None)

    def _why_none(self) -> CronqError:
        if self._error is None:
            return Unavailable("the database has not answered yet")
        return self._error.with_traceback(None)  # which would grow with each page

    def peek(self, otherwise: T) -> T:
        """Return the numbers, or `otherwise` while the first ones are being read, which may take long."""
        if self._last is None:
            wait([self._begin()], QUICK)
        return otherwise if self._last is None else self.get(quick=0.0).value

    def expire(self) -> None:
        """Mark the numbers as outdated after a change: the next page waits for new ones."""
        self._changed = time.monotonic()

    def _is_useless(self) -> bool:
        """Tell whether there are no numbers, or only those that were read before a change."""
        return self._last is None or self._last[1] < self._changed

    def _wait_for_newer(self, patience: float) -> None:
        until = time.monotonic() + patience
        for _ in range(2):  # a reading that is under way may have begun before the change
            wait([self._begin()], max(0.0, until - time.monotonic()))
            if not self._is_useless():
                return
        self._changed = float("-inf")  # the database is slow or unreachable: later pages show old numbers

    def _begin(self) -> Future[None]:
        with self._lock:
            if self._reading is None or self._reading.done():
                self._executor = self._executor or ThreadPoolExecutor(1, "cronq-web-snapshot")
                self._reading = self._executor.submit(self._look)
            return self._reading

    def _look(self) -> None:
        began = time.monotonic()
        try:
            value = self._read()
        except CronqError as error:
            self._error = error
        else:
            self._last, self._error = (value, began), None
            self._pace = max(self._every, _SHARE * (time.monotonic() - began))
