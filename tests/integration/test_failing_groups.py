"""Groups whose jobs fail: as quick as others, and in order."""

from __future__ import annotations

import os

import pytest

from tests.integration.running import Queue

JOBS = 1000
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
    run = queue.start("--jobs", 2)  # its own process: what a forked one spends isn't told to this one
    run.communicate(timeout=120)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_group_whose_jobs_fail_does_not_crawl(queue: Queue) -> None:
    queue.tasks(TASKS)
    alone = _spent(queue)
    assert _spent(queue, group="g") < 3 * alone
    assert {row["state"] for row in queue.rows()} == {"failed"}
    assert queue.settled()


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
