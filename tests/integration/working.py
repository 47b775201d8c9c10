"""Start workers with tasks that run until a test ends them."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.integration.running import Queue
from tests.started import Process
from tests.waiting import wait_until

TASKS = """\
@queue.task
def note_time():
    mark("at", time.time())


@queue.task
def until(name):
    mark("began", name, os.getpid())
    pause_until((HERE / name).exists)
    mark("ended", name)


@queue.task
def version():
    mark("version", 1)
"""
NEVER = ("--poll", "1h")
"""A worker that only looks when something wakes it."""


def begin(queue: Queue, name: str = "one") -> int:
    """A job that a worker is running, until `finish`."""
    job = queue.put("until", {"name": name})
    queue.wait_for_record(f"began {name}")
    return job


def finish(queue: Queue, name: str = "one") -> None:
    (queue.directory / name).touch()


def ended(worker: Process, *, seconds: float = 60) -> tuple[int, str]:
    """A worker's exit status and what it said."""
    _, said = worker.communicate(timeout=seconds)
    return worker.returncode, said


def wait_for_state(queue: Queue, state: str) -> None:
    """Wait until all workers say that they are in this state."""
    wait_until(lambda: set(queue.sql("SELECT state FROM cronq_workers")) == {(state,)}, what=state)


def workers(queue: Queue) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(queue.project.done("workers", "--json"))
    return shown


def pids(queue: Queue) -> set[int]:
    return {pid for (pid,) in queue.sql("SELECT pid FROM cronq_workers WHERE kind = 'work'")}


def settle_down(worker: Process) -> None:
    """Wait until a worker has looked twice and sleeps."""
    del worker
    deadline = time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() > deadline)
