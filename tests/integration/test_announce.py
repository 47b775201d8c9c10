"""An idle worker starts what a change has made ready, no matter which process made it, long before its next poll."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from cronq import Cronq
from cronq.config.loader import Config
from cronq.storage.drivers.notify import channel
from cronq.transports.doorbell import Doorbell
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
SETTINGS = """\
database = "{database}"
app = "jobs:queue"
lock_dir = "{locks}"
commands = true

[limits]
hourly = {{rate = "1/1h"}}
often = {{rate = "1000/1h"}}
"""


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


def limited(idle: Idle, limit: str, rate: str) -> int:
    """Have a job wait for a start under this limit, after one which started."""
    idle.wait_for(idle.project.enqueue("jobs.nothing", "--limit", limit))
    idle.project.done("limits", "set", limit, "--rate", rate)
    waiting = idle.project.enqueue("jobs.nothing", "--limit", limit)
    assert idle.state(waiting) == "pending"
    return waiting


def test_a_job_starts_when_its_limit_makes_room(idle: Idle) -> None:
    idle.work()
    waiting = limited(idle, "hourly", "1/1h")
    idle.project.done("limits", "set", "hourly", "--rate", "1000/1h")
    idle.wait_for(waiting, seconds=SOON)
    waiting = limited(idle, "often", "1/1h")
    idle.project.done("limits", "reset", "often")
    idle.wait_for(waiting, seconds=SOON)


def test_a_job_starts_when_it_waits_for_a_batch_no_more(idle: Idle) -> None:
    idle.work()
    batch = idle.project.done("batch", "open").strip()
    released, following = (idle.project.enqueue("jobs.nothing", "--after", f"batch:{batch}") for _ in range(2))
    idle.project.done("release", released)
    idle.wait_for(released, seconds=SOON)
    assert idle.state(following) == "pending"
    idle.project.done("batch", "close", batch)
    idle.wait_for(following, seconds=SOON)


@contextlib.contextmanager
def pages(project: Project) -> Iterator[Callable[..., None]]:
    """Run `cronq web`; yield a function that makes a change there."""
    with project.start("web", "--bind", "127.0.0.1:0") as server:
        assert server.stdout is not None
        address, _, token = server.stdout.readline().strip().partition("?token=")

        def act(verb: str, **fields: str) -> None:
            form = urlencode({**fields, "confirmed": "yes", "count": "1"}).encode()
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            with urlopen(Request(f"{address}act/{verb}", form, headers), timeout=60) as answer:
                assert json.load(answer)["error"] is None

        try:
            yield act
        finally:
            server.terminate()


def test_a_job_starts_when_a_change_on_the_web_pages_makes_it_ready(idle: Idle) -> None:
    idle.work()
    with pages(idle.project) as act:
        waiting = limited(idle, "hourly", "1/1h")
        act("set-limit", limit="hourly", rate="1000/1h")
        idle.wait_for(waiting, seconds=SOON)
        waiting = limited(idle, "often", "1/1h")
        act("reset-limit", limit="often")
        idle.wait_for(waiting, seconds=SOON)
        batch = idle.project.done("batch", "open").strip()
        waiting = idle.project.enqueue("jobs.nothing", "--after", f"batch:{batch}")
        act("close-batch", id=batch)
        idle.wait_for(waiting, seconds=SOON)


RUNNER = "from cronq.runner import Runner; Runner(queue.store, queue.registry, queue.config).run()"
WORKER = """\
from cronq.system.systemd import ServiceManager
from cronq.worker import Worker, WorkerLimits
limits, service = WorkerLimits(idle=0.1), ServiceManager(None)
Worker(queue.store, queue.registry, queue.config, limits=limits, service=service).work()
"""


@pytest.mark.parametrize("engine", [RUNNER, WORKER], ids=["Runner", "Worker"])
def test_the_store_of_a_program_announces_as_usual_after_an_engine_has_used_it(idle: Idle, engine: str) -> None:
    idle.put()
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = idle.project.directory / "cronq.toml"
        config.write_text(f'wake = "tcp://127.0.0.1:{server.getsockname()[1]}"\n{config.read_text()}')
        ran = idle.project.python("-c", f"from jobs import queue\n{engine}\nprint(queue.enqueue('jobs.nothing').id)")
        assert idle.state(1) == "finished", ran.stderr
        server.setblocking(False)  # the connection was made before the program's end
        with server.accept()[0] as caller:
            assert caller.recv(100) == f"{ran.stdout.strip()}\n".encode()


class Wakings:
    """The wake-ups that a worker of this host, and with PostgreSQL of any host, would receive."""

    def __init__(self, config: Config) -> None:
        self._bell = Doorbell.open(config, "host-1-abc")
        self._channel = channel(config.table_prefix)
        self._connection: Any = None
        if config.database.startswith("postgresql"):
            from cronq.storage.drivers import postgresql

            self._connection = postgresql.connect(config.database_url())
            self._connection.execute(f'LISTEN "{self._channel}"')

    def any(self) -> bool:
        """Tell whether there were any since the last call."""
        rung = self._bell.drain()
        if self._connection is None:
            return rung
        self._connection.execute("SELECT pg_notify(%s, 'asked')", (self._channel,))
        heard: list[str] = []
        for notice in self._connection.notifies(timeout=SOON):
            heard.append(notice.payload)
            if notice.payload == "asked":
                break
        return rung or len(heard) > 1

    def close(self) -> None:
        self._bell.close()
        if self._connection is not None:
            self._connection.close()


@pytest.mark.parametrize(
    "idle", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))], indirect=True
)
def test_exec_wakes_no_worker_for_the_job_that_it_makes_due(idle: Idle) -> None:
    idle.work("--queue", "other")
    with contextlib.closing(Wakings(idle.app.config)) as wakings:
        job = idle.put(at="+1h")
        wakings.any()
        idle.project.done("exec", job)
        assert idle.state(job) == "finished"
        assert not wakings.any()
        idle.project.done("retry", job)
        assert wakings.any()
