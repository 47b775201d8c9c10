"""Order the tests: those that wait or are slow first, distributed among the workers.

`--dist worksteal` gives each worker one stretch of the list, and moves tests from a stretch's end to
workers that are done. So each stretch begins with its part of the long tests, and ends with quick ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def shared_out(waiting: Sequence[T], slow: Sequence[T], quick: Iterable[T], workers: int) -> list[T]:
    """Return one list of as many stretches as there are workers; each begins with its part of the long tests."""
    quick = list(quick)
    left = iter(quick)
    ordered: list[T] = []
    sizes = _stretches(len(waiting) + len(slow) + len(quick), workers)
    for first, size in zip(_begins(waiting, slow, workers), sizes, strict=True):
        ordered += [*first, *islice(left, max(0, size - len(first)))]
    return [*ordered, *left]


def _begins(waiting: Sequence[T], slow: Sequence[T], workers: int) -> list[list[T]]:
    """Return the tests with which each worker begins.

    The tests that wait for the clock run on a third of the workers: if all workers waited at once, the cores would
    be idle.
    """
    waiters = max(1, workers // 3) if waiting else 0
    others = workers - waiters
    if not others:
        return [[*waiting, *slow]]
    return [list(waiting[n::waiters]) for n in range(waiters)] + [list(slow[n::others]) for n in range(others)]


def _stretches(count: int, workers: int) -> list[int]:
    """Return the sizes of the stretches that worksteal makes."""
    sizes = []
    for left in range(workers, 0, -1):
        sizes.append(count // left)
        count -= sizes[-1]
    return sizes
