"""Database servers that are started when a test first asks and shared by all workers of a test run.

Each worker has a database of its own in it, which is emptied for each test.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from cronq.config import Config, from_database
from cronq.dialects import open_database
from cronq.migrations import upgrade
from daemons.databases import SERVERS, Running, private
from tests.sharing import joining

__all__ = ["Running", "empty_queue", "end", "private", "shared"]

TABLES = ("jobs", "attempts", "groups", "paused", "leases", "workers", "tails", "troubles")


@functools.cache
def shared(kind: str) -> Running:
    """The server of this test run, started by whoever asks first."""
    with joining() as root:
        running = Running(kind, root / kind)
        if not (running.place / "port").exists():
            running.remove()
            running.make()
    return running


def end(root: Path) -> None:
    """Stop the servers in the directory."""
    for kind in SERVERS:
        Running(kind, root / kind).remove()


@functools.cache
def _own_database(kind: str) -> Config:
    server = shared(kind)
    name = f"worker{os.getpid()}"
    server.execute(f"CREATE DATABASE {name}")
    config = from_database(server.url(name))
    upgrade(config)
    return config


def empty_queue(kind: str, directory: Path) -> Config:
    """A config for this worker's database of the kind, emptied; locks are in the directory."""
    config = _own_database(kind)
    database = open_database(config)
    names = [f"{config.table_prefix}{table}" for table in TABLES]
    if kind == "postgresql":
        database.execute(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
    else:
        for name in names:
            database.execute(f"TRUNCATE {name}")
    database.close()
    return config.with_values("the test", lock_dir=str(directory / "locks"))
