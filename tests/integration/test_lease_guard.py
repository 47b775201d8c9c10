"""A runner that stands still: what it runs is over before its leases are, on a server.

Two queues go through the same time: one whose runner is stopped, and one whose runner renews.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import databases, scale, servers
from tests.integration.running import alive, wait_until_dead
from tests.integration.server_storm import ServerQueue
from tests.project import Project
from tests.started import Process
from tests.waiting import wait_until

LEASE = 30.0
"""Seconds: its last twentieth, in which nothing may run any more, is longer than a busy machine delays an alarm."""

TASKS = """
@queue.task
def works():
    subprocess.Popen(["setsid", "sleep", "1000"])
    mark("works", os.getpid())
    with open(HERE / "last", "wb", buffering=0) as last:
        while True:
            os.pwrite(last.fileno(), b"%d" % (time.time() * 1e6), 0)
            time.sleep(0.05)
"""


class Working(NamedTuple):
    """A queue with a job that goes on, its runner, and the process that the job is in."""

    queue: ServerQueue
    job: int
    runner: Process
    child: int


@pytest.fixture(params=scale.engines("mariadb", of=("postgresql", "mariadb")))
def working(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Working, Working]]:
    """Two of them, each in a database of its own."""
    servers.require(request.param)
    server = databases.shared(request.param)
    names = [f"guard{os.getpid()}{request.param}{number}" for number in range(2)]
    server.execute(*(f"CREATE DATABASE {name}" for name in names))
    first, second = (_queue(tmp_path / name, server.url(name)) for name in names)
    with first, second:
        yield _begun(first), _begun(second)
    how = " WITH (FORCE)" if request.param == "postgresql" else ""
    server.execute(*(f"DROP DATABASE {name}{how}" for name in names))


def _queue(place: Path, url: str) -> ServerQueue:
    place.mkdir()
    made = ServerQueue(Project(place), {"here": url}, lease=LEASE)
    made.app.store.prepare()
    made.tasks(TASKS)
    return made


def _begun(queue: ServerQueue) -> Working:
    job = queue.put("works")
    runner = queue.start("--jobs", 1)
    return Working(queue, job, runner, int(queue.wait_for_record("works")))


@pytest.mark.slow
@pytest.mark.waits
def test_a_stopped_runners_job_ends_before_its_lease_and_one_that_renews_keeps_its_job(
    working: tuple[Working, Working],
) -> None:
    stopped, renewing = working
    over = time.monotonic() + 1.2 * LEASE
    _ends_before_its_lease(stopped)
    wait_until(lambda: time.monotonic() > over, seconds=4 * LEASE)
    _keeps_its_job(renewing)


def _ends_before_its_lease(one: Working) -> None:
    queue, job, runner, child = one
    os.kill(runner.pid, signal.SIGSTOP)
    [(until,)] = queue.sql("SELECT lease_until FROM cronq_jobs WHERE id = ?", job)
    wait_until_dead(child, seconds=60)
    assert int((queue.directory / "last").read_text()) < until
    wait_until(lambda: len(queue.left_running()) == 2, what="only the runner and its guard are left")
    os.kill(runner.pid, signal.SIGCONT)
    wait_until(lambda: queue.rows("id = ?", job)[0]["state"] != "running", what="the job is settled")
    runner.terminate()
    assert runner.wait(60) == 0
    assert not alive(child)
    queue.wait_until_nothing_runs()


def _keeps_its_job(one: Working) -> None:
    queue, job, runner, child = one
    assert alive(child)
    assert queue.rows("id = ?", job)[0]["attempt"] == 1
    runner.kill()
    runner.wait()
    wait_until(lambda: queue.left_running() == [] or not alive(child), what="the child dies with its runner")
