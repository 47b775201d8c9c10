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
    tests = shared_out([], slow, [f"quick {n}" for n in range(quick)], workers)
    for number, given in enumerate(begins(tests, workers)):
        mine = slow[number::workers]
        assert given[: len(mine)] == mine
        assert not set(given[len(mine) :]) & set(slow)


@pytest.mark.parametrize(("workers", "waiters"), [(2, 1), (3, 1), (5, 1), (6, 2)])
def test_what_waits_begins_on_few_workers_and_the_slow_tests_on_the_others(workers: int, waiters: int) -> None:
    waiting, slow = [f"waits {n}" for n in range(4)], [f"slow {n}" for n in range(7)]
    tests = shared_out(waiting, slow, [f"quick {n}" for n in range(60)], workers)
    parts = [waiting[n::waiters] for n in range(waiters)]
    parts += [slow[n :: workers - waiters] for n in range(workers - waiters)]
    for given, mine in zip(begins(tests, workers), parts, strict=True):
        assert given[: len(mine)] == mine
        assert not set(given[len(mine) :]) & {*waiting, *slow}


def test_one_worker_waits_first() -> None:
    assert shared_out(["waits"], ["slow"], ["quick"], 1) == ["waits", "slow", "quick"]


@pytest.mark.parametrize(("slow", "quick"), [(0, 0), (0, 5), (5, 0), (7, 2), (1, 1), (2, 40)])
@pytest.mark.parametrize("waiting", [0, 1, 4])
@pytest.mark.parametrize("workers", [1, 3, 8])
def test_every_test_is_there_once(workers: int, waiting: int, slow: int, quick: int) -> None:
    long = waiting + slow
    ordered = shared_out(range(waiting), range(waiting, long), range(long, long + quick), workers)
    assert sorted(ordered) == list(range(long + quick))
    quick_ones = [number for number in ordered if number >= long]
    assert quick_ones == sorted(quick_ones)
