"""A runner that stands still: what it runs is over before its leases are, on a server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests import databases, servers
from tests.integration.running import alive, wait_until_dead
from tests.integration.server_storm import ServerQueue
from tests.project import Project
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
            time.sleep(0.001)
"""


@pytest.fixture(params=["postgresql", "mariadb"])
def queue(request: pytest.FixtureRequest, project: Project) -> Iterator[ServerQueue]:
    servers.require(request.param)
    server = databases.shared(request.param)
    name = f"guard{os.getpid()}{request.param}"
    server.execute(f"CREATE DATABASE {name}")
    with ServerQueue(project, {"here": server.url(name)}, lease=LEASE) as made:
        made.app.store.prepare()
        made.tasks(TASKS)
        yield made
    server.execute(f"DROP DATABASE {name}{' WITH (FORCE)' if request.param == 'postgresql' else ''}")


@pytest.mark.slow
@pytest.mark.waits
def test_the_job_of_a_runner_that_is_stopped_ends_before_its_lease(queue: ServerQueue) -> None:
    job = queue.put("works")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("works"))
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


@pytest.mark.slow
@pytest.mark.waits
def test_a_runner_that_renews_keeps_its_job(queue: ServerQueue) -> None:
    job = queue.put("works")
    runner = queue.start("--jobs", 1)
    child = int(queue.wait_for_record("works"))
    over = time.monotonic() + 1.2 * LEASE
    wait_until(lambda: time.monotonic() > over, seconds=4 * LEASE)
    assert alive(child)
    assert queue.rows("id = ?", job)[0]["attempt"] == 1
    runner.kill()
    runner.wait()
    wait_until(lambda: queue.left_running() == [] or not alive(child), what="the child dies with its runner")
