"""Define what the tests with real processes share: a queue in a project of its own, a store on an empty queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.times import Clock
from tests.integration.running import Queue
from tests.integration.stores import config_in
from tests.integration.working import TASKS
from tests.project import Project


@pytest.fixture
def queue(project: Project) -> Iterator[Queue]:
    """Yield a queue in an empty project; processes that a test has left running are killed after it."""
    with Queue(project) as queue:
        yield queue


@pytest.fixture
def tasks(queue: Queue) -> Iterator[Queue]:
    """Yield the queue with the tasks of `working.py`, and end those that still run after the test."""
    queue.tasks(TASKS)
    yield queue
    for name in ("one", "two"):
        (queue.directory / name).touch()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return the config of an empty queue in a SQLite file."""
    made = config_in(tmp_path)
    upgrade(made)
    return made


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    """Yield a store on the empty queue."""
    with Store(config, Clock()) as opened:
        yield opened
