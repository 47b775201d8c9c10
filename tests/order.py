"""In which order the tests run: the slow ones first, shared out among the workers of the test run.

`--dist worksteal` gives each worker one stretch of the list, and takes away from a stretch's end for
workers that are done. So each stretch begins with its part of the slow tests, and ends with quick ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def shared_out(slow: Sequence[T], quick: Iterable[T], workers: int) -> list[T]:
    """Both in one list of as many stretches as there are workers; the first slow ones begin a stretch each."""
    quick = list(quick)
    waiting = iter(quick)
    ordered: list[T] = []
    for number, size in enumerate(_stretches(len(slow) + len(quick), workers)):
        mine = slow[number::workers]
        ordered += [*mine, *islice(waiting, max(0, size - len(mine)))]
    return [*ordered, *waiting]


def _stretches(count: int, workers: int) -> list[int]:
    """How long worksteal makes them."""
    sizes = []
    for left in range(workers, 0, -1):
        sizes.append(count // left)
        count -= sizes[-1]
    return sizes
