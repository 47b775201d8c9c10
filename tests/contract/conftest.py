"""One suite over every engine: an engine is a function from a directory to a config of an empty queue."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from cronq.config.loader import Config, from_database
from cronq.storage.migrations import upgrade
from cronq.store import Store
from cronq.testing import ManualClock
from tests import databases, servers

Engine = Callable[..., Config]


def sqlite_queue(directory: Path, **_: bool) -> Config:
    """A queue in a SQLite file, made ready."""
    config = from_database(f"sqlite:///{directory}/queue.db")
    return config.with_values("the test", synchronous="normal")


ENGINES: dict[str, Engine] = {
    "sqlite": sqlite_queue,
    **{kind: partial(databases.empty_queue, kind) for kind in databases.KINDS},
}


def engine_queue(engine: str, directory: Path, *, keep: bool = False) -> Config:
    """The config of an empty queue on an engine; without that on this machine the test is skipped."""
    if engine != "sqlite":
        servers.require(engine)
    return ENGINES[engine](directory, keep=keep)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with cronq's tables, to be copied: a tenth of a second for each test less."""
    directory = tmp_path_factory.mktemp("template")
    upgrade(sqlite_queue(directory))
    return directory / "queue.db"


@pytest.fixture(params=sorted(ENGINES))
def config(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Config:
    """The config of an empty queue on the engine in turn."""
    made = engine_queue(request.param, tmp_path, keep=True)
    if made.sqlite_path() is not None:
        shutil.copy(template, tmp_path / template.name)
    return made


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until a test advances it."""
    return ManualClock()


@pytest.fixture
def store(config: Config, clock: ManualClock) -> Iterator[Store]:
    """A store on an empty queue."""
    with Store(config, clock) as opened:
        yield opened


@pytest.fixture
def other(config: Config, clock: ManualClock) -> Iterator[Store]:
    """The same queue through a connection of its own."""
    with Store(config, clock) as opened:
        yield opened
