"""An idle worker starts what a change has made ready, no matter which process made it, long before its next poll."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq import Cronq
from cronq.config.loader import Config
from tests import databases
from tests.integration.running import HEADER
from tests.integration.stores import config_in
from tests.project import Project
from tests.started import Process
from tests.terminal import Terminal
from tests.waiting import wait_until

SOON = 60.0
"""Seconds in which a woken worker has started a job, on a busy machine; its next look by itself is an hour away."""

TASKS = """\
@queue.task(group_on_failed="hold")
def breaks():
    raise Fail("no")
"""
SETTINGS = 'database = "{database}"\napp = "jobs:queue"\nlock_dir = "{locks}"\ncommands = true\n'


class Idle:
    """A queue with a worker that has nothing to do, and looks by itself once an hour."""

    def __init__(self, project: Project, config: Config) -> None:
        self.project = project
        self.app = Cronq(config)
        self._worker: Process | None = None
        self._config = config
        project.write("jobs.py", HEADER + TASKS)
        self.settings("cronq.toml", "locks")

    def settings(self, name: str, locks: str) -> None:
        place = self.project.directory / locks
        self.project.write(name, SETTINGS.format(database=self._config.database, locks=place))

    def work(self, *arguments: str) -> None:
        """Start the worker, and wait until it has looked twice and sleeps."""
        self.app.store.prepare()
        self._worker = self.project.start("work", "--poll", "1h", "--jobs", 1, *arguments)
        wait_until(lambda: self.app.store.workers.all(), what="a worker")
        deadline = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > deadline)

    def put(self, task: str = "nothing", **options: Any) -> int:
        return self.app.enqueue(f"jobs.{task}", {}, check=False, **options).id

    def held(self) -> tuple[int, int]:
        """A failed job that holds its group, and the next one in it."""
        holder, following = self.put("breaks", group="g"), self.put(group="g")
        self.wait_for(holder, "failed")
        assert self.state(following) == "blocked"
        return holder, following

    def state(self, job: int) -> str:
        found = self.app.get(job)
        assert found is not None
        return found.state

    def wait_for(self, job: int, state: str = "finished", *, seconds: float = SOON) -> None:
        wait_until(lambda: self.state(job) == state, seconds=seconds, what=f"job {job} {state}")

    def end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
        self.app.close()


@pytest.fixture
def idle(request: pytest.FixtureRequest, project: Project, tmp_path: Path) -> Iterator[Idle]:
    kind: str = getattr(request, "param", "sqlite")
    config = config_in(tmp_path) if kind == "sqlite" else databases.empty_queue(kind, tmp_path)
    idle = Idle(project, config.with_values("the test", lock_dir=str(tmp_path / "locks")))
    yield idle
    idle.end()


def by_command(idle: Idle, job: int) -> None:
    idle.project.done("cancel", job)


def by_selection(idle: Idle, _job: int) -> None:
    idle.project.done("cancel", "--state", "failed")


def by_program(idle: Idle, job: int) -> None:
    assert idle.app.cancel(job)


@pytest.mark.parametrize("cancel", [by_command, by_selection, by_program])
def test_the_next_of_a_group_starts_when_its_holder_is_cancelled(
    idle: Idle, cancel: Callable[[Idle, int], None]
) -> None:
    idle.work()
    holder, following = idle.held()
    cancel(idle, holder)
    idle.wait_for(following, seconds=SOON)


@pytest.mark.parametrize("idle", [pytest.param("mariadb", marks=pytest.mark.needs("mariadb"))], indirect=True)
def test_on_a_server_too(idle: Idle) -> None:
    idle.work()
    holder, following = idle.held()
    assert idle.app.cancel(holder)
    idle.wait_for(following, seconds=SOON)


def test_a_retried_job_starts(idle: Idle) -> None:
    idle.work()
    for retry in (lambda job: idle.project.done("retry", job), idle.app.retry):
        job = idle.put(at="+1h")
        assert idle.app.cancel(job)
        retry(job)
        idle.wait_for(job, seconds=SOON)


def test_the_jobs_of_a_resumed_queue_start(idle: Idle) -> None:
    idle.work()
    idle.project.done("pause", "default")
    job = idle.put()
    idle.project.done("resume", "default")
    idle.wait_for(job, seconds=SOON)


def test_keys_in_top_wake_it(idle: Idle) -> None:
    idle.work()
    job = idle.put("breaks")
    idle.wait_for(job, "failed")
    with Terminal(idle.project, "top", columns=80, rows=24) as terminal:
        terminal.wait_for("r retry failed")
        terminal.press("r")
        terminal.wait_for("retry 1 failed or retrying job of all queues?")
        terminal.press("y")
        terminal.wait_for("1 retried")
        wait_until(lambda: len(idle.app.store.jobs.attempts(job)) == 2, seconds=SOON, what="a second attempt")
        terminal.press("j")
        terminal.wait_for("queue default")
        terminal.press("p")
        terminal.wait_for("queue default is paused")
        waiting = idle.put()
        terminal.press("p")
        terminal.wait_for("queue default goes on")
        idle.wait_for(waiting, seconds=SOON)


def test_a_job_that_another_runner_has_unblocked_starts(idle: Idle) -> None:
    idle.work("--queue", "mine")
    wait = "while [ ! -e go ]; do sleep 0.05; done"
    holder = int(idle.project.enqueue("--queue", "other", "--group", "g", "--", wait))
    with idle.project.start("run", "--queue", "other"):
        idle.wait_for(holder, "running")
        following = idle.put(group="g", queue="mine")
        assert idle.state(following) == "blocked"
        (idle.project.directory / "go").touch()
        idle.wait_for(following, seconds=SOON)
    assert idle.state(holder) == "finished"


@pytest.mark.parametrize("idle", [pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))], indirect=True)
def test_postgresql_tells_the_workers_of_other_hosts(idle: Idle) -> None:
    idle.settings("elsewhere.toml", "elsewhere")
    idle.work("--queue", "default")
    holder, following = idle.held()
    idle.project.done("--config", "elsewhere.toml", "cancel", holder)
    idle.wait_for(following, seconds=SOON)
    idle.project.done("pause", "default")
    waiting = idle.put()
    idle.project.done("--config", "elsewhere.toml", "resume", "default")
    idle.wait_for(waiting, seconds=SOON)
