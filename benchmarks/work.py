"""Define the task that all queues run: it does nothing, but two of the jobs record when they started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FIRST, LAST = "started-first", "started-last"


class Order(NamedTuple):
    """One job to enqueue: its number and, for the first and last, the file in which it records its start."""

    n: int
    mark: str | None

    def arguments(self) -> dict[str, int | str | None]:
        """Return the keyword arguments of `no_op`."""
        return {"n": self.n, "mark": self.mark}


def no_op(n: int, mark: str | None = None) -> None:  # noqa: ARG001 - an argument of the usual size
    """Do nothing; with `mark`, write the start in nanoseconds of the monotonic clock to that file."""
    if mark is not None:
        Path(mark).write_text(str(time.monotonic_ns()))


def orders(place: Path, count: int) -> Iterator[Order]:
    """Yield `count` jobs; the first and the last record their start."""
    yield Order(0, str(place / FIRST))
    yield from (Order(n, None) for n in range(1, count - 1))
    yield Order(count - 1, str(place / LAST))


def started(place: Path, which: str) -> float | None:
    """Return when the first or last job began, in seconds of the monotonic clock; None if it has not."""
    try:
        text = (place / which).read_text()
    except FileNotFoundError:
        return None
    return int(text) / 1e9 if text else None
