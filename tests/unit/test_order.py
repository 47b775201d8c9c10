"""The order of the tests, held against what xdist's worksteal makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import WorkStealingScheduling

from tests.order import shared_out


class Worker:
    """A worker of a test run, as the scheduler sees it."""

    shutting_down = False

    def __init__(self) -> None:
        self.gateway = self
        self.id = "worker"
        self.given: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices


class Run:
    """What the scheduler asks of the test run's configuration."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def getvalue(self, _name: str) -> list[str]:
        return ["popen"] * self._workers


def begins(tests: list[str], count: int) -> list[list[str]]:
    """What each worker is given at the start."""
    run: Any = Run(count)
    scheduler = WorkStealingScheduling(run)
    workers: list[Any] = [Worker() for _ in range(count)]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    return [[tests[index] for index in worker.given] for worker in workers]


@pytest.mark.parametrize("quick", [30, 31, 32, 97])
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_each_worker_begins_with_its_share_of_the_slow_tests(workers: int, quick: int) -> None:
    slow = [f"slow {n}" for n in range(7)]
    tests = shared_out(slow, [f"quick {n}" for n in range(quick)], workers)
    for number, given in enumerate(begins(tests, workers)):
        mine = slow[number::workers]
        assert given[: len(mine)] == mine
        assert not set(given[len(mine) :]) & set(slow)


@pytest.mark.parametrize(("slow", "quick"), [(0, 0), (0, 5), (5, 0), (7, 2), (1, 1), (2, 40)])
@pytest.mark.parametrize("workers", [1, 3, 8])
def test_every_test_is_there_once(workers: int, slow: int, quick: int) -> None:
    ordered = shared_out(range(slow), range(slow, slow + quick), workers)
    assert sorted(ordered) == list(range(slow + quick))
    quick_ones = [number for number in ordered if number >= slow]
    assert quick_ones == sorted(quick_ones)
