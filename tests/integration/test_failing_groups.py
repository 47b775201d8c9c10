"""Groups whose jobs fail: as quick as others, and in order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests import databases
from tests.contract.conftest import engine_queue
from tests.integration.running import Queue
from tests.integration.server_storm import ServerQueue
from tests.project import Project
from tests.scale import FULL

JOBS = 1000
MANY = 2000
TASKS = """
@queue.task(max_attempts=1)
def fails(n):
    raise ValueError("no")


@queue.task(max_attempts=2)
def varies(n, how):
    mark(n)
    if how == "fail":
        raise Fail("no")
    if how == "skip":
        raise Skip("no need")
    if how == "error":
        raise ValueError("again")
    if how == "later":
        raise Snooze("1h")
"""


def _spent(queue: Queue, **options: str) -> float:
    """Seconds of processor time of a run of many jobs that fail."""
    jobs = [{"task": "jobs.fails", "args": {"n": n}, "max_attempts": 1, **options} for n in range(JOBS)]
    queue.app.enqueue_many(jobs, check=False)
    before = os.times()
    run = queue.start("--jobs", 2, anew=True)  # what a forked one spends isn't told to this process
    run.communicate(timeout=120)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_group_whose_jobs_fail_does_not_crawl(queue: Queue) -> None:
    queue.tasks(TASKS)
    alone = _spent(queue)
    assert _spent(queue, group="g") < 3 * alone
    assert {row["state"] for row in queue.rows()} == {"failed"}
    assert queue.settled()


@pytest.fixture(params=["sqlite", *databases.KINDS])
def any_queue(request: pytest.FixtureRequest, project: Project) -> Iterator[Queue]:
    if request.param == "sqlite":
        queue = Queue(project)
    else:
        queue = ServerQueue(project, {"cronq": engine_queue(request.param, project.directory).database})
    with queue:
        yield queue


def _taken(queue: Queue, **options: str) -> float:
    """Seconds that a run of many jobs that fail takes: a server's processor time isn't told to this process."""
    jobs = [{"task": "jobs.fails", "args": {"n": n}, "max_attempts": 1, **options} for n in range(MANY)]
    queue.app.enqueue_many(jobs, check=False)
    before = time.monotonic()
    queue.start("--jobs", 2, anew=True).communicate(timeout=600)
    return time.monotonic() - before


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not FULL, reason="a part of make storm: on a busy machine one of two runs may be slower by chance")
def test_a_large_group_whose_jobs_fail_takes_no_three_times_as_long(any_queue: Queue) -> None:
    any_queue.tasks(TASKS)
    alone, grouped = _taken(any_queue), _taken(any_queue, group="g")
    assert {row["state"] for row in any_queue.rows()} == {"failed"}
    assert grouped < 3 * alone, f"{grouped:.1f} s in a group, {alone:.1f} s without"


@pytest.mark.parametrize("how", ["error", "later"])
def test_a_job_that_comes_again_keeps_the_group(queue: Queue, how: str) -> None:
    queue.tasks(TASKS)
    ways = ["ok", "fail", "skip", "fail", how, "ok", "fail"]
    jobs = [queue.put("varies", {"n": n, "how": each}, group="g") for n, each in enumerate(ways)]
    queue.run("--jobs", 2)
    assert queue.recorded() == ["0", "1", "2", "3", "4"]
    states = [queue.state(job) for job in jobs]
    assert states[:4] == ["finished", "failed", "cancelled", "failed"]
    assert states[4:] == ["retrying" if how == "error" else "waiting", "blocked", "blocked"]
    queue.sql('UPDATE cronq_jobs SET args = \'{"n":4,"how":"ok"}\' WHERE id = ?', jobs[4])
    queue.make_due(jobs[4])
    queue.run("--jobs", 2)
    assert queue.recorded() == ["0", "1", "2", "3", "4", "4", "5", "6"]
    assert queue.settled()


def test_a_failed_job_that_holds_its_group_stops_the_others(queue: Queue) -> None:
    queue.tasks(TASKS, 'group_on_failed = "hold"\n')
    jobs = [queue.put("varies", {"n": n, "how": how}, group="g") for n, how in enumerate(["skip", "fail", "ok"])]
    queue.run("--jobs", 2)
    assert [queue.state(job) for job in jobs] == ["cancelled", "failed", "blocked"]
    assert queue.recorded() == ["0", "1"]
