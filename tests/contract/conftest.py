"""Run one suite on every engine: an engine is a function from a directory to the config of an empty queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from cronq.config.loader import Config, from_database
from cronq.store import Store
from cronq.testing import ManualClock
from tests import databases, ready_database, servers

Engine = Callable[..., Config]


def sqlite_queue(directory: Path, **_: bool) -> Config:
    """Return the config of a queue in a SQLite file, which has no tables yet."""
    config = from_database(f"sqlite:///{directory}/queue.db")
    return config.with_values("the test", synchronous="normal")


ENGINES: dict[str, Engine] = {
    "sqlite": sqlite_queue,
    **{kind: partial(databases.empty_queue, kind) for kind in databases.KINDS},
}


def engine_queue(engine: str, directory: Path, *, keep: bool = False) -> Config:
    """Return the config of an empty queue on an engine; skip the test if this machine lacks the engine."""
    if engine != "sqlite":
        servers.require(engine)
    return ENGINES[engine](directory, keep=keep)


@pytest.fixture(params=sorted(ENGINES))
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """Return the config of an empty queue, on each engine in turn."""
    made = engine_queue(request.param, tmp_path, keep=True)
    if path := made.sqlite_path():
        ready_database.make(Path(path))
    return made


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still until a test advances it."""
    return ManualClock()


@pytest.fixture
def store(config: Config, clock: ManualClock) -> Iterator[Store]:
    """Yield a store on an empty queue."""
    with Store(config, clock) as opened:
        yield opened


@pytest.fixture
def other(config: Config, clock: ManualClock) -> Iterator[Store]:
    """Yield a store on the same queue, with a connection of its own."""
    with Store(config, clock) as opened:
        yield opened
