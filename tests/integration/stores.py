"""Make stores on SQLite files, and execute statements on the files without the store."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from cronq.config.loader import Config, from_database
from cronq.store import Store
from cronq.times import Clock


def config_in(directory: Path, **values: object) -> Config:
    """Return the config of a queue in this directory, which has no tables yet."""
    return from_database(f"sqlite:///{directory}/queue.db").with_values("the test", **values)


def store_in(directory: Path, **values: object) -> Store:
    """Return a store on the queue in this directory."""
    return Store(config_in(directory, **values), Clock())


def select(config: Config, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Execute a statement on a connection of its own and return its rows; changes are committed."""
    with contextlib.closing(sqlite3.connect(config.sqlite_path() or "")) as connection, connection:
        return connection.execute(sql, parameters).fetchall()
