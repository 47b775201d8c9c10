"""Run a queue whose jobs come from another host: the program that enqueues can't reach the workers' sockets."""

from __future__ import annotations

import importlib.util
import logging
import time
from typing import Any

from cronq import Cronq
from cronq.config import loader as configuration
from cronq.system.log import log
from tests import warm
from tests.integration.running import Queue, alive
from tests.project import Project
from tests.started import Process
from tests.waiting import wait_until

NEVER = ("--poll", "1h")
"""The options of a worker that queries the database only after a wake-up."""

SOON = 60
"""Seconds within which a wake-up must start a job, also on a busy machine: without a wake-up it takes an hour."""

LIMIT = 1.0
"""Maximum number of seconds by which a broker out of reach may delay one enqueue; it delays no further ones."""

OUTAGE = "no wake-ups through"

_CLIENTS = {"boto3": "sqs", "redis": "redis", "greenstalk": "beanstalk", "kombu": "rabbitmq"}
IMPORTED = warm.Imports(
    tuple(
        name
        for library, transport in _CLIENTS.items()
        if importlib.util.find_spec(library)
        for name in (library, f"cronq.transports.{transport}")
    )
)
"""The client libraries of the brokers, imported once: that takes longer than to use them."""

TASKS = """\
@queue.task
def note(word):
    mark(word)


@queue.task
def until(name):
    mark("began", name)
    pause_until((HERE / name).exists)
"""


class AfarQueue(Queue):
    """A queue whose workers lock in the directory `here`; the test enqueues as another host, with a transport."""

    def __init__(self, project: Project, wake: str) -> None:
        self._wake = wake
        super().__init__(project)
        self.tasks(TASKS)

    def tasks(self, text: str, config: str = "") -> None:
        super().tasks(text, f'wake = "{self._wake}"\nlock_dir = "here"\n{config}')

    @property
    def app(self) -> Cronq:
        if self._app is None:
            self._app = self.another_app()
        return self._app

    def put(self, task: str, arguments: dict[str, Any] | None = None, **options: Any) -> int:
        """Enqueue; run `cronq ring` if the broker didn't take the message in a second, as on a busy machine."""
        outages = _Outages()
        log.addHandler(outages)
        try:
            job = super().put(task, arguments, **options)
        finally:
            log.removeHandler(outages)
        if outages.said:
            self.forget_outages()
            wait_until(self.ring_from_elsewhere, what="the broker takes messages")
        return job

    def forget_outages(self) -> None:
        """Close the app: the next one tries the broker at once."""
        self.app.close()
        self._app = None

    def another_app(self, **values: Any) -> Cronq:
        """Return an app as another program would use, on another host."""
        config = configuration.load(file=str(self.directory / "cronq.toml"), environ={})
        return Cronq(config.with_values("the test", lock_dir=str(self.directory / "elsewhere"), **values))

    def start_python(self, *arguments: str | int, env: dict[str, str] | None = None) -> Process:
        """Start `python ARGUMENTS` without waiting, with the clients of brokers imported; killed when the test ends."""
        environment = self.project.environment | (env or {})
        process = warm.start(IMPORTED, warm.Command([*map(str, arguments)], self.directory, environment))
        self._started.append(process)
        return process

    def work(self, *arguments: str | int, env: dict[str, str] | None = None) -> Process:
        self.app.store.prepare()
        process = self.start_python("-m", "cronq", "work", *arguments, env=env)
        wait_until(lambda: process.poll() is not None or self.is_at_work(process.pid), what="a worker")
        return process

    def idle(self, *filters: tuple[str, ...]) -> list[Process]:
        """Start workers with these filters, and wait until they have made their first queries."""
        workers = [self.work(*NEVER, "--jobs", 1, *given) for given in filters or [()]]
        self.settle_down()
        return workers

    def ring_from_elsewhere(self) -> bool:
        """Run `cronq ring` as on another host; tell whether the transport took the message."""
        rung = self.project.cronq("ring", env={"CRONQ_LOCK_DIR": str(self.directory / "elsewhere")})
        return rung.status == 0

    def settle_down(self) -> None:
        """Wait a second: then no worker queries any more, after its start or its listener's connection."""
        deadline = time.monotonic() + 1
        wait_until(lambda: time.monotonic() > deadline)

    def finished(self, jobs: list[int], *, seconds: float = 60) -> None:
        """Wait until these jobs are finished."""
        wait_until(
            lambda: all(row["state"] == "finished" for row in self.rows() if row["id"] in jobs),
            seconds=seconds,
            what="all are finished",
        )


class _Outages(logging.Handler):
    """Keeps log lines about a transport that takes no messages."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if OUTAGE in (said := record.getMessage()):
            self.said.append(said)


def ended(worker: Process, *, seconds: float = 60) -> str:
    """End a worker with SIGTERM, as systemd does; it must end well. Return its stderr."""
    assert alive(worker.pid), worker.communicate()
    worker.terminate()
    _, said = worker.communicate(timeout=seconds)
    assert worker.returncode == 0, said
    return said
