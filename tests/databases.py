"""Start database servers for the first test that needs them; all workers of a test run share them.

Each worker has a database of its own on each server, which is emptied for each test.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from cronq.config.loader import Config, from_database
from cronq.storage.drivers.opening import open_database
from daemons import databases
from daemons.databases import SERVERS, Running
from tests.sharing import joining

if TYPE_CHECKING:
    from cronq.storage.drivers.database import Database

__all__ = ["KINDS", "PROCESSES", "Running", "common", "empty_queue", "end", "private", "shared"]

KINDS = tuple(SERVERS)
"""The kinds of servers, for tests that run on all of them."""

PROCESSES = {"mariadb": "information_schema.processlist", "mysql": "performance_schema.processlist"}
"""The table of all connections. MySQL's information_schema can't show a statement with an emoji: then reading fails."""

TABLES = (
    *("jobs", "attempts", "groups", "paused", "leases", "workers", "tails", "troubles", "edges", "loose_ends"),
    *("batches", "members", "limits", "limited", "starts", "minutes"),
    *("progress", "schedules", "declarations", "fires", "runs", "actions"),
)


@functools.cache
def shared(kind: str) -> Running:
    """Return the server of this test run, started for the first test that needs it; if that fails, all of them fail."""
    with joining(kind) as root:
        running, failed = Running(kind, root / kind), root / f"{kind}.failed"
        if failed.exists():
            raise AssertionError(failed.read_text())
        if not (running.place / "port").exists():
            running.remove()
            try:
                running.make()
            except Exception as error:
                failed.write_text(f"{kind} could not be started: {error}")
                running.remove()
                raise
    return running


@contextlib.contextmanager
def private(kind: str, *options: str) -> Iterator[Running]:
    """Yield a server that runs until the end of the block; it may be killed."""
    with databases.private(kind, *options, within=databases.quick_place()) as running:
        yield running


def end(root: Path) -> None:
    """Kill the servers in the directory, and remove their data."""
    for kind in SERVERS:
        Running(kind, root / kind).remove()


@functools.cache
def _own_database(kind: str) -> Config:
    server = shared(kind)
    name = f"worker{os.getpid()}"
    server.execute(f"CREATE DATABASE {name}")
    config = from_database(server.url(name))
    _make_tables(config)
    return config


def common(kind: str, name: str, fill: Callable[[Config], None]) -> Config:
    """Return a queue that all workers of a test run only read: the first one makes and fills it."""
    server = shared(kind)
    config = from_database(server.url(name))
    with FileLock(server.place.parent / f"{kind}-{name}.lock"):
        filled = server.place.parent / f"{kind}-{name}.filled"
        if not filled.exists():
            server.execute(f"CREATE DATABASE {name}")
            _make_tables(config)
            fill(config)
            filled.touch()
    return config


def _make_tables(config: Config) -> None:
    from cronq.storage.migrations import upgrade  # Alembic takes longer to import than all else that tests share

    upgrade(config)


_kept: dict[str, Database] = {}
"""Connections through which the next test empties its database: to open one costs as much as a test."""


def empty_queue(kind: str, directory: Path, *, keep: bool = False) -> Config:
    """Return the config of this worker's database of the kind, emptied; locks are in the directory.

    With `keep` the connection stays open for the next test; without it, only the test's own connections are open.
    """
    config = _own_database(kind)
    database = _kept.pop(kind, None) or open_database(config)
    filled = _filled(database, [f"{config.table_prefix}{table}" for table in TABLES])
    if kind == "postgresql":
        database.execute(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY")
    else:
        for name in filled:
            database.execute(f"TRUNCATE {name}")
    if keep:
        _kept[kind] = database
    else:
        database.close()
    return config.with_values("the test", lock_dir=str(directory / "locks"))


def _filled(database: Database, names: list[str]) -> list[str]:
    """Return the jobs' table, whose ids must start anew, and others with rows: each TRUNCATE is as slow as a test."""
    jobs, *others = names
    found = database.query(" UNION ALL ".join(f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in others))
    return [jobs, *(name for (name,) in found)]
