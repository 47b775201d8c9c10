"""The work everybody is given: a task that does nothing. Two of the jobs say when they started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FIRST, LAST = "started-first", "started-last"


class Order(NamedTuple):
    """One job to be queued: its number and, for the first and last, the file in which it notes its start."""

    n: int
    mark: str | None

    def arguments(self) -> dict[str, int | str | None]:
        """The keyword arguments of `no_op`."""
        return {"n": self.n, "mark": self.mark}


def no_op(n: int, mark: str | None = None) -> None:  # noqa: ARG001 - an argument of the usual size
    """Do nothing; the first and the last job note when they began."""
    if mark is not None:
        Path(mark).write_text(str(time.monotonic_ns()))


def orders(place: Path, count: int) -> Iterator[Order]:
    """As many jobs as wanted, the first and the last marked."""
    yield Order(0, str(place / FIRST))
    yield from (Order(n, None) for n in range(1, count - 1))
    yield Order(count - 1, str(place / LAST))


def started(place: Path, which: str) -> float | None:
    """When the first or last job began, in seconds of the monotonic clock; None if it has not."""
    try:
        text = (place / which).read_text()
    except FileNotFoundError:
        return None
    return int(text) / 1e9 if text else None
